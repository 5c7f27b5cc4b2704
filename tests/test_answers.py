"""Past answers are kept with their receipts, as many as is set, and read back as they were given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fake_engine import engine_over, fake_store, ingested
from rag.answers import FILE, Answers
from rag.errors import AnswerNotFound
from rag.types import Answer, Receipt
from rest import OWNER
from service_in_process import serving

RECEIPT = Receipt("c", 1, 1, 1, (), (), 0, 0, "a model", None)


def answer(question: str) -> Answer:
    return Answer(question, "Yes.", True, None, (), (), "stop", RECEIPT)


def test_the_newest_are_kept_by_collection_and_read_back(tmp_path: Path) -> None:
    answers = Answers(tmp_path / FILE, most=3)
    kept = [answers.keep(["a", "b"] if i % 2 else ["a"], answer(f"Question {i}?")) for i in range(5)]
    answers.close()
    answers = Answers(tmp_path / FILE, most=3)
    page = answers.newest()
    assert (page.total, [each.question for each in page.answers]) == (
        3,
        ["Question 4?", "Question 3?", "Question 2?"],
    )
    assert [each.question for each in answers.newest("b").answers] == ["Question 3?"]
    assert answers.newest("a", offset=1, limit=1).answers == page.answers[1:2]
    assert answers.newest("absent").total == 0
    assert answers.get(kept[4].id).answer == kept[4]
    answers.delete(kept[4].id)
    for id_ in (kept[0].id, kept[4].id, "nope", "0" * 32):
        with pytest.raises(AnswerNotFound):
            answers.get(id_)


def test_nothing_is_kept_or_written_where_none_are_wanted(tmp_path: Path) -> None:
    answers = Answers(tmp_path / FILE, most=0)
    assert answers.keep(["a"], answer("A secret?")).id == ""
    assert not list(tmp_path.iterdir())


def test_an_answer_is_given_though_it_cannot_be_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"no database, but more than a hundred bytes of something else" * 3)
    kept = Answers(tmp_path / FILE, most=3).keep(["a"], answer("Why?"))
    assert (kept.id, kept.text) == ("", "Yes.")
    assert FILE in caplog.text


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    store = fake_store(tmp_path)
    (tmp_path / "gauge.md").write_text("The battery of the gauge lasts 400 days.")
    engine = engine_over(store, tmp_path)
    engine.rag.answers = Answers(tmp_path / FILE, most=10)
    ingested(engine, tmp_path / "gauge.md")
    async with serving(engine) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client
    engine.rag.answers.close()
    store.close()


@pytest.mark.process
async def test_an_answer_is_found_again_by_its_id(client: httpx.AsyncClient) -> None:
    asked = (await client.post("/v1/answer", json={"question": "How long does the battery last?"})).json()
    found = await client.get(f"/v1/answers/{asked['id']}")
    assert found.json()["answer"] == asked
    assert found.json()["summary"]["collections"] == ["default"]
    tag = {"If-None-Match": found.headers["etag"]}
    assert (await client.get(f"/v1/answers/{asked['id']}", headers=tag)).status_code == 304
    assert (await client.get("/v1/answers")).status_code == 401
    listed = (await client.get("/v1/answers", params={"collection": "default"}, headers=OWNER)).json()
    assert (listed["total"], listed["answers"]) == (1, [found.json()["summary"]])
    assert (await client.delete(f"/v1/answers/{asked['id']}", headers=OWNER)).status_code == 204
    gone = await client.get(f"/v1/answers/{asked['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "AnswerNotFound")


@pytest.mark.process
async def test_the_answer_of_a_stream_has_an_id_too(client: httpx.AsyncClient) -> None:
    body = {"question": "How long does the battery last?", "stream": True}
    text = (await client.post("/v1/answer", json=body)).text
    (listed,) = (await client.get("/v1/answers", headers=OWNER)).json()["answers"]
    assert listed["id"] in text
