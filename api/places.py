"""Where something stands, written so that terminals and editors open it: ``src/app.py:12-14``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ingest.media_types import by_name
from rag.prompt import is_code_type
from rag.types import Place


def path_of(source: str) -> str:
    """The file's absolute path; another kind of source as it is."""
    parts = urlsplit(source)
    return unquote(parts.path) if parts.scheme == "file" else source


def shown(path: str) -> str:
    """Relative where it is below the current folder."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere; or the current folder is gone
        return path


def at(path: str, line: int, line_end: int | None = None) -> str:
    return f"{path}:{line}" if line_end in (None, line) else f"{path}:{line}-{line_end}"


def spot(source: str, place: Place) -> str | None:
    """``path:line-line`` of a file of code; None for any other, whose lines need not be those that an editor shows."""
    path = path_of(source)
    if path == source or place.page is not None or place.sheet is not None:
        return None
    media_type = by_name(path)
    if media_type is None or not is_code_type(media_type) or path.endswith(".ipynb"):
        return None
    return at(path, place.line_start, place.line_end)
