"""Text that is kept as it is, with sections; XML by its vocabulary."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.media_types import MEDIA_TYPES
from ingest.parse import parse
from ingest.parsed import Parsed

RST, ADOC, XML = (MEDIA_TYPES[suffix] for suffix in (".rst", ".adoc", ".xml"))


def sections(parsed: Parsed) -> list[tuple[str, ...]]:
    return [region.section for region in parsed.regions]


RST_TEXT = """\
=====
Tides
=====

Words.

Ebb ``low``
===========

- not a title
-------------

::

    Indented
    ========

Inner
-----
text

===== =====
table head
===== =====

Flood
=====
more
"""


def test_rst() -> None:
    parsed = parse(RST_TEXT.encode(), "a.rst", RST)
    assert parsed.text == RST_TEXT
    assert parsed.title == "Tides"
    assert sections(parsed) == [
        ("Tides",),
        ("Tides", "Ebb low"),
        ("Tides", "Ebb low", "Inner"),
        ("Tides", "Flood"),
    ]


ADOC_TEXT = """\
// a comment
= Tides

Words.

== Ebb

----
== no heading
----

|===
|== |a
|===

=== *Low* water
text

== Flood
more
"""


def test_asciidoc() -> None:
    parsed = parse(ADOC_TEXT.encode(), "a.adoc", ADOC)
    assert parsed.text == ADOC_TEXT
    assert parsed.title == "Tides"
    assert sections(parsed) == [
        (),
        ("Tides",),
        ("Tides", "Ebb"),
        ("Tides", "Ebb", "Low water"),
        ("Tides", "Flood"),
    ]


_LINES = ["Title\n", "=====\n", "-----\n", "\n", "  in\n", "= A\n", "== B\n", "----\n", "|===\n", "x", "==="]


@pytest.mark.parametrize("media_type", [RST, ADOC])
@given(lines=st.lists(st.sampled_from(_LINES)))
def test_markup_is_kept_whole(media_type: str, lines: list[str]) -> None:
    text = "".join(lines)
    if text.strip():
        assert parse(text.encode(), "a", media_type).text == text


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".vtt", ".srt", ".json", ".jsonl", ".yaml", ".xml"])
def test_data_is_kept_as_it_is(suffix: str) -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nWörter, a\tb\n"
    parsed = parse(text.encode(), f"a{suffix}", MEDIA_TYPES[suffix])
    assert (parsed.text, parsed.title) == (text, f"a{suffix}")


def test_a_feed_is_a_section_for_each_entry() -> None:
    feed = (
        "<?xml version='1.0' encoding='iso-8859-1'?><rss><channel><title>Höhe</title><item><title>Ebb</title>"
        "<link>https://x.example</link><description>&lt;p&gt;Low &lt;b&gt;water&lt;/b&gt;&lt;/p&gt;</description>"
        "</item></channel></rss>"
    )
    parsed = parse(feed.encode("iso-8859-1"), "a.xml", XML)
    assert parsed.text == "# Höhe\n\n## Ebb\n\nhttps://x.example\n\nLow water"
    assert sections(parsed) == [("Höhe", "Ebb")]


def test_the_words_of_a_drawing() -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><title>Plan</title><path d='M0 0'/>"
    svg += b"<text>Pier <tspan>4</tspan></text></svg>"
    assert parse(svg, "a.svg", MEDIA_TYPES[".svg"]).text == "Plan\n\nPier 4"


def test_entities_of_xml_read_no_files() -> None:
    feed = b"<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><rss><title>a&x;b</title></rss>"
    assert "root:" not in parse(feed, "a.xml", XML).text


@pytest.mark.models
def test_an_article_in_xml() -> None:
    jats = """<article><front><article-meta><title-group><article-title>Tides</article-title></title-group>
        </article-meta></front><body><sec><title>Ebb</title><p>Low water.</p></sec></body><back><ref-list>
        <ref id='a'><label>1.</label><mixed-citation>Falk, I. <year>2026</year>.</mixed-citation></ref>
        </ref-list></back></article>"""
    parsed = parse(jats.encode(), "a.nxml", XML)
    assert parsed.text == "# Tides\n\n# Ebb\n\nLow water.\n\n# References\n\n1. Falk, I. 2026."
    assert sections(parsed) == [("Tides",), ("Ebb",), ("References",)]


@pytest.mark.models
def test_a_notebook() -> None:
    output = {"name": "stdout", "output_type": "stream", "text": ["3.9\n"]}
    code = {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": [output],
        "source": ["print(3.9)"],
    }
    words = {"cell_type": "markdown", "metadata": {}, "source": ["# Tides"]}
    kernel = {"kernelspec": {"language": "python", "name": "python3", "display_name": "Python"}}
    notebook = {"cells": [words, code], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    parsed = parse(json.dumps(notebook).encode(), "a.ipynb", MEDIA_TYPES[".ipynb"])
    assert parsed.text == "# Tides\n\n```python\nprint(3.9)\n```\n\n```\n3.9\n```"
