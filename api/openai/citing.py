"""Citations as clients show them. Pure.

They travel four ways, since most clients drop what they do not know: marks in the text, ``citations`` beside it,
``annotations`` of the message, and where it is asked for a list in the text itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from rag.types import Answer, Citation, short_name

HEADING = "**Sources**"
LONGEST_QUOTE = 160  # characters, in the list
# Looked for from the first of several blanks alone: from each of a hundred thousand it would take minutes.
_LIST = re.compile(rf"(?<!\s)\s*+{re.escape(HEADING)}\n\n(?:- \[\d+\] .*(?:\n|\Z))+\s*\Z")


def supporting(answer: Answer) -> Iterator[Citation]:
    return (each for each in answer.citations if each.grade != "unsupported")


def annotated(answer: Answer) -> list[dict[str, object]]:
    """Of the sentences that a source supports: where they stand in the text, and the place in the source."""
    return [
        {
            "type": "url_citation",
            "start_index": each.sentence.start,
            "end_index": each.sentence.end,
            "url": link(each),
            "title": f"{short_name(each.source)}, {each.place}",
        }
        for each in supporting(answer)
    ]


def link(citation: Citation) -> str:
    place = citation.place
    at = f"page={place.page}" if place.page is not None else f"L{place.line_start}-L{place.line_end}"
    return f"{citation.source.split('#')[0]}#{quote(at, safe='=-')}"


def source_list(answer: Answer) -> str:
    """In Markdown, a line for each place; empty where nothing is cited."""
    places = dict.fromkeys(
        (each.number, each.source, str(each.place), _quote(each)) for each in supporting(answer)
    )
    lines = [
        f"- [{number}] {short_name(source)}, {at}: “{text}”\n" for number, source, at, text in sorted(places)
    ]
    return f"\n\n{HEADING}\n\n{''.join(lines)}" if lines else ""


def without_sources(text: str) -> str:
    return _LIST.sub("", text)


def _quote(citation: Citation) -> str:
    words = " ".join(citation.quote.split())
    return words if len(words) <= LONGEST_QUOTE else f"{words[:LONGEST_QUOTE].rstrip()}…"
