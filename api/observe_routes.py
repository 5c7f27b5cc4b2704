"""``GET /metrics``, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from api.caller import ALL
from api.rules import CallerOf, needs
from api.scraped import SIZES

router = APIRouter()

TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/metrics", response_class=Response, responses=TEXT, summary="Metrics in Prometheus' text format")
@needs("read")
async def metrics(request: Request, caller: CallerOf) -> Response:
    request.state.scraped.look()
    registry: CollectorRegistry | _Nameless = request.state.metrics.registry
    if caller.collections != ALL:
        registry = _Nameless(request.state.metrics.registry)
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


class _Nameless:
    """For who does not see every collection: without those metrics that name them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        return (each for each in self._registry.collect() if not each.name.startswith(SIZES))
