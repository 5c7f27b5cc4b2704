"""Old binary Word and PowerPoint files: through LibreOffice where it is installed, else their text alone.

LibreOffice keeps headings, lists and tables. Without it kreuzberg's own reader gives the words in order.
"""

from __future__ import annotations

import functools
import logging
import re
import shutil
import subprocess
import tempfile
from pathlib import Path, PurePosixPath

from ingest.formats import programs
from ingest.formats.office_files import COMPOUND_FILE, is_panic, refuse_encrypted, refuse_endless
from ingest.formats.pandoc import parse_docx, parse_rtf
from ingest.formats.plain import clean
from ingest.formats.slides import parse_pptx
from ingest.formats.web import parse_html
from ingest.parsed import Composer, Parsed, Parser, Region
from rag.errors import SourceCorrupt, SourceUnsupported

log = logging.getLogger(__name__)

# Seconds for one conversion; LibreOffice itself takes about five to start.
_TIMEOUT = 180
_PACKAGES = {"doc": "libreoffice-writer-nogui", "ppt": "libreoffice-impress-nogui"}
# What Word writes for a caption's number or a link: its instruction stands before the result.
_FIELD = re.compile(r"\s*\b(?:SEQ \w+ \\\* \w+|HYPERLINK \"[^\"]*\"|PAGEREF \S+(?: \\h)?|TOC \\[^\n]*)\s*")

# LibreOffice runs a document's macros and fetches what it links to, as its profile says: ours forbids both. The proxy
# is nobody, since no setting keeps it from fetching the pictures of a .doc.
_SETTINGS = (
    ("Office.Common/Security/Scripting", {"DisableMacrosExecution": "true", "MacroSecurityLevel": "3"}),
    ("Office.Common/Security/Scripting", {"BlockUntrustedRefererLinks": "true"}),
    ("Office.Writer/Content/Update", {"Link": "2"}),
    ("Inet/Settings", {"ooInetProxyType": "2", "ooInetNoProxy": ""}),
    ("Inet/Settings", {"ooInetHTTPProxyName": "127.0.0.1", "ooInetHTTPProxyPort": "9"}),
    ("Inet/Settings", {"ooInetHTTPSProxyName": "127.0.0.1", "ooInetHTTPSProxyPort": "9"}),
)
_PROFILE = (
    '<oor:items xmlns:oor="http://openoffice.org/2001/registry">'
    + "".join(
        f'<item oor:path="/org.openoffice.{path}"><prop oor:name="{name}" oor:op="fuse">'
        f"<value>{value}</value></prop></item>"
        for path, settings in _SETTINGS
        for name, value in settings.items()
    )
    + "</oor:items>"
)


def parse_doc(data: bytes, name: str) -> Parsed:
    return _parse(data, name, "doc", "application/msword", parse_docx)


def parse_ppt(data: bytes, name: str) -> Parsed:
    return _parse(data, name, "ppt", "application/vnd.ms-powerpoint", parse_pptx)


@functools.cache
def libreoffice() -> str | None:
    """The program's path, where it is installed."""
    return shutil.which("soffice") or shutil.which("libreoffice")


def _parse(data: bytes, name: str, kind: str, media_type: str, parse_new: Parser) -> Parsed:
    refuse_encrypted(data, name)
    refuse_endless(data, name)
    if not data.startswith(COMPOUND_FILE):
        return _of_another_kind(data, name, kind, parse_new)
    if program := libreoffice():
        try:
            return parse_new(_converted(program, data, name, kind), name)
        except SourceCorrupt as exc:
            log.warning("%s; its words are read without LibreOffice", exc)
    return _words(data, name, kind, media_type)


def _of_another_kind(data: bytes, name: str, kind: str, parse_new: Parser) -> Parsed:
    """Many a .doc is RTF, HTML or DOCX by another name; Word opens these all the same."""
    start = data[:1024].lstrip().lower()
    if data.startswith(b"PK"):
        return parse_new(data, name)
    if start.startswith(b"{\\rtf"):
        return parse_rtf(data, name)
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return parse_html(data, name)
    raise SourceCorrupt(
        f"{name} is no {kind.upper()} file.", "Open it in the program that it comes from, and save it again."
    )


def _words(data: bytes, name: str, kind: str, media_type: str) -> Parsed:
    from kreuzberg import extract_bytes_sync

    way_out = f"Install LibreOffice (apt install {_PACKAGES[kind]}), or save it as .{kind}x and ingest that."
    try:
        text = extract_bytes_sync(data, media_type).content
    except BaseException as exc:
        if not (isinstance(exc, Exception) or is_panic(exc)):
            raise
        raise SourceUnsupported(
            f"{name} cannot be read without LibreOffice ({str(exc)[:200]}).", way_out
        ) from exc
    if not text.strip():
        raise SourceUnsupported(f"{name} gives no text without LibreOffice.", way_out)
    log.info("%s: read without headings and tables. %s", name, way_out)
    composer = Composer()
    for paragraph in re.split(r"\n\s*\n", clean(_FIELD.sub(" ", text))):
        composer.add(paragraph.strip("\n"), Region(0))
    return composer.finish(PurePosixPath(name).name)


def _converted(program: str, data: bytes, name: str, kind: str) -> bytes:
    """The file as DOCX or PPTX. A profile of its own, since LibreOffice runs once for each."""
    with tempfile.TemporaryDirectory(prefix="openbook-office-") as folder:
        source = Path(folder) / f"source.{kind}"
        source.write_bytes(data)
        profile = Path(folder) / "profile"
        (profile / "user").mkdir(parents=True)
        (profile / "user" / "registrymodifications.xcu").write_text(_PROFILE)
        command = [program, "--headless", "--norestore", f"-env:UserInstallation={profile.as_uri()}"]
        said = _run([*command, "--convert-to", f"{kind}x", "--outdir", folder, str(source)], name)
        made = source.with_suffix(f".{kind}x")
        if not made.is_file():
            raise SourceCorrupt(
                f"LibreOffice cannot convert {name} ({said[:200] or 'it gave no reason'}).",
                f"Open it there; if that works, save it as .{kind}x and ingest that.",
            )
        return made.read_bytes()


def _run(command: list[str], name: str) -> str:
    try:
        done = programs.run(command, _TIMEOUT)
    except subprocess.TimeoutExpired as exc:
        raise SourceCorrupt(
            f"LibreOffice did not convert {name} within {_TIMEOUT} s.", "Save it as PDF and ingest that."
        ) from exc
    return " ".join((done.stdout + done.stderr).decode("utf-8", "replace").split())
