"""Run by the interpreter that has ContextPilot: its version, then for each line of numbers of nodes their order.

Imports nothing of openbook, which may not be there.
"""

from __future__ import annotations

import contextlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

# A script's folder is looked through first, and this one has a contextpilot.py, too.
sys.path[:] = [folder for folder in sys.path if folder != str(Path(__file__).parent)]


def main() -> None:
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it does
        from contextpilot import ContextPilot

        pilot = ContextPilot(use_gpu=False)
        known: set[str] = set()
        _tell(answers, {"version": version("contextpilot")})
        for line in sys.stdin:
            asked = json.loads(line)
            _tell(answers, _arranged(pilot, asked["nodes"], asked["conversation"], known))


def _arranged(
    pilot: Any, nodes: list[int], conversation: str | None, known: set[str]
) -> dict[str, list[Any]]:
    if conversation in known:
        (found,) = pilot.deduplicate([nodes], conversation_id=conversation)
        return {"nodes": list(map(int, found["new_docs"])), "hints": found["reference_hints"]}
    if conversation is not None:
        known.add(conversation)
    reordered, _ = pilot.reorder([nodes], conversation_id=conversation)
    return {"nodes": list(map(int, reordered[0])), "hints": []}


def _tell(to: Any, answer: dict[str, Any]) -> None:
    to.write(json.dumps(answer) + "\n")
    to.flush()


if __name__ == "__main__":
    main()
