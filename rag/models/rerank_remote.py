"""A cross-encoder on a server, over Jina's and Cohere's interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.models.pooling_server import PoolingServer


class RemoteReranker:
    """rag.ports.Reranker. Safe to use from threads; raises RerankerUnavailable and ModelRefused."""

    def __init__(self, server: PoolingServer) -> None:
        self._server = server

    @property
    def name(self) -> str:
        return Path(self._server.model.name).name

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        if not passages:
            return []
        reply = self._server.ask("rerank", query=question, documents=list(passages))
        try:
            of = {int(each["index"]): float(each["relevance_score"]) for each in reply["results"]}
            return [of[at] for at in range(len(passages))]
        except (ValueError, LookupError, TypeError) as error:
            raise self._server.refused("answers rerank otherwise than Jina's does.") from error
