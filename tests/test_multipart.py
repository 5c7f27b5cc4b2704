"""Files in a multipart/form-data body: the same however it is cut, and nothing but files."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.multipart import FileParts
from rag.errors import BadRequest

KIND = "multipart/form-data; boundary=xyz"


class Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.open = False

    def begin_file(self, sent: str) -> None:
        assert not self.open
        self.open = True
        self.files.append((sent, b""))

    def write(self, data: bytes) -> None:
        assert self.open
        name, before = self.files[-1]
        self.files[-1] = (name, before + data)

    def end_file(self) -> None:
        assert self.open
        self.open = False


def parsed(body: bytes, kind: str = KIND, size: int = 10**6) -> list[tuple[str, bytes]]:
    sink = Kept()
    parts = FileParts(kind, sink)
    for at in range(0, len(body), size):
        parts.write(body[at : at + size])
    parts.close()
    return sink.files


def part(disposition: str, content: bytes = b"text", *headers: str) -> bytes:
    lines = [f"Content-Disposition: {disposition}", *headers]
    return b"--xyz\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--xyz--\r\n"


# A client may write some characters of names in its own way (controls, quotation marks), so these are left out.
plain = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "Zs")), min_size=1)


@given(st.lists(st.tuples(plain, st.binary()), min_size=1), st.integers(1, 40))
def test_what_a_client_encodes_comes_out_however_it_is_cut(files: list[tuple[str, bytes]], size: int) -> None:
    request = httpx.Request("POST", "http://x", files=[("files", file) for file in files])
    assert parsed(request.read(), request.headers["content-type"], size) == files


def test_names_as_clients_write_them() -> None:
    body = (
        part('form-data; name="files"; filename="a b.md"', b"", "Content-Type: text/markdown")
        + part('form-data; filename="docs/ü.md"; name=files', b"\r\n--xy\r\n")
        + part('form-data; name="files"; filename="say \\"a\\".md"')
        + part('form-data; name="files"; filename="plain.md"; filename*=UTF-8\'\'other.md')
        + part('form-data; name="files"; filename=""')
    )
    assert parsed(body + END, size=3) == [
        ("a b.md", b""),
        ("docs/ü.md", b"\r\n--xy\r\n"),
        ('say "a".md', b"text"),
        ("plain.md", b"text"),
        ("", b"text"),
    ]
    latin = b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="\xe4.md"\r\n\r\n\r\n'
    assert parsed(latin + END) == [("\udce4.md", b"")]


FILE = 'form-data; name="files"; filename="a.md"'

NO_FILES: list[tuple[bytes, str, str]] = [
    (b"", KIND, "ends before"),
    (b"--xyz", KIND, "ends before"),
    (part(FILE), KIND, "ends before"),
    (part(FILE)[:-10], KIND, "ends before"),
    (b"garbage", KIND, "is not multipart"),
    (b'{"paths": []}', "application/json", "'application/json', not multipart"),
    (b"", "", "'', not multipart"),
    (part(FILE) + END, "multipart/form-data", "not multipart"),
    (part(FILE) + END, "multipart/form-data; boundary=", "not multipart"),
    (part(FILE) + END, "multipart/form-data; boundary=" + "x" * 1000, "Boundary length"),
    (part('form-data; name="file"; filename="a.md"') + END, KIND, "part 'file' that is not"),
    (part('form-data; name="files"') + END, KIND, "part 'files' that is not a file"),
    (part("form-data") + END, KIND, "part '' that is not"),
    (b"--xyz\r\n\r\ntext\r\n" + END, KIND, "part '' that is not"),
    (part(FILE, b"", *["X: y"] * 100) + END, KIND, "is not multipart"),
    (part(f'form-data; name="files"; filename="{"x" * 100_000}"') + END, KIND, "is not multipart"),
]


@pytest.mark.parametrize(("body", "kind", "why"), NO_FILES)
def test_what_holds_no_files_says_why(body: bytes, kind: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why) as caught:
        parsed(body, kind)
    assert caught.value.hint
    assert len(caught.value.message) < 1500


@given(
    st.lists(st.sampled_from([part(FILE), END, b"--xyz", b"\r\n", b"-", b"x", b":", b";", b"\xff", b"\0"]))
)
def test_no_body_does_harm(pieces: list[bytes]) -> None:
    with suppress(BadRequest):
        parsed(b"".join(pieces), size=5)
