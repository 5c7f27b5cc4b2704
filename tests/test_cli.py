"""The command line over an engine of fakes: what goes to standard output, what to standard error, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

import api.asking
import api.cli
import api.doctor
import ingest.cli
from command import Ran, in_process
from fake_engine import REPLY, fake_engine, fake_store, ingested, opener
from fakes import FakeGenerator
from git_house import Repo
from ingest.jobs import Jobs
from ingest.run import Run
from ingest.uploads import Uploads
from rag import errors as e
from rag import owner
from rag.remote import Remote
from rag.terminal import EXIT_CODES, exit_code

pytestmark = pytest.mark.process  # of which they start none; but a data folder for each takes seconds

TEXT = "# Gauge [1]\n\nThe battery of the [red]gauge[/red] lasts 400 days :warning: [/].\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that is only read, with one document that is full of what rich would take for markup."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "[red]gauge[1].md").write_text(TEXT)
    with fake_engine(folder / "data") as engine:
        ingested(engine, folder / "[red]gauge[1].md")
    return folder / "data"


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator(REPLY)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    template: Path,
    generator: FakeGenerator,
) -> Callable[..., Ran]:
    """Runs ``openbook`` in this process, up to and including its exit code."""
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(template))
    for module in (api.asking, api.cli, ingest.cli):
        monkeypatch.setattr(module, "open_rag", opener(generator))

    return in_process(monkeypatch, capsys)


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Callable[..., Ran]) -> Path:
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path / "empty"))
    return tmp_path / "empty"


def broken(error: BaseException) -> Callable[..., Any]:
    def raising(*_arguments: object, **_options: object) -> Any:
        raise error

    return raising


# --- ask ----------------------------------------------------------------------------------------------------


def test_ask_prints_the_answer_its_sources_and_the_receipt(run: Callable[..., Ran]) -> None:
    ran = run("ask", "How long does the battery last?")
    assert ran.code == 0
    assert ran.out.startswith(REPLY + "\n")
    assert re.search(
        r"^\[1\] \S*/\[red\]gauge\[1\]\.md, line 3, characters \d+-\d+ \(\w+", ran.out, re.MULTILINE
    )
    assert "[red]gauge[/red] lasts 400 days :warning: [/]." in ran.out
    for row in ("searched", "read", "model", "seconds"):
        assert re.search(rf"^{row} ", ran.out, re.MULTILINE), row
    assert re.search(r"^first token +\d+ ms$", ran.out, re.MULTILINE)  # nothing else of it is known


def test_ask_json_is_the_answer_and_nothing_else(run: Callable[..., Ran]) -> None:
    ran = run("ask", "How long does the battery last?", "--json")
    assert ran.code == 0
    assert ran.json["text"] == REPLY
    (citation,) = ran.json["citations"]
    assert citation["quote"] in TEXT
    assert TEXT[citation["span"]["start"] : citation["span"]["end"]] == citation["quote"]
    assert ran.json["receipt"]["usage"]["cached"] is None


def test_ask_reads_its_question_from_standard_input(run: Callable[..., Ran]) -> None:
    ran = run("ask", "-", "--json", stdin="How long does\nthe battery — last?\n")
    assert ran.json["question"] == "How long does\nthe battery — last?\n"
    ran = run("ask", "-", stdin=b"\xff\xfe\x00")
    assert (ran.code, ran.out) == (2, "")
    assert "The question is not text" in ran.err


def test_ask_shows_what_a_model_writes_as_it_is(run: Callable[..., Ran], generator: FakeGenerator) -> None:
    generator.reply = "Index a[1] and [bold]x[/bold] \x1b[31mred :smile: \\[ grün."
    ran = run("ask", "battery?")
    assert ran.out.startswith("Index a[1] and [bold]x[/bold] ␛[31mred :smile: \\[ grün.\n")
    assert "\x1b" not in ran.out


def test_ask_says_what_it_did_not_find(run: Callable[..., Ran], generator: FakeGenerator) -> None:
    generator.reply = "The documents do not say."
    ran = run("ask", "What is the meaning?")
    assert ran.code == 0
    assert "The model found no answer in what it read." in ran.out
    assert re.search(r"^collections +default$", ran.out, re.MULTILINE)
    assert re.search(r"^nearest +\S*/\[red\]gauge\[1\]\.md, lines? \d+\S* \(read\): ", ran.out, re.MULTILINE)
    assert "[red]gauge[/red] lasts 400 days :warning: [/]." in ran.out
    assert "only " not in ran.out


def test_ask_says_which_filter_admitted_nothing(run: Callable[..., Ran], generator: FakeGenerator) -> None:
    options = [
        "--path",
        "*.pdf",
        "--path",
        "[x]/*",
        "--type",
        "pdf",
        "--since",
        "2026-01-01",
        "--until",
        "2026-12-31",
    ]
    ran = run("ask", "battery?", *options, "--heading", "risk*", "--field", "author=Ada")
    assert ran.code == 0
    assert "Nothing in collection 'default' that the filter admits matches the question." in ran.out
    only = "path *.pdf or [x]/*; type pdf; heading risk*; since 2026-01-01; until 2026-12-31; author=Ada"
    assert re.search(rf"^only +{re.escape(only)}$", ran.out, re.MULTILINE)
    assert "nearest" not in ran.out
    assert generator.sent == []


def test_filters_that_are_none_are_refused_with_the_way_to_write_them(run: Callable[..., Ran]) -> None:
    for command in ("ask", "search"):
        ran = run(command, "battery?", "--since", "yesterday")
        assert (ran.code, ran.out) == (2, "")
        assert "'yesterday' is not a day." in ran.err
        for field in ("author", "=Ada"):
            ran = run(command, "battery?", "--field", field)
            assert (ran.code, ran.out) == (2, "")
            assert "--field author=Ada" in ran.err
    assert run("ask", "battery?", "--policy", "all").code == 2


def test_ask_packs_as_it_is_told(run: Callable[..., Ran]) -> None:
    for policy in ("passages", "sections", "documents", "auto"):
        assert run("ask", "How long does the battery last?", "--policy", policy).code == 0


def test_several_collections_are_asked(run: Callable[..., Ran], empty: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.md").write_text(f"# Gauge {name}\n\nThe battery of {name} lasts 400 days.\n")
        assert run("ingest", str(tmp_path / f"{name}.md"), "--collection", name).code == 0
    both = ["--collection", "one", "--collection", "two"]
    asked = run("ask", "battery?", *both, "--json").json
    assert asked["receipt"]["collection"] == "one, two"
    assert len(asked["receipt"]["read"]) == 2
    found = run("search", "battery", *both, "--json").json
    assert found["collection"] == ["one", "two"]
    assert {hit["document"]["collection"] for hit in found["hits"]} == {"one", "two"}
    assert "nothing found in 'one', 'two'" in run("search", "battery", *both, "--type", "pdf").out


def test_ask_without_a_collection_says_how_to_make_one(run: Callable[..., Ran], empty: Path) -> None:
    for arguments in (["ask", "x"], ["search", "x"], ["documents"], ["rm", "--all"], ["rm", "x"]):
        ran = run(*arguments, "--json")
        assert (ran.code, ran.out) == (2, ""), arguments
        assert "There is no collection 'default'. There are none yet." in ran.err
        assert "openbook ingest PATH --collection default" in ran.err


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("", "The question is empty."),
        (" \n", "The question is empty."),
        ("x" * 100_000, "100,000 characters"),
    ],
    ids=["empty", "blank", "long"],
)
def test_questions_that_are_none(run: Callable[..., Ran], question: str, expected: str) -> None:
    for command in ("ask", "search"):
        ran = run(command, "--", question)
        assert (ran.code, ran.out) == (2, "")
        assert expected in ran.err
        assert len(ran.err) < 500
    ran = run("ask", "a \udcff b")  # bytes of the shell that are no UTF-8
    assert ran.code == 2
    assert "The question is not text" in ran.err


def test_a_model_that_is_down_or_dies(run: Callable[..., Ran], generator: FakeGenerator) -> None:
    generator.error = e.ModelUnavailable("The model server at [::1]:9 is away.", "Start it.")
    ran = run("ask", "battery?", "--json")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines() == ["error: The model server at [::1]:9 is away.", "  Start it."]
    assert run("search", "battery").code == 0


# --- the other commands ---------------------------------------------------------------------------------------


def test_search(
    run: Callable[..., Ran], empty: Path, monkeypatch: pytest.MonkeyPatch, template: Path
) -> None:
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(template))
    ran = run("search", "battery")
    assert ran.code == 0
    assert "/[red]gauge[1].md, " in ran.out
    assert "[red]gauge[/red] lasts 400 days :warning: [/]." in ran.out
    found = run("search", "battery", "--json").json
    assert found["collection"] == "default"
    assert found["hits"][0]["passage"]["text"] in TEXT
    assert "nothing found in 'default'" in run("search", "battery", "--path", "*.pdf").out
    assert "gauge" in run("search", "battery", "--path", "[red]gauge[1].md").out
    assert run("search", "battery", "--limit", "0").code == 2
    assert run("search", "battery", "--json", "--collection", "../x").code == 2


def test_search_says_by_which_document_a_hit_was_named(
    run: Callable[..., Ran], empty: Path, tmp_path: Path
) -> None:
    (tmp_path / "pump.md").write_text("# The pump\n\nIt was built by Lindqvist Works.\n")
    (tmp_path / "works.md").write_text("# Lindqvist Works\n\nFounded in Malmö by two sisters.\n")
    assert run("ingest", str(tmp_path)).code == 0
    ran = run("search", "Who founded the builder of the pump?")
    assert re.search(r"works\.md, lines? \S+ \(named by The pump\)  \d", ran.out)
    assert ran.out.count("named by") < len(run("search", "Who founded the builder?", "--json").json["hits"])


def test_documents(run: Callable[..., Ran]) -> None:
    ran = run("documents")
    assert ran.code == 0
    assert "/[red]gauge[1].md" in ran.out
    assert "Gauge [1]" in ran.out
    assert "1 documents" in ran.out
    (document,) = run("documents", "--json").json["documents"]
    assert document["source"].startswith("file:///")


def test_status(run: Callable[..., Ran], template: Path) -> None:
    ran = run("status")
    assert ran.code == 0
    assert "not running" in ran.out
    assert str(template) in ran.out
    assert re.search(r"collection: +default: 1 documents, \d passages", ran.out)
    status = run("status", "--json").json
    assert status["url"] is None
    assert status["collections"]["default"] == {"documents": 1, "passages": 1, "outdated": 0, "error": None}
    assert status["jobs"] == []


def test_status_tells_what_was_read_by_an_older_parser_and_the_way_out(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.documents.parser_version", lambda _media_type: "the next")
    ran = run("status")
    assert "1 documents were read by an older parser" in ran.out
    assert "openbook ingest PATH --collection default" in ran.out
    assert run("status", "--json").json["collections"]["default"]["outdated"] == 1


def test_status_tells_the_jobs_that_wait(run: Callable[..., Ran], template: Path) -> None:
    with closing(Jobs(template / "jobs.db")) as jobs:
        job = jobs.add(Run("team[1]", ("/docs/secret",)))
    ran = run("status")
    assert f"{job.id} queued, 0 files into team[1]" in ran.out
    assert "secret" not in ran.out
    assert [each["id"] for each in run("status", "--json").json["jobs"]] == [job.id]


def test_status_shows_the_other_collections_beside_a_damaged_one(
    run: Callable[..., Ran], empty: Path
) -> None:
    (empty / "collections" / "damaged[1]").mkdir(parents=True)
    ran = run("status")
    assert ran.code == 0
    assert "damaged[1]" in ran.out


@pytest.mark.parametrize(("port", "another"), [(8080, 8081), (65535, 8080)])
def test_the_way_out_of_a_taken_port_is_a_port(port: int, another: int) -> None:
    assert e.PortInUse.of("127.0.0.1", port).hint.endswith(f"--port {another}")


def test_status_wait_gives_up_with_exit_code_3(run: Callable[..., Ran]) -> None:
    ran = run("status", "--wait", "--timeout", "0.01")
    assert ran.code == 3
    assert "no service runs on this data folder" in ran.err


def test_a_dry_run_shows_what_would_go_first(run: Callable[..., Ran], empty: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.md", "b.md"):
        (folder / name).write_text(TEXT)
    assert run("ingest", str(folder)).code == 0
    (folder / "a.md").unlink()
    (folder / "c.md").write_text(TEXT)
    ran = run("ingest", str(folder), "--prune", "--dry-run")
    assert ran.code == 0
    assert ran.out == (
        "added files/c.md\n"
        "removed files/a.md: its file has gone\n"
        "default: 1 added, 1 unchanged, 1 removed; nothing was done (--dry-run)\n"
    )
    assert len(run("documents", "--json").json["documents"]) == 2
    assert run("ingest", str(folder), "--prune").code == 0
    listed = run("documents", "--json").json["documents"]
    assert [Path(document["source"]).name for document in listed] == ["b.md", "c.md"]


def test_reindex_keeps_what_is_there(run: Callable[..., Ran], empty: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(TEXT)
    assert run("ingest", str(tmp_path / "a.md")).code == 0
    before = run("documents", "--json").json
    ran = run("reindex")
    assert (ran.code, ran.out) == (0, "default: 1 documents, 1 passages embedded\n")
    assert run("documents", "--json").json == before
    assert run("reindex", "-c", "nope").code == 2


def test_ingest_then_rm(run: Callable[..., Ran], empty: Path, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "[bold]a.md").write_text("# A\n\nText.\n")
    (files / "b.pdf").write_bytes(b"not a PDF")
    (files / "c.xyz").write_bytes(b"\0")
    ran = run("ingest", str(files))
    assert ran.code == 1  # a file failed
    assert re.search(r"^failed files/b\.pdf: .*", ran.out, re.MULTILINE)
    assert re.search(r"^skipped files/c\.xyz: unknown type", ran.out, re.MULTILINE)
    assert "default: 1 added, 1 skipped, 1 failed" in ran.out
    (files / "b.pdf").unlink()
    report = run("ingest", str(files), "--json")
    assert report.code == 0
    assert report.json["parsed"] == report.json["embedded"] == 0
    assert {file["status"] for file in report.json["files"]} == {"unchanged", "skipped"}

    assert run("rm").code == 2
    assert run("rm", "nope.md").code == 2
    ran = run("rm", "files/[bold]a.md")
    assert ran.out == "removed files/[bold]a.md\n1 documents removed from 'default'\n"
    assert run("rm", "--all", "--json").json == {
        "collection": "default",
        "removed": [],
        "files": [],
    }
    assert run("rm", "--all").code == 2


def test_a_repository_is_ingested_and_refreshed(run: Callable[..., Ran], empty: Path, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "project")
    for n in range(7):
        repo.write(f"pkg/{n}/__init__.py", "")
    first = repo.commit(a_md="a\n", poetry_lock="lock\n")
    told = run("ingest", str(repo.root), "-c", "code")
    assert told.code == 0
    assert "skipped project/poetry.lock: a lock file; --all-files reads it" in told.out
    shown = (
        "project/pkg/0/__init__.py, project/pkg/1/__init__.py, project/pkg/2/__init__.py, and 4 more: empty"
    )
    assert f"skipped {shown}" in " ".join(told.out.split())
    assert f"project at {first[:12]}" in told.out
    second = repo.commit(a_md="changed\n")
    report = json.loads(run("refresh", "-c", "code", "--json").out)
    assert [(file["name"], file["status"]) for file in report["files"]] == [("project/a.md", "replaced")]
    assert report["commits"] == {str(repo.root): second}
    assert run("refresh", "-c", "code", "--ref", first).code == 0
    wrong = run("refresh", "-c", "code", "--ref", "mian")
    assert (wrong.code, "no branch, tag or commit 'mian'" in wrong.err) == (2, True)
    assert "Did you mean main?" in wrong.err
    other = run("refresh", "-c", "nowhere")
    assert (other.code, "was not made from a repository" in other.err) == (2, True)


def test_an_uploaded_file_is_deleted_with_its_document(run: Callable[..., Ran], empty: Path) -> None:
    with closing(Jobs(empty / "jobs.db")) as jobs:
        uploads = Uploads(empty)
        incoming = uploads.begin("default")
        incoming.begin_file("[bold]a.md")
        incoming.end_file()
        (path,) = uploads.accept(incoming, jobs).run.changed or ()
    Path(path).write_text("Text.")
    assert run("ingest", path).code == 0
    assert run("rm", "uploads/[bold]a.md").out == (
        "removed uploads/[bold]a.md\ndeleted uploads/[bold]a.md\n1 documents removed from 'default'\n"
    )
    assert not Path(path).exists()


def test_ingest_of_a_missing_path_does_nothing(run: Callable[..., Ran], empty: Path, tmp_path: Path) -> None:
    good = tmp_path / "a.md"
    good.write_text("Text.")
    ran = run("ingest", str(good), str(tmp_path / "[no]"), "--json")
    assert (ran.code, ran.out) == (2, "")
    assert f"{tmp_path}/[no] does not exist." in ran.err
    assert "Check the path" in ran.err
    assert not empty.exists()


def test_documents_whose_names_are_no_unicode(run: Callable[..., Ran], empty: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    path = tmp_path / "files" / "l\udce4tin.md"
    path.write_text("Text.")
    assert run("ingest", str(path), "--json").json["files"][0]["name"] == "l?tin.md"
    assert run("documents").code == 0
    assert run("rm", str(path)).code == 0
    ran = run("ingest", str(tmp_path / "n\udce4"))
    assert ran.code == 2
    assert "does not exist" in ran.err


# --- errors ---------------------------------------------------------------------------------------------------


def tree(cls: type[e.RagError]) -> list[type[e.RagError]]:
    """Of rag: what another package adds for itself passes through no service."""
    of_rag = (child for child in cls.__subclasses__() if child.__module__.startswith("rag."))
    return [cls, *(found for child in of_rag for found in tree(child))]


def test_every_error_has_its_exit_code_and_no_traceback(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        2: "AccessError KeyMissing KeyRefused ScopeMissing BadRequest BadParameter BadSetting "
        "UnknownModel BackupUnreadable BadName BadFileName ConfirmationNeeded "
        "IdempotencyKeyReused NotReplaceable OutOfDate QuestionTooLong UploadTooLarge "
        "UrlNotAllowed NotFound AnswerNotFound CollectionNotFound ConversationNotFound "
        "DocumentNotFound JobNotFound KeyNotFound ModelNotFound OriginalNotFound RefNotFound SymbolNotFound "
        "AmbiguousName PathNotAllowed SourceMissing ContextTooLong CollectionExists NotEmpty",
        3: "StoreError DataFolderInUse DiskFull StoreUnavailable ModelUnavailable "
        "EmbedderUnavailable RerankerUnavailable NotEnoughMemory ServiceError "
        "ClusterUnavailable CollectionBusy ConversationBusy IdempotencyKeyBusy Overloaded RateLimited PortInUse "
        "ServiceStopping ServiceUnreachable TimedOut",
    }
    codes = {name: code for code, names in expected.items() for name in names.split()}
    for kind in tree(e.RagError):
        monkeypatch.setattr(api.asking, "open_rag", broken(kind("What [is] wrong.", "The [way] out.")))
        ran = run("ask", "x", "--json")
        assert (kind.__name__, ran.code) == (kind.__name__, codes.get(kind.__name__, 1))
        assert ran.out == ""
        assert ran.err == "error: What [is] wrong.\n  The [way] out.\n"
    kinds = [kind for kind, _ in EXIT_CODES]
    assert not [(a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :] if issubclass(b, a)]
    assert exit_code(e.SourceEmpty("x")) == 1


def test_a_table_that_no_terminal_shows_is_not_padded(run: Callable[..., Ran]) -> None:
    ran = run("ask", "How long does the battery last?")
    assert "searched  " in ran.out
    assert [line for line in ran.out.splitlines() if line != line.rstrip()] == []


def test_an_interrupt_ends_with_130_and_no_traceback(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, arguments in (
        (api.asking, ["ask", "x"]),
        (api.cli, ["search", "x"]),
        (ingest.cli, ["documents"]),
    ):
        monkeypatch.setattr(module, "open_rag", broken(KeyboardInterrupt()))
        ran = run(*arguments)
        assert (ran.code, ran.out) == (130, "")


def test_bad_settings_name_the_variable(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBOOK_PORTT", "1")
    ran = run("documents")
    assert ran.code == 2
    assert "OPENBOOK_PORTT" in ran.err
    assert "OPENBOOK_PORT?" in ran.err
    monkeypatch.delenv("OPENBOOK_PORTT")
    ran = run("serve", "--port", "99999")
    assert ran.code == 2
    assert "OPENBOOK_PORT" in ran.err


def test_wrong_usage_is_exit_code_2(run: Callable[..., Ran]) -> None:
    for arguments in (
        ["ask"],
        ["nope"],
        ["ingest"],
        ["ask", "x", "--nope"],
        ["ask", "x", "--max-context-tokens", "0"],
    ):
        ran = run(*arguments)
        assert (ran.code, ran.out) == (2, ""), arguments
        assert ran.err


def test_an_owner_that_is_no_service_is_named(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path / "own"))
    (tmp_path / "a.md").write_text("Text.")
    commands = (
        ["ask", "x"],
        ["search", "x"],
        ["documents"],
        ["status"],
        ["rm", "x"],
        ["ingest", str(tmp_path / "a.md")],
    )
    with owner.claim(tmp_path / "own", "openbook ingest") as held:
        for arguments in commands:
            ran = run(*arguments, "--json")
            assert (ran.code, ran.out) == (3, ""), arguments
            assert f"in use by process {held.record.pid} (openbook ingest)" in ran.err
            assert "OPENBOOK_DATA_DIR" in ran.err


# --- through a service ------------------------------------------------------------------------------------------


def test_what_a_service_can_do_wrong_is_said_without_a_traceback(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, template: Path
) -> None:
    def lost(_request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("peer closed connection")

    def slow(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out")

    sse = {"content-type": "text/event-stream"}
    services: list[tuple[Callable[[httpx.Request], httpx.Response], str]] = [
        (lost, "cannot be reached or ended its reply"),
        (slow, "did not answer in time"),
        (lambda _: httpx.Response(200, text="<html>"), ""),
        (lambda _: httpx.Response(200, json={"of": "another version"}), ""),
        (lambda _: httpx.Response(502, text="Bad Gateway"), "The service answered 502: Bad Gateway"),
        (lambda _: httpx.Response(200, headers=sse, content=b""), ""),
        (lambda _: httpx.Response(200, headers=sse, content=b"event: new\ndata: {}\n\n"), ""),
        (lambda _: httpx.Response(200, headers=sse, content=b"event: answer\ndata: {}\n\n"), ""),
        (lambda _: httpx.Response(200, headers=sse, content=b"event: error\ndata: 7\n\n"), ""),
    ]
    for service, expected in services:
        remote = Remote("http://127.0.0.1:1", transport=httpx.MockTransport(service))
        for module in (api.asking, api.cli, ingest.cli):
            monkeypatch.setattr(module, "find_service", lambda _folder, remote=remote: remote)
        # Whole replies, and a stream: the other commands read theirs by the same two functions.
        for arguments in (["search", "x"], ["ask", "x"], ["ingest", str(template)]):
            ran = run(*arguments, "--json")
            assert (ran.code, ran.out) == (3, ""), (arguments, expected)
            assert expected in ran.err
            assert len(ran.err.splitlines()) >= 2, ran.err
            assert "\n  " in ran.err


def test_an_interrupt_of_a_wait_for_the_service_is_heard_at_once(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, template: Path
) -> None:
    """Within an event loop the first Ctrl-C would only be noted while the main thread waits for a socket."""
    remote = Remote("http://127.0.0.1:1", transport=httpx.MockTransport(broken(KeyboardInterrupt())))
    started = broken(AssertionError("an event loop was started"))
    for module in (api.asking, api.cli, ingest.cli):
        monkeypatch.setattr(module, "find_service", lambda _folder: remote)
        monkeypatch.setattr(f"{module.__name__}.asyncio.run", started)
        monkeypatch.setattr(f"{module.__name__}.asyncio.Runner", started)
    for arguments in (["ask", "x"], ["search", "x"], ["documents"], ["ingest", str(template)]):
        assert run(*arguments).code == 130


# --- doctor -------------------------------------------------------------------------------------------------------


def test_doctor_says_how_to_mend_each_failure(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        api.doctor, "embedder_of", broken(e.ModelNotInstalled("No [model].", "Run: make setup"))
    )
    monkeypatch.setattr(api.doctor, "PACKAGES", ("no-such-package-of-ours",))
    monkeypatch.setattr(api.doctor, "FREE_GIB", 10**9)
    monkeypatch.setenv("OPENBOOK_VLLM_PYTHON", str(tmp_path / "python"))
    monkeypatch.setenv("OPENBOOK_VLLM_MODEL", str(tmp_path / "model[1]"))
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path / "data"))
    ran = run("doctor", "--json")
    assert ran.code == 1
    found = {finding["name"]: finding for finding in ran.json}
    failed = {name for name, finding in found.items() if finding["verdict"] == "fail"}
    assert failed == {"packages", "store", "embedder", "vllm", "model", "tokenizer"}
    assert found["disk"]["verdict"] == "warn"
    assert all(finding["mend"] for finding in ran.json if finding["verdict"] != "ok")
    assert "lacks config.json, tokenizer.json, weights" in found["model"]["detail"]
    told = run("doctor")
    assert told.code == 1
    assert "fail embedder: No [model].\n       Run: make setup\n" in told.out
    assert "model[1] lacks" in told.out


def test_doctor_says_what_a_model_server_does(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_settings: object) -> str:
        raise e.ModelUnavailable("It is away.", "Start it.")

    monkeypatch.setenv("OPENBOOK_LLM_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setattr(api.doctor, "_served", away)
    for name in ("_embedder", "_tokenizer", "_store"):
        monkeypatch.setattr(api.doctor, name, broken(RuntimeError("a bug")))
    found = {finding["name"]: finding for finding in run("doctor", "--json").json}
    assert found["vllm"]["verdict"] == "ok"
    assert (found["model"]["verdict"], found["model"]["mend"]) == ("fail", "Start it.")
    assert found["store"]["detail"] == "RuntimeError('a bug')"
    assert found["store"]["mend"]


# --- the start ----------------------------------------------------------------------------------------------------

HEAVY = ("fastapi", "starlette", "uvicorn", "unstructured", "torch", "transformers", "sentence_transformers",
         "llama_index", "qdrant_client", "nltk", "spacy", "pandas", "openvino", "lxml", "charset_normalizer",
         "api.schemas")  # fmt: skip


@pytest.mark.process
@pytest.mark.parametrize(
    "arguments", [["--help"], ["status"], ["documents"], ["ingest", "--help"]], ids=" ".join
)
def test_what_takes_seconds_to_import_is_not_imported_by(arguments: list[str], tmp_path: Path) -> None:
    if arguments == ["documents"]:
        store = fake_store(tmp_path)
        store.close()
    code = (
        "import sys, openbook.cli\n"
        f"sys.argv = ['openbook', *{arguments!r}]\n"
        "try:\n    openbook.cli.main()\n"
        "except SystemExit:\n    pass\n"
        f"sys.stderr.write(repr(sorted(set({HEAVY!r}) & set(sys.modules))))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr.splitlines()[-1].endswith("[]"), ran.stderr


@pytest.mark.process
def test_a_worker_that_imports_the_script_imports_none_of_the_commands() -> None:
    code = "import sys, openbook.cli; print(sorted({'typer', 'rag', 'ingest', 'api'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
