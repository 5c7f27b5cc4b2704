"""Responses that OpenAI's clients had stored: whose they are, how long they last, and what is left of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.keys import FILE as KEYS
from api.keys import Keys
from fake_engine import REPLY, keeping_answers
from fakes import FakeGenerator
from openapi_check import mismatches
from rag.answers import Answers
from rag.compose import Engine
from rest import OWNER, reached

pytestmark = pytest.mark.process  # of which they start none; but a service for each takes seconds

PATH = "/v1/responses"
ASKED: dict[str, Any] = {"model": "openbook/default", "input": "How long does the battery last?"}


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator(REPLY)


@pytest.fixture
def engine(tmp_path: Path, generator: FakeGenerator) -> Iterator[Engine]:
    with keeping_answers(tmp_path, generator, 2) as engine:
        yield engine


def missing(reply: httpx.Response) -> None:
    assert reply.status_code == 404, reply.text
    error = reply.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("not_found_error", "NotFound", None)


async def answered(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    reply = await client.post(PATH, json=ASKED | more)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def test_a_response_outlasts_the_process_and_is_gone_on_with(
    engine: Engine, generator: FakeGenerator
) -> None:
    async with reached(engine) as client:
        first = await answered(client)
    async with reached(engine) as client:
        assert (await client.get(f"{PATH}/{first['id']}")).json() == first
        second = await answered(client, input="And in winter?", previous_response_id=first["id"])
        assert [message.content for message in generator.sent[-1]][2] == REPLY
        assert second["previous_response_id"] == first["id"]


async def test_it_is_as_the_description_says(engine: Engine) -> None:
    async with reached(engine) as client:
        made, document = await answered(client), (await client.get("/openapi.json")).json()
        for path, method in (("", "get"), ("/input_items", "get"), ("", "delete")):
            described = document["paths"][f"{PATH}/{{id_}}{path}"][method]["responses"]
            assert "422" not in described
            reply = await client.request(method, f"{PATH}/{made['id']}{path}", headers=OWNER)
            assert reply.status_code == 200
            schema = described["200"]["content"]["application/json"]["schema"]
            assert mismatches(reply.json(), schema, document) == []
        assert reply.json() == {"id": made["id"], "object": "response", "deleted": True}


async def test_one_that_is_forgotten_leaves_no_past_answer(engine: Engine) -> None:
    async with reached(engine) as client:
        kept, unkept = await answered(client), await answered(client, store=False)
        assert (kept["store"], unkept["store"]) == (True, False)
        missing(await client.get(f"{PATH}/{unkept['id']}"))
        assert (await client.get("/v1/answers", headers=OWNER)).json()["total"] == 1
        unkeyed = await client.delete(f"{PATH}/{kept['id']}")
        assert (unkeyed.status_code, unkeyed.json()["error"]["type"]) == (401, "authentication_error")
        assert (await client.delete(f"{PATH}/{kept['id']}", headers=OWNER)).status_code == 200
        for method, path in (("GET", ""), ("GET", "/input_items"), ("DELETE", "")):
            missing(await client.request(method, f"{PATH}/{kept['id']}{path}", headers=OWNER))
        assert (await client.get("/v1/answers", headers=OWNER)).json()["total"] == 0
        gone_on = await client.post(PATH, json=ASKED | {"previous_response_id": kept["id"]})
        assert (gone_on.status_code, gone_on.json()["error"]["param"]) == (400, "previous_response_id")


async def test_it_goes_with_its_past_answer(engine: Engine) -> None:
    async with reached(engine) as client:
        made = [await answered(client) for _ in range(3)]
        missing(await client.get(f"{PATH}/{made[0]['id']}"))  # two are kept
        assert (await client.get(f"{PATH}/{made[1]['id']}")).status_code == 200
        newest = (await client.get("/v1/answers", headers=OWNER)).json()["answers"][0]["id"]
        assert (await client.delete(f"/v1/answers/{newest}", headers=OWNER)).status_code == 204
        missing(await client.get(f"{PATH}/{made[2]['id']}"))


async def test_where_no_answers_are_kept_none_is_stored(engine: Engine) -> None:
    engine.rag.answers = Answers()
    async with reached(engine) as client:
        made = await answered(client, store=True)
        assert made["store"] is False
        missing(await client.get(f"{PATH}/{made['id']}"))


async def test_it_is_there_for_the_tenant_that_asked_and_for_nobody_else(
    engine: Engine, tmp_path: Path
) -> None:
    keys = Keys(tmp_path / KEYS)
    mine, ours, theirs = (
        {"Authorization": f"Bearer {keys.add(name, ['ask'], tenant=tenant)[1]}"}
        for name, tenant in (("mine", "us"), ("ours", "us"), ("theirs", ""))
    )
    keys.close()
    async with reached(engine) as client:
        made = (await client.post(PATH, json=ASKED, headers=mine)).json()
        path = f"{PATH}/{made['id']}"
        for other in (theirs, OWNER, {}):
            missing(await client.get(path, headers=other))
            missing(await client.get(f"{path}/input_items", headers=other))
            assert (await client.delete(path, headers=other)).status_code == (404 if other else 401)
            going_on = ASKED | {"previous_response_id": made["id"]}
            assert (await client.post(PATH, json=going_on, headers=other)).status_code == 400
        assert (await client.get(path, headers=ours)).json() == made
        assert (await client.delete(path, headers=ours)).json()["deleted"] is True


async def test_items_are_listed_as_they_are_asked_for(engine: Engine) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASKED["input"]}]
    async with reached(engine) as client:
        path = f"{PATH}/{(await answered(client, input=said))['id']}/input_items"
        newest = (await client.get(path, params={"limit": 1})).json()
        assert (newest["data"][0]["role"], newest["has_more"]) == ("user", True)
        rest = (await client.get(path, params={"after": newest["last_id"]})).json()
        assert ([each["role"] for each in rest["data"]], rest["has_more"]) == (["system"], False)
        end = (await client.get(path, params={"after": rest["last_id"]})).json()
        assert (end["data"], end["first_id"], end["last_id"]) == ([], None, None)
        for params, name in (
            ({"after": "msg_0"}, "after"),
            ({"limit": 0}, "limit"),
            ({"order": "up"}, "order"),
        ):
            refused = await client.get(path, params=params)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)
        streamed = await client.get(path.removesuffix("/input_items"), params={"stream": True})
        assert (streamed.status_code, streamed.json()["error"]["param"]) == (400, "stream")
