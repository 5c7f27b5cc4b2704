"""Questions on a code base, one after the other: how much of each prompt is cached, and when its answer begins.

    python -P benchmarks/code_questions.py FOLDER QUESTIONS [--limit 4] [--tokens 100000]

    FOLDER      a code base; it is read into collection "code-questions" of the data folder, unless it is there
    QUESTIONS   a file of JSON lines with a "question" each, as SWE-QA has them

The model server is the one of the settings: a real vLLM, or `openbook simulate` under OPENBOOK_LLM_URL. The prompt
begins with the map of the code. The first question is asked again at the end: what a whole repeat gives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from pathlib import Path

# Worker processes import this script, too: what they do not need is imported where it is used.
if __name__ == "__main__":
    from ingest.run import Run, begin
    from rag.answer import Rag
    from rag.code.map import code_map
    from rag.compose import Engine, open_rag
    from rag.question import Question
    from rag.settings import load_settings

COLLECTION = "code-questions"


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--tokens", type=int, help="of documents; by default as the settings say")
    options = parser.parse_args()
    asked = [json.loads(line)["question"] for line in options.questions.read_text().splitlines()][
        : options.limit
    ]
    async with open_rag(load_settings(), "benchmarks/code_questions.py") as engine:
        await asyncio.to_thread(ingest, engine, options.folder)
        await asyncio.to_thread(draw, engine.rag)
        if engine.server:
            await engine.server.start()
            await engine.server.wait_ready()
        model = await engine.rag.generator.model()
        print(f"{platform.machine()}, {model.name} by {model.server or 'a server that does not say'}")
        print("question | context tokens | prompt tokens | cached | share | first token, s")
        for number, question in enumerate([*asked, asked[0]], 1):
            answer = await engine.rag.answer(
                Question(question, COLLECTION, max_context_tokens=options.tokens, max_answer_tokens=16)
            )
            usage, seconds = answer.receipt.usage, answer.receipt.seconds
            cached = usage.cached or 0 if usage else 0
            share = cached / usage.prompt if usage else 0.0
            said = f"{answer.receipt.context_tokens:,} | {usage.prompt if usage else 0:,} | {cached:,} | {share:.3f}"
            print(f"{number if number <= len(asked) else '1 again'} | {said} | {seconds['first_token']:.2f}")


def ingest(engine: Engine, folder: Path) -> None:
    began = time.perf_counter()
    for _ in begin(engine, Run(COLLECTION, (str(folder.resolve()),))):
        pass
    size = engine.rag.store.open(COLLECTION).size()
    print(
        f"{folder.name}: {size[0]:,} documents, {size[1]:,} passages; read in {time.perf_counter() - began:.1f} s"
    )


def draw(rag: Rag) -> None:
    """As the first question after a start finds it."""
    began, cpu = time.perf_counter(), time.process_time()
    codebase = rag.codebases.of((COLLECTION,))
    read = time.perf_counter() - began
    drawn = code_map(codebase, 4096, rag.tokens.count)
    told = f"{time.perf_counter() - began:.2f} s, {time.process_time() - cpu:.2f} s of processor time"
    print(f"map of {drawn.tokens:,} tokens, {drawn.shown} of {drawn.files:,} files: {told}")
    print(f"of it {read:.2f} s to read outlines")
    print(f"the same again: {code_map(codebase, 4096, rag.tokens.count) == drawn}")


if __name__ == "__main__":
    asyncio.run(main())
