"""Flags that vLLM is given elsewhere than here, in containers, by presets and in the documentation, are flags that it
has: each command line is parsed by vLLM itself, and none is run."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

import compose_file
from compose_file import COMPOSE, ENVIRONMENT
from conftest import ROOT
from rag.sizing.presets import PRESETS
from test_docs_commands import PAGES, commands

pytestmark = pytest.mark.vllm

PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
for words in json.load(sys.stdin):
    told = ""
    try:
        parser.parse_args(words)
    except SystemExit:
        told = "refused: "
    print(told + " ".join(words))
"""


def parsed(lines: list[list[str]], folder: Path) -> list[str]:
    """Those that vLLM refuses."""
    done = subprocess.run(
        [ROOT / ".venv-vllm" / "bin" / "python", "-P", "-c", PARSE],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=180,
        check=True,
    )
    told = [line for line in done.stdout.splitlines() if any(" ".join(words) in line for words in lines)]
    assert len(told) == len(lines), done.stderr
    return [line for line in told if line.startswith("refused: ")]


def test_vllm_knows_every_flag(tmp_path: Path) -> None:
    services = compose_file.load(COMPOSE, ENVIRONMENT)["services"].values()
    lines = [shlex.split(each["command"]) for each in services if each["image"].startswith("vllm/")]
    assert len(lines) == 2
    lines += [[one.model, *one.flags] for one in PRESETS]
    documented = [words for page in PAGES for words in commands(page, "vllm serve")]
    assert len(documented) >= 4
    assert parsed(lines + documented, tmp_path) == []


def test_a_flag_that_there_is_not_is_found(tmp_path: Path) -> None:
    wrong, right = ["org/a", "--no-such-flag=1"], ["org/a", "--max-model-len=4096"]
    assert parsed([right, wrong], tmp_path) == ["refused: org/a --no-such-flag=1"]
