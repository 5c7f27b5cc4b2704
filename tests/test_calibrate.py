"""Calibration: what is sent, what is kept, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from api.replies import Status
from command import Ran, in_process
from fake_engine import fake_engine
from fakes import change
from rag import priors
from rag.calibrate import ROUNDS, SHARES, calibrate, plan
from rag.calibrations import Calibration, CostBook, Fingerprint, fingerprint, observed_file
from rag.children import Children
from rag.compose import Engine
from rag.errors import BadSetting, ModelRefused, ModelUnavailable
from rag.models.vllm_process import VllmStatus
from rag.ports import CacheShape, Delta, Message, ModelInfo
from rag.prefill import ENOUGH, WINDOW, Cost, Sample, fit
from rag.question import GREEDY, Sampling
from rag.settings import Settings
from rag.types import Usage

TRUE = Cost(fixed=0.05, per_token=1.5e-3, per_pair=4e-7, per_cached=2e-5)
BLOCK = 16


class Server:
    """A model server whose first tokens take TRUE seconds of its own clock. It keeps blocks of what it has read."""

    def __init__(
        self,
        window: int = 4096,
        *,
        takes_ids: bool = True,
        tells_cached: bool = True,
        breaks_after: int = 10**9,
    ) -> None:
        self.window, self.takes_ids, self.tells_cached, self.breaks_after = (
            window, takes_ids, tells_cached, breaks_after,
        )  # fmt: skip
        self.now = 0.0
        self.blocks: set[int] = set()
        self.read: list[tuple[int, int]] = []  # tokens and how many of them were cached

    def clock(self) -> float:
        return self.now

    async def model(self) -> ModelInfo:
        return ModelInfo("m", self.window, None, CacheShape(BLOCK, 1000), "vLLM 1")

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        if ids and not self.takes_ids:
            raise ModelRefused("The model server answered 400: prompt must be a string")
        if len(self.read) >= self.breaks_after:
            raise ModelUnavailable("gone")
        tokens = tuple(ids) or tuple(map(ord, messages[0].content))
        assert len(tokens) < self.window
        keys = [hash(tokens[:end]) for end in range(BLOCK, len(tokens), BLOCK)]
        cached = BLOCK * next((i for i, key in enumerate(keys) if key not in self.blocks), len(keys))
        self.blocks.update(keys)
        self.read.append((len(tokens), cached))
        self.now += TRUE.seconds(len(tokens) - cached, cached)
        yield Delta("x", "length", Usage(len(tokens), 1, cached if self.tells_cached else None))
        self.now += 1.0  # what comes after the first token does not count
        yield Delta()

    async def close(self) -> None: ...


async def run(server: Server, calibration: Calibration, limit_s: float = 1e6) -> list[int]:
    """The lengths that were measured."""
    steps = calibrate(server, limit_s, calibration.load(), calibration.keep, server.clock)
    return [step.tokens async for step in steps]


@pytest.fixture
def of() -> Fingerprint:
    return Fingerprint("m", 4096, "vLLM 1", BLOCK, "here")


@pytest.fixture
def calibration(tmp_path: Path, of: Fingerprint) -> Calibration:
    return Calibration(tmp_path / "calibrations", of)


def samples(calibration: Calibration) -> list[Sample]:
    return [sample for _, sample in calibration.load()]


def test_the_plan_covers_the_window_in_rounds_that_lie_between_each_other() -> None:
    lengths = [step.tokens for step in plan(8192)]
    assert max(lengths) == 8192 - 64
    assert min(lengths) < 64
    assert len(set(lengths)) == len(lengths)
    ordered = sorted(lengths)
    assert max(b / a for a, b in pairwise(ordered)) < 1.35
    assert len({step.name for step in plan(8192)}) == len(lengths)


async def test_what_is_measured_gives_the_cost_of_the_server_back(calibration: Calibration) -> None:
    server = Server()
    await run(server, calibration)
    found = fit(samples(calibration))
    for new, cached in ((300, 0), (3000, 0), (500, 3000), (100, 1000)):
        assert found.seconds(new, cached) == pytest.approx(TRUE.seconds(new, cached), rel=0.02)
    assert found.sure


async def test_cold_prompts_are_cold_and_shares_are_what_the_server_says(calibration: Calibration) -> None:
    server = Server()
    await run(server, calibration)
    assert [(s.prompt, s.cached) for s in samples(calibration)] == server.read[1:]  # the first does not count
    shares = {round(s.cached / s.prompt, 1) for s in samples(calibration) if s.prompt > 1000}
    assert shares == set(SHARES)
    await run(server, Calibration(calibration.path.parent, Fingerprint("m", 4096, "", 0, "there")))
    assert sum(cached == 0 for _, cached in server.read[-len(plan(4096)) * 3 :]) >= len(plan(4096))


async def test_it_ends_in_time_and_leaves_out_what_would_not(calibration: Calibration) -> None:
    server = Server()
    await run(server, calibration, limit_s=20)
    assert server.now < 30
    assert max(s.prompt for s in samples(calibration)) < 4000


async def test_a_run_that_was_ended_goes_on_where_it_was(calibration: Calibration) -> None:
    broken = Server(breaks_after=12)
    with pytest.raises(ModelUnavailable):
        await run(broken, calibration)
    before = samples(calibration)
    assert len(before) == 11
    complete = len(before) // len(SHARES)
    server = Server()
    assert len(await run(server, calibration)) == len(plan(4096)) - complete
    assert samples(calibration)[: len(before)] == before
    assert await run(server, calibration) == []


async def test_a_line_that_a_crash_cut_short_costs_that_line_only(calibration: Calibration) -> None:
    await run(Server(), calibration)
    before = samples(calibration)
    with calibration.path.open("a") as file:
        file.write('\n{"step": "3/1", "new": 12')
    calibration.keep("3/2", Sample(5, 6, 7.0))
    assert samples(calibration) == [*before, Sample(5, 6, 7.0)]


async def test_begun_anew_nothing_old_is_left(calibration: Calibration, of: Fingerprint) -> None:
    await run(Server(), calibration)
    CostBook(calibration.path.parent).observe(of, 100, 0, 1.0)
    calibration.begin_anew()
    assert calibration.load() == []
    assert not observed_file(calibration.path).exists()


async def test_words_are_sent_where_ids_are_not_taken(calibration: Calibration) -> None:
    server = Server(takes_ids=False)
    await run(server, calibration)
    assert 3400 < max(s.prompt for s in samples(calibration)) < 4096
    assert fit(samples(calibration)).seconds(2000) == pytest.approx(TRUE.seconds(2000), rel=0.05)


async def test_where_the_server_does_not_tell_what_was_cached_cold_prompts_are_measured(
    calibration: Calibration,
) -> None:
    server = Server(tells_cached=False)
    await run(server, calibration)
    assert len(samples(calibration)) == len(plan(4096))
    assert {s.cached for s in samples(calibration)} == {0}
    assert await run(server, calibration) == []


async def test_a_server_that_counts_nothing_is_told(calibration: Calibration) -> None:
    class Silent(Server):
        async def stream(self, *_: object, **__: object) -> AsyncGenerator[Delta, None]:
            yield Delta("x", "length")

    with pytest.raises(ModelRefused, match="how many tokens it read"):
        await run(Silent(), calibration)


def test_another_model_server_or_machine_is_another_calibration(tmp_path: Path) -> None:
    model = ModelInfo("org/m 1", 4096, None, CacheShape(16, 100), "vLLM 1")
    known = [
        fingerprint(model, "http://127.0.0.1:8000/v1"),
        fingerprint(model, "http://spark:8000/v1"),
        fingerprint(ModelInfo("org/m 1", 8192, None, model.cache, "vLLM 1"), "http://127.0.0.1:8000/v1"),
        fingerprint(ModelInfo("org/m 1", 4096, None, model.cache, "vLLM 2"), "http://127.0.0.1:8000/v1"),
        fingerprint(
            ModelInfo("org/m 1", 4096, None, CacheShape(32, 100), "vLLM 1"), "http://127.0.0.1:8000/v1"
        ),
    ]
    assert len({of.name for of in known}) == len(known)
    assert known[0] == fingerprint(model, "http://localhost:1234/v1"), "a managed server moves"
    assert known[0].name.startswith("org-m-1-")
    more_memory = ModelInfo("org/m 1", 4096, None, CacheShape(16, 200), "vLLM 1")
    assert known[0] == fingerprint(more_memory, "http://localhost:1234/v1")


def test_the_book_knows_nothing_of_an_unknown_model(tmp_path: Path, of: Fingerprint) -> None:
    assert CostBook(tmp_path).current(of) is None


def test_the_book_begins_with_the_published_figures_of_a_known_model(tmp_path: Path) -> None:
    of = Fingerprint("openai/gpt-oss-20b", 131072, "vLLM 1", 16, "spark")
    prior = priors.find(of.model)
    assert prior is not None
    assert CostBook(tmp_path).current(of) == prior.cost


def calibrated(calibration: Calibration, cost: Cost = TRUE) -> None:
    for step in plan(4096)[: 2 * ENOUGH]:
        calibration.keep(step.name, Sample(step.tokens, 0, cost.seconds(step.tokens)))
        calibration.keep(
            step.name, Sample(step.tokens // 2, step.tokens, cost.seconds(step.tokens // 2, step.tokens))
        )


def test_a_calibration_goes_before_published_figures(tmp_path: Path) -> None:
    of = Fingerprint("openai/gpt-oss-20b", 131072, "vLLM 1", 16, "spark")
    calibrated(Calibration(tmp_path, of))
    now = CostBook(tmp_path).current(of)
    assert now is not None
    assert now.seconds(1000) == pytest.approx(TRUE.seconds(1000), rel=0.01)


def test_requests_move_the_cost_and_are_remembered(tmp_path: Path, of: Fingerprint) -> None:
    calibrated(Calibration(tmp_path, of))
    book = CostBook(tmp_path)
    for new in range(100, 2000, 100):
        book.observe(of, new, 0, 2 * TRUE.seconds(new))
    for opened in (book, CostBook(tmp_path)):
        now = opened.current(of)
        assert now is not None
        assert now.seconds(1500, 500) == pytest.approx(2 * TRUE.seconds(1500, 500), rel=0.05)


def test_what_is_remembered_is_bounded(tmp_path: Path, of: Fingerprint) -> None:
    book = CostBook(tmp_path)
    for new in range(1, 1000):
        book.observe(of, new, 0, TRUE.seconds(new))
    lines = observed_file(tmp_path / f"{of.name}.jsonl").read_text().split()
    assert WINDOW <= len(lines) // 6 < 4 * WINDOW
    assert json.loads(observed_file(tmp_path / f"{of.name}.jsonl").read_text().splitlines()[-1])["new"] == 999


def test_what_cannot_be_is_not_believed(tmp_path: Path, of: Fingerprint) -> None:
    book = CostBook(tmp_path)
    book.observe(of, 0, 100, 1.0)
    book.observe(of, 100, 0, 0.0)
    assert not observed_file(tmp_path / f"{of.name}.jsonl").exists()


def test_a_calibration_that_is_made_beside_an_open_book_is_read(
    tmp_path: Path, of: Fingerprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = CostBook(tmp_path)
    assert book.current(of) is None
    calibrated(Calibration(tmp_path, of))
    assert book.current(of) is None, "it may still grow"
    monkeypatch.setattr("rag.calibrations.SETTLED_S", 0.0)
    assert book.current(of) is not None


def test_an_observation_that_cannot_be_kept_is_no_error(tmp_path: Path, of: Fingerprint) -> None:
    (tmp_path / "file").write_text("")
    book = CostBook(tmp_path / "file")
    book.observe(of, 100, 0, 1.0)
    with pytest.raises(BadSetting, match="cannot be kept"):
        Calibration(tmp_path / "file", of).keep("1/64", Sample(64, 0, 1.0))


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ran]:
    """The command line beside a model server at OPENBOOK_LLM_URL."""
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OPENBOOK_LLM_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setattr("api.calibrate_cli.chat_client", lambda *_: Server())
    return in_process(monkeypatch, capsys)


def test_the_command_measures_keeps_and_predicts(command: Callable[..., Ran], tmp_path: Path) -> None:
    told = command("calibrate", "--json").json
    assert told["measured"] == told["samples"] == len(SHARES) * len(plan(4096))
    assert told["of"]["model"] == "m"
    assert [row["tokens"] for row in told["table"]] == [1024, 2048, 4096]
    assert all(row["warm_s"] <= row["cold_s"] for row in told["table"])
    assert Path(told["file"]).parent == tmp_path / "calibrations"
    assert command("calibrate", "--json").json["measured"] == 0
    assert command("calibrate", "--again", "--json").json["measured"] == told["measured"]


def test_the_command_shows_how_sure_it_is(command: Callable[..., Ran]) -> None:
    ran = command("calibrate")
    assert ran.code == 0
    assert "m, window 4,096, vLLM 1" in ran.out
    assert "error" in ran.out
    assert "(p90)" in ran.out
    assert "4,096" in ran.out


class Managed:
    """A model server of openbook's own, which takes its time to start."""

    def __init__(self) -> None:
        self.is_ready = False

    @property
    def status(self) -> VllmStatus:
        url = "http://127.0.0.1:1/v1" if self.is_ready else None
        return VllmStatus("ready" if self.is_ready else "starting", "loading weights", 1.0, 1, 0, url)

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def wait_ready(self) -> None:
        self.is_ready = True


def test_without_another_model_server_one_is_started(
    command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def opened(settings: Settings, _doing: str) -> AsyncIterator[Engine]:
        with fake_engine(settings.data_dir) as engine:
            change(engine.rag, generator=Server())
            yield replace(engine, children=Children({"answer": Managed()}))

    monkeypatch.delenv("OPENBOOK_LLM_URL")
    monkeypatch.setattr("api.calibrate_cli.open_rag", opened)
    told = command("calibrate", "--json").json
    assert told["measured"] == len(SHARES) * len(plan(4096))
    assert "cores" in told["of"]["machine"]


def test_beside_a_service_its_model_server_is_asked(
    command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Service:
        def call(self, *_: object) -> Status:
            return Status("1", 1, "", "http://127.0.0.1:2", "m", "e", {}, model_url="http://127.0.0.1:3/v1")

    asked = []

    def client(settings: Settings, _server: None) -> Server:
        asked.append(str(settings.llm_url))
        return Server()

    monkeypatch.delenv("OPENBOOK_LLM_URL")
    monkeypatch.setattr("api.calibrate_cli.find_service", lambda _folder: Service())
    monkeypatch.setattr("api.calibrate_cli.chat_client", client)
    assert command("calibrate", "--json").code == 0
    assert asked == ["http://127.0.0.1:3/v1"]


def test_rounds_are_complete() -> None:
    assert {step.name[0] for step in plan(4096)} == {str(turn + 1) for turn in range(ROUNDS)}
