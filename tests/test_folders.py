"""Which folders a request may have read: those that its key allows, and of them those that it names."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from api.folders import asked_for
from api.schemas import IngestRequest
from rag.errors import PathNotAllowed


async def test_a_request_reads_what_is_allowed_and_in_the_folders_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed, elsewhere = tmp_path / "allowed", tmp_path / "elsewhere"
    (allowed / "a").mkdir(parents=True)
    elsewhere.mkdir()
    (allowed / "link").symlink_to(elsewhere)
    looked: set[threading.Thread] = set()
    real = os.path.realpath

    def realpath(path: str) -> str:
        looked.add(threading.current_thread())
        return real(path)

    monkeypatch.setattr("os.path.realpath", realpath)
    named = [str(allowed / "a"), str(allowed / "link"), str(elsewhere)]
    body = IngestRequest.model_validate({"paths": [str(allowed / "a")], "within": named})
    run = await asked_for(body, (str(allowed),))
    assert run.within == (str(allowed / "a"),)
    for folder in (allowed / "link", elsewhere):
        with pytest.raises(PathNotAllowed):
            await asked_for(body.model_copy(update={"paths": [str(folder)]}), (str(allowed),))
    assert looked
    assert (
        threading.main_thread() not in looked
    )  # a folder on a disk that does not answer would stop the service
