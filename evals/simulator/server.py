"""What openbook and the usual clients ask of vLLM's HTTP server, answered by the simulated engine.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from evals.simulator.engine import Engine, Request
from evals.simulator.model import Model
from evals.simulator.protocol import (
    CHAT,
    COMPLETION,
    Asked,
    ChatAsked,
    CompletionAsked,
    Form,
    TokenizeAsked,
    finish_reason,
    usage,
)
from rag.errors import BadRequest, PortInUse

QUOTED_FROM = 2048  # tokens


class Simulator:
    """``speed``: simulated seconds in one of the clock's. ``name`` is what the model is called."""

    def __init__(self, engine: Engine, model: Model, name: str, window: int, speed: float = 1.0) -> None:
        self.engine, self.model, self.name, self.window, self.speed = engine, model, name, window, speed
        self._work = asyncio.Event()
        self._written: dict[Request, asyncio.Event] = {}  # another token of it
        self._tokens = {"local_compute": 0, "local_cache_hit": 0, "external_kv_transfer": 0}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._models),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ],
            lifespan=self._lifespan,
            exception_handlers={BadRequest: _refused, ValidationError: _refused},
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        steps = asyncio.create_task(self._steps(), name="simulated engine")
        try:
            yield
        finally:
            steps.cancel()
            with suppress(asyncio.CancelledError):
                await steps

    async def _steps(self) -> None:
        due = time.monotonic()
        while True:
            step = self.engine.begin_step()
            if step is None:
                self._work.clear()
                await self._work.wait()
                due = time.monotonic()
                continue
            # From when the last step was due, so that what the simulator itself takes is not added to every step.
            due += step.seconds / self.speed
            await asyncio.sleep(due - time.monotonic())
            for request in self.engine.end_step(step, due):
                self._written[request].set()

    async def _tokens_of(self, request: Request) -> AsyncGenerator[Sequence[int], None]:
        """Tokens as they are written; a client that leaves cancels the rest."""
        written = self._written[request] = asyncio.Event()
        self.engine.add(request)
        self._work.set()
        told = 0
        try:
            while not request.finished:
                await written.wait()
                written.clear()
                if told == 0:
                    self._count(request)
                yield request.generated[told:]
                told = len(request.generated)
        finally:
            del self._written[request]
            self.engine.cancel(request)

    async def _finish(self, request: Request) -> None:
        async with aclosing(self._tokens_of(request)) as written:
            async for _ in written:
                pass

    def _count(self, request: Request) -> None:
        assert request.cached is not None
        self._tokens["local_cache_hit"] += request.cached
        self._tokens["local_compute"] += len(request.ids) - request.cached

    async def _health(self, _http: HttpRequest) -> Response:
        return Response()

    async def _models(self, _http: HttpRequest) -> Response:
        served = {"id": self.name, "object": "model", "owned_by": "vllm", "max_model_len": self.window}
        return JSONResponse({"object": "list", "data": [served]})

    async def _metrics(self, _http: HttpRequest) -> Response:
        cache, labels = self.engine.cache, f'engine="0",model_name="{self.name}"'
        shape = f'block_size="{cache.block_size}",enable_prefix_caching="True",num_gpu_blocks="{cache.capacity_blocks}"'
        lines = [
            "# TYPE vllm:cache_config_info gauge",
            f'vllm:cache_config_info{{{shape},engine="0"}} 1.0',
            "# TYPE vllm:num_requests_running gauge",
            f"vllm:num_requests_running{{{labels}}} {len(self.engine.running)}",
            "# TYPE vllm:num_requests_waiting gauge",
            f"vllm:num_requests_waiting{{{labels}}} {len(self.engine.waiting)}",
            "# TYPE vllm:prompt_tokens_by_source_total counter",
            *(
                f'vllm:prompt_tokens_by_source_total{{{labels},source="{source}"}} {count}'
                for source, count in self._tokens.items()
            ),
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def _tokenize(self, http: HttpRequest) -> Response:
        asked = TokenizeAsked.model_validate_json(await http.body())
        if asked.messages is not None:
            more = asked.chat_template_kwargs
            ids = self.model.chat(asked.messages, more, answer=asked.add_generation_prompt)
        else:
            special = True if asked.add_special_tokens is None else asked.add_special_tokens
            ids = self.model.encode(asked.prompt or "", special=special)
        return JSONResponse({"count": len(ids), "max_model_len": self.window, "tokens": ids})

    async def _completions(self, http: HttpRequest) -> Response:
        asked = CompletionAsked.model_validate_json(await http.body())
        if isinstance(asked.prompt, str):
            request = self._request(asked, self.model.encode(asked.prompt, special=True), asked.prompt)
        else:
            request = self._request(asked, asked.prompt, None)
        return await self._answer(http, asked, request, COMPLETION)

    async def _chat(self, http: HttpRequest) -> Response:
        asked = ChatAsked.model_validate_json(await http.body())
        ids = self.model.chat(asked.messages, asked.chat_template_kwargs)
        text = "\n\n".join(str(message.get("content")) for message in asked.messages)
        return await self._answer(http, asked, self._request(asked, ids, text), CHAT)

    def _request(self, asked: Asked, ids: list[int], text: str | None) -> Request:
        if asked.model not in (None, self.name):
            raise _NoSuchModel(f"The model `{asked.model}` does not exist.")
        if len(ids) == self.window:
            raise BadRequest("max_tokens must be at least 1, got 0.")
        if len(ids) > self.window:
            raise BadRequest(
                f"This model's maximum context length is {self.window} tokens. However, your prompt contains "
                f"{len(ids)} input tokens, which exceeds this limit even without any output tokens. "
                "Please reduce the length of the input prompt."
            )
        wanted = asked.max_completion_tokens or asked.max_tokens or self.window
        reply = asked.reply_ids
        if reply is None:
            # What it quotes stands at the beginning: a window of tokens takes long to decode.
            reply = self.model.reply(self.model.decode(ids[:QUOTED_FROM]) if text is None else text)
        return Request(ids, reply, min(wanted, self.window - len(ids)), asked.cache_salt or "")

    async def _answer(self, http: HttpRequest, asked: Asked, request: Request, form: Form) -> Response:
        about = {"id": f"{form.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        if asked.stream:
            events = self._events(asked, request, form, about)
            return StreamingResponse(events, media_type="text/event-stream")
        if not await _unless_gone(http, self._finish(request)):
            return Response(status_code=499)  # nobody reads it
        ids = list(request.generated)
        choice = {
            "index": 0,
            **form.whole(self.model.decode(ids)),
            "finish_reason": finish_reason(request),
            "stop_reason": None,
        }
        if asked.return_token_ids:
            choice |= {"token_ids": ids, "prompt_token_ids": list(request.ids)}
        return JSONResponse({**about, "object": form.kind, "choices": [choice], "usage": usage(request)})

    async def _events(
        self, asked: Asked, request: Request, form: Form, about: dict[str, Any]
    ) -> AsyncIterator[str]:
        options = asked.stream_options
        continuous = options.include_usage and options.continuous_usage_stats
        said = ""

        def event(choices: list[dict[str, Any]], is_counted: bool) -> str:
            body = {**about, "object": form.piece_kind, "choices": choices}
            return f"data: {json.dumps(body | ({'usage': usage(request)} if is_counted else {}))}\n\n"

        opening = form.opening
        async for tokens in self._tokens_of(request):
            if opening is not None:
                yield event([{"index": 0, "delta": opening, "finish_reason": None}], continuous)
            opening = None
            text = self.model.decode(request.generated)
            piece = "" if text.endswith("\ufffd") and not request.finished else text[len(said) :]
            said += piece
            choice = {"index": 0, **form.piece(piece), "finish_reason": finish_reason(request)}
            if asked.return_token_ids:
                choice["token_ids"] = list(tokens)
            yield event([choice], continuous)
        if options.include_usage:
            yield event([], True)
        yield "data: [DONE]\n\n"


class _NoSuchModel(BadRequest):
    pass


async def _unless_gone(http: HttpRequest, work: Coroutine[None, None, None]) -> bool:
    """Whether it was done before the client went away; Starlette itself watches over streamed answers alone."""
    doing, leaving = asyncio.create_task(work), asyncio.create_task(_gone(http))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        return doing.done()
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _gone(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _refused(_http: HttpRequest, error: Exception) -> Response:
    status, kind = (404, "NotFoundError") if isinstance(error, _NoSuchModel) else (400, "BadRequestError")
    message = str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": None, "code": status}}, status_code=status
    )


def serve(simulator: Simulator, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Returns after SIGINT or SIGTERM. Raises PortInUse, and BadRequest where the address cannot be bound."""
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse.of(host, port) from error
        raise BadRequest(
            f"Cannot listen on {host}:{port}: {error.strerror}.", "Name another --host."
        ) from error
    with listening:
        # Else a second small piece of a reply waits 40 ms for the client (api/serve.py): connections inherit it.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ready(f"http://{host}:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(simulator.app(), log_config=None, access_log=False))
        with suppress(KeyboardInterrupt):  # uvicorn raises a caught signal once more when it is done
            server.run([listening])
