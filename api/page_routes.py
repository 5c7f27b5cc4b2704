"""The page at ``/``: static files, which need no key; what it shows comes over the REST paths, which do."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api.rules import public

FOLDER = Path(__file__).parent / "page"

# Nothing from elsewhere, and no code that is not a file of ours: text of a document or a model can run nothing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Asked for again each time, which costs little (ETag): after an upgrade no old module meets a new one.
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
@public
async def page() -> Response:
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


class _Files(StaticFiles):
    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


PATH = "/page"
files = Mount(PATH, _Files(directory=FOLDER), name="page")
