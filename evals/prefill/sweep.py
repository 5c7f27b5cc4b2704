"""Time to the first token of the model server alone against the length of the prompt: nothing of it cached, all of it,
and its first half."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from evals.answers import Measured
from evals.prefill.server import Raw, Timing, chat
from evals.prefill.text import vocabulary, words
from evals.progress import Begin
from rag.ports import TokenCounter

State = Literal["cold", "partial", "warm"]
STATES: tuple[State, ...] = ("cold", "partial", "warm")
SERVER = "model server"
RATE, TTFR, PROCESSING, TTFT = "t/s", "ttfr (ms)", "est_ppt (ms)", "e2e_ttft (ms)"
_PROBE = 16  # words of the request that tells what the chat template adds


def row(length: int, state: State) -> str:
    """The name that llama-benchy gives to so many new tokens after so many that are cached; it has none for a prompt
    that is cached whole."""
    if state == "partial":
        return f"pp{length - length // 2} @ d{length // 2}"
    return f"pp{length}" if state == "cold" else f"pp{length} again"


async def sweep(
    raw: Raw,
    model: str,
    tokens: TokenCounter,
    lengths: Sequence[int],
    repeats: int,
    seed: int,
    begin: Begin,
) -> dict[str, Measured]:
    """By case. Every repeat has text and salt of its own."""
    run, among = secrets.token_hex(8), vocabulary(tokens)
    probe = await raw.ask("/chat/completions", chat(model, words(_PROBE, "probe", among), run))
    template, trip = probe.prompt - _PROBE, await raw.round_trip()
    found: dict[str, Measured] = {}
    done = begin("model server", len(lengths) * repeats * len(STATES))
    for length in lengths:
        for repeat in range(repeats):
            texts = _texts(max(length - template, 2), f"{seed}/{length}/{repeat}", among)
            for state, text in texts.items():
                timing = await raw.ask("/chat/completions", chat(model, text, f"{run}-{length}-{repeat}"))
                found[f"{length}/{state}/{repeat}"] = dict(_measured(row(length, state), state, timing, trip))
                done(1)
    return found


async def heeds_salts(raw: Raw, model: str, tokens: TokenCounter, length: int) -> bool:
    """Whether a prompt is not found under another salt, as far as ``length`` tokens fill a block of the cache."""
    text = words(length, secrets.token_hex(8), vocabulary(tokens))
    salts = (secrets.token_hex(8), secrets.token_hex(8))
    _, other = [await raw.ask("/chat/completions", chat(model, text, salt)) for salt in salts]
    return not other.cached


def _texts(count: int, seed: str, among: Sequence[str]) -> Mapping[State, str]:
    """In the order in which they are asked: each finds in the cache what the ones before it have left there."""
    half = count // 2
    first, second, other = (words(n, f"{seed}/{part}", among) for n, part in _parts(half, count - half))
    return {"cold": first + second, "warm": first + second, "partial": first + other}


def _parts(first: int, second: int) -> Iterator[tuple[int, str]]:
    yield from ((first, "first"), (second, "second"), (second, "other"))


def _measured(
    of: str, state: State, timing: Timing, trip: float
) -> Iterator[tuple[str, tuple[float, float]]]:
    processing = max(timing.ttfr - trip, 1e-6)
    if state != "warm":
        yield f"{of}: {RATE}", (float(timing.new), processing)
    yield f"{of}: {TTFR}", (1000 * timing.ttfr, 1.0)
    yield f"{of}: {PROCESSING}", (1000 * processing, 1.0)
    yield f"{of}: {TTFT}", (1000 * timing.ttft, 1.0)
    if timing.cached is not None:
        yield f"{of}: cached share", (float(timing.cached), float(timing.prompt))
