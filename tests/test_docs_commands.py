"""Commands in the documentation are commands that there are: every one is parsed as it would be, and none is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.core import TyperGroup
from typer.exceptions import TyperException

import compose_file
import make_docs
from api.app import create_app
from compose_file import COMPOSE
from conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNS = ("up", "run", "exec", "logs", "cp", "ps", "build", "config", "stop")


def code(text: str) -> Iterator[str]:
    """Lines that are commands: of blocks that are set in or fenced as sh, and whole ones within a line."""
    text = re.sub(r"^```(?!sh\n)\w*\n.*?^```", "", text, flags=re.M | re.S)
    joined = re.sub(r" *\\\n *", " ", text)
    for line in joined.splitlines():
        if line.startswith("    "):
            yield re.split(r"\s{2,}", line.strip())[0]
        else:
            yield from re.findall(r"`([^`]+)`", line)


def commands(page: Path, program: str) -> list[list[str]]:
    """Words behind ``program``, wherever a command line calls it."""
    found: list[list[str]] = []
    begin = program.split()
    for line in code(page.read_text()):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # half of a sentence
            continue
        found += [part[len(begin) :] for part in parts(words) if part[: len(begin)] == begin]
    return found


def parts(words: list[str]) -> Iterator[list[str]]:
    """Each simple command, without variables before it or where its output goes; what a container runs, too."""
    part: list[str] = []
    for word in [*words, ";"]:
        if word in (";", "|", "&&"):
            yield from _inner(part)
            part = []
        else:
            part.append(word)


def _inner(part: list[str]) -> Iterator[list[str]]:
    while part and re.match(r"[A-Z_]+=", part[0]):
        part = part[1:]
    part = part[: next((i for i, word in enumerate(part) if word.startswith((">", "<"))), len(part))]
    if part:
        yield [part[0].rpartition("/")[2] if part[0].endswith("/openbook") else part[0], *part[1:]]
    if part[:2] == ["docker", "compose"] and "openbook" in part:
        inside = part[part.index("openbook") + 1 :]
        if inside[:1] == ["openbook"]:
            yield inside


def parse(words: list[str]) -> None:
    """Raises TyperException where openbook would exit with 2, and KeyError for a command that there is not."""
    command = make_docs.APP
    while isinstance(command, TyperGroup) and words and words[0][0] not in "-.":
        name, *words = words
        command = command.commands[name]
    if words and words != ["..."]:
        command.make_context(command.name, words)


NAMES = ("MS", "N", "P", "ID", "NAME")  # what a reader fills in


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_openbooks_commands_are_parsed(page: Path) -> None:
    for words in commands(page, "openbook"):
        if not words or words[0] not in make_docs.COMMANDS:
            continue  # a sentence that begins so; test_docs.py looks at its second word
        plain = ["1" if word in NAMES else word for word in words]
        try:
            parse(plain)
        except (TyperException, KeyError) as error:
            pytest.fail(f"{page.name}: openbook {shlex.join(words)}: {error!r}")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_composes_commands_name_what_there_is(page: Path) -> None:
    services = compose_file.services(COMPOSE)
    profiles = {profile for each in services.values() for profile in each.get("profiles", ())}
    for words in commands(page, "docker compose"):
        named = [words[i + 1] for i, word in enumerate(words) if word == "--profile"]
        assert set(named) <= profiles, words
        files = [words[i + 1] for i, word in enumerate(words) if word == "-f" and "compose" in words[1]]
        assert [file for file in files if not (ROOT / file).exists()] == []
        rest = [word for word in words if not word.startswith("-") and word not in (*named, *files)]
        assert rest[0] in RUNS, words
        for word in rest[1:]:
            target = word.partition(":")[0]
            if re.fullmatch(r"[a-z-]+", target) and target not in ("root", "chown"):
                assert target in services, words
            break


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_targets_and_scripts_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(page, "make"):
        if len(words) == 1:
            assert words[0] in targets, words
    scripts = re.findall(r"\bscripts/[\w.]+\w", page.read_text())
    assert [script for script in scripts if not (ROOT / script).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    for file, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", page.read_text()):
        target = (page.parent / file).resolve() if file else page
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in {slug(heading) for heading in headings}, f"{page.name}: {file}#{anchor}"


def slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def test_messages_are_those_that_openbook_prints() -> None:
    """Of the first column of troubleshooting.md, piece by piece between the names."""
    sources = [path for name in ("rag", "api", "ingest") for path in (ROOT / name).rglob("*.py")]
    printed = "\n".join(path.read_text() for path in [*sources, COMPOSE])
    told = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(told) > 15
    pieces = [piece.strip() for message in told for piece in message.split("…") if piece.strip()]
    assert [piece for piece in pieces if piece not in printed] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_lines_for_env_are_of_variables_that_compose_reads(page: Path) -> None:
    named = set(re.findall(r"\becho '?([A-Z_]+)=[^>]*>> \.env", page.read_text()))
    assert named <= compose_file.documented(COMPOSE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_images_are_those_of_the_compose_files(page: Path) -> None:
    files = [COMPOSE, *sorted((ROOT / "deploy" / "cluster").glob("*.yml"))]
    used = {
        each["image"] for file in files for each in compose_file.services(file).values() if "image" in each
    }
    names = "|".join(re.escape(image.partition(":")[0]) for image in used)
    assert set(re.findall(rf"\b(?:{names}):[\w.-]+", page.read_text())) <= used


@cache
def routes() -> list[re.Pattern[str]]:
    paths = [getattr(route, "path", "") for route in create_app(nullcontext).routes]  # type: ignore[arg-type]
    return [re.compile(re.sub(r"\{\w+(:path)?\}", "[^/]+", path) + "$") for path in paths if path]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_curl_asks_for_paths_that_there_are(page: Path) -> None:
    asked = {urlsplit(word).path for words in commands(page, "curl") for word in words if "://" in word}
    assert [path for path in asked if not any(route.match(path) for route in routes())] == []


@pytest.mark.process  # Ray takes seconds to import
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_rays_commands_are_parsed(page: Path) -> None:
    if found := commands(page, ".venv/bin/ray start"):
        from ray.scripts.scripts import start

        for words in found:
            start.make_context("start", words)


@pytest.mark.parametrize(
    "line",
    [
        "openbook ask x --no-such-option",
        "openbook keys mend alice",
        "docker compose exec openbook openbook ingest --colection team /documents",
        "A=1 .venv/bin/openbook target --bogus && true",
    ],
)
def test_a_wrong_command_is_found(tmp_path: Path, line: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"    {line}\n")
    (words,) = commands(page, "openbook")
    with pytest.raises((TyperException, KeyError)):
        parse(words)
