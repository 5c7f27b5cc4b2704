"""The reranker, with a tiny cross-encoder whose weights are random: no real one ships in a package."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import ModelNotInstalled
from rag.models.embed import packaged_folder
from rag.models.rerank import CrossEncoderReranker

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    path = tmp_path_factory.mktemp("reranker")
    tokenizer = AutoTokenizer.from_pretrained(packaged_folder())
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(path)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(path)
    return path


def test_a_score_is_that_of_question_and_passage_whatever_stands_beside_it(folder: Path) -> None:
    reranker = CrossEncoderReranker(str(folder))
    passages = ["The pump leaks.", "Lunch is at noon, and then there is nothing until the evening.", "x"]
    scores = reranker.score("What leaks?", passages)
    assert len(set(scores)) == 3
    assert reranker.score("What leaks?", passages[1:2])[0] == pytest.approx(scores[1], abs=1e-5)
    assert reranker.score("Who leaks?", passages) != scores
    assert reranker.score("What leaks?", []) == []


def test_a_reranker_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelNotInstalled, match=r"cannot be loaded.*") as caught:
        CrossEncoderReranker(str(tmp_path / "absent")).score("What?", ["That."])
    assert "OPENBOOK_RERANKER" in caught.value.hint
