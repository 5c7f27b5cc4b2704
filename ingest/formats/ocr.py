"""Text in images: PaddleOCR's models (PP-OCRv6) run by rapidocr on OpenVINO, both as their wheels ship them.

The engine finds lines of text; what makes a page of them (columns, rows, paragraphs) is in ingest.formats.reading.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.formats.reading import Box, paragraphs, reading_order

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

# Pixels of the largest image that is looked at whole: a page of A4 at about 200 dpi. A larger one is reduced.
_MAX_PIXELS = 4_000_000
# Lines are looked for in a smaller copy, of this longest side in pixels, since that takes most of the memory and
# of the time; letters are read at full size. Small images are enlarged to the second figure on their short side.
_DETECT_SIDE = 1280
_ENLARGED_SIDE, _MAX_ENLARGED = 736, 3.0
# A longer image (a screenshot of a whole page that scrolls) is read in strips, in heights per width.
_MAX_RATIO = 3.0
# Images narrower than this, in pixels, hold no line of text; those below the second get a margin, because the
# engine would enlarge them, at any length.
_MIN_SIDE = 8
_SMALL_SIDE = 32

_WIDTH_STEP = 160  # of lines, in pixels at the height in which they are read

# The engine keeps one inference request, and its settings are not meant for two threads.
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Recognized:
    """``text``: lines in reading order, a blank line between paragraphs. ``confidence``: 0 to 1, the mean of
    the lines' by characters; 0.0 where there is no text."""

    text: str
    confidence: float


def recognize(image: Image.Image) -> Recognized:
    """The text of an image, of any mode and size. Lines that the engine itself doubts (below 0.5) are left out.

    Blocks for about a second per page of text and core. Safe to call from several threads; they take turns.
    """
    if min(image.size) < _MIN_SIDE:
        return Recognized("", 0.0)
    # Transparent parts are seen on white, as viewers show them.
    image = _resized(_with_margin(_on_white(image)))
    boxes = _upright(image)
    ordered = reading_order(boxes)
    letters = [len(box.text) for box in boxes]
    weighted = sum(box.confidence * count for box, count in zip(boxes, letters, strict=True))
    return Recognized(paragraphs(ordered), weighted / sum(letters) if boxes else 0.0)


def _upright(image: Image.Image) -> list[Box]:
    """The lines found; those of an image that lies on its side after turning it."""
    boxes = _lines(image)
    # A line of two letters may well be taller than wide.
    long = [box for box in boxes if len(box.text) > 2]
    lying = [box for box in long if box.bottom - box.top > 1.5 * (box.right - box.left)]
    if 2 * len(lying) <= len(long) or not long:
        return boxes
    # Lines that stand on their head must not be turned for this, or both ways would read as well.
    turned = [_lines(image.rotate(angle, expand=True), turn_lines=False) for angle in (90, 270)]
    return max(turned, key=_certainty)


def _certainty(boxes: list[Box]) -> float:
    return sum(box.confidence**4 * len(box.text) for box in boxes)


def _lines(image: Image.Image, *, turn_lines: bool = True) -> list[Box]:
    import numpy as np

    found: list[Box] = []
    for top, strip in _strips(image):
        # Contiguous, in the order blue, green, red that OpenCV keeps.
        pixels = np.ascontiguousarray(np.asarray(strip)[:, :, ::-1])
        result = _found(pixels, turn_lines)
        if result.boxes is None:
            continue
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            xs, ys = corners[:, 0], corners[:, 1] + top
            found.append(
                Box(float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()), text, float(score))
            )
    return found


def _found(pixels: Any, turn_lines: bool) -> Any:
    """Raises MemoryError or RuntimeError; the engine's own errors are whole tracebacks."""
    try:
        with _LOCK:
            return _engine()(pixels, use_cls=turn_lines)
    except Exception as exc:
        said = (str(exc).strip().splitlines() or [type(exc).__name__])[-1]
        short = "alloc" in str(exc).lower() or isinstance(exc, MemoryError)
        raise (MemoryError if short else RuntimeError)(f"text recognition failed: {said}") from exc


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(top, part) of a very long image, cut where the rows are plainest; of any other the whole."""
    import numpy as np

    width, height = image.size
    if height <= _MAX_RATIO * max(width, 400):
        yield 0, image
        return
    # How much each row of pixels differs along itself; a row between two lines of text hardly does.
    unrest = np.asarray(image.convert("L")).std(axis=1)
    step, top = 2 * max(width, 400), 0
    while top < height:
        low, high = top + step // 2, top + step
        bottom = low + int(unrest[low:high].argmin()) if high < height else height
        yield top, image.crop((0, top, width, bottom))
        top = bottom


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode in ("I", "I;16", "F"):  # 16 bits or more a pixel: scanners' greys
        low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
        scale = 255 / (high - low) if high > low else 0.0
        return image.convert("F").point(lambda value: (value - low) * scale).convert("L").convert("RGB")
    if "A" in image.mode or "transparency" in image.info:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def _with_margin(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    missing = max(0, _SMALL_SIDE - min(image.size))
    return ImageOps.expand(image, (missing + 1) // 2, "white") if missing else image


def _resized(image: Image.Image) -> Image.Image:
    width, height = image.size
    shown = width * min(height, int(_MAX_RATIO * max(width, 400)))
    enlarged = min(_MAX_ENLARGED, max(1.0, _ENLARGED_SIDE / min(width, height)))
    scale = min(enlarged, (_MAX_PIXELS / shown) ** 0.5)
    if scale == 1.0:
        return image
    return image.resize((max(1, int(width * scale)), max(1, int(height * scale))))


@cache
def _engine() -> Any:
    import rapidocr
    from rapidocr import EngineType, RapidOCR

    models = Path(rapidocr.__file__).parent / "models"
    files = {
        "Det": models / "PP-OCRv6_det_small.onnx",
        "Cls": models / "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        "Rec": models / "PP-OCRv6_rec_small.onnx",
    }
    parameters: dict[str, Any] = {
        "Global.log_level": "error",
        "Global.max_side_len": 10_000,
        "Det.limit_type": "max",
        "Det.limit_side_len": _DETECT_SIDE,
        # Lines are read one by one: a batch is as wide as its longest line, and takes memory for all.
        "Rec.rec_batch_num": 1,
    }
    for stage, path in files.items():
        # Named files are never looked for on the network.
        parameters |= {f"{stage}.engine_type": EngineType.OPENVINO, f"{stage}.model_path": str(path)}
    log.info("loading the text recognition models")
    engine: Any = RapidOCR(params=parameters)
    _widen_in_steps(engine._load_rec_model())
    return engine


def _widen_in_steps(recognizer: Any) -> None:
    """Lines as wide as the next step, with nothing in what is added: the engine keeps code for every width it has
    seen, so that each page of a scan took another 0.7 GiB of mapped memory."""
    fit, height = recognizer.resize_norm_img, recognizer.rec_image_shape[1]

    def stepwise(image: Any, ratio: float) -> Any:
        return fit(image, ceil(ratio * height / _WIDTH_STEP) * _WIDTH_STEP / height)

    recognizer.resize_norm_img = stepwise
