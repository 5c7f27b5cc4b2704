"""What a file is: by its name's extension, or by its first bytes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."

MEDIA_TYPES = {
    ".7z": "application/x-7z-compressed",
    ".adoc": "text/asciidoc",
    ".asciidoc": "text/asciidoc",
    ".atom": "application/xml",
    ".bash": "text/x-shellscript",
    ".bats": "text/x-shellscript",
    ".bmp": "image/bmp",
    ".bz2": "application/x-bzip2",
    ".c": "text/x-c",
    ".cc": "text/x-c++",
    ".cfg": "text/plain",
    ".cjs": "text/javascript",
    ".conf": "text/plain",
    ".cpp": "text/x-c++",
    ".cs": "text/x-csharp",
    ".css": "text/css",
    ".csv": "text/csv",
    ".cts": "text/typescript",
    ".cu": "text/x-cuda",
    ".cuh": "text/x-cuda",
    ".cxx": "text/x-c++",
    ".diff": "text/x-diff",
    ".doc": "application/msword",
    ".docm": _OFFICE + "wordprocessingml.document",
    ".docx": _OFFICE + "wordprocessingml.document",
    ".dot": "application/msword",
    ".dotx": _OFFICE + "wordprocessingml.document",
    ".eml": "message/rfc822",
    ".epub": "application/epub+zip",
    ".gemspec": "text/x-ruby",
    ".gif": "image/gif",
    ".go": "text/x-go",
    ".gz": "application/gzip",
    ".h": "text/x-c",
    ".hh": "text/x-c++",
    ".hpp": "text/x-c++",
    ".htm": "text/html",
    ".html": "text/html",
    ".hxx": "text/x-c++",
    ".ini": "text/plain",
    ".inl": "text/x-c++",
    ".ipp": "text/x-c++",
    ".ipynb": "application/x-ipynb+json",
    ".java": "text/x-java",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".jsx": "text/javascript",
    ".kt": "text/x-kotlin",
    ".kts": "text/x-kotlin",
    ".log": "text/plain",
    ".lua": "text/x-lua",
    ".markdown": "text/markdown",
    ".mbox": "application/mbox",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".msg": "application/vnd.ms-outlook",
    ".mts": "text/typescript",
    ".ndjson": "application/jsonl",
    ".nxml": "application/xml",
    ".odp": _OPEN + "presentation",
    ".ods": _OPEN + "spreadsheet",
    ".odt": _OPEN + "text",
    ".otp": _OPEN + "presentation",
    ".ots": _OPEN + "spreadsheet",
    ".ott": _OPEN + "text",
    ".pdf": "application/pdf",
    ".php": "text/x-php",
    ".pl": "text/x-perl",
    ".png": "image/png",
    ".potx": _OFFICE + "presentationml.presentation",
    ".pps": "application/vnd.ms-powerpoint",
    ".ppsx": _OFFICE + "presentationml.presentation",
    ".ppt": "application/vnd.ms-powerpoint",
    ".pptm": _OFFICE + "presentationml.presentation",
    ".pptx": _OFFICE + "presentationml.presentation",
    ".proto": "text/plain",
    ".py": "text/x-python",
    ".pyi": "text/x-python",
    ".pyw": "text/x-python",
    ".r": "text/x-r",
    ".rake": "text/x-ruby",
    ".rar": "application/vnd.rar",
    ".rb": "text/x-ruby",
    ".rs": "text/x-rust",
    ".rss": "application/xml",
    ".rst": "text/x-rst",
    ".rtf": "application/rtf",
    ".ru": "text/x-ruby",
    ".sbt": "text/x-scala",
    ".sc": "text/x-scala",
    ".scala": "text/x-scala",
    ".sh": "text/x-shellscript",
    ".sql": "text/x-sql",
    ".srt": "application/x-subrip",
    ".svg": "image/svg+xml",
    ".swift": "text/x-swift",
    ".tar": "application/x-tar",
    ".tbz2": "application/x-bzip2",
    ".tex": "text/x-tex",
    ".tgz": "application/gzip",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".toml": "application/toml",
    ".ts": "text/typescript",
    ".tsv": "text/tab-separated-values",
    ".tsx": "text/typescript",
    ".txt": "text/plain",
    ".txz": "application/x-xz",
    ".vtt": "text/vtt",
    ".webp": "image/webp",
    ".xhtml": "application/xhtml+xml",
    ".xls": "application/vnd.ms-excel",
    ".xlsb": "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    ".xlsm": _OFFICE + "spreadsheetml.sheet",
    ".xlsx": _OFFICE + "spreadsheetml.sheet",
    ".xlt": "application/vnd.ms-excel",
    ".xltx": _OFFICE + "spreadsheetml.sheet",
    ".xml": "application/xml",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
}
# Files that are known by their whole name.
_NAMES = {
    **dict.fromkeys(("Rakefile", "Gemfile", "Vagrantfile", "Guardfile"), "text/x-ruby"),
    **dict.fromkeys(("SConstruct", "SConscript", "wscript"), "text/x-python"),
}
# What holds other files and is no document itself.
ARCHIVES = {MEDIA_TYPES[suffix] for suffix in (".zip", ".tar", ".gz", ".bz2", ".xz", ".mbox")}
UNKNOWN = "application/octet-stream"

# How much of a file without a known extension is looked at, in bytes.
SNIFF = 8192

# What such a file may begin with. ZIP is not among these: an office document begins as an archive does.
_MAGIC = {
    b"%PDF-": ".pdf",
    b"{\\rtf": ".rtf",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}

# Scripts: the program that their first line names, without its version.
_PROGRAM = re.compile(rb"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+)*)?([A-Za-z+-]+)")
_PROGRAMS = {
    **dict.fromkeys((b"python", b"pypy"), "text/x-python"),
    **dict.fromkeys((b"sh", b"bash", b"dash", b"ksh", b"zsh"), "text/x-shellscript"),
    **dict.fromkeys((b"node", b"nodejs", b"bun", b"deno"), "text/javascript"),
    b"ruby": "text/x-ruby",
    b"php": "text/x-php",
    b"lua": "text/x-lua",
    b"Rscript": "text/x-r",
}


def by_name(name: str) -> str | None:
    """The media type that the whole name or its extension stands for."""
    path = PurePosixPath(name)
    return _NAMES.get(path.name) or MEDIA_TYPES.get(path.suffix.lower())


def sniffed(head: bytes) -> str:
    """By a file's first SNIFF bytes: one of a few formats, text, or UNKNOWN."""
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            return MEDIA_TYPES[suffix]
    program = _PROGRAM.match(head)
    if program and (known := _PROGRAMS.get(program[1])):
        return known
    return "text/plain" if _is_text(head) else UNKNOWN


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        # The read may end within a character (of at most four bytes).
        return len(head) == SNIFF and exc.start > SNIFF - 4 and exc.reason == "unexpected end of data"
    return True
