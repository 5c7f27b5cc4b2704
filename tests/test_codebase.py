"""Names to definitions, references and the map, over outlines written by hand."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from outlines import base, define, file, python, use
from rag.code.codebase import Codebase, Symbol
from rag.code.graph import rank
from rag.code.map import code_map
from rag.code.outline import Definition, Import, Outline, Use, dump, load


def referred(codebase: Codebase, name: str) -> list[tuple[str, int, str]]:
    (symbol,) = codebase.named(name)
    return [(r.document.id, r.use.line, r.sure) for r in codebase.references(symbol)]


def names(symbols: list[Symbol]) -> list[str]:
    return [symbol.qualified for symbol in symbols]


def test_an_outline_comes_back_as_it_was_written() -> None:
    outline = python("a", define("A.run", "method"), use("self.stop", 0), Import(".b", "stop", "halt", 3))
    assert load(dump(outline)) == outline
    assert load(dump(Outline("go", "x"))) == Outline("go", "x")


def test_a_name_means_what_its_file_defines_before_anything_else() -> None:
    codebase = base(
        a=python("a", define("run", line=3), use("run", line=9)),
        b=python("b", define("run"), use("run", line=5)),
    )
    assert referred(codebase, "a.run") == [("a.py", 9, "exact")]


@pytest.mark.parametrize(
    ("imported", "used"),
    [
        (Import("pkg.util", "run", "run", 1), "run"),
        (Import("pkg.util", "run", "go", 1), "go"),
        (Import("pkg", "util", "util", 1), "util.run"),
        (Import("pkg.util", "", "pkg", 1), "pkg.util.run"),
        (Import("pkg.util", "", "u", 1), "u.run"),
        (Import("pkg", "run", "run", 1), "run"),
        (Import("pkg.util", "*", "", 1), "run"),
    ],
)
def test_an_import_leads_to_the_definition(imported: Import, used: str) -> None:
    codebase = base(
        pkg__INIT=python("pkg", Import(".util", "run", "run", 1)),
        pkg__util=python("pkg.util", define("run")),
        pkg__wrong=python("pkg.wrong", define("run")),
        main=python("main", imported, use(used, line=7)),
    )
    assert ("main.py", 7, "exact") in referred(codebase, "pkg.util.run")
    assert ("main.py", 7, "exact") not in referred(codebase, "pkg.wrong.run")


def test_what_is_imported_from_elsewhere_is_no_reference() -> None:
    codebase = base(
        a=python("a", define("run"), define("json")),
        b=python("b", Import("subprocess", "run", "run", 1), use("run", line=2)),
        c=python("c", Import("json", "", "json", 1), use("json.run", line=3), use("len", line=4)),
    )
    assert referred(codebase, "a.run") == []


def test_self_is_the_class_around_it_and_its_bases() -> None:
    codebase = base(
        a=python("a", define("Base", "class"), define("Base.run", "method")),
        b=python(
            "b",
            Import("a", "Base", "Base", 1),
            define("Child", "class"),
            define("Child.go", "method"),
            use("Base", 0, "inherit", 2),
            use("self.run", 1, line=4),
            use("super().run", 1, line=5),
        ),
        c=python("c", define("Other", "class"), define("Other.run", "method"), use("Other().run", line=6)),
    )
    assert referred(codebase, "Other.run") == [("c.py", 6, "exact")]
    assert referred(codebase, "Base.run") == [("b.py", 4, "exact"), ("b.py", 5, "exact")]
    (base_class,) = codebase.named("a.Base")
    implementers = codebase.references(base_class, ["inherit"])
    assert [r.within and r.within.qualified for r in implementers] == ["b.Child"]


def test_a_class_that_inherits_from_itself_or_in_a_circle_is_looked_through_once() -> None:
    codebase = base(
        a=python(
            "a",
            define("A", "class"),
            define("B", "class"),
            define("B.go", "method"),
            use("B", 0, "inherit"),
            use("A", 1, "inherit"),
            use("self.missing", 2),
        )
    )
    assert referred(codebase, "B.go") == []
    assert codebase.links == {}


def test_what_a_test_takes_is_the_fixture_that_pytest_gives_it() -> None:
    marked = {n: Use("fixture", "pytest", "use", 1, n) for n in range(3)}
    codebase = base(
        plugin=python("plugin", define("tmp"), define("url"), define("plain"), marked[0], marked[1]),
        conftest=python("conftest", define("url"), define("tmp"), marked[0]),
        sub__conftest=python("sub.conftest", define("url"), marked[0], use("url", 0, "fixture", 2)),
        sub__test_a=python(
            "sub.test_a", define("test_a"), *(use(n, 0, "fixture", 3) for n in ("url", "tmp", "plain"))
        ),
        test_b=python("test_b", define("test_b"), define("url"), marked[1], use("url", 0, "fixture", 4)),
        test_c=python("test_c", define("test_c"), use("url", 0, "fixture", 5)),
    )
    assert referred(codebase, "sub.conftest.url") == [("sub/test_a.py", 3, "exact")]
    assert referred(codebase, "test_b.url") == [("test_b.py", 4, "exact")]
    overridden = [("sub/conftest.py", 2, "exact"), ("test_c.py", 5, "exact")]
    (outer,) = (s for s in codebase.named("url") if s.document.id == "conftest.py")
    assert [(r.document.id, r.use.line, r.sure) for r in codebase.references(outer)] == overridden
    assert referred(codebase, "plugin.tmp") == [("sub/test_a.py", 3, "likely")], (
        "that of conftest.py is no fixture"
    )
    assert referred(codebase, "plugin.url") == []
    assert referred(codebase, "plain") == [], "a parameter of a test need not be a fixture"


def test_a_method_of_an_unknown_object_is_told_by_how_many_have_its_name() -> None:
    codebase = base(
        a=python("a", define("A", "class"), define("A.only", "method"), define("A.shared", "method")),
        b=python("b", define("B", "class"), define("B.shared", "method"), define("B.append", "method")),
        c=python("c", use("x.only", line=1), use("x.shared", line=2), use("x.append", line=3)),
    )
    assert referred(codebase, "A.only") == [("c.py", 1, "likely")]
    assert referred(codebase, "A.shared") == [("c.py", 2, "possible")]
    assert referred(codebase, "B.append") == [("c.py", 3, "possible")], "lists have it, too"


def test_what_a_definition_uses_leaves_out_what_it_holds() -> None:
    codebase = base(
        a=python(
            "a",
            define("outer"),
            define("outer.inner"),
            define("helper"),
            use("inner", 0, line=2),
            use("helper", 1, line=3),
        )
    )
    (outer,) = codebase.named("a.outer")
    assert [r.symbol.qualified for r in codebase.uses(outer)] == ["a.helper"]


def test_symbols_are_found_by_exact_name_then_letters_then_words_then_spelling() -> None:
    codebase = base(
        a=python(
            "a",
            define("get_user_name"),
            define("getUserName"),
            define("set_name_of_user"),
            define("get_users"),
        ),
        b=python("b", define("get_user"), define("C", "class"), define("C.get_user", "method")),
    )
    assert names(codebase.find("get_user"))[:2] == ["b.get_user", "b.C.get_user"]
    assert names(codebase.find("C.get_user"))[0] == "b.C.get_user"
    assert names(codebase.find("GetUserName"))[:2] == ["a.getUserName", "a.get_user_name"]
    assert "a.set_name_of_user" in names(codebase.find("user name"))
    assert names(codebase.find("get_usr"))[0] == "b.get_user"
    assert names(codebase.find("get_user", kind="method")) == ["b.C.get_user"]
    assert codebase.find("") == []
    assert codebase.find("qqqqqq") == []


def test_imports_of_other_languages_lead_to_files_and_folders() -> None:
    def outline(language: str, module: str, *parts: Definition | Use | Import) -> Outline:
        return replace(python(module, *parts), language=language)

    files = {
        "web/src/util.ts": outline("typescript", "web/src/util", define("clamp")),
        "web/src/app.ts": outline(
            "typescript", "web/src/app", Import("./util", "clamp", "clamp", 1), use("clamp", line=2)
        ),
        "srv/store/disk.go": outline("go", "store", define("Open")),
        "srv/main.go": outline(
            "go", "main", Import("example.com/srv/store", "", "store", 1), use("store.Open", line=3)
        ),
        "core/io.rs": outline("rust", "core::io", define("copy")),
        "core/lib.rs": outline("rust", "core", Import("crate::io", "copy", "copy", 1), use("copy", line=4)),
    }
    codebase = Codebase([file(path) for path in files], files)
    assert referred(codebase, "clamp")[0] == ("web/src/app.ts", 1, "exact")
    assert ("srv/main.go", 3, "exact") in referred(codebase, "Open")
    assert ("core/lib.rs", 4, "exact") in referred(codebase, "copy")


def users(count: int) -> dict[str, Outline]:
    return {
        f"user{n}": python(
            f"user{n}", Import("core", "run", "run", 1), define(f"task{n}"), use("run", 0, line=2)
        )
        for n in range(count)
    }


def test_what_many_files_use_ranks_first_and_tests_count_less() -> None:
    codebase = base(
        core=python("core", define("run"), define("unused")), **users(4), lone=python("lone", define("alone"))
    )
    ranks = rank(codebase)
    best = max(range(len(ranks.files)), key=ranks.files.__getitem__)
    assert codebase.paths[best] == "core.py"
    assert {codebase.symbols[n].qualified for n in ranks.symbols} == {"core.run"}
    (lone,) = codebase.named("alone")
    focused = rank(codebase, focus=[lone.document.id])
    assert focused.files[codebase.file_of(lone.number)] > ranks.files[codebase.file_of(lone.number)]


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_a_map_fits_its_budget_and_is_the_same_each_time() -> None:
    codebase = base(
        core=python("core", define("run"), define("_hidden")), **users(30), main=python("main", define("go"))
    )
    whole = code_map(codebase, 1000, lambda texts: words(list(texts)))
    again = code_map(
        base(
            core=python("core", define("run"), define("_hidden")),
            **users(30),
            main=python("main", define("go")),
        ),
        1000,
        lambda texts: words(list(texts)),
    )
    assert whole == again
    assert whole.shown == 32
    assert whole.text.index("core.py\n") < whole.text.index("user1.py\n")
    assert "_hidden" not in whole.text
    small = code_map(codebase, 60, lambda texts: words(list(texts)))
    assert 0 < small.tokens <= 60
    assert small.shown < 31
    assert words([small.text]) == [small.tokens]
    assert code_map(Codebase([], {}), 100, lambda texts: words(list(texts))).files == 0


class HeldScopes:
    """Tells no meaning before it is let go."""

    def __init__(self, codebase: Codebase) -> None:
        self.scopes, self.begun, self.held = codebase.scopes, threading.Event(), threading.Event()

    def meaning(self, file: int, use: Use) -> object:
        self.begun.set()
        assert self.held.wait(30)
        return self.scopes.meaning(file, use)


def test_what_one_computes_another_does_not_wait_for() -> None:
    app = python("app", Import("job", "run", "run", 1), use("run", line=3))
    one, other = (base(app=app, job=python("job", define("run"))) for _ in range(2))
    held = HeldScopes(one)
    vars(one)["scopes"] = held
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(lambda: one.links) for _ in range(2)]
        try:
            assert held.begun.wait(30)
            assert pool.submit(lambda: other.links).result(timeout=5)
            assert not any(each.done() for each in waiting)
        finally:
            held.held.set()
        links = [each.result(30) for each in waiting]
    assert links[0] is links[1]
    assert links[0] == other.links
