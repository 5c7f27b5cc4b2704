"""Pages of a PDF that are pictures: which they are, and how they look."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import pypdfium2.raw as pdfium

if TYPE_CHECKING:
    from PIL import Image

_PICTURES = (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_FORM, pdfium.FPDF_PAGEOBJ_SHADING)

# Dots per inch at which scans are recognized best, and the most pixels of a page (A4 at 200 dpi).
_DPI = 200
_MAX_PIXELS = 4_000_000
# So many drawn paths may be text as outlines; fewer are rules and frames.
_MANY_PATHS = 40
# A smaller picture, as a share of the page, is a logo.
_MIN_PICTURE = 0.03
# Objects looked at before a page is taken for a picture without looking at the others.
_MAX_OBJECTS = 2_000


def has_picture(page: Any) -> bool:
    """Whether a page without text shows something that may be text: a large image, or many drawn paths."""
    count = pdfium.FPDFPage_CountObjects(page.raw)
    if count > _MAX_OBJECTS:
        return True
    width, height = page.get_size()
    paths = 0
    for index in range(count):
        item = pdfium.FPDFPage_GetObject(page.raw, index)
        kind = pdfium.FPDFPageObj_GetType(item)
        paths += kind == pdfium.FPDF_PAGEOBJ_PATH
        if kind in _PICTURES and _area(item) >= _MIN_PICTURE * width * height:
            return True
    return paths >= _MANY_PATHS


def _area(item: Any) -> float:
    """Of a page's object, in square points."""
    edges = [ctypes.c_float() for _ in range(4)]
    if not pdfium.FPDFPageObj_GetBounds(item, *edges):
        return 0.0
    left, bottom, right, top = (edge.value for edge in edges)
    return (right - left) * (top - bottom)


def render(document: Any, index: int) -> Image.Image:
    """The page as it is shown, in grey. Raises PdfiumError."""
    page = document[index]
    try:
        width, height = page.get_size()
        scale = min(_DPI / 72, (_MAX_PIXELS / max(width * height, 1)) ** 0.5)
        bitmap = page.render(scale=scale, grayscale=True)
        try:
            image: Image.Image = bitmap.to_pil().copy()
        finally:
            bitmap.close()
    finally:
        page.close()
    return image
