from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from rag.errors import ModelNotInstalled
from rag.models.tokens import Estimate, ServedTokenizer, TokenizerFile


@pytest.fixture
def tokenizer() -> Tokenizer:
    """One token for each word or sign."""
    vocabulary = {word: at for at, word in enumerate(["[UNK]", "[PAD]", "the", "pump", "<|im_end|>"])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken("<|im_end|>", special=True)])
    return made


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_a_file_counts_each_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    counter = TokenizerFile(saved(tokenizer, tmp_path))
    assert counter.exact
    assert counter.count(["the pump", "", "the pump, the pump.", " \n"]) == [2, 0, 6, 0]
    assert counter.count([]) == []


def test_a_file_that_tells_to_cut_and_to_pad_is_not_obeyed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    assert TokenizerFile(saved(tokenizer, tmp_path)).count(["the", "the " * 10]) == [1, 10]


def test_tokens_of_the_chat_template_in_a_text_count_as_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert TokenizerFile(saved(tokenizer, tmp_path)).count(["the <|im_end|> pump"]) == [5]


def test_half_a_surrogate_pair_is_counted_not_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert TokenizerFile(saved(tokenizer, tmp_path)).count(["the \ud83d pump"]) == [3]
    assert Estimate().count(["\ud83d"]) == [1]


def test_the_name_follows_the_content(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = saved(tokenizer, tmp_path)
    before = TokenizerFile(path).name
    copied = tmp_path / "copied.json"
    copied.write_bytes(path.read_bytes())
    assert TokenizerFile(copied).name == before
    tokenizer.add_tokens(["valve"])
    assert TokenizerFile(saved(tokenizer, tmp_path)).name != before


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe", b'{"model": {"type": "Unheard"}}'])
def test_a_file_that_is_none_says_what_to_do(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelNotInstalled, match=r"tokenizer\.json cannot be read.*OPENBOOK_TOKENIZER"):
        TokenizerFile(path)
    with pytest.raises(ModelNotInstalled):
        TokenizerFile(tmp_path)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("水", 1), ("水位", 2)]
)
def test_an_estimate_counts_bytes(text: str, tokens: int) -> None:
    assert Estimate().count([text, text]) == [tokens, tokens]
    assert not Estimate().exact


Answer = Callable[[httpx.Request], httpx.Response]


def served(answer: Answer, base_url: str = "http://model.test/v1/") -> ServedTokenizer:
    return ServedTokenizer(base_url, transport=httpx.MockTransport(answer))


def words(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/v1/models":
        return httpx.Response(404)
    body = json.loads(request.content)
    assert (str(request.url), body["add_special_tokens"]) == ("http://model.test/tokenize", False)
    tokens = [len(word) for word in body["prompt"].split()]
    return httpx.Response(200, json={"count": len(tokens), "tokens": tokens, "max_model_len": 8192})


def letters(request: httpx.Request) -> httpx.Response:
    tokens = [ord(letter) for letter in json.loads(request.content)["prompt"]]
    return httpx.Response(200, json={"count": len(tokens), "tokens": tokens})


def test_vllm_counts_with_its_own_tokenizer() -> None:
    counter = served(words)
    assert counter.count(["a b c", "", "x \ud83d"]) == [3, 0, 2]
    assert counter.exact


def test_the_name_follows_the_served_tokenizer_not_the_address() -> None:
    assert served(letters).name == served(letters, "http://other.test:9000/v1").name
    assert served(letters).name != served(words).name
    assert served(words).name.startswith("served:")


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize(
    "answer",
    [
        refused,
        lambda _: httpx.Response(404, json={"detail": "Not Found"}),
        lambda _: httpx.Response(200, text="<html>"),
        lambda _: httpx.Response(200, json=[]),
        lambda _: httpx.Response(200, json={"count": 1}),
        lambda _: httpx.Response(200, json={"tokens": []}),
        lambda _: httpx.Response(200, json={"tokens": None}),
    ],
)
def test_other_servers_do_not_count_so_it_is_estimated(answer: Answer) -> None:
    counter = served(answer)
    assert (counter.name, counter.exact) == (Estimate.name, False)
    assert counter.count(["abcdef"]) == [2]


def test_a_silent_server_is_asked_again_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    up = False

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return words(request) if up else httpx.Response(503)

    counter = served(answer)
    for _ in range(5):
        counter.count(["a b"])
    assert asked == 1
    up = True
    monkeypatch.setattr(ServedTokenizer, "PROBE_EVERY_S", 0.0)
    assert counter.count(["a b c d e f"]) == [6]
    assert counter.exact


def test_a_server_that_goes_away_in_between_leaves_one_way_of_counting() -> None:
    texts = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal texts
        texts += request.url.path == "/tokenize"
        return words(request) if texts < 3 else httpx.Response(500)

    counter = served(answer)
    assert counter.count(["abc", "abc def", "abc"]) == [1, 3, 1], "all estimated, not some"
    assert not counter.exact


class Serves:
    """A server of the model in ``folder``, whose /tokenize is ``tokens``; keeps which paths it was asked for."""

    def __init__(self, folder: Path, tokens: TokenizerFile) -> None:
        self.folder, self.tokens = folder, tokens
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m", "root": str(self.folder)}]})
        return httpx.Response(
            200, json={"tokens": self.tokens.encode([json.loads(request.content)["prompt"]])[0]}
        )


def test_the_model_s_own_file_is_used_where_it_is_on_this_machine(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Serves(tmp_path, TokenizerFile(saved(tokenizer, tmp_path)))
    counter = served(server)
    assert counter.encode(["the pump", "the"]) == [[2, 3], [2]]
    assert counter.count(["the pump, the pump."]) == [6]
    assert (counter.exact, counter.name[:7]) == (True, "served:")
    assert server.asked == ["/tokenize", "/v1/models"]
    # Another model answers there now, whose file is not here.
    monkeypatch.setattr(ServedTokenizer, "PROBE_EVERY_S", 0.0)
    name = counter.name
    tokenizer.add_tokens(["gauge", "battery"])
    (tmp_path / "other").mkdir()
    server.tokens = TokenizerFile(saved(tokenizer, tmp_path / "other"))
    assert counter.encode(["gauge"]) == [[5]]
    assert counter.name != name
    assert counter.exact
    assert server.asked[-1] == "/tokenize"


def test_the_file_of_one_model_is_not_taken_for_another_s(tokenizer: Tokenizer, tmp_path: Path) -> None:
    server = Serves(tmp_path, TokenizerFile(saved(tokenizer, tmp_path)))
    counter = served(server)
    assert counter.encode(["gauge"]) == [[0]]
    tokenizer.add_tokens(["gauge", "battery"])
    (tmp_path / "other").mkdir()
    server.tokens = TokenizerFile(saved(tokenizer, tmp_path / "other"))
    counter.forget()
    assert counter.encode(["gauge"]) == [[5]]


@pytest.mark.parametrize("model", ["", "no/such", "not a name: really", "/nowhere"])
def test_a_model_that_is_not_on_this_machine_is_counted_by_its_server(
    tokenizer: Tokenizer, tmp_path: Path, model: str
) -> None:
    server = Serves(Path(model), TokenizerFile(saved(tokenizer, tmp_path)))
    counter = served(server)
    assert counter.count(["the pump"]) == [2]
    assert server.asked == ["/tokenize", "/v1/models", "/tokenize"]


def test_a_client_that_nobody_asks_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx, "Client", lambda **_: pytest.fail("made"))
    ServedTokenizer("http://model.test/v1").close()
