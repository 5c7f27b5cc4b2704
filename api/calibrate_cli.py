"""``openbook calibrate``: how fast the model server reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from api.asking import model_ready
from api.replies import Status
from rag.calibrate import Progress
from rag.calibrate import calibrate as measure
from rag.calibrations import FOLDER, Calibration, Fingerprint, fingerprint
from rag.compose import chat_client, open_rag
from rag.errors import ModelNotFound
from rag.ports import Generator
from rag.prefill import Cost, fit
from rag.remote import find_service
from rag.roles import settings_of
from rag.served import ANSWER
from rag.settings import Settings, load_settings
from rag.terminal import JsonOption, err, literal, out, print_json

WARM = 0.9  # of a prompt, in the table


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds to the first token of a prompt of which nothing, or nine tenths, is cached."""

    tokens: int
    cold_s: float
    warm_s: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """``measured`` of the samples are of this run."""

    of: Fingerprint
    file: str
    samples: int
    measured: int
    cost: Cost
    table: tuple[Row, ...]


def calibrate(
    minutes: Annotated[float, typer.Option(min=0.1, help="When to stop, at the latest.")] = 5.0,
    again: Annotated[
        bool, typer.Option("--again", help="Begin anew; by default what was measured before is kept.")
    ] = False,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Which, of several models; by default the one that answers.")
    ] = ANSWER,
    as_json: JsonOption = False,
) -> None:
    """Measure how fast the model server reads, which predicts first tokens; a run that was ended goes on."""
    settings = load_settings()
    if (of := settings_of(settings).get(model)) is None:
        raise ModelNotFound.of(model, settings.named)
    told = asyncio.run(_calibrate(of, model, minutes * 60, again))
    if as_json:
        print_json(told)
    else:
        _print(told)


async def _calibrate(settings: Settings, name: str, limit_s: float, again: bool) -> Calibrated:
    with err.status("asking the model server", spinner="dots") as spinner:

        def say(text: str) -> None:
            spinner.update(literal(text))

        async with _model_server(settings, name, say) as (generator, url):
            model = await generator.model()
            of = fingerprint(model, url)
            calibration = Calibration(settings.data_dir / FOLDER, of)
            if again:
                calibration.begin_anew()
            done = calibration.load()
            async with aclosing(measure(generator, limit_s, done, calibration.keep)) as steps:
                async for step in steps:
                    spinner.update(_told(step))
    return _calibrated(calibration, of, len(done))


@asynccontextmanager
async def _model_server(
    settings: Settings, name: str, say: Callable[[str], None]
) -> AsyncIterator[tuple[Generator, str]]:
    """Where the model's is: as ``settings`` say, which are of this model alone; the running service's, or one that is
    started for it."""
    url = str(settings.llm_url) if settings.llm_url else _service_model(settings, name)
    if url:
        client = chat_client(settings.model_copy(update={"llm_url": url}), None)
        try:
            yield client, url
        finally:
            await client.close()
        return
    async with open_rag(settings, "openbook calibrate") as engine:
        assert engine.server is not None
        await model_ready(engine.server, say)
        yield engine.rag.generator, engine.server.status.url or ""


def _service_model(settings: Settings, name: str) -> str | None:
    service = find_service(settings.data_dir)
    if service is None:
        return None
    now: Status = service.call("GET", "/v1/status", Status)
    return now.model_url if name == ANSWER else next((m.url for m in now.models if m.name == name), None)


def _told(step: Progress) -> str:
    rate = f", {step.rate:,.0f} tokens/s" if step.rate else ""
    minutes, seconds = divmod(round(step.left_s), 60)
    return f"{step.step}/{step.steps}: {step.tokens:,} tokens{rate}, at most {minutes}:{seconds:02} left"


def _calibrated(calibration: Calibration, of: Fingerprint, before: int) -> Calibrated:
    samples = [sample for _, sample in calibration.load()]
    cost = fit(samples)
    table = tuple(
        Row(tokens, cost.seconds(tokens), cost.seconds(tokens - int(WARM * tokens), int(WARM * tokens)))
        for tokens in _lengths(of.window)
    )
    return Calibrated(of, str(calibration.path), len(samples), len(samples) - before, cost, table)


def _lengths(window: int) -> list[int]:
    lengths = [length for exponent in range(10, 24) if (length := 2**exponent) < window]
    return [*lengths, window]


def _print(told: Calibrated) -> None:
    cost = told.cost
    out.print(str(told.of), markup=False)
    parts = (
        f"{cost.fixed * 1e3:.0f} ms",
        f"{cost.per_token * 1e6:,.1f} µs a token",
        f"{cost.per_pair * 1e9:,.1f} ns a pair of tokens",
        f"{cost.per_cached * 1e6:,.1f} µs a cached token",
    )
    out.print("first token: " + " + ".join(parts), markup=False)
    out.print(f"left out of the fit and predicted: {cost.describe()}", markup=False)
    table = Table("tokens", "cold, s", f"{WARM:.0%} cached, s", box=None)
    for row in told.table:
        note = "" if row.tokens <= cost.spread.longest * 1.1 else " (longer than measured)"
        table.add_row(f"{row.tokens:,}", f"{row.cold_s:.2f}", f"{row.warm_s:.2f}{note}")
    out.table(table)
    err.print(f"{told.measured} samples measured now, kept in {told.file}", markup=False)
