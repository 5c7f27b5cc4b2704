from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.media_types import MEDIA_TYPES
from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.passages import tile
from rag.errors import SourceCorrupt


def code(source: str | list[str], *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {}}


def words(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def read(*cells: dict[str, Any], language: str = "python", **fields: Any) -> Parsed:
    notebook = {
        "cells": list(cells),
        "metadata": {"kernelspec": {"language": language}},
        "nbformat": 4,
        **fields,
    }
    return parse(json.dumps(notebook).encode(), "work/a.ipynb", MEDIA_TYPES[".ipynb"])


def regions(parsed: Parsed) -> list[tuple[tuple[str, ...], str]]:
    ends = [region.start for region in parsed.regions[1:]] + [len(parsed.text)]
    return [
        (region.section, parsed.text[region.start : end].strip())
        for region, end in zip(parsed.regions, ends, strict=True)
    ]


def test_each_cell_is_a_region_under_its_heading_or_its_number() -> None:
    long = "x = 1\n" * 60
    parsed = read(code(long), words("# Tides\n\nThey come."), code(["def ebb():\n", f"    {long}"]))
    assert [section for section, _ in regions(parsed)] == [("Cell 1",), ("Tides",)]
    assert parsed.title == "Tides"
    assert "".join(parsed.text[each.start : each.end] for each in tile(parsed, 300)) == parsed.text


def test_long_cells_of_one_heading_stay_apart() -> None:
    cell = "a = 1\n" * 60
    assert [section for section, _ in regions(read(words("# A"), code(cell), code(cell)))] == [("A",), ("A",)]


def test_definitions_stand_at_their_lines_in_the_text() -> None:
    parsed = read(
        words("Ünï 👩‍🚀"),
        code("%matplotlib inline\nimport numpy as np\n!ls"),
        code("def ebb(x):\n    return np.min(x)"),
    )
    assert parsed.outline
    (ebb,) = parsed.outline.definitions
    assert parsed.text[ebb.start : ebb.end] == "def ebb(x):\n    return np.min(x)"
    assert parsed.text.split("\n")[ebb.line - 1] == "def ebb(x):"
    assert [(each.module, each.alias) for each in parsed.outline.imports] == [("numpy", "np")]
    assert ("np", "min", 0) in [(use.qualifier, use.name, use.within) for use in parsed.outline.uses]


def test_what_was_printed_is_bounded() -> None:
    printed = {"output_type": "stream", "text": ["\x1b[31mred\x1b[0m\n", "y" * 5_000]}
    shown = {"output_type": "execute_result", "data": {"text/plain": "7", "image/png": "AAAA"}}
    failed = {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["..."]}
    text = read(code("f()", printed)).text
    assert text.startswith("```python\nf()\n```\n\n```\nred\nyyy")
    assert text.endswith("…\n```")
    assert len(text) < 1_100
    assert read(code("3 + 4", shown, failed)).text.endswith("```\n7\nKeyError: 'a'\n```")


def test_a_fence_is_longer_than_those_within() -> None:
    assert read(code("s = '```'")).text == "````python\ns = '```'\n````"


def test_other_kernels_and_the_older_format() -> None:
    assert (outline := read(code("f <- function(x) x"), language="R").outline)
    assert [each.name for each in outline.definitions] == ["f"]
    assert read(code("f x = x"), language="haskell").outline is None
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": "a = 1", "outputs": []}]}], "nbformat": 3}
    assert parse(json.dumps(old).encode(), "a.ipynb", MEDIA_TYPES[".ipynb"]).text == "```python\na = 1\n```"


@pytest.mark.parametrize("data", [b"{", b"[1]", b"[" * 100_000])
def test_what_is_no_notebook_is_refused(data: bytes) -> None:
    with pytest.raises(SourceCorrupt, match=r"a\.ipynb is no notebook"):
        parse(data, "a.ipynb", MEDIA_TYPES[".ipynb"])


@pytest.mark.parametrize(
    "cell", [{}, {"cell_type": "code"}, {"cell_type": "code", "source": 3, "outputs": [None, {"data": 1}]}, 7]
)
def test_odd_cells_lose_nothing_of_others(cell: Any) -> None:
    assert "kept = 1" in read(cell, code("kept = 1")).text
