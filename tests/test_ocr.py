from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ingest.formats.ocr import _engine, recognize
from ingest.formats.reading import Box, paragraphs, reading_order

FONT = ImageFont.load_default(36)


def drawn(*lines: tuple[int, int, str], size: tuple[int, int] = (1400, 700)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for left, top, text in lines:
        draw.text((left, top), text, font=FONT, fill="black")
    return image


def boxes(*columns: tuple[float, float, list[str]], top: float = 0.0) -> list[Box]:
    """Columns of lines, each (left, right, lines); a line is 10 high and 14 below the one above."""
    return [
        Box(left, top + 14 * index, right, top + 14 * index + 10, text)
        for left, right, lines in columns
        for index, text in enumerate(lines)
    ]


# --- reading order ---


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    title = Box(0, 0, 300, 10, "title")
    band = boxes((0, 140, ["a1", "a2", "a3"]), (160, 300, ["b1", "b2", "b3"]), top=40)
    text = paragraphs(reading_order([*reversed(band), title]))
    assert text == "title\n\na1\na2\na3\n\nb1\nb2\nb3"


def test_a_receipt_is_read_row_by_row() -> None:
    page = boxes((0, 200, ["tea", "salt", "sum"]), (270, 300, ["2.10", "0.90", "3.00"]))
    assert paragraphs(reading_order(page)) == "tea  2.10\nsalt  0.90\nsum  3.00"


def test_a_gap_ends_a_paragraph() -> None:
    page = [*boxes((0, 300, ["one", "two"])), *boxes((0, 300, ["three"]), top=50)]
    assert paragraphs(reading_order(page)) == "one\ntwo\n\nthree"


def test_three_columns() -> None:
    page = boxes(*((left, left + 140, [f"{left}.{row}" for row in range(4)]) for left in (0, 160, 320)))
    words = paragraphs(reading_order(page)).split()
    assert words == [f"{left}.{row}" for left in (0, 160, 320) for row in range(4)]


def test_no_lines() -> None:
    assert paragraphs(reading_order([])) == ""


# --- the engine ---


@pytest.mark.models
def test_drawn_text_is_recognized() -> None:
    image = drawn(
        (60, 60, "The gauge at Skerrow reads 3.94 m."),
        (60, 110, "It is checked every morning."),
        (60, 300, "Nobody answers at night."),
    )
    found = recognize(image)
    assert found.text == (
        "The gauge at Skerrow reads 3.94 m.\nIt is checked every morning.\n\nNobody answers at night."
    )
    assert 0.9 < found.confidence <= 1.0


@pytest.mark.models
@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_every_kind_of_pixel(mode: str) -> None:
    image = drawn((60, 60, "Level of the water"), size=(700, 200))
    image = image.convert("L").convert(mode) if mode in ("I;16", "I", "F") else image.convert(mode)
    assert recognize(image).text == "Level of the water"


@pytest.mark.models
def test_letters_on_nothing_are_seen_on_white() -> None:
    image = Image.new("RGBA", (700, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((60, 60), "Level of the water", font=FONT, fill=(0, 0, 0, 255))
    assert recognize(image).text == "Level of the water"


@pytest.mark.models
@pytest.mark.parametrize("angle", [90, 270])
def test_a_page_on_its_side(angle: int) -> None:
    image = drawn(*((60, 60 + 60 * row, f"This is row number {row} of the page") for row in range(4)))
    lines = recognize(image.rotate(angle, expand=True)).text.splitlines()
    assert lines == [f"This is row number {row} of the page" for row in range(4)]


@pytest.mark.models
def test_a_long_screenshot_is_read_to_its_end() -> None:
    rows = [(40, 40 + 90 * row, f"Message number {row}") for row in range(50)]
    lines = recognize(drawn(*rows, size=(600, 4600))).text.split("\n\n")
    assert lines == [f"Message number {row}" for row in range(50)]


@pytest.mark.models
@pytest.mark.parametrize("size", [(1, 1), (3, 4000), (2000, 9), (200, 200)])
def test_an_image_without_text(size: tuple[int, int]) -> None:
    found = recognize(Image.new("RGB", size, "white"))
    assert (found.text, found.confidence) == ("", 0.0)


@pytest.mark.models
def test_lines_of_many_widths_are_few_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps code for each width that it has seen: a scan of some pages would need more memory than it may have."""
    recognizer = _engine()._load_rec_model()
    widths = set()
    read = type(recognizer.session).__call__

    def counted(session: object, pixels: NDArray[np.float32]) -> object:
        if session is recognizer.session:
            widths.add(pixels.shape[-1])
        return read(session, pixels)

    monkeypatch.setattr(type(recognizer.session), "__call__", counted)
    lines = [(50, 60 + 60 * n, "The gauge stands at " + "Port Ellary " * n) for n in range(6)]
    assert recognize(drawn(*lines)).text.count("Port Ellary") == 15
    assert widths
    assert all(width % 160 == 0 for width in widths)
