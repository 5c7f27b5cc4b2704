"""Where the characters of a PDF page stand, read in bulk.

PDFium gives the box of a character in one call each. Two boxes a word, written into one array, cost about a fifth of
loading the page; pypdfium2's own functions for boxes cost several times that.
"""

from __future__ import annotations

import ctypes
import re
from itertools import accumulate
from typing import Any

import pypdfium2.raw as pdfium

_BOLD = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)
# Damaged fonts have boxes without end; in points.
_FAR = 1e6
# A loose box reaches from its font's descent to its ascent; the baseline is about here, in heights.
_BASELINE = 0.2

# pypdfium2 declares a structure for each box; this one takes the address where the box is to be written.
_loose_box = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(
    ctypes.cast(pdfium.FPDFText_GetLooseCharBox, ctypes.c_void_p).value or 0
)


class Boxes:
    """The boxes of characters, by their index in the page's text."""

    def __init__(self, textpage: Any, text: str) -> None:
        self._raw = textpage.raw
        self._name = ctypes.create_string_buffer(100)
        self._units: list[int] = []
        if max(text, default="") > "\uffff":  # PDFium counts halves of a surrogate pair
            self._units = [0, *accumulate(2 if character > "\uffff" else 1 for character in text)]
        length = self._units[-1] if self._units else len(text)
        # It has characters that it leaves out of its text.
        self._shifted = length != textpage.count_chars()

    def __call__(self, indexes: list[int]) -> Any:
        """An array (half as many, first and last character, left top right bottom), in points."""
        import numpy as np

        indexes = self._characters(indexes)
        boxes = np.zeros((len(indexes) // 2, 2, 4), np.float32)
        address = boxes.ctypes.data
        handle = ctypes.cast(self._raw, ctypes.c_void_p).value
        for position, index in enumerate(indexes):
            _loose_box(handle, index, address + 16 * position)
        return np.clip(np.nan_to_num(boxes.astype(float)), -_FAR, _FAR)

    def are_bold(self, indexes: list[int]) -> bool:
        name = self._name
        for index in self._characters(indexes):
            pdfium.FPDFText_GetFontInfo(self._raw, index, name, len(name), None)
            if not _BOLD.search(name.value):
                return False
        return True

    def _characters(self, indexes: list[int]) -> list[int]:
        if self._units:
            indexes = [self._units[index] for index in indexes]
        if self._shifted:
            indexes = [pdfium.FPDFText_GetCharIndexFromTextIndex(self._raw, index) for index in indexes]
        return indexes


def places(boxes: Any) -> tuple[list[float], list[float], list[list[float]], list[float]]:
    """Left and right edges, the baselines of first and last character, and heights."""
    import numpy as np

    tall = np.maximum(boxes[:, :, 1] - boxes[:, :, 3], 1.0)
    base = boxes[:, :, 3] + _BASELINE * tall
    return (
        boxes[:, :, 0].min(axis=1).tolist(),
        boxes[:, :, 2].max(axis=1).tolist(),
        base.tolist(),
        tall[:, 0].tolist(),
    )


def direction(ends: Any, rotation: int) -> int:
    """How far most lines are turned, in degrees: a table laid on its side is a table."""
    import numpy as np

    middle = (ends[:, :, :2] + ends[:, :, 2:]) / 2
    run = middle[:, 1] - middle[:, 0]
    across, up = np.abs(run).sum(axis=0)
    if up > 2 * across:
        return 90 if run[:, 1].sum() > 0 else 270
    return 180 if rotation == 180 else 0


def turned(boxes: Any, turn: int) -> Any:
    import numpy as np

    if not turn:
        return boxes
    left, top, right, bottom = np.moveaxis(boxes, 2, 0)
    turned = {
        90: (bottom, -left, top, -right),
        180: (-right, -bottom, -left, -top),
        270: (-top, right, -bottom, left),
    }
    return np.stack(turned[turn], axis=2)
