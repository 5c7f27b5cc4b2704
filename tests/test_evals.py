"""openbook eval over an engine of fakes: what is measured of what was read, said and cited, and how it is told."""

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

from evals import answers, corpus, needle, report, run
from evals.answers import answer_measures, citation_measures, read_measures
from evals.bootstrap import Score, figure
from evals.datasets.values import Case, Cases, Corpus, Evidence, Record
from evals.engine import Bench, scratch
from evals.report import Outcome
from evals.systems import Cited, Extract, Openbook, Reading, Said, holds
from fake_engine import engine_over, fake_store, opener
from fakes import FakeEmbedder, FakeGenerator, change, document, passages
from openbook.app import app
from rag import prompt
from rag.answer import Rag
from rag.errors import BadRequest, ModelUnavailable
from rag.question import Question
from rag.settings import Settings
from rag.types import Span

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

RECORDS = (
    Record("tides", "Tides", "The tide at the northern pier rises by 4 metres."),
    Record("boats", "Boats", "The harbour boat carries 12 people to the lighthouse."),
    Record("rain", "Rain", "Rain is measured each morning in a copper funnel."),
)
REPLY = "The tide at the northern pier rises by 4 metres."


def quiet(_what: str, _total: int) -> Callable[[int], None]:
    return lambda _count: None


@pytest.fixture
def rag(tmp_path: Path) -> Iterator[Rag]:
    store = fake_store(tmp_path / "store")
    made = engine_over(store, tmp_path, FakeGenerator(REPLY)).rag
    asyncio.run(corpus.write(made, Corpus(RECORDS), quiet))
    yield made
    store.close()


def values(measured: dict[str, Score]) -> dict[str, float | None]:
    return {name: value / weight if weight else None for name, (value, weight) in measured.items()}


# --- what is read -------------------------------------------------------------------------------------------


def test_evidence_is_read_where_all_of_its_words_are() -> None:
    evidence = [Evidence("a", "one  two"), Evidence("b", "three")]
    reading = Reading((Extract("a", "zero one\ntwo"), Extract("b", "four three")), 9)
    assert values(read_measures(evidence, reading)) == {"evidence": 1, "documents": 1, "tokens": 9}
    half = Reading((Extract("a", "zero one\ntwo"), Extract("b", "four")), 8)
    assert values(read_measures(evidence, half)) == {"evidence": 0, "documents": 1, "tokens": 8}
    elsewhere = Reading((Extract("a", "one two three"),), 3)
    assert values(read_measures(evidence, elsewhere)) == {"evidence": 0, "documents": 0, "tokens": 3}


def test_words_that_two_extracts_share_out_were_not_read_in_one_piece() -> None:
    reading = Reading((Extract("a", "one"), Extract("a", "two")), 2)
    assert values(read_measures([Evidence("a", "one two")], reading))["evidence"] == 0


def test_pages_are_read_where_some_of_each_is() -> None:
    evidence = [Evidence("a", page=3), Evidence("a", page=7)]
    reading = Reading((Extract("a", "x", frozenset({2, 3})), Extract("a", "y", frozenset({7}))), 2)
    assert values(read_measures(evidence, reading)) == {"pages": 1, "documents": 1, "tokens": 2}
    other = Reading((Extract("a", "x", frozenset({3})), Extract("b", "y", frozenset({7}))), 2)
    assert values(read_measures(evidence, other)) == {"pages": 0, "documents": 1, "tokens": 2}


async def test_reading_asks_no_model_and_keeps_to_the_budget(rag: Rag) -> None:
    change(rag, generator=FakeGenerator(error=ModelUnavailable("It is off.")))
    ours = Openbook(rag, Corpus(RECORDS).names)
    reading = await ours.read("How far does the tide rise at the northern pier?", 35)
    assert [extract.document for extract in reading.extracts] == ["tides"]
    assert 0 < reading.tokens <= 35
    assert (await rag.read(Question("tide", corpus.COLLECTION, max_context_tokens=100_000))).budget == 100_000


async def test_records_are_ranked_by_their_ids(rag: Rag) -> None:
    ranked = await Openbook(rag, Corpus(RECORDS).names).rank("harbour boat lighthouse", 100)
    assert ranked[0] == "boats"
    assert sorted(ranked) == ["boats", "rain", "tides"]


# --- what is said -------------------------------------------------------------------------------------------


def test_measures_of_an_answer() -> None:
    case = Case("1", "How far?", ("4 metres",))
    found = values(answer_measures(case, Said("It rises by 4 metres", 100), abstains=False))
    # said: it rises by 4 metres, gold: 4 metres; precision 2/5, recall 1
    assert found == {"exact match": 0, "F1": pytest.approx(4 / 7), "contains": 1, "numbers": 1}


def test_abstention_over_four_cases() -> None:
    answered, unanswerable = Case("1", "?", ("x",)), Case("2", "?", ())
    said = [(answered, "x"), (answered, ""), (unanswerable, ""), (unanswerable, "invented")]
    scores = [answer_measures(case, Said(text, 1), abstains=True) for case, text in said]
    found = {name: figure([score[name] for score in scores], 0) for name in scores[0] if "abst" in name}
    # abstained twice, once rightly; two could not be answered
    assert {name: each and each.value for name, each in found.items()} == {
        "abstention precision": 0.5,
        "abstention recall": 0.5,
        "abstention F1": 0.5,
    }
    assert values(scores[2])["exact match"] == 1
    assert values(scores[3])["exact match"] == 0
    assert "contains" not in scores[2]


def test_measures_of_citations() -> None:
    evidence = [Evidence("a", "The tide rises ."), Evidence("a", "It falls .")]
    citations = [
        Cited("a", "x. The tide  rises .", None, True),
        Cited("a", "Something else.", None, True),
        Cited("b", "It falls .", None, False),
    ]
    assert values(citation_measures(evidence, citations)) == {
        "citations hold": pytest.approx(2 / 3),
        "citation precision": pytest.approx(1 / 3),
        "citation recall": pytest.approx(1 / 2),
    }
    assert values(citation_measures(evidence, [])) == {"citation precision": None, "citation recall": 0}
    by_page = [Evidence("a", page=3)]
    assert values(citation_measures(by_page, [Cited("a", "q", 3, True)]))["citation precision"] == 1
    assert values(citation_measures(by_page, [Cited("a", "q", 4, True)]))["citation precision"] == 0


async def test_a_citation_that_holds_and_ways_in_which_it_does_not(rag: Rag) -> None:
    answer = await rag.answer(Question("How far does the tide rise?", corpus.COLLECTION))
    citation = answer.citations[0]
    stored = rag.store.open(corpus.COLLECTION).read(citation.document_id)
    assert holds(citation, stored, answer)
    assert not holds(replace(citation, quote=citation.quote.upper()), stored, answer)
    moved = Span(citation.span.start + 1, citation.span.end + 1)
    assert not holds(replace(citation, span=moved), stored, answer)
    assert not holds(replace(citation, place=replace(citation.place, line_start=2)), stored, answer)
    unread = replace(answer, receipt=replace(answer.receipt, read=()))
    assert not holds(citation, stored, unread)


async def test_answers_of_openbook_and_of_the_model_alone(rag: Rag) -> None:
    cases = (
        Case("1", "How far does the tide rise?", ("4 metres",), (Evidence("tides", RECORDS[0].text),)),
        Case("2", "Who built the pier?", ()),
    )
    data = Cases("jsonl", Corpus(RECORDS), cases)
    ours = Openbook(rag, data.corpus.names)
    made = await answers.evaluate_answers(data, ours, None, control=True, begin=quiet)
    first = values(made.scores["openbook"]["1"])
    assert first["contains"] == 1
    assert first["citations hold"] == 1
    assert first["citation precision"] == 1
    assert values(made.scores["openbook"]["2"])["abstention recall"] == 0
    assert made.said[answers.CLOSED_BOOK]["1"] == REPLY
    assert "citations hold" not in made.scores[answers.CLOSED_BOOK]["1"]
    sent = rag.generator.sent  # type: ignore[attr-defined]
    assert not any("northern pier" in message.content for message in sent[1])


# --- the store of a run ------------------------------------------------------------------------------------


def test_what_a_killed_run_left_goes_and_what_another_holds_stays(tmp_path: Path) -> None:
    with scratch(tmp_path) as held:
        left = held.parent / "run-killed"
        (left / "collections").mkdir(parents=True)
        (left / "held.lock").touch()
        with scratch(tmp_path) as ours:
            assert not left.exists()
            assert held.exists()
            assert ours != held
        assert not ours.exists()
        assert held.exists()
    assert list(held.parent.glob("run-*")) == []


# --- needles ------------------------------------------------------------------------------------------------


def hay() -> list[needle.Sheaf]:
    doc, other = document("file:///a.txt"), document("file:///b.txt")
    return [
        needle.Sheaf(doc, tuple(passages(doc, "one two\n", "three four\n")), 3),
        needle.Sheaf(other, tuple(passages(other, "five six\n", "seven eight\n")), 3),
    ]


@pytest.mark.parametrize(
    ("depth", "told"),
    [
        (0, "N\none two\nthree four\nfive six\nseven eight\n"),
        (50, "one two\nthree four\nN\nfive six\nseven eight\n"),
        (60, "one two\nthree four\nfive six\nN\nseven eight\n"),
        (100, "one two\nthree four\nfive six\nseven eight\n\nN\n"),
    ],
)
def test_a_needle_stands_at_its_depth_once(depth: int, told: str) -> None:
    assert "".join(block.text for block in needle.with_needle(hay(), "N", depth)) == told


@pytest.mark.parametrize(
    ("tokens", "kept"), [(14, [2, 2]), (13, [2, 1]), (12, [2, 1]), (11, [2]), (7, [2]), (6, [1]), (1, [1])]
)
def test_the_hay_is_cut_to_its_tokens_with_headings(tokens: int, kept: list[int]) -> None:
    assert [len(sheaf.passages) for sheaf in needle.cut(hay(), tokens)] == kept


def test_needles_are_of_their_seed() -> None:
    assert needle.needle(1, 0) == needle.needle(1, 0)
    assert len({needle.needle(1, number).answer for number in range(20)}) == 20
    assert needle.needle(1, 0) != needle.needle(2, 0)


async def test_needles_are_asked_in_the_users_text_and_long_contexts_are_left_out(rag: Rag) -> None:
    model = FakeGenerator(f"It is {needle.needle(0, 0).answer}.")
    change(rag, generator=model)
    found, said, notes = await needle.evaluate(rag, corpus.COLLECTION, [60, 10_000], [0, 100], 1, 0, quiet)
    assert found == {f"60/{depth}/0": {f"60 tokens, {depth} %": (1.0, 1.0)} for depth in (0, 100)}
    assert said == {f"60/{depth}/0": model.reply for depth in (0, 100)}
    assert "10000 tokens are more than the window of fake-model leaves" in notes[0]
    asked = model.sent[0][1].content
    assert needle.needle(0, 0).sentence in asked
    assert "harbour boat" in asked
    assert model.sent[0][0].content == prompt.SYSTEM


async def test_a_needle_that_is_not_found(rag: Rag) -> None:
    change(rag, generator=FakeGenerator("I do not know."))
    found, _, _ = await needle.evaluate(rag, corpus.COLLECTION, [20], [50], 2, 0, quiet)
    assert [score for cell in found.values() for score in cell.values()] == [(0, 1), (0, 1)]


# --- the report ---------------------------------------------------------------------------------------------


def outcome(*right: int, **about: object) -> Outcome:
    scores = {f"q{n}": {"MRR@10": (float(value), 1.0)} for n, value in enumerate(right)}
    return Outcome("retrieval", {"openbook": scores}, about, 0)


def test_a_run_is_saved_whole_and_loaded_again(tmp_path: Path) -> None:
    made = replace(outcome(1, 0, settings={"k": 1}), notes=["n"], said={"openbook": {"q0": "é"}})
    report.save(made, tmp_path / "new" / "run.json")
    assert report.load(tmp_path / "new" / "run.json", "retrieval") == made
    data = json.loads((tmp_path / "new" / "run.json").read_text())
    assert data["figures"] == [
        {"measure": "MRR@10", "system": "openbook", "value": 0.5, "low": 0.0, "high": 1.0, "cases": 2}
    ]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.json"]


def test_what_is_no_saved_run_is_told(tmp_path: Path) -> None:
    report.save(outcome(1), tmp_path / "run.json")
    with pytest.raises(Exception, match="it holds retrieval in format 1, not answers"):
        report.load(tmp_path / "run.json", "answers")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(Exception, match="it lacks 'openbook eval'"):
        report.load(tmp_path / "other.json", "answers")


def test_a_change_is_real_or_within_chance() -> None:
    (better,) = report.changes(outcome(*[0] * 10), outcome(*[1] * 8, 0, 0))
    assert better.difference.value == 0.8
    assert better.real
    (chance,) = report.changes(outcome(0, 1, 0, 1), outcome(1, 0, 0, 1))
    assert chance.difference.value == 0
    assert not chance.real
    (shared,) = report.changes(outcome(0, 0), outcome(0, 1, 1, 1))
    assert shared.difference.cases == 2


def test_what_differs_besides_the_figures() -> None:
    before = {"time": "1", "versions": {"a": "1", "b": "1"}, "model": None}
    after = {"time": "2", "versions": {"a": "2", "b": "1"}, "model": None}
    assert list(report.differing(before, after)) == ["versions a: 1 before, 2 now"]


# --- the commands -------------------------------------------------------------------------------------------


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeGenerator:
    generator = FakeGenerator(REPLY)

    @asynccontextmanager
    async def open_fake(_settings: Settings) -> AsyncIterator[Bench]:
        store = fake_store(tmp_path / "bench")
        try:
            yield Bench(engine_over(store, tmp_path, generator).rag, None)
        finally:
            store.close()

    monkeypatch.setattr(run, "open_bench", open_fake)
    monkeypatch.setattr(run, "open_rag", opener(generator))
    return generator


def invoke(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["eval", *arguments], env={"NO_COLOR": "1"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": r.id, "title": r.title, "text": r.text} for r in RECORDS]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "queries.jsonl").write_text(
        json.dumps({"_id": "q1", "text": "tide at the northern pier"})
        + "\n"
        + json.dumps({"_id": "q2", "text": "rain measured in a copper funnel"})
        + "\n"
    )
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ttides\t1\nq2\train\t1\n")
    return folder


def test_eval_retrieval(bench: FakeGenerator, beir: Path, tmp_path: Path) -> None:
    done = invoke("retrieval", str(beir), "--json", str(tmp_path / "run.json"))
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["nDCG@10", *["1.000", "1.000-1.000"] * 3, "2"] in rows
    data = json.loads((tmp_path / "run.json").read_text())
    assert data["about"]["data"] == {"name": "small", "documents": 3, "queries": 2}
    assert data["about"]["embedder"] == FakeEmbedder.name
    assert set(data["scores"]["openbook"]) == {"q1", "q2"}
    assert str(tmp_path) not in json.dumps(data)
    again = invoke("retrieval", str(beir), "--compare", str(tmp_path / "run.json"))
    assert "within chance" in again.stdout
    assert bench.sent == []


@pytest.fixture
def taps(tmp_path: Path) -> Path:
    """A project, and a question whose answer names a file of it."""
    source = tmp_path / "code" / "tap-1.0" / "src"
    source.mkdir(parents=True)
    (source / "open.py").write_text("def open_tap():\n    turn_left()\n")
    (source / "shut.py").write_text("def shutValve():\n    turn_right()\n")
    (source / "notes.md").write_text("# How the valve is shut\n")
    (tmp_path / "tap.jsonl").write_text('{"question": "How is the valve shut?"}\n')
    (tmp_path / "file_qrels").mkdir()
    (tmp_path / "file_qrels" / "tap.tsv").write_text("query-id\tcorpus-id\tscore\ntap-00\tsrc/shut.py\t1\n")
    return source


def test_eval_code_ranks_files_beside_bm25_on_whole_files(
    bench: FakeGenerator, tmp_path: Path, taps: Path
) -> None:
    done = invoke(
        "code", str(tmp_path), "--code", str(tmp_path / "code"), "--json", str(tmp_path / "run.json")
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["tap", "MRR@10", *["1.000", "1.000-1.000"] * 4, "1"] in rows
    data = json.loads((tmp_path / "run.json").read_text())
    assert set(data["scores"]) == {"openbook", "cosine", "bm25", "bm25 on files"}
    assert data["about"]["data"]["tap files"] == 3
    assert data["notes"] == []
    assert bench.sent == []


def test_eval_code_names_the_files_that_cannot_be_read(
    bench: FakeGenerator, tmp_path: Path, taps: Path
) -> None:
    for name in ("drawing", "plan"):
        (taps / f"{name}.pdf").write_bytes(b"no PDF")
    asked = ("code", str(tmp_path), "--code", str(tmp_path / "code"))
    done = invoke(*asked, "--json", str(tmp_path / "run.json"))
    data = json.loads((tmp_path / "run.json").read_text())
    assert data["about"]["data"]["tap files"] == 3
    (note,) = data["notes"]
    assert note.startswith("tap: 2 files could not be read")
    assert "src/drawing.pdf (" in note
    assert "src/plan.pdf (" in note
    assert "src/plan.pdf" in done.stderr.replace("\n", "")


def test_eval_code_fails_where_a_file_that_answers_name_cannot_be_read(
    bench: FakeGenerator, tmp_path: Path, taps: Path
) -> None:
    (taps / "plan.pdf").write_bytes(b"no PDF")
    with (tmp_path / "file_qrels" / "tap.tsv").open("a") as judged:
        judged.write("tap-00\tsrc/plan.pdf\t1\n")
    with pytest.raises(BadRequest, match=r"src/plan\.pdf cannot be ingested: "):
        invoke("code", str(tmp_path), "--code", str(tmp_path / "code"))


def test_eval_code_without_a_project_says_so(bench: FakeGenerator, tmp_path: Path, taps: Path) -> None:
    (tmp_path / "file_qrels" / "tap.tsv").unlink()
    with pytest.raises(BadRequest, match="holds no project"):
        invoke("code", str(tmp_path), "--code", str(tmp_path / "code"))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "tides.md").write_text(f"# Tides\n\n{RECORDS[0].text}\n")
    asked = [
        {
            "question": "How far does the tide rise?",
            "answers": ["4 metres"],
            "evidence": [{"source": "tides.md", "text": RECORDS[0].text}],
        },
        {"question": "Who built the pier?"},
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    return folder / "questions.jsonl"


def test_eval_answers_where_a_model_answers(bench: FakeGenerator, mine: Path) -> None:
    done = invoke("answers", str(mine), "--budgets", "50", "--closed-book")
    rows = {tuple(line.split()[:3]): line for line in done.stdout.splitlines()}
    assert "1.000" in rows["evidence", "@", "50"]
    assert any(line.startswith("citations hold") for line in done.stdout.splitlines())
    assert "closed book" in done.stdout
    assert len(bench.sent) == 4


def test_eval_answers_without_a_model_says_so(bench: FakeGenerator, mine: Path) -> None:
    bench.error = ModelUnavailable("It is off.")
    done = invoke("answers", str(mine), "--budgets", "50")
    assert "No model was asked" in done.stderr
    assert "exact match" not in done.stdout
    bench.error = None
    done = invoke("answers", str(mine), "--budgets", "50", "--no-generate")
    assert "exact match" not in done.stdout
    assert bench.sent == []


def test_eval_needle(
    bench: FakeGenerator, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path / "user"))
    store = fake_store(tmp_path / "user")
    made = engine_over(store, tmp_path, bench).rag
    asyncio.run(corpus.write(made, Corpus(RECORDS), quiet))
    store.close()
    bench.reply = f"{needle.needle(0, 0).answer}"
    done = invoke("needle", "--collection", corpus.COLLECTION, "--lengths", "60,90000", "--depths", "0,100")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["0", "%", "1.00", "-"] in rows
    assert "90000 tokens are more than the window" in done.stderr


def test_numbers_that_are_none(bench: FakeGenerator, mine: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "answers", str(mine), "--budgets", "2k"])
    assert "--budgets 2k is no list of numbers" in str(done.exception)
