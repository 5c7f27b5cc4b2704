"""What the code says of where to look for a question."""

from __future__ import annotations

import pytest

from outlines import base, define, python, use
from rag.code.bearing import DEFINED, USED, USED_BY, USED_BY_NAMED, USES, of_names, of_neighbours
from rag.code.outline import Import

CODE = base(
    app=python(
        "app",
        Import("jobs", "start_job", "start_job", 1),
        Import("web", "serve", "serve", 2),
        define("App", "class"),
        define("App.run", "method"),
        define("run_all"),
        use("start_job", 1, line=5),
        use("serve", 2, line=9),
    ),
    jobs=python("jobs", define("start_job"), define("stop")),
    web=python("web", define("serve"), define("stop")),
)


def test_what_is_named_bears_on_a_question_and_less_so_what_uses_it() -> None:
    bearing = of_names(CODE, "What does start_job do?")
    assert [(CODE.symbols[n].qualified, w) for n, w in bearing.symbols.items()] == [
        ("jobs.start_job", DEFINED)
    ]
    assert bearing.files == {"app.py": USED}
    assert of_names(CODE, "what does stop do?").symbols == {}, "a plain word is no name"


def test_of_several_bearers_each_is_told_less() -> None:
    bearing = of_names(CODE, "When are jobs.stop and web.stop called, and App.stop?")
    assert set(bearing.symbols.values()) == {DEFINED}
    both = base(a=python("a", define("halt_it")), b=python("b", define("halt_it")))
    assert list(of_names(both, "halt_it").symbols.values()) == pytest.approx([DEFINED / 2**0.5] * 2)


def test_the_neighbours_of_the_best_files_come_forward() -> None:
    assert of_neighbours(CODE, ["app.py"], {}) == pytest.approx({"jobs.py": USES / 2, "web.py": USES / 2})
    assert of_neighbours(CODE, ["web.py"], {}) == pytest.approx({"app.py": USED_BY})


def test_what_a_named_definition_uses_comes_forward_and_not_what_its_file_uses() -> None:
    named = of_names(CODE, "How does App.run work?").symbols
    assert of_neighbours(CODE, ["zz/other.py"], named) == {"jobs.py": USED_BY_NAMED}
    halved = dict.fromkeys(named, DEFINED / 2**0.5)
    assert of_neighbours(CODE, ["zz/other.py"], halved) == {"jobs.py": pytest.approx(USED_BY_NAMED / 2)}
    assert of_neighbours(CODE, ["jobs.py"], named).get("jobs.py") is None
