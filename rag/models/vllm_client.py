"""A client of any OpenAI-compatible server; what only vLLM tells (window, cached tokens) is read where present.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cached_property
from secrets import token_hex
from typing import Any, NoReturn

import httpx
from httpx_sse import SSEError, aconnect_sse
from pydantic_core import to_json

from rag.correlation import current
from rag.errors import ContextTooLong, ModelRefused, ModelUnavailable
from rag.models.vllm_told import Told, tell
from rag.ports import Delta, Generator, Message, ModelInfo, Relayed
from rag.question import GREEDY, Sampling
from rag.template import Encode
from rag.types import Usage

LEAVE_S = 0.2  # for a server to end its reply when it has said all
_JSON = {"Content-Type": "application/json"}
_TOO_LONG = re.compile(
    r"context length|context window|context size|maximum model length|too many tokens|exceeds? .*context",
    re.I,
)
# vLLM says "maximum context length is 8192 tokens" and "prompt (length 9000)", "contains 9000 input tokens".
_WINDOW = re.compile(r"(?:context|model) length (?:is|of) (\d+)", re.I)
_NEEDED = re.compile(r"\(length (\d+)\)|(\d+) input tokens|requested (\d+) tokens", re.I)


class ChatClient:
    """``base_url`` is asked for at every request, since a managed server may have moved to another port.

    ``model`` of ``None`` means the first that the server lists; ``window`` is used where the server tells none.
    ``encode`` makes token ids as the served model's tokenizer does; with it prompts may be sent as ids.
    """

    def __init__(
        self,
        base_url: Callable[[], str],
        *,
        model: str | None = None,
        api_key: str | None = None,
        window: int = 32768,
        timeout_s: float = 600.0,
        encode: Encode | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api_key, self._timeout_s, self._transport = api_key, timeout_s, transport
        self._base_url, self._model, self._window = base_url, model, window
        self._encode = encode
        self._asked_for: str | None = None
        self._asking: asyncio.Task[ModelInfo] | None = None
        self._told_by: dict[tuple[str, str], Told] = {}

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        # Made when it is needed: it reads the system's certificates, a tenth of a second.
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        timeout = httpx.Timeout(self._timeout_s, connect=5.0)
        # trust_env: a proxy from the environment must never see a local model's traffic.
        return httpx.AsyncClient(headers=headers, timeout=timeout, transport=self._transport, trust_env=False)

    async def close(self) -> None:
        if self._asking:
            self._asking.cancel()
        if "_http" in vars(self):
            await self._http.aclose()

    async def model(self) -> ModelInfo:
        """Those who want to know it at once ask once."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._model_now())
        return await asyncio.shield(self._asking)

    async def _model_now(self) -> ModelInfo:
        base = self._base_url()
        url = f"{base}/models"
        with _mapped(url):
            response = await self._http.get(url, timeout=10.0)
            _raise_for(response.status_code, response.text)
            served = {entry["id"]: entry for entry in response.json()["data"]}
        if not served or (self._model and self._model not in served):
            raise ModelRefused(
                f"The model server serves {', '.join(served) or 'no model'}, not {self._model!r}.",
                "Set OPENBOOK_LLM_MODEL to one that it serves.",
            )
        name = self._model or next(iter(served))
        self._asked_for = name
        told = await self._told(base.removesuffix("/v1"), name)
        window = int(served[name].get("max_model_len") or self._window)
        return ModelInfo(name, window, told.template, told.cache, told.server)

    async def _told(self, root: str, model: str) -> Told:
        """Asked once for each server that is reached: another one starts with another cache, if not another model."""
        if (told := self._told_by.get((root, model))) is None:
            told = self._told_by[root, model] = await tell(self._http, root, model, self._encode)
        return told

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
        salt: str = "",
    ) -> AsyncGenerator[Delta, None]:
        """``salt``: vLLM finds in its prefix cache only what was sent with the same one."""
        body = {
            "model": self._asked_for or (await self.model()).name,
            **_asked(messages, ids),
            "max_tokens": max_tokens,
            **_sampled(sampling),
            **({"cache_salt": salt} if salt else {}),
            "stream": True,
            # vLLM then counts in every piece, so that an answer that is cut short is counted too.
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        url = f"{self._base_url()}/{'completions' if ids else 'chat/completions'}"
        with _mapped(url):
            # A long prompt is many ids: to_json takes a third of the time that json does.
            headers = _JSON | _given_on()
            async with aconnect_sse(
                self._http, "POST", url, content=to_json(body), headers=headers
            ) as source:
                if source.response.status_code != 200:
                    await source.response.aread()
                    _raise_for(source.response.status_code, source.response.text)
                finished, events = False, source.aiter_sse()
                async for event in events:
                    if event.data.strip() == "[DONE]":
                        await _read_to_the_end(events)
                        return
                    if not event.data.strip():  # a sign of life
                        continue
                    delta = _delta(json.loads(event.data))
                    finished = finished or delta.finish_reason is not None
                    yield delta
                if finished:  # some servers leave [DONE] out
                    return
        raise ModelUnavailable(
            "The model server ended its answer in the middle.", "Look into its log; ask again."
        )

    def salted(self, salt: str) -> Generator:
        return _Salted(self, salt)

    @asynccontextmanager
    async def relayed(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Relayed]:
        url = f"{self._base_url()}/{path}"
        request = self._http.build_request("POST", url, content=to_json(body), headers=_JSON)
        with _mapped(url):
            response = await self._http.send(request, stream=True)
        try:
            if response.status_code in (401, 403):  # of our key for it, which is no matter of who asks
                await response.aread()
                _raise_for(response.status_code, response.text)
            media_type = response.headers.get("content-type", "application/json")
            yield Relayed(response.status_code, media_type, _chunks(url, response))
        finally:
            await response.aclose()


async def _chunks(url: str, response: httpx.Response) -> AsyncIterator[bytes]:
    with _mapped(url):
        async for chunk in response.aiter_bytes():
            yield chunk


class _Salted:
    def __init__(self, client: ChatClient, salt: str) -> None:
        self._client, self._salt = client, salt
        self.model = client.model

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        return self._client.stream(
            messages, max_tokens=max_tokens, sampling=sampling, ids=ids, salt=self._salt
        )


def _sampled(sampling: Sampling) -> dict[str, Any]:
    given = {"top_p": sampling.top_p, "seed": sampling.seed, "stop": list(sampling.stop) or None}
    return {"temperature": sampling.temperature} | {name: it for name, it in given.items() if it is not None}


def _asked(messages: Sequence[Message], ids: Sequence[int]) -> dict[str, Any]:
    if ids:
        return {"prompt": list(ids)}
    return {"messages": [{"role": each.role, "content": _whole(each.content)} for each in messages]}


def _given_on() -> dict[str, str]:
    """Of the request that this is done for. A server takes two requests of one id for one, so each has an end of its
    own: a long prompt goes in several."""
    of = current()
    own = {"X-Request-Id": f"{of.request}-{token_hex(4)}"} if of.request else {}
    return own | dict(of.headers)


async def _read_to_the_end(events: AsyncIterator[Any]) -> None:
    """Then the connection is kept for the next request. What happens to it now is no matter of the reply."""
    with suppress(TimeoutError, httpx.HTTPError, SSEError):
        async with asyncio.timeout(LEAVE_S):
            async for _ in events:
                pass


def _delta(chunk: dict[str, Any]) -> Delta:
    # An error after the first piece comes as a chunk of its own; its code may be a status or a word, or miss.
    if chunk.get("error") or chunk.get("object") == "error":
        error = chunk.get("error") or chunk
        code = error.get("code") if isinstance(error, dict) else None
        _refuse(code if isinstance(code, int) and code >= 400 else 500, json.dumps(chunk))
    choice = (chunk.get("choices") or [{}])[0]
    return Delta(
        text=_whole(choice.get("text") or (choice.get("delta") or {}).get("content") or ""),
        finish_reason=choice.get("finish_reason"),
        usage=_usage(chunk.get("usage") or {}),
    )


def _whole(text: str) -> str:
    """Half a surrogate pair, which JSON can spell and UTF-8 cannot, would break whatever writes the answer."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _usage(usage: dict[str, Any]) -> Usage | None:
    if usage.get("prompt_tokens") is None:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Usage(usage["prompt_tokens"], usage.get("completion_tokens") or 0, details.get("cached_tokens"))


def _raise_for(status: int, body: str) -> None:
    if status != 200:
        _refuse(status, body)


def _refuse(status: int, body: str) -> NoReturn:
    message = _message(body)
    if status in (400, 413, 422, 500) and _TOO_LONG.search(message):
        raise ContextTooLong(
            f"The model server refused the prompt as too long: {message}",
            "Lower max_context_tokens (OPENBOOK_CONTEXT_TOKENS) or serve the model with a larger window.",
            needed=_first_number(_NEEDED, message),
            budget=_first_number(_WINDOW, message),
        )
    if status in (408, 429) or status >= 500:
        raise ModelUnavailable(f"The model server answered {status}: {message}", "Try again in a moment.")
    hints = {
        400: "The model server's log may say more.",
        401: "Check OPENBOOK_LLM_API_KEY.",
        403: "Check OPENBOOK_LLM_API_KEY.",
        422: "The model server's log may say more.",
    }
    hint = hints.get(status, "Check OPENBOOK_LLM_URL; it ends in /v1.")
    raise ModelRefused(f"The model server answered {status}: {message}", hint)


def _first_number(pattern: re.Pattern[str], message: str) -> int | None:
    match = pattern.search(message)
    return int(next(group for group in match.groups() if group)) if match else None


def _message(body: str) -> str:
    """What servers call the message: ``error.message``, ``message``, ``error`` or ``detail``; else the body."""
    try:
        parsed = json.loads(body)
        error = parsed.get("error") or parsed
        said = error if isinstance(error, str) else error.get("message") or error.get("detail")
    except (ValueError, AttributeError):
        said = None
    return " ".join(str(said or body).split())[:500]


@contextmanager
def _mapped(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise ModelUnavailable(
            f"The model server at {url} did not answer in time.",
            "Ask for less, or raise OPENBOOK_LLM_TIMEOUT_S.",
        ) from error
    except (
        httpx.DecodingError,
        httpx.InvalidURL,
        SSEError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise ModelRefused(
            f"{url} does not answer as an OpenAI-compatible server does: {error!r}",
            "Check OPENBOOK_LLM_URL; it ends in /v1.",
        ) from error
    except httpx.LocalProtocolError:
        # Its text holds the header that cannot be sent, which is the key: not even the log may have it.
        raise ModelRefused(
            f"The request to {url} cannot be sent.",
            "Check OPENBOOK_LLM_API_KEY: is there a line break or a blank in it?",
        ) from None
    except httpx.TransportError as error:
        raise ModelUnavailable(
            f"The model server at {url} cannot be reached: {error}",
            "Is it running? OPENBOOK_LLM_URL says where; without it openbook starts its own.",
        ) from error
