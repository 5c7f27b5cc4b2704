"""Who may what: every route with every kind of caller, made from the routes, so that a new one without a rule fails."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route

from api.app import create_app
from api.caller import SCOPES
from api.keys import FILE, Keys
from api.rules import Rule, rule_of
from fake_engine import TOKEN, fake_engine
from fakes import FakeGenerator
from rag.compose import Engine
from service_in_process import within

HERE, ELSEWHERE = "127.0.0.1", "0.0.0.0"  # where the service is bound
MINE = "mine"


opened: list[Engine] = []


@cache
def built(host: str) -> FastAPI:
    """Once for all tests: its state begins and ends with each lifespan."""
    return create_app(lambda: nullcontext(opened[0]), host=host, warm_up=False)


@dataclass(frozen=True)
class Target:
    """A method of a route; ``names`` says that it names a collection."""

    method: str
    route: Route | APIRoute | Mount
    rule: Rule | None

    @property
    def names(self) -> bool:
        if not isinstance(self.route, APIRoute):
            return False
        body = self.route.body_field and self.route.body_field.field_info.annotation
        return (
            "/collections/{" in self.route.path
            or any(field.name == "collection" for field in self.route.dependant.query_params)
            or "collection" in getattr(body, "model_fields", {})
        )

    def __str__(self) -> str:
        return f"{self.method} {self.route.path}"

    async def ask(self, client: httpx.AsyncClient, authorization: str | None) -> httpx.Response:
        path = self.route.path.replace("{name}", MINE).replace("{collection}", MINE)
        path = re.sub(r"\{(\w+)[^}]*\}", r"\1", path) + ("/main.js" if isinstance(self.route, Mount) else "")
        headers = {"Authorization": authorization} if authorization else {}
        body: dict[str, Any] = {"json": {"collection": MINE}} if self.method not in ("GET", "HEAD") else {}
        return await client.request(
            self.method, path, params={"collection": MINE}, headers=headers, timeout=5, **body
        )


def targets() -> list[Target]:
    routes: list[BaseRoute] = built(HERE).routes
    return [
        Target(method, route, rule_of(route))
        for route in routes
        if isinstance(route, Route | APIRoute | Mount)
        for method in sorted((getattr(route, "methods", None) or {"GET", "POST", "DELETE"}) - {"HEAD"})
    ]


TARGETS = targets()
RULED = [(target, target.rule) for target in TARGETS if target.rule]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys").resolve()


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with fake_engine(folder, FakeGenerator("No.")) as engine:
        yield engine


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, str]:
    """What the holders of keys send: one with each scope alone, and others."""
    keys = Keys(folder / FILE)
    soon = datetime.now(UTC) + timedelta(hours=1)
    made: dict[str, str] = {
        scope: keys.add(f"only-{scope}", [scope], [MINE], expires_at=soon)[1] for scope in SCOPES
    }
    made["expired"] = keys.add("expired", SCOPES, expires_at=datetime.now(UTC) - timedelta(hours=1))[1]
    made["revoked"] = keys.add("revoked", SCOPES)[1]
    made["other's"] = keys.add("other", SCOPES, ["their*"])[1]
    keys.revoke("revoked")
    keys.close()
    made["wrong"] = made["admin"][:-1] + ("a" if made["admin"][-1] != "a" else "b")
    made["owner"] = TOKEN
    return made


@asynccontextmanager
async def client_of(engine: Engine, host: str) -> AsyncIterator[httpx.AsyncClient]:
    opened[:] = [engine]
    async with within(built(host)) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


def test_every_route_has_a_rule() -> None:
    assert len(TARGETS) > 30
    assert [str(target) for target in TARGETS if target.rule is None] == []


def test_what_writes_is_for_no_one_who_only_reads_or_asks() -> None:
    asking = {
        "/v1/answer",
        "/v1/context",
        "/v1/search",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/responses",
        "/v1/chat/completions",
    }
    of_tenants = {
        "/v1/conversations",
        "/v1/conversations/{id_}",
        "/v1/answers/{id_}",
        "/v1/responses/{id_}",
        "/mcp",
    }
    for target, rule in RULED:
        if target.method != "GET" and not rule.public and target.route.path not in asking | of_tenants:
            assert rule.writes, target
    assert {target.route.path for target, rule in RULED if rule.public} == {
        "/",
        "/healthz",
        "/page",
        "/readyz",
    }


@pytest.mark.parametrize("host", [HERE, ELSEWHERE])
@pytest.mark.parametrize("kind", [*SCOPES, "owner", "none", "wrong", "expired", "revoked", "other's"])
async def test_every_route_with_every_caller(
    engine: Engine, shown: dict[str, str], kind: str, host: str
) -> None:
    problems = []
    async with client_of(engine, host) as client:
        for target, rule in RULED:
            authorization = None if kind == "none" else f"Bearer {shown[kind]}"
            response = await target.ask(client, authorization)
            told = refusal(response)
            if told != (expected := refused(target, rule, kind, host)):
                problems.append(f"{target}: {told}, not {expected}")
    assert problems == []


def refusal(response: httpx.Response) -> str:
    """The error by which a caller is refused; empty for what was let through, whatever came of it."""
    assert response.status_code < 500 or response.status_code == 503, response.text
    if response.status_code == 401:
        assert response.headers["www-authenticate"] == "Bearer"
    elif response.status_code not in (403, 404):
        return ""
    body = response.json()
    if "error" in body:  # as OpenAI's clients expect it
        message = body["error"]["message"]
        body = {
            "detail": message,
            "code": "KeyMissing" if "needs a key" in message else body["error"]["code"],
        }
        body["code"] = "KeyRefused" if message.startswith("The key is") else body["code"]
    hidden = body["code"] == "CollectionNotFound" and "for this key" in body["detail"]
    return body["code"] if body["code"] in ("KeyMissing", "KeyRefused", "ScopeMissing") or hidden else ""


def refused(target: Target, rule: Rule, kind: str, host: str) -> str:
    if kind in ("wrong", "expired", "revoked"):
        return "KeyRefused"
    if rule.public or kind == "owner":
        return ""
    if kind == "none":
        local = host == HERE and not rule.keyed and ({"read", "ask"} & set(rule.scopes) or rule.local)
        return "" if local else "KeyMissing"
    if kind == "other's" and rule.scopes:
        return "CollectionNotFound" if target.names else ""
    return "" if kind in rule.scopes else "ScopeMissing"


async def test_the_files_of_the_page_need_no_key(engine: Engine) -> None:
    async with client_of(engine, ELSEWHERE) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/page/index.html")).status_code == 200
        assert (await client.get("/pages")).status_code == 401
        for around in ("/page/../v1/status", "/page/%2e%2e/v1/status", "/page//v1/status"):
            assert (await client.get(around)).status_code in (401, 404)
