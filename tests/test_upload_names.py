"""Names of files that are sent: harmless ones are kept, the others refused by name, and nothing leaves the folder."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.upload_names import MAX_FOLDERS, file_name
from rag.errors import BadFileName

GOOD = [
    "report.pdf", "docs/a.md", "a b.txt", " a.txt", "Grüße 東京 🌊.md", "family 👨‍👩‍👧.txt", "نامه‌ها.txt",
    "Screenshot 9.41\u202fAM.png", ".hidden.md", "..a", "a..b/c...", "CON", "aux.txt", "a:b?.txt", "-rf", "~root/x",
    "%2e%2e/x", "x" * 255, "/".join(["d"] * MAX_FOLDERS + ["f"]),
]  # fmt: skip

BAD = [
    ("", "empty"), (" ", "empty"), ("\t", "empty"),
    ("../x", "'..'"), ("a/../../x", "'..'"), ("a/..", "'..'"), ("./a", "'.'"), (".", "'.'"), ("..", "'..'"),
    ("a//b", "empty"), ("a/", "empty"), (" /x", "empty"), ("a/.. /x", "'..'"),
    ("/etc/passwd", "absolute"), ("//x", "absolute"),
    ("a\\b", "backslash"), ("..\\x", "backslash"),
    ("a\0b", "control"), ("a\nb", "control"), ("a\x7f", "control"), ("a\x85b", "control"), ("a\u2028b", "control"),
    ("cod\u202efdp.exe", "control"), ("a\u2066b", "control"),
    ("\udcff", "UTF-8"), ("a\ud800", "UTF-8"),
    ("x" * 256, "255"), ("東" * 86, "255"), ("/".join(["x" * 200] * 6), "1024"),
    ("/".join(["d"] * (MAX_FOLDERS + 1) + ["f"]), "folders"),
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_harms_nothing_is_kept(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize(("name", "why"), BAD)
def test_a_name_that_could_do_harm_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(BadFileName, match=why) as caught:
        file_name(name)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
    assert caught.value.hint


def test_one_name_is_one_file_on_every_system() -> None:
    assert file_name("U\u0308bung.md") == file_name("\u00dcbung.md") == "\u00dcbung.md"


def test_a_refused_name_is_named() -> None:
    with pytest.raises(BadFileName, match=r"'\.\./evil\.md' cannot be the name"):
        file_name("../evil.md")


nasty = st.text(st.sampled_from("./\\~ \0\n\u0308\u202e\ud800aA%é"), max_size=20)


@given(st.one_of(nasty, st.text(max_size=400), st.lists(nasty, max_size=5).map("/".join)))
@example("a/.\u0308./b")
@example("\u212b/..")
def test_whatever_is_sent_stays_in_the_folder_or_is_refused(sent: str) -> None:
    folder = Path("/data/files/c/uploads")
    try:
        name = file_name(sent)
    except BadFileName as error:
        error.message.encode()
        return
    assert os.path.normpath(folder / name) == str(folder / name)
    assert (folder / name).is_relative_to(folder)
    assert folder / name != folder
    assert str(PurePosixPath(name)) == name
    assert unicodedata.normalize("NFC", sent) == name
    assert file_name(name) == name
    assert len(os.fsencode(name)) <= 1024
