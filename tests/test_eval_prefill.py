"""openbook eval prefill and frontier over an engine of fakes and a stub of a model server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals import baseline, corpus
from evals.datasets.values import Case, Corpus, Evidence, Record
from evals.engine import Bench
from evals.prefill import frontier, run, tables
from evals.prefill.asking import AskContextPilot, Asked, AskLlamaIndex, AskOpenbook
from evals.prefill.contextpilot import contextpilot
from evals.prefill.targets import cold_s, on_target
from evals.prefill.trace import costs, predictions, trace
from evals.prefill.waits import LONG, SHORT, mixed
from evals.prefill.workloads import Turn
from evals.report import Outcome
from evals.systems import Openbook, Reading
from fake_engine import engine_over, fake_store
from fakes import Costly, FakeCounter, FakeEmbedder, FakeGenerator, change, rag_of
from openbook.app import app
from rag.admission import Gate, Rules
from rag.answer import Limits, Rag
from rag.errors import BadRequest
from rag.models.vllm_client import ChatClient
from rag.settings import Settings
from rag.types import Usage
from stub_llm import StubLlm, stub_llm

pytestmark = pytest.mark.process

RECORDS = (
    Record("tides", "Tides", "The tide at the northern pier rises by 4 metres."),
    Record("boats", "Boats", "The harbour boat carries 12 people to the lighthouse."),
    Record("rain", "Rain", "Rain is measured each morning in a copper funnel."),
)
CASES = (
    Case(
        "1", "How far does the tide rise at the northern pier?", ("4",), (Evidence("tides", RECORDS[0].text),)
    ),
    Case(
        "2",
        "Whom does the harbour boat carry?",
        ("people",),
        (Evidence("boats", "a word that is not there"),),
    ),
)


def quiet(_what: str, _total: int) -> Callable[[int], None]:
    return lambda _count: None


def done(_count: int) -> None:
    pass


@pytest.fixture
def rag(tmp_path: Path) -> Iterator[Rag]:
    store = fake_store(tmp_path / "store")
    made = engine_over(store, tmp_path, FakeGenerator("It rises by 4 metres.")).rag
    asyncio.run(corpus.write(made, Corpus(RECORDS), quiet))
    yield made
    store.close()


# --- asking -------------------------------------------------------------------------------------------------


async def test_openbook_is_asked_by_its_own_flow(rag: Rag) -> None:
    change(rag, limits=Limits(context_tokens=35))
    asker = AskOpenbook(Openbook(rag, Corpus(RECORDS).names))
    asked = await asker.ask(CASES[0].question, 1)
    assert [(each.document, each.text) for each in asked.reading.extracts] == [("tides", RECORDS[0].text)]
    assert asked.usage
    assert asked.ttft >= 0
    assert asked.predicted_s is None
    assert asked.text == "It rises by 4 metres."


async def test_follow_ups_of_openbook_go_on_with_what_was_read(rag: Rag) -> None:
    change(rag, limits=Limits(context_tokens=35))
    asker = AskOpenbook(Openbook(rag, {}))
    for case in CASES:
        await asker.ask(case.question, 8, conversation="0")
    first, second = ("".join(m.content for m in sent) for sent in rag.generator.sent)  # type: ignore[attr-defined]
    assert second.startswith(first)
    assert RECORDS[1].text not in first
    assert RECORDS[1].text in second


async def test_llama_index_puts_what_it_retrieves_before_the_turns(rag: Rag) -> None:
    asker = AskLlamaIndex(await baseline.build(rag, Corpus(RECORDS), quiet), 40)
    await asker.ask("tide", 1)
    for question in ("tide pier", "harbour boat"):
        await asker.ask(question, 8, conversation="0")
    alone, first, second = rag.generator.sent  # type: ignore[attr-defined]
    assert alone[-1].content.startswith("Context information is below.")
    assert [m.role for m in first] == ["system", "user"]
    assert [m.role for m in second] == ["system", "user", "assistant", "user"]
    assert "harbour boat carries" in second[0].content
    assert [m.content for m in second[1:]] == ["tide pier", "It rises by 4 metres.", "harbour boat"]


FAKE_PILOT = """
class ContextPilot:
    def __init__(self, use_gpu):
        self.seen = {}
        print("noise on standard output")

    def reorder(self, contexts, conversation_id=None):
        self.seen.setdefault(conversation_id, set()).update(contexts[0])
        return [sorted(contexts[0])], [0]

    def deduplicate(self, contexts, conversation_id):
        new = [each for each in contexts[0] if each not in self.seen[conversation_id]]
        return [{"new_docs": new, "reference_hints": ["See above."] * (len(contexts[0]) - len(new))}]
"""


def install(folder: Path, version: str) -> None:
    """A package of that name and version."""
    (folder / "contextpilot").mkdir(parents=True)
    (folder / "contextpilot" / "__init__.py").write_text(FAKE_PILOT)
    about = folder / f"contextpilot-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: contextpilot\nVersion: {version}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a child looks for packages first."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    return tmp_path / "packages"


async def test_contextpilot_orders_what_llama_index_retrieves(rag: Rag, packages: Path) -> None:
    install(packages, "0.5.0")
    built = await baseline.build(rag, Corpus(RECORDS), quiet)
    async with contextpilot(None) as child:
        asker = AskContextPilot(built, 200, child)
        asked = await asker.ask("copper rain", 1)
        for question in ("copper rain", "harbour boat"):
            await asker.ask(question, 8, conversation="0")
        assert await child.arrange([], None) == ([], [])
    assert len(asked.reading.extracts) == 3
    alone, first, second = rag.generator.sent  # type: ignore[attr-defined]
    at = [alone[-1].content.index(record.text) for record in RECORDS]
    assert at == sorted(at)
    assert [m.role for m in second] == [*(m.role for m in first), "assistant", "user"]
    assert second[: len(first)] == first
    assert "See above." in second[-1].content
    assert RECORDS[1].text not in second[-1].content


async def test_contextpilot_that_is_missing_or_another_is_told(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="ContextPilot ended: ModuleNotFoundError") as told:
        async with contextpilot(None):
            pass
    assert "pip install contextpilot==0.5.0" in (told.value.hint or "")
    install(packages, "0.4.0")
    with pytest.raises(BadRequest, match="is installed, not"):
        async with contextpilot(None):
            pass
    with pytest.raises(BadRequest, match="cannot be run"):
        async with contextpilot(tmp_path / "none"):
            pass


# --- what is measured of it ---------------------------------------------------------------------------------


def asked(**changes: object) -> Asked:
    return replace(Asked(Reading((), 0), "", 2.0, Usage(100, 1, 75)), **changes)  # type: ignore[arg-type]


def test_costs_are_the_servers_own_counts() -> None:
    assert dict(costs(asked())) == {"cached share": (75, 100), "TTFT s": (2.0, 1)}
    assert "cached share" not in dict(costs(asked(usage=Usage(100, 1, None))))  # not told is not zero
    assert dict(costs(asked(usage=None))) == {}


def test_predictions_are_held_against_what_was_measured() -> None:
    assert dict(predictions(asked())) == {}
    foretold = dict(predictions(asked(predicted_s=1.5, predicted_cached=75)))
    assert foretold == {"error of the predicted TTFT": (0.25, 1), "cached tokens foretold": (1, 1)}
    assert dict(predictions(asked(usage=None, predicted_s=1.5))) == {}


async def test_a_turn_that_only_prepares_is_not_counted(rag: Rag) -> None:
    asker = AskOpenbook(Openbook(rag, Corpus(RECORDS).names))
    found = await trace("same", [Turn(CASES[0], counted=False), *map(Turn, CASES)], asker, done)
    assert found["same/0"] == {}
    assert found["same/1"]["same: evidence"] == (1, 1)
    assert found["same/2"]["same: evidence"] == (0, 1)


async def test_targets_are_held_against_what_it_took(rag: Rag) -> None:
    assert await cold_s(rag, 100) is None
    rag.serving.costs = Costly(1.0, per_token=0.01)
    assert await cold_s(rag, 100) == pytest.approx(2.0)
    kept = await on_target(rag, CASES, 50, 4.0, done)
    assert [case["target 50 %: within 1.1 x target"] for case in kept.values()] == [(1, 1), (1, 1)]
    assert all(0 <= case["target 50 %: TTFT by target"][0] < 1 for case in kept.values())
    rag.serving.costs = None
    none = await on_target(rag, CASES, 25, 1e-6, done)  # the shortest that can be asked for: a millisecond
    found = Outcome("prefill", {"openbook": kept | none}, {}, 0, [])
    assert [row[:3] for row in tables.targets(found).rows][-1] == ("target 50 %", "2", "1.000")


async def test_short_questions_are_asked_while_long_ones_run(rag: Rag) -> None:
    class Slow(FakeGenerator):
        async def stream(self, messages: Any, **options: Any) -> Any:
            await asyncio.sleep(0.3 if CASES[0].question in messages[-1].content else 0)
            async for delta in super().stream(messages, **options):
                yield delta

    change(rag, generator=Slow("Yes."))
    rag.serving.gate = Gate(
        Rules(prefills_at_once=2)
    )  # slices, that would let it pass, need a server that caches
    found = await mixed(rag, CASES[:1], [CASES[1]] * 50, 300, done)
    assert sorted(measure for case in found.values() for measure in case) == [LONG, SHORT]


# --- the commands -------------------------------------------------------------------------------------------


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubLlm]:
    @asynccontextmanager
    async def open_fake(settings: Settings) -> AsyncIterator[Bench]:
        store = fake_store(tmp_path / "bench")
        client = ChatClient(lambda: str(settings.llm_url))
        try:
            yield Bench(rag_of(store, FakeEmbedder(), FakeCounter(), client, Limits()), None)
        finally:
            await client.close()
            store.close()

    for module in (run, frontier):
        monkeypatch.setattr(module, "open_bench", open_fake)
    with stub_llm("The tide rises by 4 metres.") as server:
        monkeypatch.setenv("OPENBOOK_LLM_URL", server.url)
        yield server


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "documents").mkdir(parents=True)
    rows = []
    for record in RECORDS:
        (folder / "documents" / f"{record.id}.md").write_text(f"# {record.title}\n\n{record.text}\n")
        rows += [
            {
                "question": f"{word} {record.text}?",
                "answers": ["4 metres"],
                "evidence": [{"source": f"{record.id}.md"}],
            }
            for word in ("What of", "And")
        ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "questions.jsonl"


def invoke(*arguments: str) -> Any:
    made = CliRunner().invoke(app, ["eval", *arguments], env={"NO_COLOR": "1"}, catch_exceptions=False)
    assert made.exit_code == 0, made.output
    return made


def test_eval_prefill(stub: StubLlm, questions: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"run.{ending}" for ending in ("json", "md", "html")]
    small = (
        "--lengths",
        "64",
        "--repeats",
        "1",
        "--groups",
        "2",
        "--long-tokens",
        "300",
        "--context-tokens",
        "128",
    )
    made = invoke(
        "prefill", str(questions), *small, "--baseline", "llamaindex",
        *(f"{option}={file}" for option, file in zip(("--json", "--markdown", "--html"), files, strict=True)),
    )  # fmt: skip
    rows = [line.split() for line in made.stdout.splitlines()]
    for workload, requests in (
        ("same", 2),
        ("documents", 2),
        ("overlap", 6),
        ("conversation", 2),
        ("random", 3),
    ):
        assert [workload, "openbook", str(requests), "0.640"] in [row[:4] for row in rows]
        assert [workload, "llama-index", str(requests), "0.640"] in [row[:4] for row in rows]
    assert ["stub-model", "pp64"] in [row[:2] for row in rows]
    data = json.loads(files[0].read_text())
    assert data["about"]["settings"]["workloads"] == [
        "same",
        "documents",
        "overlap",
        "conversation",
        "random",
    ]
    assert data["about"]["settings"]["baselines"] == ["llamaindex"]
    assert "overhead: ms above the server" in made.stdout
    assert "No targets: the model server's speed is not known" in made.stderr
    assert "| overlap | openbook | 6 | 0.640 |" in files[1].read_text()
    assert "<svg" in files[2].read_text()
    assert not any(str(tmp_path) in file.read_text() for file in files)
    again = invoke("prefill", str(questions), *small, "--compare", str(files[0]))
    assert "within chance" in again.stdout


def test_eval_prefill_without_questions_measures_the_server_alone(stub: StubLlm) -> None:
    made = invoke("prefill", "--lengths", "64,128", "--repeats", "1")
    assert "pp128 again" in made.stdout
    assert "overlap" not in made.stdout
    assert "the model server was measured alone" in made.stderr


def test_a_workload_that_is_none_is_told(questions: Path) -> None:
    made = CliRunner().invoke(app, ["eval", "prefill", str(questions), "--workloads", "same,all"])
    assert "--workloads all is none of them" in str(made.exception)


def test_eval_frontier(stub: StubLlm, questions: Path, tmp_path: Path) -> None:
    page = tmp_path / "frontier.html"
    made = invoke("frontier", str(questions), "--budgets", "30,200", "--html", str(page), "--limit", "3")
    rows = [line.split() for line in made.stdout.splitlines()]
    (some,) = [row for row in rows if row[:2] == ["200", "3"]]
    assert "0.640" in some
    assert "F1" in page.read_text()
    made = invoke("frontier", str(questions), "--budgets", "30", "--no-generate")
    assert "Answers were not asked for" in made.stderr
