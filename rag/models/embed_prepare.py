"""python -m rag.models.embed_prepare: converts the packaged model for all data folders of this environment.

Part of the set-up. Without it each data folder gets a conversion of its own at first use: a minute, and a gigabyte of
memory beside the files that are being read.
"""

from __future__ import annotations

from rag.models.embed import PACKAGED, SentenceEmbedder, prepared_models

if __name__ == "__main__":
    print(f"{PACKAGED} runs under {SentenceEmbedder(cache=prepared_models()).kind}")  # noqa: T201 -- to set-up's log
