"""The page in a real browser: the system's Chromium, and a live service over fakes in a thread beside it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fake_engine import fake_engine
from fakes import Costly, FakeGenerator, change
from ingest.workers import InProcess
from live import Live, served
from rag.errors import ModelUnavailable
from rag.ports import Delta, Message, ModelInfo
from rag.question import GREEDY, Sampling
from rag.types import Usage

BROWSERS = ("chromium", "chromium-browser", "google-chrome")  # as scripts/setup.sh looks for them


class Talker(FakeGenerator):
    """A model that answers as ``replies`` say: by a word of the question. One whose reply is None is away, and one
    whose reply is "…" goes on until nobody listens, which ``gone`` tells. After two words it waits for ``go_on``."""

    def __init__(self, replies: dict[str, str | None]) -> None:
        super().__init__()
        self.replies = replies
        self.gone, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    async def model(self) -> ModelInfo:
        return ModelInfo("talker-30b", 8192)

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        asked = messages[-1].content.rpartition("Question:")[2].lower()
        reply = next(
            (reply for word, reply in self.replies.items() if word in asked), "The documents do not say."
        )
        if reply is None:
            raise ModelUnavailable("The model server is down.", "Start it again.")
        try:
            while reply == "…":
                yield Delta("and so on ")
                await asyncio.sleep(0.02)
        finally:
            self.gone.set()
        await asyncio.sleep(0.1)
        for at, piece in enumerate(re.findall(r"\S+\s*", reply)):
            if at == 2:
                await asyncio.to_thread(self.go_on.wait, 10)
            yield Delta(piece)
        yield Delta(finish_reason="stop", usage=Usage(1200, 20, 400))


@contextmanager
def talking(folder: Path, talker: Talker) -> Iterator[Live]:
    """A service that reads files in its own process, with a model whose speed is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
        patch.setattr("ingest.parse.read_again", lambda *_: None)
        patch.setattr("ingest.uploads.RESERVE_BYTES", 0)
        with fake_engine(folder, talker) as engine:
            change(engine.rag, serving=replace(engine.rag.serving, costs=Costly(0.1, per_token=0.001)))
            with served(engine) as service:
                yield service


def executable() -> str:
    named = os.environ.get("CHROME", "")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, "There is no Chromium; scripts/setup.sh --dev installs it."
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        try:
            yield launched
        finally:
            launched.close()


@contextmanager
def opened(
    browser: Browser, url: str, *, width: int = 1280, height: int = 800, dark: bool = False
) -> Iterator[Page]:
    """A page in a session of its own. What it says on its console, or throws, fails the test."""
    said: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    try:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        expect(page.locator("#model")).not_to_be_empty()
        yield page
        # The browser logs each reply that is an error by itself: those are the service's, and tested there.
        assert [each for each in said if "Failed to load resource" not in each] == []
    finally:
        context.close()
