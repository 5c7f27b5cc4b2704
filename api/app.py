"""The service: its routes, and what each request passes on its way to one. What they work with: api/lifespan.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from api import (
    answer_routes,
    backup_routes,
    code_routes,
    collection_routes,
    context_routes,
    conversation_routes,
    document_routes,
    forecast_routes,
    job_routes,
    observe_routes,
    page_routes,
    problems,
    reference,
    refresh_routes,
    routes,
    source_routes,
    target_routes,
    upload_routes,
    url_upload_routes,
    warm_routes,
)
from api.access import AccessLog, OwnNamesOnly, OwnOriginsOnly, SmallBodiesOnly, WhileServing, is_loopback
from api.audit import Audit
from api.authentication import DEFAULT, Access, Authentication
from api.headers import SecurityHeaders
from api.lifespan import OpenEngine, lifespan
from api.mcp import mount
from api.openai import completions, models, responses, stored_responses, vectors
from api.rules import OWNERS, authorized, public_paths, rule_of
from api.schemas import ConfirmationProblem, Problem
from api.slow_clients import SlowBodies
from api.tracing import Tracing
from ingest.web_file import Web
from rag.settings import MAX_UPLOAD_BYTES

STREAMED = re.compile(rf"{upload_routes.PATH}|/v1/collections/[^/]+/documents/[^/]+")
KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key that `openbook keys add` has made, or the token in owner.json of the data folder. "
    "Without any, who is on the same machine may read and ask, unless OPENBOOK_REQUIRE_KEY is set.",
}
# Of replies, that pages of allowed origins may read.
EXPOSED = (
    "ETag", "Idempotency-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Highlight",
    "X-Request-Id",
)  # fmt: skip
MAX_BODY_BYTES = 1 << 20  # a question, or a list of paths

# In the order in which the description lists them.
ROUTED = (
    routes,
    answer_routes,
    collection_routes,
    document_routes,
    conversation_routes,
    job_routes,
    refresh_routes,
    upload_routes,
    url_upload_routes,
    target_routes,
    source_routes,
    context_routes,
    forecast_routes,
    page_routes,
    reference,
    warm_routes,
    code_routes,
    backup_routes,
    observe_routes,
    models,
    completions,
    responses,
    stored_responses,
    vectors,
)


class Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """With the schemas that error replies point to, which FastAPI would list under a media type of its own, and
        with who needs a key."""
        document = super().openapi()
        document["components"]["securitySchemes"] = {"key": KEY_SCHEME}
        for route in self.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                rule = rule_of(route) or OWNERS
                for method in route.methods:
                    document["paths"][route.path_format][method.lower()]["security"] = rule.security
        for kind in (Problem, ConfirmationProblem):
            schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"] |= schema.pop("$defs", {}) | {kind.__name__: schema}
        return document


def create_app(
    open_engine: OpenEngine,
    *,
    host: str = "127.0.0.1",
    url: str | None = None,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    web: Web | None = None,
    warm_up: bool = True,
    roots: Sequence[Path] = (),
    tracing: Tracing | None = None,
    access: Access = DEFAULT,
) -> FastAPI:
    """``url`` is where the service will be reached; other processes of this user are told once it is up. ``warm_up``:
    unasked, too. ``web`` fetches files, where that is allowed. ``roots`` are the folders that MCP clients may have
    ingested."""

    app = Api(
        title="openbook",
        version=version("openbook"),
        summary="Long-context question answering over your documents and code, with citations to check.",
        lifespan=partial(
            lifespan,
            open_engine=open_engine,
            access=access,
            url=url,
            max_upload_bytes=max_upload_bytes,
            web=web,
            warm_up=warm_up,
            roots=roots,
            tracing=tracing,
        ),
        dependencies=[Depends(authorized)],
        docs_url=None,  # both fetch scripts from elsewhere
        redoc_url=None,
    )
    for each in ROUTED:
        app.include_router(each.router)
    app.router.routes.append(page_routes.files)
    app.router.routes.append(Route(mount.PATH, endpoint=mount.Endpoint(), include_in_schema=False))
    problems.install(app)
    _guard(app, host, access)
    return app


def _guard(app: FastAPI, host: str, access: Access) -> None:
    """What each request passes, the last one added first."""
    app.add_middleware(WhileServing, listening=mount.PATH)
    app.add_middleware(SmallBodiesOnly, limit=MAX_BODY_BYTES, streamed=STREAMED)
    app.add_middleware(SlowBodies)
    app.add_middleware(Audit)
    local = is_loopback(host) and not access.require_key
    app.add_middleware(Authentication, public=public_paths(app.routes), local=local)
    app.add_middleware(OwnOriginsOnly, guarded=[mount.PATH], allowed=access.origins)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=access.origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    if is_loopback(host):  # elsewhere the machine's names are not known
        app.add_middleware(OwnNamesOnly, host=host)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog)
