"""Images: the text that is recognized in them. A TIFF may have several pages; of an animation the first is read."""

from __future__ import annotations

import io
import warnings
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ingest.formats.ocr import Recognized, recognize
from ingest.parsed import Composer, Parsed, Region
from rag.errors import SourceCorrupt, SourceEmpty

if TYPE_CHECKING:
    from PIL.Image import Image

# Pixels of the largest image that is decoded: about a sheet of A2 at 300 dpi.
_MAX_PIXELS = 120_000_000
_MAX_PAGES = 2000


def parse_image(data: bytes, name: str) -> Parsed:
    """Raises SourceCorrupt for what is no image, SourceEmpty where no text is recognized."""
    pages = _pages(data, name)
    composer = Composer()
    for number, page in enumerate(pages, start=1):
        for paragraph in page.text.split("\n\n"):
            place = Region(0, page=number if len(pages) > 1 else None, ocr=round(page.confidence, 3))
            composer.add(paragraph, place)
    read = sum(bool(page.text) for page in pages)
    if not read:
        raise SourceEmpty(
            f"No text was recognized in {name}.",
            "If it shows text, scan it again, larger or with more contrast.",
        )
    parsed = composer.finish(PurePosixPath(name).name, len(pages))
    return Parsed(parsed.text, parsed.title, parsed.regions, len(pages), read, len(pages) - read)


def _pages(data: bytes, name: str) -> list[Recognized]:
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        # Pillow only warns of an image that would fill the memory, and of odd metadata.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
                found = []
                for index in range(min(count, _MAX_PAGES)):
                    image.seek(index)
                    _check_size(image)
                    found.append(recognize(ImageOps.exif_transpose(image)))
                return found
        except MemoryError:
            raise
        except Exception as exc:
            # Its decoders let errors of struct, of zlib and their own pass.
            raise SourceCorrupt(
                f"{name} cannot be read as an image ({type(exc).__name__}: {str(exc)[:200]}).",
                "Open it in an image viewer; if that works, save it again as PNG.",
            ) from exc


def _check_size(image: Image) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; at most {_MAX_PIXELS:,} are read")
