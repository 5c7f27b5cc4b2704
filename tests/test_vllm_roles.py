"""Two models of openbook's own beside each other, with a real vLLM each: one answers, one rewrites follow-ups, and
answers where the other has died."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import Service, alive, children_of, gone_within

pytestmark = pytest.mark.vllm

MODEL = Path(__file__).resolve().parent.parent / ".models" / "SmolLM2-135M-Instruct"
QUESTION, EXPECTED = "How much money did the committee approve for the year?", "18,400"
READY_S = 240  # on a machine that does other work, too


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBOOK_")} | {
        "OPENBOOK_VLLM_MAX_MODEL_LEN": "2048",
        "OPENBOOK_VLLM_KV_CACHE_GIB": "1",
        "OPENBOOK_VLLM_ARGS": "--max-num-seqs 4",
        "OPENBOOK_FAST_VLLM_MODEL": str(MODEL),
        "OPENBOOK_FAST_VLLM_MAX_MODEL_LEN": "2048",
        "OPENBOOK_FAST_VLLM_ARGS": "--max-num-seqs 4",
        "OPENBOOK_FALLBACK": "fast",
        "OPENBOOK_CONTEXT_TOKENS": "600",
        "OPENBOOK_ANSWER_TOKENS": "24",
        "OPENBOOK_WARM_UP": "false",
    }
    running = Service(tmp_path_factory.mktemp("roles"), environment).start()
    try:
        samples = MODEL.parent.parent / "samples"
        running.run("status", "--wait", check=False)
        running.json("ingest", str(samples / "committee-minutes.docx"), "-c", "samples")
        yield running
    finally:
        running.stop()


def asked(service: Service, question: str, **more: object) -> Any:
    body = {"question": question, "collection": "samples"} | more
    reply = httpx.post(f"{service.url}/v1/answer", json=body, timeout=120)
    assert reply.status_code == 200, reply.text
    return reply.json()


def states(service: Service) -> dict[str, bool]:
    told = httpx.get(f"{service.url}/v1/status", timeout=60).json()["models"]
    return {model["name"]: model["ok"] for model in told}


def until(service: Service, wanted: dict[str, bool]) -> None:
    deadline = time.monotonic() + READY_S
    while states(service) != wanted:
        assert time.monotonic() < deadline, service.log.read_text()[-3000:]
        time.sleep(0.5)


def model_servers(service: Service) -> list[int]:
    """Process ids, the first started first."""
    assert service.process is not None
    found = []
    for pid in sorted(children_of(service.process.pid)):
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if any("api_server" in part for part in command) and not any("guard" in part for part in command):
            found.append(pid)
    return found


def test_the_second_starts_when_the_first_is_ready(service: Service) -> None:
    assert (service.data / "logs" / "vllm.log").exists()
    until(service, {"answer": True, "fast": True})
    logs = [(service.data / "logs" / name).stat() for name in ("vllm.log", "vllm-fast.log")]
    assert len(model_servers(service)) == len(logs) == 2


def test_a_follow_up_is_rewritten_by_the_fast_one(service: Service) -> None:
    conversation = httpx.post(f"{service.url}/v1/conversations", json={}).json()["id"]
    first = asked(service, QUESTION, conversation=conversation)
    assert EXPECTED in first["text"]
    assert first["receipt"]["answered_by"] == "answer"
    follow_up = asked(service, "And who approved it?", conversation=conversation)
    assert follow_up["receipt"]["seconds"]["rewrite"] > 0
    assert not [note for note in follow_up["receipt"]["warnings"] if "rewritten" in note]


def test_a_request_names_one(service: Service) -> None:
    assert asked(service, QUESTION, model="fast")["receipt"]["answered_by"] == "fast"
    assert service.json("ask", QUESTION, "-c", "samples", "--model", "fast")["receipt"]["passed_over"] == []


def test_the_other_answers_while_one_is_dead(service: Service) -> None:
    """That it comes back is tests/test_vllm.py's: here it would cost another start."""
    os.kill(model_servers(service)[0], signal.SIGKILL)
    answer = asked(service, QUESTION)
    assert EXPECTED in answer["text"]
    assert answer["receipt"]["answered_by"] == "fast"
    (passed,) = answer["receipt"]["passed_over"]
    assert passed["name"] == "answer"
    ready = httpx.get(f"{service.url}/readyz")
    assert (ready.status_code, ready.json()["checks"]["model"]["ok"]) == (200, False)
    assert states(service) == {"answer": False, "fast": True}
    body = {"question": QUESTION, "collection": "samples", "model": "answer"}
    refused = httpx.post(f"{service.url}/v1/answer", json=body)
    assert (refused.status_code, refused.json()["code"]) == (503, "ModelUnavailable")


def test_stopping_ends_both_also_one_that_starts_again(service: Service) -> None:
    assert service.process is not None
    below = children_of(service.process.pid)
    assert len(below) > 4
    assert service.stop(signal.SIGTERM) == 0
    assert gone_within(below, 1), alive(below)
