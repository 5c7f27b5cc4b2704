"""A question that fills a long window: what passes in openbook before its request goes out."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from functools import cached_property

import httpx
import numpy as np

from evals import corpus
from evals.answers import Measured
from evals.datasets.values import Record
from evals.prefill.serving import Serving
from evals.prefill.text import vocabulary
from evals.prefill.waits import RETRIEVAL
from evals.progress import Begin
from ingest.steps import to_end
from rag.answer import Rag
from rag.ports import TokenCounter, Write
from rag.question import Question

UNMET, OTHER, AGAIN = (
    f"long context: ms before the request{which}" for which in ("", ", another question", ", the same again")
)
SENTENCE, PARAGRAPH = 12, 60  # words
_DOCUMENTS = 48
_TIMES = 2.5  # more text than the window holds, and than is read whole
_REPLY = b'data: {"choices": [{"text": "x", "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'


class Stopwatch(httpx.AsyncBaseTransport):
    """Answers requests for text by itself; ``at`` is when the last one came (time.perf_counter). The server gets the
    others."""

    def __init__(self, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._given = inner
        self.at = 0.0

    @cached_property
    def _inner(self) -> httpx.AsyncBaseTransport:
        return self._given or httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/completions"):
            self.at = time.perf_counter()
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_REPLY)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        if "_inner" in vars(self):
            await self._inner.aclose()


async def long_contexts(
    serving: Serving, tokens: int, repeats: int, seed: int, begin: Begin
) -> dict[str, Measured]:
    """Of questions about documents of random words, without retrieval: the first one about documents that nobody has
    asked about, another one about them, and that one again. Nothing where the model's window does not hold so many
    ``tokens``."""
    found: dict[str, Measured] = {}
    if not tokens or (await serving.bench.rag.generator.model()).window < tokens:
        return found
    done = begin("long contexts", repeats)
    for number in range(repeats):
        collection = f"long-{number}"
        await to_end(_write, serving.bench.rag, collection, tokens, f"{seed}/{number}")
        stopwatch = Stopwatch()
        async with serving.engine(tokens, stopwatch) as rag:
            await rag.generator.model()  # as the service does when it starts
            first, other = (_text(rag.tokens, SENTENCE, f"{seed}/{number}/{name}") for name in "ab")
            for measure, asked in ((UNMET, first), (OTHER, other), (AGAIN, other)):
                seconds = await _before_the_request(rag, Question(asked, collection), stopwatch)
                found.setdefault(f"long/{number}", {})[measure] = (1000 * seconds, 1.0)
        done(1)
    return found


async def _before_the_request(rag: Rag, question: Question, stopwatch: Stopwatch) -> float:
    began = time.perf_counter()
    answer = await rag.answer(question)
    return stopwatch.at - began - sum(answer.receipt.seconds.get(stage, 0.0) for stage in RETRIEVAL)


def _write(rag: Rag, collection: str, tokens: int, seed: str) -> None:
    """With random vectors: what is found does not matter."""
    length = int(_TIMES * tokens / _DOCUMENTS)
    names = [f"{seed}/{number}" for number in range(_DOCUMENTS)]
    index = rag.store.open(collection, create=True)
    index.put_all(list(_writes(rag, collection, names, length)))


def _writes(rag: Rag, collection: str, names: Sequence[str], length: int) -> Iterator[Write]:
    noise = np.random.default_rng(len(names))
    for name in names:
        record = Record(name, name, _text(rag.tokens, length, name))
        document, tiles, _ = corpus.document(rag, record, collection)
        vectors = noise.standard_normal((len(tiles), rag.embedder.dimension)).astype(np.float32)
        yield Write(document, tiles, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _text(tokens: TokenCounter, words: int, seed: str) -> str:
    """Sentences and paragraphs of common words."""
    chosen = random.Random(seed).choices(vocabulary(tokens), k=words)
    sentences = [" ".join(chosen[at : at + SENTENCE]) + "." for at in range(0, words, SENTENCE)]
    step = PARAGRAPH // SENTENCE
    return "\n\n".join(" ".join(sentences[at : at + step]) for at in range(0, len(sentences), step))
