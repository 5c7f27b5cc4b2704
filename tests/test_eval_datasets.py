"""Each layout of questions, made small; and what is told where a file is not as its layout says."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.datasets import choose
from evals.datasets.values import Case, Evidence, Record
from rag.errors import BadRequest
from rag.text import label
from rag.types import Document, short_name


def lines(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    lines(
        tmp_path / "corpus.jsonl",
        [
            {"_id": "d1", "title": "Tides", "text": "The tide is high."},
            {"_id": "d2", "title": "", "text": "It rains."},
            {"_id": "d3", "title": "Nothing", "text": " "},
        ],
    )
    lines(
        tmp_path / "queries.jsonl",
        [
            {"_id": "q1", "text": "How high?", "answers": ["high"]},
            {"_id": "q2", "text": "Unjudged?"},
        ],
    )
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    return tmp_path


def test_beir(beir: Path) -> None:
    data = choose.rankings(beir)
    assert data.kind == "beir"
    assert [record.id for record in data.corpus.records] == ["d1", "d2"]
    assert data.queries == {"q1": "How high?"}
    assert data.relevant == {"q1": {"d1": 2}}


def test_beir_says_which_splits_there_are(beir: Path) -> None:
    with pytest.raises(BadRequest, match="holds test, not dev"):
        choose.rankings(beir, "dev")


def test_a_line_that_is_wrong_is_named(beir: Path) -> None:
    with (beir / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d4"}\n')
    with pytest.raises(BadRequest, match=r"corpus\.jsonl, line 4: it lacks 'text'"):
        choose.rankings(beir)
    (beir / "corpus.jsonl").write_text("[1]\n")
    with pytest.raises(BadRequest, match="line 1: an object is expected"):
        choose.rankings(beir)


def test_a_line_ends_only_where_json_lines_do(beir: Path) -> None:
    (beir / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "", "text": "one\u2028two\x85"}\r\n', encoding="utf-8"
    )
    (record,) = choose.rankings(beir).corpus.records
    assert record.text == "one\u2028two\x85"


def test_hotpotqa_has_a_piece_of_evidence_for_each_supporting_sentence(beir: Path) -> None:
    answers = {
        "question": "How high?",
        "supporting_facts": [["Tides", 0], ["Tides", 7], ["Elsewhere", 0]],
        "context": [["Tides", ["The tide is high.", " It falls."]]],
    }
    (beir / "answers.json").write_text(json.dumps([answers]))
    (case,) = choose.cases(beir).cases
    assert case == Case("q1", "How high?", ("high",), (Evidence("d1", "The tide is high."),))


def test_cosqa(tmp_path: Path) -> None:
    (tmp_path / "code_idx_map.txt").write_text(json.dumps({"def f(): pass": 0, " ": 1}))
    rows = [{"idx": "q1", "doc": "do nothing", "retrieval_idx": 0}]
    (tmp_path / "cosqa-retrieval-dev-500.json").write_text(json.dumps(rows))
    data = choose.rankings(tmp_path)
    assert data.corpus.records == (Record("0", "", "def f(): pass", "text/x-python"),)
    assert data.queries == {"q1": "do nothing"}
    assert data.relevant == {"q1": {"0": 1}}


def test_squad(tmp_path: Path) -> None:
    asked = [
        {
            "id": "a",
            "question": "When?",
            "answers": [{"text": "1973"}, {"text": "1973"}],
            "is_impossible": False,
        },
        {"id": "b", "question": "Who?", "answers": [], "plausible_answers": [], "is_impossible": True},
    ]
    article = {"title": "Oil_crisis", "paragraphs": [{"context": "It began in 1973.", "qas": asked}]}
    (tmp_path / "dev.json").write_text(json.dumps({"data": [article]}))
    data = choose.cases(tmp_path / "dev.json")
    assert data.corpus.records == (Record("Oil_crisis#1", "Oil crisis", "It began in 1973."),)
    assert data.cases == (
        Case("a", "When?", ("1973",), (Evidence("Oil_crisis#1", "It began in 1973."),)),
        Case("b", "Who?", ()),
    )


def test_financebench_pages_count_from_one(tmp_path: Path) -> None:
    (tmp_path / "pdfs").mkdir()
    (tmp_path / "pdfs" / "A_2022.pdf").write_bytes(b"%PDF")
    row = {
        "financebench_id": "f1",
        "doc_name": "A_2022",
        "question": "How much?",
        "answer": "$1577.00",
        "evidence": [{"doc_name": "A_2022", "evidence_page_num": 53}, {"evidence_page_num": 53}],
    }
    lines(tmp_path / "some_questions.jsonl", [row])
    data = choose.cases(tmp_path)
    assert data.cases == (Case("f1", "How much?", ("$1577.00",), (Evidence("A_2022", page=54),)),)
    assert data.corpus.names == {(tmp_path / "pdfs" / "A_2022.pdf").resolve().as_uri(): "A_2022"}
    lines(
        tmp_path / "some_questions.jsonl", [row | {"doc_name": "B", "evidence": [{"evidence_page_num": 1}]}]
    )
    with pytest.raises(BadRequest, match="line 1: B is not in"):
        choose.cases(tmp_path)


def test_clapnq(tmp_path: Path) -> None:
    passage = {"title": "Cats", "text": "A cat . It purrs .", "sentences": ["A cat .", "It purrs ."]}
    right = {"answer": "It purrs.", "selected_sentences": ["It purrs ."]}
    lines(
        tmp_path / "clapnq_dev_answerable.jsonl",
        [{"id": "1", "input": "what does it do", "passages": [passage], "output": [right]}],
    )
    nothing = {"answer": "", "selected_sentences": []}
    lines(
        tmp_path / "clapnq_dev_unanswerable.jsonl",
        [{"id": "2", "input": "who", "passages": [passage], "output": [nothing]}],
    )
    data = choose.cases(tmp_path)
    assert len(data.corpus.records) == 1  # the same passage of two questions
    assert data.cases == (
        Case("1", "what does it do", ("It purrs.",), (Evidence("passage-1", "It purrs ."),)),
        Case("2", "who", ()),
    )


def test_questions_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "documents" / "reports").mkdir(parents=True)
    (tmp_path / "documents" / "reports" / "a.md").write_text("# A\n")
    lines(
        tmp_path / "mine.jsonl",
        [
            {"question": "What?", "answers": ["A"], "evidence": [{"source": "a.md", "text": "A"}]},
            {"id": "x", "question": "Who?"},
        ],
    )
    data = choose.cases(tmp_path / "mine.jsonl")
    assert list(data.corpus.files) == ["reports/a.md"]
    assert data.cases == (
        Case("1", "What?", ("A",), (Evidence("reports/a.md", "A"),)),
        Case("x", "Who?", ()),
    )
    lines(tmp_path / "mine.jsonl", [{"question": "What?", "evidence": [{"source": "b.md"}]}])
    with pytest.raises(BadRequest, match=r"b\.md is the name of 0 of the documents"):
        choose.cases(tmp_path / "mine.jsonl")
    with pytest.raises(BadRequest, match="There are no documents"):
        choose.cases(tmp_path / "mine.jsonl", documents=tmp_path / "elsewhere")


def test_a_folder_of_none_of_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="is no folder of rankings"):
        choose.rankings(tmp_path)
    with pytest.raises(BadRequest, match="is none of the layouts"):
        choose.cases(tmp_path)


def test_a_sample_is_of_the_seed_and_keeps_the_order(beir: Path) -> None:
    numbered = [{"_id": f"q{n}", "text": f"{n}?"} for n in range(50)]
    lines(beir / "queries.jsonl", numbered)
    judged = "".join(f"q{n}\td1\t1\n" for n in range(50))
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    data = choose.rankings(beir)
    chosen = list(data.sample(10, seed=1).queries)
    assert chosen == sorted(chosen, key=lambda name: int(name[1:]))
    assert len(chosen) == 10
    assert chosen == list(data.sample(10, seed=1).queries)
    assert chosen != list(data.sample(10, seed=2).queries)
    assert list(data.sample(None, seed=1).queries) == list(data.queries)


@pytest.mark.parametrize("title", ["A/B test?", "", "50 % of #1", "Lilû"])
def test_the_label_of_a_record_is_its_title(title: str) -> None:
    record = Record("1 2", title, "text")
    document = Document("", "", record.uri, title, "", "", "", 0, 0, 0)
    assert label(document) == title
    assert short_name(record.uri) == title


@pytest.mark.parametrize(
    ("name", "documents", "asked"),
    [
        ("hotpotqa", 994, 100),
        ("financebench", 24, 41),
        ("clapnq", 597, 600),
        ("squad2/dev-half.json", 804, 7846),
    ],
)
def test_published_questions(name: str, documents: int, asked: int, eval_data: Path) -> None:
    data = choose.cases(eval_data / name)
    assert len(data.corpus.names) == documents
    assert len(data.cases) == asked
    texts = {record.id: record.text for record in data.corpus.records}
    missing = [e for case in data.cases for e in case.evidence if e.text not in texts.get(e.document, "")]
    assert missing == []


EVAL_DATA = os.environ.get("OPENBOOK_EVAL_DATA")


@pytest.fixture
def eval_data() -> Path:
    if not EVAL_DATA:
        pytest.skip("OPENBOOK_EVAL_DATA names no folder of published questions")
    return Path(EVAL_DATA)


@pytest.fixture
def sweqa(tmp_path: Path) -> Path:
    lines(tmp_path / "questions" / "tap.jsonl", [{"question": "Who opens?"}, {"question": "Who shuts?"}])
    (tmp_path / "questions" / "file_qrels").mkdir()
    (tmp_path / "questions" / "file_qrels" / "tap.tsv").write_text(
        "# relative to tap-1.0\nquery-id\tcorpus-id\tscore\ntap-01\tsrc/tap.py\t1\n"
    )
    source = tmp_path / "code" / "tap-1.0" / "src" / "tap.py"
    source.parent.mkdir(parents=True)
    source.write_text("def shut(): ...\n")
    return tmp_path


def test_questions_on_code_bases(sweqa: Path) -> None:
    (project,) = choose.code(sweqa / "questions", sweqa / "code").items()
    name, data = project
    assert (name, data.kind, data.types) == ("tap", "sweqa", ("py",))
    assert data.queries == {"tap-01": "Who shuts?"}
    assert data.relevant == {"tap-01": {"src/tap.py": 1}}
    source = sweqa / "code" / "tap-1.0" / "src" / "tap.py"
    assert data.corpus.names == {source.as_uri(): "src/tap.py"}


def test_questions_on_code_say_where_the_code_is_to_lie(sweqa: Path) -> None:
    with pytest.raises(BadRequest, match="does not hold"):
        choose.code(sweqa / "questions")
    with pytest.raises(BadRequest, match="knows tap, not nut"):
        choose.code(sweqa / "questions", sweqa / "code", "nut")
    (sweqa / "code" / "tap-2.0").mkdir()
    with pytest.raises(BadRequest, match="2 folders tap-VERSION"):
        choose.code(sweqa / "questions", sweqa / "code")


def test_rankings_of_functions_are_a_project_of_their_own(beir: Path) -> None:
    assert list(choose.code(beir)) == ["beir"]


def test_an_option_that_the_layout_has_no_use_for_is_named(beir: Path, sweqa: Path) -> None:
    with pytest.raises(BadRequest, match="laid out as beir, which has no use for --code and --project"):
        choose.code(beir, sweqa / "code", "tap")
    with pytest.raises(BadRequest, match="laid out as sweqa, which has no use for --split"):
        choose.code(sweqa / "questions", sweqa / "code", split="dev")
    with pytest.raises(BadRequest, match="laid out as hotpotqa, which has no use for --documents"):
        choose.cases(beir, "hotpotqa", documents=beir)
