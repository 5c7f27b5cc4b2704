"""PPTX: a slide is a page, its title a section; text boxes, tables, groups, charts, notes and comments are read."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from ingest.formats.html_blocks import HtmlWriter
from ingest.formats.office_files import refuse_encrypted
from ingest.formats.plain import clean
from ingest.formats.tables import markdown_rows
from ingest.parsed import Parsed
from rag.errors import SourceCorrupt

_MAX_DEPTH = 20
# Descriptions that PowerPoint writes by itself.
_NO_DESCRIPTION = re.compile(
    r"(?:picture|image|grafik|bild|content placeholder|\S+\.\w{3,4}$)", re.IGNORECASE
)
_GENERATED = re.compile(r"\s*description automatically generated.*", re.IGNORECASE | re.DOTALL)


def parse_pptx(data: bytes, name: str) -> Parsed:
    """Hidden slides are read, too."""
    import pptx

    refuse_encrypted(data, name)
    writer = HtmlWriter()
    try:
        deck = pptx.Presentation(io.BytesIO(data))
        for number, slide in enumerate(deck.slides, start=1):
            writer.start_page(number)
            _slide(writer, slide)
    except Exception as exc:
        # python-pptx lets errors of zipfile, of lxml and its own pass.
        raise SourceCorrupt(
            f"{name} cannot be read as PPTX ({type(exc).__name__}: {str(exc)[:200]}).",
            "Open it in the program that it comes from; if that works, save it again.",
        ) from exc
    return writer.finish(PurePosixPath(name).name, pages=len(deck.slides))


def _slide(writer: HtmlWriter, slide: Any) -> None:
    heading = slide.shapes.title
    title = clean(heading.text_frame.text, " ") if heading is not None and heading.has_text_frame else ""
    if title:
        writer.heading(1, title)
    for shape in _in_reading_order(slide.shapes):
        if not (title and shape.shape_id == heading.shape_id):
            _shape(writer, shape, 0)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = clean(slide.notes_slide.notes_text_frame.text)
        writer.paragraph(f"Notes: {notes}" if notes else "")
    for block in (*_diagrams(slide), *_comments(slide)):
        writer.paragraph(block)


def _in_reading_order(shapes: Iterable[Any]) -> list[Any]:
    """From top to bottom in bands, from left to right within; what has no place of its own stays in order."""
    band = 400_000  # about a centimetre, in English Metric Units
    return sorted(shapes, key=lambda shape: ((shape.top or 0) // band, shape.left or 0))


def _shape(writer: HtmlWriter, shape: Any, depth: int) -> None:
    if hasattr(shape, "shapes") and depth < _MAX_DEPTH:
        for inner in _in_reading_order(shape.shapes):
            _shape(writer, inner, depth + 1)
    elif getattr(shape, "has_table", False):
        writer.paragraph(markdown_rows([[_cell(cell) for cell in row.cells] for row in shape.table.rows]))
    elif getattr(shape, "has_chart", False):
        for block in _chart(shape.chart):
            writer.paragraph(block)
    elif getattr(shape, "has_text_frame", False):
        for block in _paragraphs(shape):
            writer.paragraph(block)
    else:
        for block in (_description(shape), _drawn_text(shape)):
            writer.paragraph(block)


def _cell(cell: Any) -> str:
    return "" if cell.is_spanned else clean(cell.text, " ")


def _paragraphs(shape: Any) -> Iterator[str]:
    """Paragraphs; consecutive items of a list as one block, indented by level."""
    lines = [(_is_item(paragraph, shape), paragraph) for paragraph in shape.text_frame.paragraphs]
    for is_list, group in groupby(lines, key=lambda line: line[0]):
        texts = [(paragraph.level, clean(_text(paragraph), " ")) for _, paragraph in group]
        if is_list:
            yield "\n".join(f"{'  ' * level}- {text}" for level, text in texts if text)
        else:
            yield from (text for _, text in texts if text)


def _text(paragraph: Any) -> str:
    """Runs, line breaks and fields such as dates."""
    words = []
    for each in paragraph._p.iter():
        kind = str(each.tag).rpartition("}")[2]
        words.append((each.text or "") if kind == "t" else "\n" if kind == "br" else "")
    return "".join(words)


def _is_item(paragraph: Any, shape: Any) -> bool:
    """Whether a bullet or number stands before it: its own, or the one of a body placeholder's style."""
    own = {str(each.tag).rpartition("}")[2] for each in paragraph._p.iterfind("{*}pPr/*")}
    if "buNone" in own:
        return False
    if own & {"buChar", "buAutoNum", "buBlip"} or paragraph.level > 0:
        return True
    from pptx.enum.shapes import PP_PLACEHOLDER

    return shape.is_placeholder and shape.placeholder_format.type in (
        PP_PLACEHOLDER.BODY,
        PP_PLACEHOLDER.OBJECT,
    )


def _chart(part: Any) -> Iterator[str]:
    """Its title, and its numbers as a table: a row for each category, a column for each series. From the chart's
    XML, since python-pptx knows not all kinds."""
    root = part._chartSpace
    title = root.find("{*}chart/{*}title")
    if title is not None:
        yield clean("".join(each.text or "" for each in title.iter("{*}t")), " ")
    series = [_points(each) for each in root.iter("{*}ser")]
    categories = {index: label for _, labels, _ in series for index, label in labels.items()}
    numbers = [values for _, _, values in series]
    indices = sorted({*categories, *(index for values in numbers for index in values)})
    head = ["", *(name for name, _, _ in series)]
    rows = ([categories.get(index, ""), *(values.get(index, "") for values in numbers)] for index in indices)
    yield markdown_rows([head, *rows])


def _points(series: Any) -> tuple[str, dict[int, str], dict[int, str]]:
    """A series' name, its categories (or x values) and its values, by index."""
    name = clean(" ".join(each.text or "" for each in series.iterfind("{*}tx//{*}v")), " ")
    found = []
    for kinds in (("cat", "xVal"), ("val", "yVal")):
        points = (point for kind in kinds for point in series.iterfind(f"{{*}}{kind}//{{*}}pt"))
        found.append({int(point.get("idx")): point.findtext("{*}v") or "" for point in points})
    return name, found[0], found[1]


def _description(shape: Any) -> str:
    found = shape._element.find(".//{*}cNvPr")
    text = _GENERATED.sub("", clean((found.get("descr") if found is not None else "") or "", " "))
    return f"[image: {text}]" if " " in text and not _NO_DESCRIPTION.match(text) else ""


def _drawn_text(shape: Any) -> str:
    """Text in what python-pptx knows no shape for."""
    return clean(" ".join(each.text or "" for each in shape._element.iter("{*}t")), " ")


def _diagrams(slide: Any) -> Iterator[str]:
    """SmartArt: the text of each box a line."""
    for root in _related(slide, "/diagramData"):
        texts = ("".join(each.text or "" for each in box.iter("{*}t")) for box in root.iter("{*}pt"))
        yield "\n".join(f"- {clean(text, ' ')}" for text in texts if text.strip())


def _comments(slide: Any) -> Iterator[str]:
    """Of both kinds that PowerPoint has had."""
    for root in _related(slide, "/comments"):
        for comment in root.iter("{*}cm"):
            text = clean(" ".join(each.text or "" for each in comment.iter("{*}text", "{*}t")), " ")
            if text:
                yield f"Comment: {text}"


def _related(slide: Any, kind: str) -> Iterator[Any]:
    """The roots of the XML parts to which the slide's relations of this kind lead."""
    import lxml.etree  # type: ignore[import-untyped]

    for relation in slide.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(kind):
            with contextlib.suppress(lxml.etree.XMLSyntaxError):
                yield lxml.etree.fromstring(relation.target_part.blob)
