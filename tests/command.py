"""The ``openbook`` command in the test's own process, up to and including its exit code."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import openbook.cli


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """What runs it with arguments and ``stdin``; a traceback fails the test."""

    def ran(*arguments: str, stdin: str | bytes = "") -> Ran:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))
        monkeypatch.setattr(sys, "argv", ["openbook", *arguments])
        code: int | str | None = None
        try:
            openbook.cli.main()
        except SystemExit as stopped:
            code = stopped.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(int(code or 0), captured.out, captured.err)

    return ran
