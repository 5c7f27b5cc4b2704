"""Keys: what is kept of them, the command line, and what a service does with them."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from api.audit import FILE as AUDIT
from api.authentication import Access
from api.keys import FILE, Keys
from api.serve import serve
from fake_engine import TOKEN, fake_engine, ingested
from openbook.app import app as command
from rag import data_format
from rag import errors as e
from rag.compose import Engine
from rag.conversations import Conversations
from rag.settings import load_settings
from service_in_process import serving


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    keys = Keys(tmp_path / "engine" / FILE)
    yield keys
    keys.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with fake_engine(tmp_path / "engine") as engine:
        yield engine


@asynccontextmanager
async def client_of(
    engine: Engine, key: str = "", access: Access | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with serving(engine, access=access or Access()) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8080", headers=headers
        ) as client:
            yield client


def test_only_a_hash_is_kept_and_nobody_else_reads_the_file(keys: Keys, tmp_path: Path) -> None:
    key, shown = keys.add("alice", ["ask"], ["team*"])
    assert keys.find(shown).id == key.id
    secret = shown.split("_", 2)[2]
    assert len(secret) >= 43  # of 256 bits
    for path in (tmp_path / "engine").iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert secret.encode() not in path.read_bytes()


def test_what_is_no_key_any_more_is_refused(keys: Keys) -> None:
    _, shown = keys.add("alice", ["ask"])
    _, old = keys.add("bob", ["ask"], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    keys.revoke("alice")
    for each, why in (
        (shown, "revoked"),
        (old, "expired"),
        (shown[:-2] + "xx", "not known"),
        ("é", "not known"),
    ):
        with pytest.raises(e.KeyRefused, match=why):
            keys.find(each)
    with pytest.raises(e.KeyNotFound):
        keys.revoke("alice")
    assert not keys.any_valid()


def test_a_name_is_free_again_when_its_key_is_revoked(keys: Keys) -> None:
    first, _ = keys.add("alice", ["ask"])
    with pytest.raises(e.BadRequest, match="revoke alice"):
        keys.add("alice", ["ask"])
    keys.revoke(first.id)
    second, _ = keys.add("alice", ["ask"])
    assert [key.id for key in keys.all()] == [first.id, second.id]


def test_its_last_use_is_known(keys: Keys) -> None:
    _, shown = keys.add("alice", ["ask"])
    assert keys.all()[0].used_at is None
    keys.find(shown)
    assert keys.all()[0].used_at


def test_the_command_line() -> None:
    runner = CliRunner()
    made = json.loads(
        runner.invoke(command, ["keys", "add", "ci", "--scope", "write", "--expires", "30d", "--json"]).stdout
    )
    assert made["scopes"] == ["write"]
    assert made["collections"] == ["*"]
    assert made["key"].startswith(f"openbook_{made['id']}_")
    assert 29 <= (datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)).days <= 30
    listed = runner.invoke(command, ["keys", "list", "--json"]).stdout
    assert made["key"] not in listed
    assert json.loads(listed)[0]["state"] == "valid"
    assert json.loads(runner.invoke(command, ["keys", "revoke", "ci", "--json"]).stdout)["state"] == "revoked"


@pytest.mark.parametrize(
    "arguments",
    [["x", "--scope", "all"], ["x", "--expires", "soon"], ["x", "--expires", "2020-01-01"], [" "]],
)
def test_what_makes_no_key(arguments: list[str]) -> None:
    done = CliRunner().invoke(command, ["keys", "add", *arguments])
    assert isinstance(done.exception, e.BadRequest)
    assert done.exception.hint


@pytest.mark.process
def test_nobody_else_is_served_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.serve.configure_logging", lambda *_: None)
    with pytest.raises(e.BadSetting, match="openbook keys add"):
        serve(load_settings(host="0.0.0.0", port=18431))


def test_conversations_are_of_one_tenant_and_those_of_older_files_are_the_owners(tmp_path: Path) -> None:
    id_ = "0" * 32
    with closing(sqlite3.connect(tmp_path / "conversations.db")) as old, old:
        old.execute("CREATE TABLE conversations (id TEXT PRIMARY KEY, created_at, used_at, turns, title)")
        old.execute("INSERT INTO conversations VALUES (?, '1', '1', 0, 'old')", (id_,))
    data_format.bring_up(tmp_path)
    mine = Conversations(tmp_path / "conversations.db")
    assert mine.get(id_).title == "old"
    mine.delete(id_)
    yours = mine.of("you")
    made = yours.create()
    assert mine.newest() == []
    assert [each.id for each in yours.newest()] == [made.id]
    for done in (mine.get, mine.transcript, mine.delete, mine.turns):
        with pytest.raises(e.ConversationNotFound):
            done(made.id)
    with mine.taking_turn(made.id), yours.taking_turn(made.id):
        pass
    mine.close()


async def test_a_proxy_on_this_machine_passes_on_strangers(engine: Engine) -> None:
    async with client_of(engine) as client:
        assert (await client.get("/v1/status")).status_code == 200
        for header in ("X-Forwarded-For", "Forwarded", "Via"):
            assert (await client.get("/v1/status", headers={header: "x"})).status_code == 401
    async with client_of(engine, access=Access(require_key=True)) as client:
        assert (await client.get("/v1/status")).status_code == 401
        assert (await client.get("/readyz")).json()["checks"] == {}


async def test_pages_of_other_sites_change_nothing(engine: Engine) -> None:
    wiki = "https://wiki.example"
    asked = {"json": {}, "headers": {"Origin": wiki}}
    async with client_of(engine, TOKEN) as client:
        refused = await client.post("/v1/conversations", **asked)  # type: ignore[arg-type]
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
        own = await client.post("/v1/conversations", json={}, headers={"Origin": "http://127.0.0.1:8080"})
        assert own.status_code == 201
    async with client_of(engine, TOKEN, Access(origins=(wiki,))) as client:
        done = await client.post("/v1/conversations", **asked)  # type: ignore[arg-type]
        assert (done.status_code, done.headers["access-control-allow-origin"]) == (201, wiki)


async def test_every_reply_tells_browsers_what_a_page_may(engine: Engine) -> None:
    async with client_of(engine) as client:
        for path in ("/healthz", "/nothing", "/v1/documents?collection=nope"):
            headers = (await client.get(path)).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"


async def test_writes_are_told_in_the_data_folder_and_no_secret_anywhere(
    engine: Engine, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key, shown = keys.add("alice", ["read", "write"], ["team*"])
    secret = shown.split("_", 2)[2]
    async with client_of(engine, shown) as client:
        await client.get(f"/v1/status?key={shown}")
        await client.post("/v1/pinned", json={"collection": "team", "names": ["private.md"]})
        await client.post("/v1/pinned", json={"collection": "theirs", "names": ["private.md"]})
        client.headers["authorization"] = f"Bearer {shown[:-1]}"
        await client.post("/v1/pinned", json={"names": ["private.md"]})
    written = (engine.owner.folder / AUDIT).read_text()
    lines = [json.loads(line) for line in written.splitlines() if line]
    assert [(line["by"], line["key"], line["route"], line["status"]) for line in lines] == [
        ("alice", key.id, "/v1/pinned", 404),
        ("alice", key.id, "/v1/pinned", 404),
    ]
    assert [line["collections"] for line in lines] == [["team"], []]
    assert "private.md" not in written
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert any("/v1/status" in line for line in ours)
    for hidden in (secret[:-1], TOKEN):
        assert hidden not in written + "".join(ours)


async def test_a_key_has_so_many_requests_a_minute_and_others_theirs(engine: Engine, keys: Keys) -> None:
    access = Access(requests_per_minute=2)
    async with client_of(engine, keys.add("alice", ["read"])[1], access) as client:
        replies = [await client.get("/v1/status") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        assert '"requests";r=1;' in replies[0].headers["ratelimit"]
        assert replies[0].headers["ratelimit-policy"].startswith('"requests";q=2;w=60, "tokens"')
        assert replies[2].json()["code"] == "RateLimited"
        assert 1 <= int(replies[2].headers["retry-after"]) <= 60
        for other in (keys.add("bob", ["read"])[1], TOKEN):
            headers = {"Authorization": f"Bearer {other}"}
            assert (await client.get("/v1/status", headers=headers)).status_code == 200


async def test_tokens_are_counted_when_they_are_used(engine: Engine, keys: Keys, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The battery of the gauge lasts 400 days.")
    ingested(engine, note)
    async with client_of(engine, keys.add("alice", ["ask"])[1], Access(tokens_per_minute=50)) as client:
        asked = {"question": "How long does the battery last?"}
        first = await client.post("/v1/answer", json=asked)
        assert first.status_code == 200
        refused = await client.post("/v1/answer", json=asked)
        assert refused.status_code == 429
        assert "tokens" in refused.json()["detail"]
        assert '"tokens";r=0;' in refused.headers["ratelimit"]
