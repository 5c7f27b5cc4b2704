"""PDFium as the rest of the package uses it: one caller at a time, and documents opened or refused with a reason."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from rag.errors import SourceCorrupt

# PDFium keeps global state and must not be called from two threads at once.
LOCK = threading.Lock()


def open_pdf(file: bytes | Path, name: str) -> Any:
    """A pypdfium2 document, for the caller to close. Raises SourceCorrupt, also where a password is needed."""
    try:
        document = pypdfium2.PdfDocument(file)
        # PDFium then draws the fields of a form; it does nothing where there are none, and runs no scripts.
        document.init_forms()
        return document
    except pypdfium2.PdfiumError as exc:
        if getattr(exc, "err_code", None) == pdfium.FPDF_ERR_PASSWORD:
            raise SourceCorrupt(
                f"{name} is encrypted and needs a password.",
                "Save a copy without the password and ingest that.",
            ) from exc
        raise SourceCorrupt(
            f"{name} cannot be read as a PDF ({exc}).", "Open it in a viewer; if that works, export it again."
        ) from exc
