"""Token counts as the served model makes them: from its tokenizer file, from the server, or estimated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from tokenizers import Encoding, Tokenizer

from rag.errors import ModelNotInstalled

THREADS_FROM = 4_000  # characters; fewer are encoded before threads have woken up
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError)


class TokenizerFile:
    """Counts with a ``tokenizer.json``; exact. Safe to use from threads."""

    exact = True

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            self._tokenizer = Tokenizer.from_buffer(data)
        except Exception as error:  # the bindings raise plain Exception on a bad file
            raise ModelNotInstalled(
                f"The tokenizer {path} cannot be read: {error}",
                "Run: make setup; or set OPENBOOK_TOKENIZER to the served model's tokenizer.json.",
            ) from error
        # The file may tell to cut and to pad batches, as embedders do; neither is a count.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # rag.prompt breaks a chat template's tokens that stand in a document, so they are counted as text.
        self._tokenizer.encode_special_tokens = True
        self.name = f"tokenizer:{hashlib.sha256(data).hexdigest()[:16]}"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in self._encodings(texts)]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._encodings(texts)]

    def keep(self, texts: Sequence[str]) -> None:
        """rag.models.token_cache does."""

    def forget(self) -> None:
        """The file stays what it is."""

    def _encodings(self, texts: Sequence[str]) -> list[Encoding]:
        valid = list(map(_valid, texts))
        if sum(map(len, valid)) < THREADS_FROM:
            return [self._tokenizer.encode(text, add_special_tokens=False) for text in valid]
        return self._tokenizer.encode_batch(valid, add_special_tokens=False)


def _valid(text: str) -> str:
    """Half a surrogate pair is no text to a tokenizer."""
    return text if text.isascii() else text.encode(errors="replace").decode()


class Estimate:
    """Where nothing better is known: a token for every three bytes of UTF-8, which errs high for prose and code."""

    exact = False
    name = "estimate:bytes/3"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [-(-len(text.encode(errors="replace")) // 3) for text in texts]

    def encode(self, texts: Sequence[str]) -> None:
        return None

    def keep(self, texts: Sequence[str]) -> None:
        """There are none."""

    def forget(self) -> None:
        """Nothing is known."""


class ServedTokenizer:
    """Counts through vLLM's ``POST /tokenize``, beside its ``/v1``; estimates while the server does not answer
    there, as other servers never do. ``name`` and ``exact`` say which it is now; the name follows the tokenizer,
    not the address, so counts are kept when a server moves and made anew when another model answers there.

    Each text is a request. So where the model's ``tokenizer.json`` is on this machine, too, and encodes a probe as the
    server does, it is used instead, and the server asked now and then whether it still does.

    https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api
    """

    PROBE_EVERY_S = 30.0
    PROBE = (
        "The gauge's battery lasts 1,234.5 days.\n\tdef f(x_1): return {'naïve': x_1}  # Größe, 水位, мир, 🌊"
    )

    def __init__(
        self, base_url: str, *, api_key: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._api_key, self._transport = api_key, transport
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._probed = -self.PROBE_EVERY_S
        self._tokenizer = ""
        self._file: TokenizerFile | None = None
        self.exact = False

    @cached_property
    def _http(self) -> httpx.Client:
        # Made when it is needed: it reads the system's certificates, a tenth of a second.
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        return httpx.Client(timeout=10.0, headers=headers, transport=self._transport, trust_env=False)

    def close(self) -> None:
        if "_http" in vars(self):
            self._http.close()

    @property
    def name(self) -> str:
        self._probe()
        return f"served:{self._tokenizer}" if self.exact else Estimate.name

    def count(self, texts: Sequence[str]) -> list[int]:
        encoded = self.encode(texts)
        return Estimate().count(texts) if encoded is None else [len(ids) for ids in encoded]

    def encode(self, texts: Sequence[str]) -> list[list[int]] | None:
        self._probe()
        if self.exact and self._file:
            return self._file.encode(texts)
        if self.exact:
            try:
                return [[int(token) for token in self._tokenize(text)["tokens"]] for text in texts]
            except _FAILURES:
                self.exact = False
        return None

    def keep(self, texts: Sequence[str]) -> None:
        """rag.models.token_cache does."""

    def forget(self) -> None:
        self._tokenizer, self._file, self.exact = "", None, False
        self._probed = -self.PROBE_EVERY_S

    def _probe(self) -> None:
        told_by_failure = self.exact and self._file is None
        if told_by_failure or time.monotonic() - self._probed < self.PROBE_EVERY_S:
            return
        self._probed = time.monotonic()
        try:
            ids = [int(token) for token in self._tokenize(self.PROBE)["tokens"]]
        except _FAILURES:  # while it is away, nothing is asked of it that could be counted wrongly
            return
        before, self._tokenizer = self._tokenizer, hashlib.sha256(repr(ids).encode()).hexdigest()[:16]
        self.exact = bool(ids)
        if self.exact and self._tokenizer != before:
            self._file = self._beside(ids)

    def _beside(self, ids: list[int]) -> TokenizerFile | None:
        """The served model's own file, where this machine has it."""
        try:
            response = self._http.get(f"{self._root}/v1/models").raise_for_status()
            served = response.json()["data"][0]
            path = _file_of(str(served.get("root") or served["id"]))
            file = TokenizerFile(path) if path else None
        except (*_FAILURES, LookupError, OSError, ModelNotInstalled):
            return None
        return file if file and file.encode([self.PROBE]) == [ids] else None

    def _tokenize(self, text: str) -> dict[str, Any]:
        body = {"prompt": _valid(text), "add_special_tokens": False}
        response = self._http.post(f"{self._root}/tokenize", json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


def _file_of(model: str) -> Path | None:
    """``model`` is a folder, or a name in the hub's cache. Raises ValueError for what can be neither."""
    if (path := Path(model) / "tokenizer.json").is_file():
        return path
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "tokenizer.json")
    return Path(found) if isinstance(found, str) else None
