"""The whole product with a real vLLM: ingest the samples, ask through REST and the command line, and stop."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from evals.simulator import trace
from evals.simulator.engine import Engine, Request, Virtual
from ingest.parse import parse
from ingest.sources import media_type_of
from rag import wire
from rag.prefill import Cost
from rag.prefix_cache import PrefixCache
from rag.types import Answer
from service import Service, children_of, gone_within

pytestmark = pytest.mark.vllm

BLOCK = 128  # tokens of a block of the prefix cache, as vLLM has them on a CPU

# A question that the small model of the test answers from what it reads; tests/sample_questions.json has more.
QUESTION, EXPECTED = "How much money did the committee approve for the year?", "18,400"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBOOK_")}
    running = Service(tmp_path_factory.mktemp("vllm"), environment).start()
    try:
        samples = Path(__file__).resolve().parent.parent / "samples"
        report = running.wait_ready().json("ingest", str(samples), "-c", "samples")
        assert {result["status"] for result in report["files"]} == {"added"}
        yield running
    finally:
        running.stop()


def check_answer(data: Any, samples: Path) -> Answer:
    """Right, cited, and each quotation word for word in its source at the offsets, page and lines given."""
    answer = wire.load(Answer, data)
    assert EXPECTED in answer.text
    assert any(EXPECTED in c.quote and c.grade == "exact" for c in answer.citations)
    for citation in answer.citations:
        path = next(path for path in samples.rglob("*") if path.as_uri() == citation.source)
        parsed = parse(path.read_bytes(), path.name, media_type_of(path))
        assert parsed.text[citation.span.start : citation.span.end] == citation.quote
        assert citation.place.line_start == 1 + parsed.text.count("\n", 0, citation.span.start)
        region = [region for region in parsed.regions if region.start <= citation.span.start][-1]
        assert (citation.place.page, citation.place.sheet) == (region.page, region.sheet)
        assert answer.text[citation.sentence.start : citation.sentence.end].strip()
    assert answer.receipt.usage is not None
    assert answer.receipt.usage.cached is not None
    assert answer.receipt.read
    assert answer.receipt.context_tokens <= answer.receipt.budget_tokens
    return answer


def test_rest_answers_with_citations_that_hold(service: Service, samples: Path) -> None:
    body = {"question": QUESTION, "collection": "samples"}
    reply = httpx.post(f"{service.url}/v1/answer", json=body, timeout=300)
    assert reply.status_code == 200, reply.text
    first = check_answer(reply.json(), samples)
    again = check_answer(httpx.post(f"{service.url}/v1/answer", json=body, timeout=300).json(), samples)
    assert again.text == first.text
    assert again.receipt.usage is not None
    # The same prompt once more: all but its last, unfinished cache block is not prefilled again.
    assert again.receipt.usage.cached is not None
    assert again.receipt.usage.cached >= again.receipt.usage.prompt - BLOCK


def test_rest_streams(service: Service, samples: Path) -> None:
    body = {"question": QUESTION, "collection": "samples", "stream": True}
    with (
        httpx.Client(timeout=300) as client,
        connect_sse(client, "POST", f"{service.url}/v1/answer", json=body) as source,
    ):
        events = [(event.event, json.loads(event.data)) for event in source.iter_sse()]
    names = [name for name, _ in events]
    assert names[0] == "reading"
    assert names[-1] == "answer"
    assert set(names[1:-1]) == {"piece"}
    answer = check_answer(events[-1][1], samples)
    assert "".join(data["text"] for name, data in events if name == "piece").startswith(answer.text)


def test_a_follow_up_finds_the_turn_before_it_in_the_prefix_cache(service: Service) -> None:
    made = httpx.post(f"{service.url}/v1/conversations", json={})
    receipts = []
    # Words of its own, so that nothing but the turn before can have filled the cache.
    for question in (
        "At which levels is the surge gate closed, and by whom?",
        "And when is it opened again?",
    ):
        # Few tokens, or the reply may circle; one that is cut has no count of what was cached.
        body = {
            "question": question,
            "collection": "samples",
            "conversation": made.json()["id"],
            "max_answer_tokens": 8,
        }
        reply = httpx.post(f"{service.url}/v1/answer", json=body, timeout=300)
        assert reply.status_code == 200, reply.text
        receipts.append(wire.load(Answer, reply.json()).receipt)
    first, second = receipts
    assert second.read[: len(first.read)] == first.read
    assert not [note for note in second.warnings if "anew" in note]
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.cached is not None
    assert second.usage.cached >= 0.9 * first.usage.prompt


def test_a_prompt_that_another_key_has_had_read_is_read_again(service: Service) -> None:
    """The same questions, so the same prompts but for the salt: who asks second learns nothing from the cache, be it
    through a collection or of the model itself."""
    question = "Which instrument hall keeps the spare gauges, and for how long?"
    said = [
        {"role": "user", "content": "Say no more than yes. " + "The gauge stands at the north gate. " * 40}
    ]

    def cached(key: str) -> list[tuple[int, int]]:
        """Of both prompts their tokens, and how many of these were cached."""
        headers = {"Authorization": f"Bearer {key}"}
        body = {"question": question, "collection": "samples", "max_answer_tokens": 8}
        reply = httpx.post(f"{service.url}/v1/answer", json=body, headers=headers, timeout=300)
        assert reply.status_code == 200, reply.text
        usage = wire.load(Answer, reply.json()).receipt.usage
        assert usage is not None
        assert usage.cached is not None
        chat = {"model": "answer", "messages": said, "max_tokens": 1}
        passed = httpx.post(f"{service.url}/v1/chat/completions", json=chat, headers=headers, timeout=300)
        assert passed.status_code == 200, passed.text
        counted = passed.json()["usage"]
        details = counted["prompt_tokens_details"] or {}
        return [(usage.prompt, usage.cached), (counted["prompt_tokens"], details.get("cached_tokens", 0))]

    first, second = (service.json("keys", "add", name)["key"] for name in ("first", "second"))
    read = cached(first)
    assert all(prompt > 2 * BLOCK for prompt, _ in read)
    assert [count for _, count in read] == [0, 0]
    assert cached(second) == read
    for (prompt, count), (again, found) in zip(read, cached(first), strict=True):
        assert (again, count) == (prompt, 0)
        assert found >= prompt - BLOCK, "under the first salt it is cached"


def test_what_was_warmed_is_not_prefilled_for_the_next_question(service: Service) -> None:
    service.run("pin", "samples/kittle-point.eml", "-c", "samples")
    try:
        (warmed,) = [
            step
            for step in service.json("warm", "-c", "samples")["warmed"]
            if "every question" in step["what"]
        ]
        assert warmed["tokens"] > 2 * BLOCK
        body = {"question": "Who keeps the spare seals?", "collection": "samples", "max_answer_tokens": 8}
        reply = httpx.post(f"{service.url}/v1/answer", json=body, timeout=300)
        assert reply.status_code == 200, reply.text
        receipt = wire.load(Answer, reply.json()).receipt
        assert receipt.read[0].source.endswith("kittle-point.eml")
        assert receipt.usage is not None
        # The token that warming generates may be the one that goes on, and fill a block.
        assert receipt.usage.cached is not None
        assert receipt.usage.cached == receipt.predicted_cached
        assert warmed["tokens"] // BLOCK <= receipt.usage.cached // BLOCK <= (warmed["tokens"] + 1) // BLOCK
        assert service.json("status")["warm_tokens"] >= receipt.usage.cached
    finally:
        service.run("unpin", "--all", "-c", "samples")


def test_command_line_answers(service: Service, samples: Path) -> None:
    check_answer(service.json("ask", QUESTION, "-c", "samples"), samples)
    told = service.run("ask", QUESTION, "-c", "samples").stdout
    assert EXPECTED in told
    assert "committee-minutes.docx" in told
    assert "first_token" in told


def test_token_counts_are_those_of_the_server(service: Service) -> None:
    """What openbook packs by is what the server counts, give or take the chat template and joins."""
    reply = httpx.post(
        f"{service.url}/v1/answer",
        json={
            "question": QUESTION,
            "collection": "samples",
            "max_context_tokens": 3000,
            "max_answer_tokens": 1,
        },
        timeout=300,
    ).json()
    receipt = wire.load(Answer, reply).receipt
    assert receipt.usage is not None
    around = receipt.usage.prompt - receipt.context_tokens  # instructions, question, template
    assert -0.03 * receipt.context_tokens < around < 300


def test_prefill_is_calibrated_beside_the_service_and_gone_on_with(service: Service) -> None:
    first = service.json("calibrate", "--minutes", "0.3")
    assert first["samples"] == first["measured"] > 3
    assert first["of"]["block_size"] == BLOCK
    assert first["of"]["server"].startswith("vLLM ")
    assert any(row["warm_s"] < row["cold_s"] for row in first["table"])
    again = service.json("calibrate", "--minutes", "0.3")
    assert again["of"] == first["of"]
    assert again["samples"] == first["samples"] + again["measured"]


def model_server(service: Service) -> tuple[int, str]:
    """Its process id and address."""
    assert service.process is not None
    for pid in sorted(children_of(service.process.pid)):
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if any("api_server" in part for part in command) and not any("guard" in part for part in command):
            return pid, f"http://127.0.0.1:{command[command.index('--port') + 1]}"
    raise AssertionError("no model server runs below the service")


def test_the_mirror_and_the_simulator_count_cached_tokens_as_vllm_does(service: Service) -> None:
    """Other tests' prompts are in the cache, too, but it is large: nothing is evicted. benchmarks/cache_trace.py does
    the same where blocks are evicted all the time."""
    server = trace.Server(model_server(service)[1], end_id=2)
    mirror = server.cache()
    assert mirror.block_size == BLOCK
    cache = PrefixCache(BLOCK, mirror.capacity_blocks)
    clock = Virtual(Engine(cache, Cost(0, 1e-3, 0), 1e-3, async_scheduling=False))
    for played in trace.play(trace.steps(30, seed=1, longest=500), server.ask):
        simulated = clock.submit(Request(played.prompt, played.generated, 9, played.salt))
        clock.run()
        counts = (trace.predicted(mirror, played), simulated.cached)
        assert counts == (played.cached, played.cached), played.kind
    server.close()


def test_a_killed_model_server_comes_back(service: Service, samples: Path) -> None:
    os.kill(model_server(service)[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while httpx.get(f"{service.url}/readyz").status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    down = httpx.post(f"{service.url}/v1/answer", json={"question": QUESTION, "collection": "samples"})
    assert (down.status_code, down.json()["code"]) == (503, "ModelUnavailable")
    assert httpx.post(
        f"{service.url}/v1/search", json={"query": QUESTION, "collection": "samples"}
    ).is_success, "search needs no model"
    service.wait_ready()
    check_answer(service.json("ask", QUESTION, "-c", "samples"), samples)


def test_stopping_leaves_nothing_behind(service: Service) -> None:
    assert service.process is not None
    below = children_of(service.process.pid)
    assert below
    assert service.stop(signal.SIGINT) == 0
    assert gone_within(below, 1)
    assert not (service.data / "owner.json").exists()


def test_a_killed_service_leaves_no_orphan_and_the_command_line_works_alone(
    service: Service, samples: Path
) -> None:
    service.start()
    deadline = time.monotonic() + 60
    assert service.process is not None
    while len(children_of(service.process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    below = children_of(service.process.pid)
    assert len(below) >= 2
    service.stop(signal.SIGKILL)
    assert gone_within(below, 30)
    # No service now: the command starts a model server of its own, and ends it.
    check_answer(service.json("ask", QUESTION, "-c", "samples"), samples)
