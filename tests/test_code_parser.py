from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.code.languages import LANGUAGES, language_of
from ingest.code.modules import module_of, title_of
from ingest.code.parser import parse_code
from ingest.media_types import MEDIA_TYPES
from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.passages import passages, tile
from rag.code.outline import Outline, dump, load

SAMPLES = Path(__file__).parent / "data" / "code"
SUFFIX = {
    language.name: suffix
    for suffix, type_ in MEDIA_TYPES.items()
    for language in LANGUAGES
    if language.media_type == type_
}


def source(name: str) -> bytes:
    """Python's samples are no Python files, so that nothing takes them for tests."""
    path = SAMPLES / name
    return (path if path.exists() else path.with_name(f"{name}.txt")).read_bytes()


def parsed(name: str) -> Parsed:
    return parse_code(source(name), f"shop-1.2/src/{name}")


def outline_of(text: str, name: str = "x.py") -> Outline:
    outline = parse_code(text.encode(), name).outline
    assert outline is not None
    return outline


def shown(code: Parsed) -> str:
    """Regions, definitions, imports and uses, a line for each."""
    outline = code.outline
    assert outline is not None
    lines = [f"{code.title} is {outline.language} {outline.module}"]
    ends = [region.start for region in code.regions[1:]] + [len(code.text)]
    for region, end in zip(code.regions, ends, strict=True):
        first = code.text.count("\n", 0, region.start) + 1
        last = first + code.text[region.start : end].rstrip("\n").count("\n")
        lines.append(f"region {first}-{last} {' > '.join(region.section)}".rstrip())
    for each in outline.definitions:
        public = "" if each.public else " (private)"
        doc = f" -- {each.doc}" if each.doc else ""
        lines.append(
            f"{each.line}-{each.line_end} {each.kind} {'.'.join(each.path)}{public}: {each.signature}{doc}"
        )
    lines += [f"{each.line} import {each.module} | {each.name} | {each.alias}" for each in outline.imports]
    for use in outline.uses:
        within = outline.definitions[use.within].name if use.within >= 0 else "-"
        lines.append(f"{use.line} {use.kind} {use.qualifier} > {use.name} in {within}".replace("  ", " "))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("golden", sorted(SAMPLES.glob("*.outline")), ids=lambda path: path.stem)
def test_the_outline_and_regions_of_each_language(golden: Path) -> None:
    assert shown(parsed(golden.stem)) == golden.read_text()


def test_every_language_has_a_sample() -> None:
    names = {parsed(golden.stem).outline.language for golden in SAMPLES.glob("*.outline")}  # type: ignore[union-attr]
    assert names == {language.name for language in LANGUAGES}


@pytest.mark.parametrize("golden", sorted(SAMPLES.glob("*.outline")), ids=lambda path: path.stem)
def test_definitions_stand_where_they_are_said_to(golden: Path) -> None:
    code = parsed(golden.stem)
    assert code.outline
    lines = code.text.split("\n")
    for each in code.outline.definitions:
        assert each.name.partition(" ")[0] in lines[each.line - 1]
        assert each.name.partition(" ")[0] in code.text[each.start : each.end]
        assert code.text.count("\n", 0, each.end - 1) + 1 == each.line_end
    order = [(each.start, -each.end) for each in code.outline.definitions]
    assert order == sorted(order)
    assert load(dump(code.outline)) == code.outline


_PIECES = st.sampled_from(
    [
        *("class A:\n", "def f(x):\n", "    return 1\n", "    '''doc'''\n", "# comment\n", "@a\n", "x = 1\n"),
        *(
            "{",
            "}",
            "(",
            ")",
            ";",
            "\n",
            "\n\n",
            "\t",
            "'",
            '"',
            '"""',
            "/*",
            "*/",
            "// c\n",
            "é",
            "👩‍🚀",
            "\x0c",
            "\u2028",
        ),
        *(
            "function f() {",
            "struct S { int a; };\n",
            "impl A {\n",
            "fn f() {}\n",
            "type (\n",
            "<?php\n",
            "#!/bin/sh\n",
        ),
        *("import x\n", "from . import (\n", "use a::{b, c\n", "import {a} from 'b'\n", "#include <a>\n"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(_PIECES, st.text(max_size=5)), max_size=40).map("".join),
    st.sampled_from(sorted(SUFFIX)),
)
def test_whatever_a_file_holds_its_tiles_join_to_it(text: str, language: str) -> None:
    text = text.replace("\r", "\n").replace("\0", "")
    code = parse_code(text.encode("utf-8", "replace"), f"a/x{SUFFIX[language]}")
    assert "".join(code.text[each.start : each.end] for each in tile(code, 60)) == code.text
    for each in code.outline.definitions if code.outline else ():
        assert 0 <= each.start < each.end <= len(code.text)
        assert 1 <= each.line <= code.text.count("\n") + 1
        assert code.text.count("\n", 0, each.end - 1) + 1 == each.line_end


def test_a_broken_file_keeps_what_is_whole() -> None:
    text = "def one():\n    return 1\n\n\ndef two(:\n    oops(\n\n\nclass Three:\n    def four(self):\n        pass\n"
    outline = outline_of(text)
    assert ("one",) in [each.path for each in outline.definitions]
    assert any("four" in each.path for each in outline.definitions)


@pytest.mark.parametrize(
    "text",
    ["(" * 50_000, "[{(" * 10_000, "x = " + "f(" * 20_000, "if x:\n" + " if y:\n" * 3_000, "'''", "\n \n"],
)
@pytest.mark.parametrize("name", ["a.py", "a.ts", "a.cpp"])
def test_what_is_nested_deeply_or_never_closed_is_text(text: str, name: str) -> None:
    assert parse_code(text.encode(), name).text == text


def test_what_a_program_wrote_on_one_line_has_no_outline() -> None:
    code = parse_code(b"var a=1;" * 20_000, "app.min.js")
    assert (code.outline, len(code.regions)) == (None, 1)


def test_small_neighbours_stand_together_and_long_classes_are_divided() -> None:
    small = "".join(f"def get_{n}():\n    return {n}\n\n\n" for n in range(40))
    regions = parse_code(small.encode(), "a.py").regions
    assert 2 <= len(regions) <= 5
    assert {region.section for region in regions} == {()}
    body = "".join(f"    def step_{n}(self):\n" + "        go()\n" * 30 for n in range(4))
    head = f'class Walk:\n    """Goes.\n\n    {"far " * 30}\n    """\n\n    fast = 1\n\n'
    big = parse_code((head + body).encode(), "a.py").regions
    assert [region.section for region in big] == [("Walk",), *(("Walk", f"step_{n}") for n in range(4))]


def test_what_pytest_gives_to_tests_and_fixtures_is_used_by_them() -> None:
    text = """import pytest

@pytest.fixture
def url(server, /): ...

@pytest.fixture(scope="module")
def server(tmp_path_factory: object): ...

class TestUrl:
    def test_it(self, url, count=3): ...

def helper(url): ...
"""
    outline = outline_of(text)
    found = [(outline.definitions[u.within].name, u.name) for u in outline.uses if u.kind == "fixture"]
    assert found == [("url", "server"), ("server", "tmp_path_factory"), ("test_it", "url")]


def test_later_tiles_of_a_function_say_what_it_is() -> None:
    text = 'def walk(far: int) -> None:\n    """Goes far. And back."""\n' + "    step()\n\n" * 100
    code = parse_code(text.encode(), "a.py")
    assert [region.about for region in code.regions] == ["def walk(far: int) -> None: Goes far."]
    tiles = passages(code, "d", "r", lambda texts: [1] * len(texts), 300)
    assert len(tiles) > 2
    assert [tile.doc for tile in tiles] == ["Goes far.", *[""] * (len(tiles) - 1)]
    assert [tile.about for tile in tiles] == [
        "",
        *["def walk(far: int) -> None: Goes far."] * (len(tiles) - 1),
    ]


@pytest.mark.parametrize(
    ("name", "module", "title"),
    [
        ("flask-3.1.1/src/flask/app.py", "flask.app", "flask.app"),
        ("flask-3.1.1/src/flask/json/__init__.py", "flask.json", "flask.json"),
        ("django/django/db/models/base.py", "django.db.models.base", "django.db.models.base"),
        ("numpy/numpy/lib/npyio.py", "numpy.lib.npyio", "numpy.lib.npyio"),
        ("app.py", "app", "app"),
        ("tool/__init__.py", "tool", "tool"),
        ("app/src/main/java/org/shop/Cart.java", "org.shop", "org.shop.Cart"),
        ("express/lib/router/index.js", "lib/router/index", "lib/router/index.js"),
    ],
)
def test_what_a_file_is_called_in_its_language(name: str, module: str, title: str) -> None:
    language = language_of(name, "")
    assert language
    assert (module_of(name, language), title_of(name, language)) == (module, title)


@pytest.mark.parametrize(
    ("name", "first", "expected"),
    [
        ("a.h", "int f(void);", "c"),
        ("a.h", "namespace a {", "cpp"),
        ("run", "#!/usr/bin/env -S python3.11 -u\n", "python"),
        ("run", "#!/bin/sh\n", "bash"),
        ("Rakefile", "", "ruby"),
        ("a.tsx", "", "typescript"),
        ("notes", "just words", None),
    ],
)
def test_a_language_is_told_by_name_or_first_line(name: str, first: str, expected: str | None) -> None:
    found = language_of(name, first)
    assert (found.name if found else None) == expected


def test_characters_beyond_ascii_move_no_place() -> None:
    text = '# Ünïcode 👩‍🚀\nX = "ä"\n\n\ndef grüße(ж):\n    """Ёлка 日本. Zwei."""\n    return rufe(ж)\n'
    code = parse(text.encode(), "a.py", MEDIA_TYPES[".py"])
    assert code.outline
    (_, function) = code.outline.definitions
    assert code.text[function.start : function.end] == text[text.index("def") :].rstrip("\n")
    assert (function.name, function.line, function.line_end, function.doc) == ("grüße", 5, 7, "Ёлка 日本.")


def test_what_is_local_or_a_parameter_is_no_use() -> None:
    uses = outline_of("def f(): ...\ndef g(f):\n    return [f, h]\nx = [h(f=f)]\n").uses
    assert [(use.name, use.line) for use in uses] == [("h", 4), ("f", 4)]


def test_each_use_is_told_once_in_a_definition() -> None:
    uses = outline_of(
        "def f():\n    a.b.c()\n    a.b.c()\n    g().h()\n    super().i()\n    (x or y).j()\n"
    ).uses
    assert [(u.qualifier, u.name, u.line) for u in uses if u.kind == "call"] == [
        ("a.b", "c", 2), ("", "g", 4), ("g()", "h", 4), ("", "super", 5), ("super", "i", 5), ("?", "j", 6)
    ]  # fmt: skip


def test_lines_with_other_ends_are_counted_as_the_text_has_them() -> None:
    code = parse_code(b"x = 1\r\n\r\ndef f():\r\n    pass\r\n", "a.py")
    assert code.outline
    assert [each.line for each in code.outline.definitions] == [1, 3]
    assert not re.search("\r", code.text)
