"""DOCX, RTF, EPUB and articles in XML through pandoc, which writes them as HTML."""

from __future__ import annotations

import subprocess
import zipfile
import zlib
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from ingest.formats import programs
from ingest.formats.docx_margins import margins
from ingest.formats.docx_styles import with_known_styles
from ingest.formats.html_blocks import HtmlWriter
from ingest.formats.office_files import refuse_encrypted
from ingest.formats.rtf_text import in_unicode
from ingest.formats.web import html_tree, write_tree
from ingest.parsed import Parsed
from rag.errors import SourceCorrupt

# Seconds; a document of a thousand pages takes about ten.
_TIMEOUT = 300


def parse_docx(data: bytes, name: str) -> Parsed:
    refuse_encrypted(data, name)
    try:
        known, lines = with_known_styles(data), margins(data)
    except (
        zipfile.BadZipFile,
        SyntaxError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
        zlib.error,
    ) as exc:
        # lxml's XMLSyntaxError is a SyntaxError.
        raise _corrupt(name, "docx", str(exc)) from exc
    writer = HtmlWriter(links=True)
    # Comments are kept, and so are insertions that are not yet accepted.
    write_tree(writer, to_html(known, name, "docx", "--track-changes=all"), name)
    # What stands in page margins is said once, below everything else.
    for line in lines:
        writer.note(line)
    return writer.finish(PurePosixPath(name).name)


def parse_rtf(data: bytes, name: str) -> Parsed:
    return _parse(in_unicode(data), name, "rtf")


def parse_epub(data: bytes, name: str) -> Parsed:
    return _parse(data, name, "epub", links=False)


def parse_jats(data: bytes, name: str) -> Parsed:
    return _parse(data, name, "jats")


def parse_docbook(data: bytes, name: str) -> Parsed:
    return _parse(data, name, "docbook")


def _parse(data: bytes, name: str, kind: str, *, links: bool = True) -> Parsed:
    writer = HtmlWriter(links=links)
    write_tree(writer, to_html(data, name, kind), name)
    return writer.finish(PurePosixPath(name).name)


def to_html(data: bytes, name: str, kind: str, *options: str) -> Any:
    """The body of the document as an lxml element. Raises SourceCorrupt for what pandoc cannot read."""
    command = [
        _pandoc(),
        "--sandbox",
        "--standalone",
        "--wrap=none",
        "--mathjax",
        "--quiet",
        f"--from={kind}",
    ]
    try:
        done = programs.run([*command, "--to=html5", *options], _TIMEOUT, data)
    except subprocess.TimeoutExpired as exc:
        raise SourceCorrupt(
            f"{name} takes longer than {_TIMEOUT} s to read as {kind.upper()}.",
            "Save it as PDF and ingest that.",
        ) from exc
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise _corrupt(name, kind, said or f"pandoc ended with {done.returncode}")
    tree = html_tree(done.stdout.decode("utf-8", "replace"))
    body = tree.find("body")
    _complete_head(tree, body)
    return body


def _complete_head(tree: Any, body: Any) -> None:
    """Authors on one line, and the description, which pandoc puts where no reader sees it."""
    block = body.find("header[@id='title-block-header']")
    if block is None:
        return
    authors = block.xpath("./p[@class='author']")
    names = [" ".join(author.text_content().split()) for author in authors]
    for author in authors[1:]:
        block.remove(author)
    for author in authors[:1]:
        author.clear()
        author.text = f"Author{'s' if len(names) > 1 else ''}: {', '.join(names)}"
    for meta in tree.xpath("/html/head/meta[@name='description']/@content"):
        paragraph = block.makeelement("p")
        paragraph.text = meta
        block.append(paragraph)


def _corrupt(name: str, kind: str, said: str) -> SourceCorrupt:
    return SourceCorrupt(
        f"{name} cannot be read as {kind.upper()} ({said[:200]}).",
        "Open it in the program that it comes from; if that works, save it again.",
    )


@cache
def _pandoc() -> str:
    import pypandoc  # type: ignore[import-untyped]

    return str(pypandoc.get_pandoc_path())
