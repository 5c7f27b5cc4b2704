"""What a run measured: a table for people, JSON for the next run to compare with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from evals.bootstrap import Figure, Score, difference, figure
from evals.datasets.reading import json_of, reading
from rag import wire
from rag.answer import Rag
from rag.errors import BadRequest
from rag.terminal import literal

FORMAT = 1
PACKAGES = (
    "openbook",
    "qdrant-edge-py",
    "sentence-transformers",
    "openvino",
    "llama-index-core",
    "tokenizers",
)

Scores = dict[str, dict[str, dict[str, Score]]]  # by system, case, measure


@dataclass(frozen=True, slots=True)
class Outcome:
    """``kind`` is the command that measured. ``said`` is what systems answered, by case."""

    kind: str
    scores: Scores
    about: Mapping[str, Any]
    seed: int
    notes: Sequence[str] = ()
    said: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def systems(self) -> list[str]:
        return list(self.scores)

    @property
    def measures(self) -> list[str]:
        """In the order in which they first appear."""
        cases = (case for system in self.scores.values() for case in system.values())
        return list(dict.fromkeys(measure for case in cases for measure in case))

    def of(self, system: str, measure: str) -> dict[str, Score]:
        """By case, where this system has that measure."""
        cases = self.scores.get(system, {})
        return {id_: case[measure] for id_, case in cases.items() if measure in case}

    def figures(self) -> Iterator[tuple[str, str, Figure]]:
        """Measure, system, figure."""
        for measure in self.measures:
            for system in self.systems:
                if found := figure(list(self.of(system, measure).values()), self.seed):
                    yield measure, system, found


def about(
    rag: Rag, data: Path, counts: Mapping[str, int], model: str | None, **settings: Any
) -> dict[str, Any]:
    """What a figure depends on besides the code. The data folder by name only: its place is this machine's."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {"name": data.resolve().name, **counts},
        "settings": settings,
        "embedder": rag.embedder.name,
        "tokenizer": rag.tokens.name,
        "model": model,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def table(outcome: Outcome) -> Table:
    made = Table("measure", box=None, header_style="bold", pad_edge=False)
    for system in outcome.systems:
        made.add_column(literal(system), justify="right")
    made.add_column("cases", justify="right", style="dim")
    found = {(measure, system): each for measure, system, each in outcome.figures()}
    for measure in outcome.measures:
        row = [found.get((measure, system)) for system in outcome.systems]
        if any(row):
            made.add_row(
                literal(measure), *map(_cell, row), str(max(each.cases for each in row if each is not None))
            )
    return made


def _cell(found: Figure | None) -> str:
    return (
        ""
        if found is None
        else f"{_number(found.value)} [dim]{_number(found.low)}-{_number(found.high)}[/dim]"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3f}"


def save(outcome: Outcome, path: Path) -> None:
    data = {
        "openbook eval": outcome.kind,
        "format": FORMAT,
        "about": dict(outcome.about),
        "seed": outcome.seed,
        "notes": list(outcome.notes),
        "figures": [
            {"measure": measure, "system": system, **wire.dump(found)}
            for measure, system, found in outcome.figures()
        ],
        "scores": outcome.scores,
        "said": outcome.said,
    }
    write(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write(path: Path, text: str) -> None:
    """Aside and renamed: the file is whole or not there."""
    aside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}.") from error


def load(path: Path, kind: str) -> Outcome:
    """A run that ``save`` has written, of the same kind."""
    data = json_of(path)
    with reading(path):
        if data["openbook eval"] != kind or data["format"] != FORMAT:
            raise ValueError(f"it holds {data['openbook eval']} in format {data['format']}, not {kind}")
        scores = {
            system: {
                id_: {measure: (float(score[0]), float(score[1])) for measure, score in case.items()}
                for id_, case in cases.items()
            }
            for system, cases in data["scores"].items()
        }
        return Outcome(kind, scores, data["about"], int(data["seed"]), data["notes"], data["said"])


@dataclass(frozen=True, slots=True)
class Change:
    """From a saved run to this one, over the cases that both have. ``real``: the interval of the difference does
    not hold zero."""

    measure: str
    system: str
    difference: Figure

    @property
    def real(self) -> bool:
        return self.difference.low > 0 or self.difference.high < 0


def changes(before: Outcome, after: Outcome) -> list[Change]:
    found = []
    for measure in after.measures:
        for system in after.systems:
            old, new = before.of(system, measure), after.of(system, measure)
            shared = [id_ for id_ in new if id_ in old]
            if not shared:
                continue
            moved = difference([old[id_] for id_ in shared], [new[id_] for id_ in shared], after.seed)
            if moved:
                found.append(Change(measure, system, moved))
    return found


def changes_table(found: Sequence[Change]) -> Table:
    made = Table(
        "measure", "system", "change", "95 %", "cases", "", box=None, header_style="bold", pad_edge=False
    )
    for change in found:
        moved = change.difference
        made.add_row(
            literal(change.measure),
            literal(change.system),
            f"{moved.value:+.3f}",
            f"{moved.low:+.3f} to {moved.high:+.3f}",
            str(moved.cases),
            ("[green]better or more[/green]" if moved.value > 0 else "[red]worse or less[/red]")
            if change.real
            else "[dim]within chance[/dim]",
        )
    return made


def differing(before: Mapping[str, Any], after: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """What the two runs differ in besides their figures, one line each. The time always does."""
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differing(old, new, f"{within}{key} ")
        elif old != new and key != "time":
            yield f"{within}{key}: {old} before, {new} now"
