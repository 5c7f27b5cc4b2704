"""A page of a PDF as it looks, with the words of a passage marked as with a highlighter.

The text of a document is composed from the words of its pages (ingest/pdf/document.py), so both hold the same words in
nearly the same order. The longest common subsequence of the two finds each word of the text on the page, whatever a
line's end broke or a table rearranged.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdfium2

from ingest.pdf.boxes import Boxes
from ingest.pdf.pdfium import LOCK, open_pdf
from rag.errors import BadRequest, SourceCorrupt
from rag.types import Span

if TYPE_CHECKING:
    from PIL import Image

SCALE = 2.0  # pixels by point
MOST_PIXELS = 6_000_000  # of a page: A0 is drawn coarser than A4
INK = (255, 226, 110)  # multiplied with the page: black stays black
MOST_MISSED = 3  # words between two that were found, which stand between them on the page too
MARGIN = 2  # pixels around a word

# A cell's border is no word of the page.
_WORD = re.compile(r"[^\s|]+")
_PAGE_WORD = re.compile(r"[^\s\0\ufffe\x02]+")

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class PageImage:
    """``highlight`` surrounds what is marked, in shares of the page's width and height; None where nothing is."""

    png: bytes
    highlight: Box | None


def page_image(path: Path, number: int, text: str, span: Span) -> PageImage:
    """Of page ``number``, whose part of the document's text is ``text``; what stands at ``span`` of that is marked.
    Blocks, for a second at worst. Raises BadRequest for a page that there is not, SourceCorrupt."""
    with LOCK:
        document = open_pdf(path, path.name)
        try:
            if not 1 <= number <= len(document):
                raise BadRequest(
                    f"{path.name} has {len(document)} pages, and no page {number}.", "Pages count from 1."
                )
            image, boxes = _drawn(document[number - 1], text, span)
        except pypdfium2.PdfiumError as error:
            raise SourceCorrupt(f"Page {number} of {path.name} cannot be drawn ({error}).") from error
        finally:
            document.close()
    return _marked(image, boxes)


def _drawn(page: Any, text: str, span: Span) -> tuple[Image.Image, list[Box]]:
    """The page, and where words that are to be marked stand on it, in pixels."""
    width, height = page.get_size()
    scale = min(SCALE, (MOST_PIXELS / max(width * height, 1)) ** 0.5)
    bitmap = page.render(scale=scale)
    try:
        place = bitmap.get_posconv(page)
        boxes = [_pixels(place, box) for box in _boxes(page, text, span)] if span.end > span.start else []
        image: Image.Image = bitmap.to_pil().convert("RGB")
    finally:
        bitmap.close()
    return image, boxes


def _pixels(place: Any, box: Box) -> Box:
    """Of a box in points, however the page is turned."""
    (left, top), (right, bottom) = place.to_bitmap(box[0], box[1]), place.to_bitmap(box[2], box[3])
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def _boxes(page: Any, text: str, span: Span) -> list[Box]:
    textpage = page.get_textpage()
    try:
        there = textpage.get_text_range(errors="surrogatepass")
        words = list(_PAGE_WORD.finditer(there))
        chosen = [words[at] for at in _chosen(text, span, [word[0] for word in words])]
        if not chosen:
            return []
        ends = Boxes(textpage, there)([i for word in chosen for i in (word.start(), word.end() - 1)])
    finally:
        textpage.close()
    lows, highs = ends.min(axis=1), ends.max(axis=1)
    return [
        (float(low[0]), float(high[1]), float(high[2]), float(low[3]))
        for low, high in zip(lows, highs, strict=True)
    ]


def _chosen(text: str, span: Span, there: Sequence[str]) -> list[int]:
    """Which words of the page are the span's."""
    from rapidfuzz.distance import Indel

    words = list(_WORD.finditer(text))
    opcodes = Indel.opcodes([word[0] for word in words], there)
    found = [
        op.dest_start + at
        for op in opcodes
        if op.tag == "equal"
        for at in range(op.src_end - op.src_start)
        if words[op.src_start + at].start() < span.end and words[op.src_start + at].end() > span.start
    ]
    return [at for first, last in zip(found, [*found[1:], None], strict=True) for at in _filled(first, last)]


def _filled(first: int, last: int | None) -> range:
    near = last is not None and 1 < last - first <= MOST_MISSED + 1
    return range(first, last if near and last is not None else first + 1)


def _marked(image: Image.Image, boxes: Sequence[Box]) -> PageImage:
    from PIL import Image as Images
    from PIL import ImageChops, ImageDraw

    if boxes:
        ink = Images.new("RGB", image.size, "white")
        pen = ImageDraw.Draw(ink)
        for left, top, right, bottom in _stripes(boxes):
            corners = (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)
            pen.rounded_rectangle(corners, radius=2 * MARGIN, fill=INK)
        image = ImageChops.multiply(image, ink)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=4)
    return PageImage(out.getvalue(), _around(boxes, image.size))


def _stripes(boxes: Sequence[Box]) -> Iterator[Box]:
    """Words beside each other in one, as a highlighter would go over them."""
    line: Box | None = None
    for box in boxes:
        if line and _goes_on(line, box):
            line = _union(line, box)
            continue
        if line:
            yield line
        line = box
    if line:
        yield line


def _goes_on(line: Box, box: Box) -> bool:
    height = line[3] - line[1]
    return abs(box[1] - line[1]) < height / 2 and -height < box[0] - line[2] < height


def _union(one: Box, other: Box) -> Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _around(boxes: Sequence[Box], size: tuple[int, int]) -> Box | None:
    if not boxes:
        return None
    found = boxes[0]
    for box in boxes[1:]:
        found = _union(found, box)
    width, height = size
    return found[0] / width, found[1] / height, found[2] / width, found[3] / height
