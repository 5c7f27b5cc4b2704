"""The embedding model as it is run here, against sentence-transformers in float32; and what is kept of its work."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fakes import FakeEmbedder
from rag.errors import ModelNotInstalled
from rag.models import embed, embed_openvino
from rag.models.embed import SentenceEmbedder, TorchEngine, packaged_folder
from rag.models.embed_cache import CachedEmbedder
from rag.models.embed_openvino import MIN_COSINE, NotConvertible
from rag.ports import Vectors

WORDS = "The pump of station 3 is checked every 3 weeks; the battery lasts 400 days (see 2.1). "


# --- vectors that are kept ------------------------------------------------------------------------------------


class Counting(FakeEmbedder):
    """Vectors with digits that float16 does not have."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        found = super().embed(texts) + np.float32(0.012345)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def cached(path: Path, **options: object) -> tuple[CachedEmbedder, Counting]:
    inner = Counting()
    return CachedEmbedder(inner, path, **options), inner  # type: ignore[arg-type]


def test_what_is_kept_is_known_over_another_embedder_too(tmp_path: Path) -> None:
    first, inner = cached(tmp_path / "embeddings.sqlite3")
    made = first.embed(["one"])
    elsewhere = Counting()
    other = first.over(elsewhere)
    assert np.array_equal(other.embed(["one", "two"])[0], made[0])
    assert (inner.embedded, elsewhere.embedded) == (["one"], ["two"])
    assert (first.reused, other.reused) == (0, 1)
    assert np.array_equal(first.embed(["two"]), other.embed(["two"]))
    first.close()


def test_a_text_is_embedded_once_whatever_comes_between(tmp_path: Path) -> None:
    path = tmp_path / "data" / "embeddings.sqlite3"
    first, inner = cached(path)
    texts = ["one", "two", "one", "three \ud800 half"]
    made = first.embed(texts)
    assert inner.embedded == ["one", "two", "three \ud800 half"]
    assert np.array_equal(made[0], made[2])
    assert np.array_equal(first.embed(texts[::-1]), made[::-1])
    assert first.reused == 5
    first.close()
    later, inner = cached(path)
    assert np.array_equal(later.embed(texts), made)  # to the bit, from the cache or not
    assert (inner.embedded, later.reused) == ([], 4)
    exact = Counting().embed(texts)
    assert np.sum(made * exact, axis=1).min() > 0.999999
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    assert made.dtype == np.float32
    assert later.embed([]).shape == (0, FakeEmbedder.dimension)
    later.close()


def test_another_model_is_another_vector_and_questions_pass_through(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.sqlite3"
    one, _ = cached(path, identity="a")
    one.embed(["text"])
    other, inner = cached(path, identity="b")
    other.embed(["text"])
    assert inner.embedded == ["text"]
    assert np.array_equal(one.embed_query("question"), FakeEmbedder().embed_query("question"))
    assert (one.name, one.dimension, one.max_tokens) == (
        FakeEmbedder.name, FakeEmbedder.dimension, FakeEmbedder.max_tokens
    )  # fmt: skip
    one.close()
    other.close()
    rows = sqlite3.connect(path)
    assert rows.execute("SELECT count(*) FROM vectors").fetchone() == (2,)
    rows.close()


def test_it_grows_to_its_limit_and_forgets_what_was_not_used(tmp_path: Path) -> None:
    path, now = tmp_path / "embeddings.sqlite3", [0.0]
    limit = 200_000
    embedder, inner = cached(path, max_bytes=limit, clock=lambda: now[0])
    embedder.embed(["often used"])
    for batch in range(40):
        now[0] += 1
        embedder.embed(["often used", *(f"text {batch} {i}" for i in range(50))])
    assert path.stat().st_size < 1.2 * limit
    inner.embedded.clear()
    embedder.embed(["often used", "text 39 7", "text 0 0"])
    assert inner.embedded == ["text 0 0"]
    embedder.close()


@pytest.mark.parametrize(
    "content", [b"no database, but long enough to look like one " * 99, b"SQLite format 3\0x"]
)
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "embeddings.sqlite3"
    path.write_bytes(content)
    embedder, inner = cached(path)
    for _ in range(3):
        assert embedder.embed(["text"]).shape == (1, 64)
    assert "is damaged" in caplog.text
    assert len(inner.embedded) < 3
    embedder.close()


def test_damage_in_the_middle_of_the_file_costs_time_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "embeddings.sqlite3"
    embedder, _ = cached(path)
    texts = [f"text {i}" for i in range(500)]
    made = embedder.embed(texts)
    embedder.close()
    data = bytearray(path.read_bytes())
    data[4096 : len(data)] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    embedder, _ = cached(path)
    assert np.array_equal(embedder.embed(texts), made)
    assert np.array_equal(embedder.embed(texts), made)
    assert "is damaged" in caplog.text
    embedder.close()


def test_an_older_table_and_vectors_of_another_length_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.sqlite3"
    old = sqlite3.connect(path)
    old.execute("CREATE TABLE vectors (other TEXT)")
    old.execute("PRAGMA user_version = 99")
    old.close()
    embedder, inner = cached(path)
    embedder.embed(["text"])
    embedder.close()
    rows = sqlite3.connect(path)
    rows.execute("UPDATE vectors SET vector = x'0011'")
    rows.commit()
    rows.close()
    embedder, inner = cached(path)
    assert embedder.embed(["text"]).shape == (1, 64)
    assert inner.embedded == ["text"]
    embedder.close()


def test_without_a_place_to_write_it_goes_on_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    embedder, inner = cached(tmp_path / "file" / "embeddings.sqlite3")
    for _ in range(2):
        assert embedder.embed(["text"]).shape == (1, 64)
    assert inner.embedded == ["text", "text"]
    assert caplog.text.count("embedded without") == 1
    embedder.close()
    assert embedder.embed(["text"]).shape == (1, 64)  # closed: as without


def test_threads_share_it(tmp_path: Path) -> None:
    embedder, _ = cached(tmp_path / "embeddings.sqlite3")
    texts = [f"text {i}" for i in range(60)]
    expected = embedder.embed(texts)
    wrong: list[int] = []

    def use(start: int) -> None:
        for at in range(start, start + 20):
            if not np.array_equal(
                embedder.embed([texts[at % 60], f"own {start} {at}"])[0], expected[at % 60]
            ):
                wrong.append(at)  # noqa: PERF401

    threads = [threading.Thread(target=use, args=(7 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    embedder.close()


# --- which way a model is run ---------------------------------------------------------------------------------


def test_the_packaged_model_is_known_without_loading() -> None:
    known = SentenceEmbedder()
    assert (known.name, known.identity, known.dimension, known.max_tokens) == (
        "all-MiniLM-L6-v2", "all-MiniLM-L6-v2", 384, 256
    )  # fmt: skip


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "model").mkdir(parents=True)
        (tmp_path / folder / "model" / "config.json").write_text(json.dumps({"of": folder * len(folder)}))
    a, b = (SentenceEmbedder(str(tmp_path / folder / "model")) for folder in ("a", "b"))
    assert a.name == b.name
    assert a.identity != b.identity
    before = a.identity
    (tmp_path / "a" / "model" / "weights").write_bytes(b"new")
    assert a.identity != before


def test_requests_hold_so_many_tokens_however_long_the_texts_are() -> None:
    lengths = [256, 40, 1000, 256, 5, *[17] * 40]
    made = list(embed_openvino.batches(lengths, max_tokens=256))
    assert sorted(number for batch in made for number in batch) == list(range(len(lengths)))
    assert made[0] == [2]  # one that is too long by itself
    assert [lengths[batch[0]] for batch in made] == sorted(
        (lengths[batch[0]] for batch in made), reverse=True
    )
    for batch in made[1:]:
        assert len(batch) * embed_openvino.padded_to(lengths[batch[0]], 256) <= embed_openvino.TOKENS
    assert len(made) == 5
    assert list(embed_openvino.batches([], max_tokens=256)) == []


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Of all lengths, shortest and longest mixed; some longer than the model's window."""
    samples = Path(__file__).parent.parent / "samples"
    whole = "\n".join(path.read_text() for path in sorted(samples.glob("**/*.md")))
    pieces = [whole[at : at + 40 + 90 * (at % 17)] for at in range(0, len(whole), 700)]
    return [*pieces[:60], "a", "Ägyptens Flüsse — 東京の天気", WORDS * 100]


@pytest.fixture(scope="module")
def exact() -> TorchEngine:
    return TorchEngine(str(packaged_folder()), cuda=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.models
def test_the_converted_model_gives_the_vectors_of_torch(
    cache: Path, exact: TorchEngine, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = SentenceEmbedder(cache=cache)
    if not embedder.kind.startswith("OpenVINO"):
        pytest.skip(f"this machine uses {embedder.kind}")
    made, reference = embedder.embed(texts), exact.embed(texts)
    assert np.sum(made * reference, axis=1).min() >= MIN_COSINE
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert (embedder.dimension, embedder.max_tokens) == (exact.dimension, exact.max_tokens)
    for text in texts[:5]:
        assert embedder.embed_query(text) @ exact.embed_query(text) >= MIN_COSINE
    # Which texts are embedded together must not matter: an interrupted run groups them otherwise.
    alone = np.concatenate([embedder.embed([text]) for text in texts[:20]])
    assert np.abs(alone - made[:20]).max() < 1e-5

    monkeypatch.setattr(embed_openvino, "_convert", lambda *_: pytest.fail("converted twice"))
    again = SentenceEmbedder(cache=cache)
    assert np.array_equal(again.embed(texts), made)


@pytest.mark.models
def test_a_damaged_conversion_is_made_anew(
    cache: Path, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SentenceEmbedder(cache=cache).load()
    shutil.copytree(cache, tmp_path / "models")
    (folder,) = (tmp_path / "models").iterdir()
    (folder / embed_openvino.GRAPH).write_text("<net")
    monkeypatch.setattr(
        embed_openvino, "_convert", lambda _, anew: shutil.copytree(cache / folder.name, anew)
    )
    embedder = SentenceEmbedder(cache=tmp_path / "models")
    assert embedder.embed(texts[:2]).shape == (2, 384)
    assert (folder / embed_openvino.GRAPH).stat().st_size > 1000


@pytest.mark.models
def test_a_model_that_was_prepared_is_not_converted_and_nothing_is_written_where_it_lies(
    cache: Path, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SentenceEmbedder(cache=cache).load()
    prepared, own = tmp_path / "prepared", tmp_path / "data" / "models"
    shutil.copytree(cache, prepared)
    monkeypatch.setattr(embed_openvino, "_convert", lambda *_: pytest.fail("converted again"))
    assert SentenceEmbedder(cache=own, prepared=prepared).embed(texts[:2]).shape == (2, 384)
    assert not own.exists()

    (folder,) = prepared.iterdir()
    (folder / embed_openvino.GRAPH).write_text("<net")
    monkeypatch.setattr(
        embed_openvino, "_convert", lambda _, anew: shutil.copytree(cache / folder.name, anew)
    )
    assert SentenceEmbedder(cache=own, prepared=prepared).embed(texts[:2]).shape == (2, 384)
    assert [path.name for path in own.iterdir()] == [folder.name]
    assert (folder / embed_openvino.GRAPH).read_text() == "<net"


@pytest.mark.models
def test_a_first_question_after_that_needs_no_torch_and_little_time(cache: Path) -> None:
    SentenceEmbedder(cache=cache).load()
    code = (
        "import sys, pathlib; from rag.models.embed import SentenceEmbedder\n"
        f"embedder = SentenceEmbedder(cache=pathlib.Path({str(cache)!r}))\n"
        "print(embedder.embed_query('a question').shape, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "(384,) False"


@pytest.mark.models
def test_without_openvino_or_for_a_model_it_cannot_take_torch_does_it(
    cache: Path, exact: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: str, folder: Path, prepared: Path | None) -> object:
        raise NotConvertible("the package openvino is not installed")

    monkeypatch.setattr(embed_openvino, "load", refused)
    embedder = SentenceEmbedder(cache=cache)
    if embedder.kind != "torch cuda":
        assert embedder.kind == "torch fp32"
        assert np.array_equal(embedder.embed([WORDS]), exact.embed([WORDS]))
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.models
def test_any_sentence_transformers_folder_will_do_with_its_pooling_and_prompts(tmp_path: Path) -> None:
    """A model of another kind: pooled by the first token, with prompts and a shorter window."""
    folder = tmp_path / "own-model"
    shutil.copytree(packaged_folder(), folder)
    pooling = folder / "1_Pooling" / "config.json"
    flags = json.loads(pooling.read_text())
    pooling.write_text(
        json.dumps(flags | {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True})
    )
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 50, "do_lower_case": False})
    )
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: ", "document": "passage: "}})
    )
    own = SentenceEmbedder(str(folder), cache=tmp_path / "models")
    assert (own.name, own.dimension, own.max_tokens) == ("own-model", 384, 50)
    torch = TorchEngine(str(folder), cuda=False)
    assert np.sum(own.embed([WORDS * 9, "a"]) * torch.embed([WORDS * 9, "a"]), axis=1).min() >= MIN_COSINE
    assert own.embed_query(WORDS) @ torch.embed_query(WORDS) >= MIN_COSINE
    assert own.embed_query(WORDS) @ own.embed([WORDS])[0] < MIN_COSINE  # the prompts differ


@pytest.mark.models
def test_a_model_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotInstalled, match="OPENBOOK_EMBEDDER"):
        SentenceEmbedder(str(tmp_path / "nothing"), cache=tmp_path / "models").load()
    assert not any((tmp_path / "models").iterdir())


def test_no_sign_of_a_gpu_means_that_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_GPU_SIGNS", ())
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not embed._cuda()
