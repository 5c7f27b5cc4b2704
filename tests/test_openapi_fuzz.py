"""Calls made of the OpenAPI description, with a key and without: no failure of the service, nothing undescribed.

The long form: benchmarks/openapi_fuzz.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from schemathesis import GenerationMode

from fake_engine import REPLY, fake_engine, ingested
from fakes import FakeGenerator
from live import served
from openapi_fuzz import Fuzz, known

pytestmark = pytest.mark.process


@pytest.mark.filterwarnings("default")  # those of schemathesis are its own
def test_every_reply_is_as_described(tmp_path: Path) -> None:
    (tmp_path / "gauge.md").write_text("# Gauge\n\nThe battery lasts 400 days.\n")
    with fake_engine(tmp_path / "data", FakeGenerator(REPLY)) as engine:
        ingested(engine, tmp_path / "gauge.md")
        with served(engine) as service:
            fuzz = Fuzz(service.url, tmp_path, 1, known(engine))
            fuzz.run(None, modes=[GenerationMode.POSITIVE])
            fuzz.run(service.token)
    assert fuzz.failures == {}
    assert fuzz.counts.total() > 100
