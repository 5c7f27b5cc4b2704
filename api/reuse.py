"""Whether the model server reuses what it has read: the same long prompt again, and one that begins as it does."""

from __future__ import annotations

from dataclasses import dataclass

from api.finding import Finding
from rag.calibrate import Sender
from rag.types import Usage

MOST = 8192  # tokens: a checkpoint of a hybrid model is every 2,000
SHARED = 0.75  # of the prompt that begins as another
NAME = "prefix reuse"
ENOUGH = 0.9
QUICK = 0.5  # of the time without a cache
WAY_OUT = "Serve it with prefix caching on (vLLM's default) and --enable-prompt-tokens-details; is the KV cache full?"


@dataclass(frozen=True, slots=True)
class Sent:
    """Tokens, and seconds to the first of the answer. ``cached`` is the server's own count, None where it has none."""

    tokens: int
    cached: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Reuse:
    """A new prompt, the same again, and one of which SHARED is the same."""

    cold: Sent
    again: Sent
    begun: Sent


async def measure(sender: Sender, window: int) -> Reuse:
    """What the server has from elsewhere does not count: the prompts are random. Raises what the sender raises."""
    prompt = sender.fresh(min(MOST, window // 2))
    same = prompt[: int(len(prompt) * SHARED)]
    cold = _sent(*await sender.first_token(prompt))
    again = _sent(*await sender.first_token(prompt))
    other = sender.fresh(min(MOST, window // 2))
    begun = _sent(*await sender.first_token([*same, *other[len(same) :]]))
    return Reuse(cold, again, begun)


def _sent(usage: Usage, seconds: float) -> Sent:
    return Sent(usage.prompt, usage.cached, seconds)


def judge(reuse: Reuse) -> Finding:
    detail = (
        f"{reuse.cold.tokens:,} tokens in {reuse.cold.seconds:.2f} s, again in {reuse.again.seconds:.2f} s"
    )
    if reuse.again.cached is None or reuse.begun.cached is None:
        return _by_time(reuse, detail)
    whole, part = reuse.again.cached / reuse.again.tokens, reuse.begun.cached / reuse.begun.tokens
    detail += f" ({whole:.0%} cached); with another end after {SHARED:.0%}: {part:.0%} cached"
    if reuse.again.cached == 0:
        return Finding(NAME, "fail", f"{detail}. Nothing is reused", WAY_OUT)
    if part < SHARED * ENOUGH or whole < ENOUGH:
        return Finding(
            NAME,
            "warn",
            f"{detail}. Beginnings are reused in part, as by models that keep their state at checkpoints",
            "openbook models tells which reuse any; openbook warm ends prompts where others go on.",
        )
    return Finding(NAME, "ok", detail)


def _by_time(reuse: Reuse, detail: str) -> Finding:
    detail += "; the server does not say what it had cached"
    if reuse.again.seconds < QUICK * reuse.cold.seconds:
        return Finding(NAME, "ok", detail, "To see it in receipts: vLLM's --enable-prompt-tokens-details.")
    return Finding(NAME, "warn", detail, WAY_OUT)
