"""Token counts as the served model makes them: from its tokenizer file, from the server, or estimated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from tokenizers import Tokenizer

from rag.errors import ModelNotInstalled


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
        self._tokenizer.no_truncation()
        self.name = f"tokenizer:{hashlib.sha256(data).hexdigest()[:16]}"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [
            len(encoding.ids)
            for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ]


class Estimate:
    """Where nothing better is known: a token for every three bytes of UTF-8, which errs high for prose and code."""

    exact = False
    name = "estimate:bytes/3"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [-(-len(text.encode(errors="replace")) // 3) for text in texts]


class ServedTokenizer:
    """Counts through vLLM's ``POST /tokenize``, beside its ``/v1``; estimates while the server does not answer
    there, as other servers never do. ``name`` and ``exact`` say which it is now.

    https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api
    """

    PROBE_EVERY_S = 30.0

    def __init__(self, client: httpx.Client, base_url: str) -> None:
        self._client = client
        self._url = base_url.rstrip("/").removesuffix("/v1") + "/tokenize"
        self._probed = -self.PROBE_EVERY_S
        self.exact = False

    @property
    def name(self) -> str:
        self._probe()
        return f"served:{self._url}" if self.exact else Estimate.name

    def count(self, texts: Sequence[str]) -> list[int]:
        self._probe()
        if self.exact:
            try:
                return [self._count(text) for text in texts]
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                self.exact = False
        return Estimate().count(texts)

    def _probe(self) -> None:
        if self.exact or time.monotonic() - self._probed < self.PROBE_EVERY_S:
            return
        self._probed = time.monotonic()
        try:
            self.exact = self._count("probe") > 0
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            self.exact = False

    def _count(self, text: str) -> int:
        response = self._client.post(self._url, json={"prompt": text, "add_special_tokens": False})
        response.raise_for_status()
        return int(response.json()["count"])
