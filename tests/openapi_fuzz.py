"""Calls that schemathesis makes of the service's own description, good ones and bad ones, each checked against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from rag.compose import Engine

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
LONGEST_S = 60.0  # of a call


def known(engine: Engine) -> dict[str, Sequence[str]]:
    (document,) = engine.rag.store.open("default").documents()
    conversation = engine.rag.conversations.create().id
    return {
        "collection": ["default"],
        "name": ["default"],
        "model": ["openbook/default", "fake-model", engine.embedder.name, "openbook/default:sources"],
        "conversation": [conversation],
        "document_id": [document.id],
        "id_": [document.id, conversation],
    }


class Fuzz:
    """``counts``: calls by operation and status, with every key. ``known`` are values of parameters and fields that
    the service knows, which are taken for half of the calls. Of ``folder`` alone anything is ingested."""

    def __init__(self, url: str, folder: Path, examples: int, known: Mapping[str, Sequence[str]]) -> None:
        self._url, self._folder, self._examples = url, folder, examples
        self._known = {name: cycle(values) for name, values in known.items()}
        self._session = requests.Session()
        self._schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self.counts: Counter[tuple[str, int]] = Counter()
        self.failures: dict[str, str] = {}

    @property
    def operations(self) -> list[Operation]:
        """Those that take something away come last."""
        found = [each.ok() for each in self._schema.get_all_operations() if isinstance(each, Ok)]
        return sorted(found, key=lambda operation: operation.method.upper() == "DELETE")

    def run(self, key: str | None, number: int = 0, modes: Sequence[GenerationMode] = MODES) -> None:
        """Another ``number`` makes other calls."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        for operation in self.operations:
            for mode in modes:
                try:
                    self._calls(operation, mode, headers, number)
                except Unsatisfiable:  # there is nothing bad that could be sent
                    continue
                except BaseExceptionGroup as group:
                    self._failed(operation, "\n\n".join(map(str, group.exceptions)))
                except Exception as error:  # noqa: BLE001 whatever it is, it is told, and the others go on
                    self._failed(operation, str(error))

    def _failed(self, operation: Operation, what: str) -> None:
        self.failures.setdefault(operation.label, what)

    def _calls(
        self,
        operation: Operation,
        mode: GenerationMode,
        headers: dict[str, str],
        number: int,
    ) -> None:
        @settings(
            max_examples=self._examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @seed(number)
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: AnyCase) -> None:
            self._at_home(case)
            if self.counts.total() % 2:
                self._introduce(case)
            reply = case.call(base_url=self._url, session=self._session, headers=headers, timeout=LONGEST_S)
            self.counts[operation.label, reply.status_code] += 1
            case.validate_response(reply, checks=CHECKS)

        check()

    def _at_home(self, case: AnyCase) -> None:
        """Of this machine no call has anything read or written that is not in ``folder``."""
        if isinstance(body := case.body, dict):
            body.update({name: self._ours(value) for name, value in body.items()})

    def _ours(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._ours(each) for each in value]
        is_path = isinstance(value, str) and value.lstrip().startswith(("/", "~", "file:"))
        return str(self._folder / "gauge.md") if is_path else value

    def _introduce(self, case: AnyCase) -> None:
        for values in (case.path_parameters, case.query, case.body):
            if isinstance(values, dict):
                values.update({name: next(self._known[name]) for name in values if name in self._known})
