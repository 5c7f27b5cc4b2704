"""/docs, and the link to the page: nothing is fetched from elsewhere, and no key comes into a log."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from api.page_cli import link
from fake_engine import TOKEN, fake_engine
from openbook.app import app as commands
from service_in_process import serving

pytestmark = pytest.mark.process  # of which it starts none; but a service takes seconds


async def test_every_path_is_told_and_nothing_is_fetched(tmp_path: Path) -> None:
    with fake_engine(tmp_path) as engine:
        async with serving(engine) as app:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                reply = await client.get("/docs")
                paths = (await client.get("/openapi.json")).json()["paths"]
                fetched = re.findall(r'(?:src|href)="([^"]*)"', reply.text)
                assert reply.headers["content-type"].startswith("text/html")
                assert all(f" {path}</code>" in reply.text for path in paths)
                assert "What to answer from the collection" in reply.text
                assert "<script" not in reply.text
                assert fetched == ["/page/reference.css", "/openapi.json"]
                assert [(await client.get(each)).status_code for each in fetched] == [200, 200]
                assert (await client.get("/redoc")).status_code == 404


def test_the_link_to_the_page_has_the_key_of_the_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path))
    alone = CliRunner().invoke(commands, ["page"])
    assert alone.exit_code != 0
    with fake_engine(tmp_path) as engine:
        engine.owner.announce("http://127.0.0.1:8080")
        monkeypatch.setattr("rag.owner.find", lambda _folder: engine.owner.record)
        told = CliRunner().invoke(commands, ["page"])
    assert (
        told.stdout.strip() == link("http://127.0.0.1:8080", TOKEN) == f"http://127.0.0.1:8080/#key={TOKEN}"
    )
