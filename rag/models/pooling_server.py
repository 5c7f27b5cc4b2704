"""A server of embedding models or cross-encoders, as vLLM serves them: OpenAI's ``/v1/embeddings``, Jina's
``/v1/rerank``.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from rag.errors import EmbedderUnavailable, ModelRefused, RerankerUnavailable

RETRY_S = 5.0  # one that cannot be reached is not waited for again so soon
TIMEOUT_S = 120.0  # a batch on a slow machine
CHECK_S = 2.0  # whether it is there at all
_WRONG = (ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Model:
    """``window`` in tokens, where it is told; ``cuts``: texts that are longer are cut where that is asked for."""

    name: str
    window: int | None
    cuts: bool


class PoolingServer:
    """Blocks; safe to use from threads. Raises ``down`` where it does not answer, ModelRefused where it does so in
    another way than it should; ``setting`` says which variables name it."""

    def __init__(
        self,
        url: str,
        model: str | None,
        api_key: str | None,
        *,
        setting: str,
        down: type[EmbedderUnavailable | RerankerUnavailable],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url, self._model = url.rstrip("/"), model
        self._setting, self._down = setting, down
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(TIMEOUT_S, connect=5.0)
        self._http = httpx.Client(headers=headers, timeout=timeout, transport=transport, trust_env=False)
        self._failed: tuple[float, EmbedderUnavailable | RerankerUnavailable] | None = None

    def close(self) -> None:
        self._http.close()

    @cached_property
    def model(self) -> Model:
        listed = self.request("GET", "models")
        try:
            served = {entry["id"]: entry for entry in listed["data"]}
            name = self._model or next(iter(served))
            window, cuts = served[name].get("max_model_len"), served[name].get("owned_by") == "vllm"
        except _WRONG as error:
            raise ModelRefused(
                f"{self.url} does not serve {self._model or 'a model'}.",
                f"{self._setting}_MODEL names one that it serves.",
            ) from error
        return Model(name, int(window) if window else None, cuts)

    def ask(self, path: str, **body: Any) -> Any:
        """The reply of the model."""
        cut = {"truncate_prompt_tokens": -1} if self.model.cuts else {}
        return self.request("POST", path, {"model": self.model.name} | body | cut)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        failed = self._failed  # another thread's success may take it away meanwhile
        if failed and time.monotonic() - failed[0] < RETRY_S:
            raise self._down(failed[1].message, failed[1].hint)
        try:
            response = self._sent(method, path, body)
        except (EmbedderUnavailable, RerankerUnavailable) as error:
            self._failed = time.monotonic(), error
            raise
        self._failed = None
        return self._read(response)

    def check(self) -> None:
        """Raises as ``ask`` does, soon, where the server does not answer or does not serve the model any more. It asks
        also where a request has just failed, and keeps none from trying: one that is busy may answer too late here."""
        listed = self._read(self._sent("GET", "models", timeout=CHECK_S))
        try:
            there = {entry["id"] for entry in listed["data"]}
        except _WRONG as error:
            raise self.refused("does not list its models as OpenAI's do.") from error
        if self.model.name not in there:
            raise self.refused(f"does not serve {self.model.name} any more.")

    def _sent(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> httpx.Response:
        more: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        try:
            return self._http.request(method, f"{self.url}/{path}", json=body, **more)
        except (httpx.TransportError, httpx.InvalidURL) as error:  # its text may hold the key
            raise self._unavailable(f"cannot be reached: {type(error).__name__}") from None

    def _read(self, response: httpx.Response) -> Any:
        if response.status_code in (408, 429) or response.status_code >= 500:
            raise self._unavailable(f"answered {response.status_code}: {response.text[:200]}")
        try:
            return response.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError) as error:
            raise self.refused(f"answered {response.status_code}: {response.text[:200]}") from error

    def refused(self, why: str) -> ModelRefused:
        return ModelRefused(f"The server at {self.url} {why}", f"Check {self._setting}_URL; it ends in /v1.")

    def _unavailable(self, why: str) -> EmbedderUnavailable | RerankerUnavailable:
        return self._down(
            f"The server at {self.url} {why}.", f"Is it running? {self._setting}_URL says where it is."
        )
