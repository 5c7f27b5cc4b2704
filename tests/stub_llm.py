"""A small OpenAI-compatible server on loopback: lists one model and streams a fixed answer with its usage."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "stub-model"


class StubLlm(ThreadingHTTPServer):
    """``hang``: after the first piece, until it is cleared or the client goes; ``cut``: ends the reply there;
    ``mute``: ends it before that."""

    daemon_threads = True

    def __init__(self, reply: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.reply = reply
        self.cut = self.mute = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.talking = threading.Event()  # a first piece has been sent
        self.gone = threading.Event()  # a client went away before the end

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: StubLlm

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json(
                200, {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 8192}]}
            )
        else:
            self._json(404, {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions" or not asked["stream"]:
            self._json(404, {"error": {"message": "no such path"}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for event in self._events():
                self.wfile.write(f"data: {event}\n\n".encode())
                self.wfile.flush()
                self.server.talking.set()
        except OSError:
            self.server.gone.set()

    def _events(self) -> Iterator[str]:
        words = [] if self.server.mute else self.server.reply.split(" ")
        for i, word in enumerate(words):
            yield json.dumps({"choices": [{"delta": {"content": word if i == 0 else f" {word}"}}]})
            if self.server.cut:
                return
            while not self.server.go_on.wait(0.05):
                yield json.dumps({"choices": []})  # writing is how a client that has gone is noticed
        if self.server.mute:
            return
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": len(words),
            "prompt_tokens_details": {"cached_tokens": 64},
        }
        yield json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
        yield "[DONE]"

    def _json(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def stub_llm(reply: str, port: int = 0) -> Iterator[StubLlm]:
    server = StubLlm(reply, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
