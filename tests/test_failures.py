"""What failed is known until it changes, across processes, and a damaged file is no obstacle."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.failures import Failures
from ingest.report import FileResult

BAD = FileResult("f/bad.pdf", "file:///f/bad.pdf", "failed", reason="It is broken.", hint="Mend it.")


def test_known_until_the_revision_changes(tmp_path: Path) -> None:
    failures = Failures(tmp_path / "data" / "failures.db")
    failures.remember("c", "r1", BAD)
    failures.close()

    failures = Failures(tmp_path / "data" / "failures.db")
    known = failures.known("c", BAD.source, "r1")
    assert known is not None
    assert (known.name, known.status, known.reason) == (BAD.name, "failed", "It is broken.")
    assert known.hint == "Mend it. Unchanged, so not tried again; --retry does."
    assert failures.known("c", BAD.source, "r2") is None
    assert failures.known("other", BAD.source, "r1") is None
    failures.remember("c", "r2", BAD)
    assert failures.known("c", BAD.source, "r1") is None
    failures.close()


def test_forgotten_alone_or_with_the_collection(tmp_path: Path) -> None:
    failures = Failures(tmp_path / "failures.db")
    for collection in ("a", "b"):
        failures.remember(collection, "r", BAD)
    failures.forget("a", "file:///other")
    assert failures.known("a", BAD.source, "r")
    failures.forget("a", BAD.source)
    assert failures.known("a", BAD.source, "r") is None
    failures.forget("b")
    assert failures.known("b", BAD.source, "r") is None
    failures.close()


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to look like one " * 99, b"SQLite format 3\0x"]
)
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "failures.db").write_bytes(content)
    failures = Failures(tmp_path / "failures.db")
    assert "is damaged" in caplog.text
    failures.remember("c", "r", BAD)
    assert failures.known("c", BAD.source, "r")
    failures.close()
