"""Other programs that parsers start: LibreOffice, and one that hangs and starts more, ended in every way."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.formats import programs
from ingest.formats.legacy import _converted
from ingest.media_types import MEDIA_TYPES
from ingest.parse import parse
from ingest.workers import Workers
from rag import errors as e
from service import alive, children_of, gone_within
from test_parse_office import OLD, at, saved

pytestmark = pytest.mark.process
ODF = "urn:oasis:names:tc:opendocument:xmlns"
needs_libreoffice = pytest.mark.skipif(not shutil.which("soffice"), reason="needs LibreOffice")


@pytest.fixture
def hanging(tmp_path: Path) -> str:
    """In LibreOffice's stead: it hangs, and so do its children and one of theirs, which is nobody's child."""
    program = tmp_path / "bin" / "soffice"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 600 &\n(sleep 600 &)\nsleep 600\n")
    program.chmod(0o755)
    return str(program)


def convert(path: Path, name: str, program: str) -> bytes:
    """In the worker."""
    (path.parent / "worker").write_text(str(os.getpid()))
    return _converted(program, path.read_bytes(), name, "doc")


def started_by(process: int, count: int) -> set[int]:
    """Everything in other process groups than its own that ``process`` and its children have started, as soon as it
    is so much: by the group, since a child that has lost its parent is nobody's."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        groups = {_group(child) for child in children_of(process)} - {_group(process), None}
        found = {int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()}
        found = {pid for pid in found if _group(pid) in groups}
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{found} were started")


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


@pytest.mark.parametrize("how", ["timeout", "killed", "closed"])
def test_nothing_that_a_parser_started_outlives_its_worker(how: str, hanging: str, tmp_path: Path) -> None:
    workers = Workers(1, timeout_s=5 if how == "timeout" else 60, scratch=tmp_path / "scratch")
    (tmp_path / "a.doc").write_bytes(OLD)
    outcome = workers._run("a.doc", convert, tmp_path / "a.doc", "a.doc", hanging)
    worker = wait_for(tmp_path / "worker")
    started = started_by(worker, 5)  # the program, its three children that sleep, and what watches over them
    if how == "killed":
        os.kill(worker, signal.SIGKILL)
    elif how == "closed":
        workers.close()
    assert isinstance(outcome.exception(60), (e.SourceOverLimit, e.SourceCrash))
    assert gone_within(started, 5), alive(started)
    workers.close()


@needs_libreoffice
def test_libreoffice_ends_with_the_worker_that_started_it(tmp_path: Path) -> None:
    workers = Workers(1)
    (tmp_path / "a.doc").write_bytes(OLD)
    workers._run("a.doc", convert, tmp_path / "a.doc", "a.doc", "soffice")
    worker = wait_for(tmp_path / "worker")
    started = started_by(worker, 3)  # oosplash, soffice.bin, and what watches over them
    os.kill(worker, signal.SIGKILL)
    assert gone_within(started, 5), alive(started)
    workers.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_that_a_parser_started_outlives_the_main_process(
    number: signal.Signals, hanging: str, tmp_path: Path
) -> None:
    (tmp_path / "a.doc").write_bytes(OLD)
    script = tmp_path / "parent.py"
    script.write_text(
        "import pathlib\n"
        "from ingest.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(1)\n"
        f"    future = workers.read(pathlib.Path({str(tmp_path / 'a.doc')!r}), 'a', 'application/msword', 900)\n"
        "    try:\n"
        "        future.result()\n"
        "    except KeyboardInterrupt:\n"
        "        workers.close()\n"
    )
    environment = os.environ | {"PATH": f"{Path(hanging).parent}:{os.environ['PATH']}"}
    parent = subprocess.Popen([sys.executable, str(script)], start_new_session=True, env=environment)
    started = started_by(parent.pid, 5)
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)  # as a terminal does
    else:
        parent.send_signal(number)
    parent.wait(20)
    assert gone_within(started, 10), alive(started)


def test_a_program_gets_its_input_and_its_end_is_told() -> None:
    done = programs.run(["sh", "-c", "cat; echo oh >&2; exit 3"], 10, b"a" * 10**6)
    assert (done.stdout, done.stderr, done.returncode) == (b"a" * 10**6, b"oh\n", 3)
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run(["sleep", "600"], 0.2)
    began = time.monotonic()
    assert programs.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo done"], 10).stdout == b"done\n"
    assert time.monotonic() - began < 5


# --- LibreOffice itself ---


def old(data: bytes, suffix: str, folder: Path) -> bytes:
    """A document as LibreOffice writes it in the old format ``suffix``: nothing else here can."""
    (folder / "made").write_bytes(data)
    command = ["soffice", "--headless", f"-env:UserInstallation={(folder / 'profile').as_uri()}"]
    done = programs.run(
        [*command, "--convert-to", suffix, "--outdir", str(folder), str(folder / "made")], 120
    )
    assert (folder / f"made.{suffix}").exists(), done
    return (folder / f"made.{suffix}").read_bytes()


@needs_libreoffice
def test_an_old_word_file(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_heading("Tides", 1)
    document.add_heading("Ebb", 2)
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ("place", "level", "Elbe", "3 m"), strict=True):
        cell.text = text
    document.add_paragraph("After it.")  # a Word file never ends with a table
    parsed = parse(old(saved(document), "doc", tmp_path), "a.doc", MEDIA_TYPES[".doc"])
    assert "| Elbe | 3 m |" in parsed.text
    assert at(parsed, "Elbe").section == ("Tides", "Ebb")


@needs_libreoffice
def test_old_slides(tmp_path: Path) -> None:
    import pptx

    slides = pptx.Presentation()
    for title in ("Ebb", "Flow"):
        slides.slides.add_slide(slides.slide_layouts[5]).shapes.title.text = title
    parsed = parse(old(saved(slides), "ppt", tmp_path), "a.ppt", MEDIA_TYPES[".ppt"])
    assert (parsed.text, parsed.pages) == ("# Ebb\n\n# Flow", 2)
    assert at(parsed, "Flow").page == 2


@needs_libreoffice
def test_an_old_spreadsheet(tmp_path: Path) -> None:
    import openpyxl  # type: ignore[import-untyped]

    book = openpyxl.Workbook()
    book.active.title = "Levels"
    book.active.append(["Elbe", 3.5])
    parsed = parse(old(saved(book), "xls", tmp_path), "a.xls", MEDIA_TYPES[".xls"])
    assert "| Elbe | 3.5 |" in parsed.text
    assert at(parsed, "Elbe").sheet == "Levels"


class Asked(http.server.BaseHTTPRequestHandler):
    paths: list[str]

    def _noted(self) -> None:
        self.paths.append(self.path)
        self.send_error(404)

    do_OPTIONS = do_HEAD = do_GET = do_PROPFIND = _noted  # noqa: N815 - the base class looks for these

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and the paths that it is asked for."""
    paths: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Asked,), {"paths": paths}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


@needs_libreoffice
def test_a_conversion_fetches_nothing_that_the_file_names(web: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = web
    (tmp_path / "secret.txt").write_text("a secret")
    data = old(
        f"""<?xml version="1.0"?>
        <office:document xmlns:office="{ODF}:office:1.0" xmlns:text="{ODF}:text:1.0" xmlns:draw="{ODF}:drawing:1.0"
          xmlns:svg="{ODF}:svg-compatible:1.0" xmlns:xlink="http://www.w3.org/1999/xlink" office:version="1.2"
          office:mimetype="application/vnd.oasis.opendocument.text"><office:body><office:text>
        <text:section text:name="part"><text:section-source xlink:href="{(tmp_path / "secret.txt").as_uri()}"
          text:filter-name="Text"/><text:p>A part.</text:p></text:section>
        <text:p>Text.<draw:frame text:anchor-type="as-char" svg:width="5cm" svg:height="5cm">
        <draw:image xlink:href="{url}/picture.png"/></draw:frame></text:p>
        </office:text></office:body></office:document>""".encode(),
        "doc",
        tmp_path,
    )
    assert url.encode("utf-16-le") in data
    asked.clear()  # what it asked for while the file was made
    text = parse(data, "a.doc", MEDIA_TYPES[".doc"]).text
    assert text == "A part.\n\nText."
    assert asked == []
