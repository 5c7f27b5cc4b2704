"""Services of a test on data folders of their own, and what they are given to read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag import owner
from service import Service


def corpus(folder: Path, version: str, files: int = 8) -> Path:
    """Files of several passages each; another version differs in every second file."""
    folder.mkdir(exist_ok=True)
    for i in range(files):
        edition = version if i % 2 else "every version"
        lines = [f"Sentence {j} about pump {i} and valve {j * i} of {edition}.\n" for j in range(60)]
        lines[7] = f"The pump of station {i} is checked every {i} weeks.\n\n"
        (folder / f"station-{i}.md").write_text(f"# Station {i}\n\n" + "".join(lines))
    return folder


def environment(llm_url: str, **settings: str) -> dict[str, str]:
    own = {"OPENBOOK_LLM_URL": llm_url, "OPENBOOK_TOKENIZER": "", "OMP_NUM_THREADS": "2"}
    return dict(os.environ) | own | {"OPENBOOK_STOP_GRACE_S": "1"} | settings


@contextmanager
def houses(folder: Path, llm_url: str) -> Iterator[Callable[..., Service]]:
    """What makes a service that is not started yet; those that run at the end are killed."""
    made: list[Service] = []

    def service(name: str = "own", url: str = llm_url, **settings: str) -> Service:
        (folder / name).mkdir(exist_ok=True)
        made.append(Service(folder / name, environment(url, **settings)))
        return made[-1]

    try:
        yield service
    finally:
        for each in made:
            killed(each)


def killed(service: Service) -> None:
    """If it still runs."""
    if service.process and service.process.poll() is None:
        service.process.kill()
        service.process.wait()


def until(what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def serving(service: Service) -> Service:
    """Up, though not all that it needs may be."""
    service.start()

    def up() -> bool:
        assert service.process
        assert service.process.poll() is None, service.log.read_text()
        record = owner.find(service.data)
        return record is not None and record.url is not None

    until(up)
    return service


def comparable(value: Any) -> Any:
    """Without what differs from run to run: times, how long things took, and an answer's own id."""
    if isinstance(value, dict):
        own = {"seconds", "ingested_at", *(["id"] if "receipt" in value else [])}
        return {k: comparable(v) for k, v in value.items() if k not in own}
    return [comparable(item) for item in value] if isinstance(value, list) else value
