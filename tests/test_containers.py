from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.containers.unpack import Budget, Inner, Refused, UnpackLimits, is_container, is_document, unpack
from ingest.media_types import ARCHIVES, MEDIA_TYPES
from rag.errors import SourceCorrupt, SourceError

ZIP, TAR, GZ, MBOX, EML, MSG = (MEDIA_TYPES[s] for s in (".zip", ".tar", ".gz", ".mbox", ".eml", ".msg"))


class Unpacked:
    """What came out of one container, by name."""

    def __init__(self, inner: list[Inner], refused: list[Refused]) -> None:
        self.inner = inner
        self.files = {each.name: each.path.read_bytes() for each in inner}
        self.reasons = {each.name: each.reason for each in refused}
        assert len(self.files) == len(inner)
        assert len(self.reasons) == len(refused)


Unpack = Callable[..., Unpacked]


@pytest.fixture
def opened(tmp_path: Path) -> Unpack:
    numbers = iter(range(1000))

    def unpacked(
        data: bytes, media_type: str, limits: UnpackLimits | None = None, name: str = "c.bin"
    ) -> Unpacked:
        folder = tmp_path / str(next(numbers))
        into = folder / "a" / "into"
        into.mkdir(parents=True)
        path = folder / "a" / name
        path.write_bytes(data)
        budget = Budget(len(data), limits or UnpackLimits())
        inner, refused, total = unpack(path, media_type, into, budget)
        assert total >= sum(each.size for each in inner)
        found = Unpacked(inner, refused)
        written = {each for each in folder.rglob("*") if each.is_file() or each.is_symlink()}
        assert written == {path, *(each.path for each in found.inner)}, "something else was written or left"
        assert all(each.path.parent == into and each.size == each.path.stat().st_size for each in found.inner)
        return found

    return unpacked


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def tarred(*entries: tuple[str | tarfile.TarInfo, bytes], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        for name, data in entries:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


BOTH = pytest.mark.parametrize(("pack", "media_type"), [(zipped, ZIP), (tarred, TAR)])


# --- which files are containers ---


def test_archives_are_no_documents_and_mail_is_both() -> None:
    for media_type in ARCHIVES:
        assert is_container(media_type)
        assert not is_document(media_type)
    for media_type in (EML, MSG):
        assert is_container(media_type)
        assert is_document(media_type)
    assert not is_container("text/plain")
    assert is_document("text/plain")


# --- archives ---


@BOTH
def test_files_come_out_with_their_path_and_type(
    pack: Callable[..., bytes], media_type: str, opened: Unpack
) -> None:
    found = opened(pack(("a/b.md", b"# B"), ("c.py", b"c = 1"), ("README", b"Read me.")), media_type)
    assert found.files == {"a/b.md": b"# B", "c.py": b"c = 1", "README": b"Read me."}
    assert [each.media_type for each in found.inner] == ["text/markdown", "text/x-python", "text/plain"]
    assert found.reasons == {}


@BOTH
def test_an_archive_is_read_as_a_folder_is(
    pack: Callable[..., bytes], media_type: str, opened: Unpack
) -> None:
    names = (
        ".git/config",
        ".git/objects/a",
        "x/node_modules/a.js",
        "x/.env",
        "x/ok.txt",
        "data.bin",
        "no.txt",
    )
    contents = (b"a", b"b", b"c", b"d", b"words", b"\0\1\2", b"")
    found = opened(pack(*zip(names, contents, strict=True)), media_type)
    assert list(found.files) == ["x/ok.txt"]
    assert found.reasons == {
        ".git/": "hidden",
        "x/node_modules/": "installed packages",
        "x/.env": "hidden",
        "data.bin": "unknown type (.bin)",
        "no.txt": "empty",
    }


@BOTH
def test_no_name_leads_out(pack: Callable[..., bytes], media_type: str, opened: Unpack) -> None:
    names = ["../up.txt", "a/../../up2.txt", "/etc/motd.txt", "a/../in.txt", "C:\\tmp\\d.txt"]
    names += ["//x/./y.txt", "..\\up3.txt"]
    found = opened(pack(*((name, name.encode()) for name in names)), media_type)
    assert found.files == {
        "etc/motd.txt": b"/etc/motd.txt",
        "in.txt": b"a/../in.txt",
        "tmp/d.txt": b"C:\\tmp\\d.txt",
        "x/y.txt": b"//x/./y.txt",
    }
    assert set(found.reasons.values()) == {"its name leads out of the archive"}
    assert len(found.reasons) == 3


@BOTH
def test_two_files_of_one_name_are_two_files(
    pack: Callable[..., bytes], media_type: str, opened: Unpack
) -> None:
    with pytest.warns(UserWarning, match="Duplicate") if pack is zipped else contextlib.nullcontext():
        data = pack(("a.txt", b"1"), ("a.txt", b"2"), ("a (2).txt", b"3"), ("./a.txt", b"4"))
    found = opened(data, media_type)
    assert found.files == {"a.txt": b"1", "a (2).txt": b"2", "a (2) (2).txt": b"3", "a (3).txt": b"4"}


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_of_a_zip(mode: int, opened: Unpack) -> None:
    entry = zipfile.ZipInfo("x.txt")
    entry.external_attr = (mode | 0o777) << 16
    found = opened(zipped((entry, b"/etc/passwd")), ZIP)
    assert found.files == {}
    assert found.reasons == {"x.txt": "a link" if mode == stat.S_IFLNK else "not a regular file"}


def test_links_and_devices_of_a_tar(opened: Unpack) -> None:
    members = (
        member("l.txt", tarfile.SYMTYPE, "/etc/passwd"),
        member("h.txt", tarfile.LNKTYPE, "a.txt"),
        member("c.txt", tarfile.CHRTYPE),
        member("b.txt", tarfile.BLKTYPE),
        member("f.txt", tarfile.FIFOTYPE),
        member("d", tarfile.DIRTYPE),
    )
    found = opened(tarred(("a.txt", b"words"), *((each, b"") for each in members)), TAR)
    assert found.files == {"a.txt": b"words"}
    assert found.reasons == {
        "l.txt": "a link to /etc/passwd",
        "h.txt": "the same file as a.txt",
        "c.txt": "not a regular file",
        "b.txt": "not a regular file",
        "f.txt": "not a regular file",
    }


def test_a_file_written_through_a_link_stays_inside(opened: Unpack) -> None:
    link = member("out", tarfile.SYMTYPE, "../..")
    found = opened(tarred((link, b""), ("out/x.txt", b"words")), TAR)
    assert found.files == {"out/x.txt": b"words"}


def test_encrypted_entries_are_named(opened: Unpack) -> None:
    data = bytearray(zipped(("open.txt", b"words"), ("locked.txt", b"words")))
    # The flags of the second file, in its own header and in the directory.
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + offset] |= 1
    found = opened(bytes(data), ZIP)
    assert list(found.files) == ["open.txt"]
    assert "password" in found.reasons["locked.txt"]


def test_a_damaged_entry_does_not_take_the_others_along(opened: Unpack) -> None:
    data = zipped(("a.txt", b"first words"), ("b.txt", b"more words"), compression=zipfile.ZIP_STORED)
    found = opened(data.replace(b"first", b"fIrst", 1), ZIP)
    assert found.files == {"b.txt": b"more words"}
    assert "damaged" in found.reasons["a.txt"]


def test_an_entry_packed_in_an_unknown_way(opened: Unpack) -> None:
    data = bytearray(zipped(("a.txt", b"words")))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(signature) + offset] = 97
    assert "unknown way" in opened(bytes(data), ZIP).reasons["a.txt"]


# --- limits ---


@BOTH
def test_a_hundred_thousand_files(pack: Callable[..., bytes], media_type: str, opened: Unpack) -> None:
    # As many as a test may take time for; the limit is what is tested.
    data = pack(*((f"{number}.txt", b"x") for number in range(300)))
    found = opened(data, media_type, UnpackLimits(files=200))
    assert len(found.files) == 200
    rest = "200.txt and 99 more" if media_type == ZIP else "200.txt and all after it"
    assert found.reasons == {rest: "at most 200 files are taken out of one archive and those within it"}


@BOTH
def test_refused_files_count_too(pack: Callable[..., bytes], media_type: str, opened: Unpack) -> None:
    found = opened(pack(*((f".{n}", b"x") for n in range(30))), media_type, UnpackLimits(files=20))
    assert len(found.reasons) == 21


def test_a_file_beyond_its_limit(opened: Unpack) -> None:
    found = opened(zipped(("a.txt", b"x" * 101), ("b.txt", b"y" * 100)), ZIP, UnpackLimits(each=100))
    assert list(found.files) == ["b.txt"]
    assert found.reasons == {"a.txt": "too large (at most 100 bytes are read)"}


def test_a_size_that_is_a_lie(opened: Unpack) -> None:
    """The directory says 5 bytes; the data would give 50,000."""
    data = bytearray(zipped(("a.txt", b"x" * 50_000)))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = (5).to_bytes(4, "little")
    found = opened(bytes(data), ZIP, UnpackLimits(each=100))
    assert found.files == {}
    assert "damaged" in found.reasons["a.txt"]


@BOTH
def test_all_together_beyond_the_limit(pack: Callable[..., bytes], media_type: str, opened: Unpack) -> None:
    data = pack(*((f"{number}.txt", os.urandom(400).hex().encode()) for number in range(5)))
    # A TAR's headers and padding are not counted, its files are.
    found = opened(data, media_type, UnpackLimits(total=2000))
    assert list(found.files) == ["0.txt", "1.txt"]
    assert list(found.reasons.values()) == [
        "at most 2,000 bytes are taken out of one archive and those within it"
    ]


@BOTH
def test_what_others_have_taken_counts(pack: Callable[..., bytes], media_type: str, tmp_path: Path) -> None:
    """The limits are those of the outermost file, whatever is within what."""
    data = pack(*((f"{number}.txt", os.urandom(400)) for number in range(5)))
    path = tmp_path / "in.bin"
    path.write_bytes(data)
    limits = UnpackLimits(files=100, total=10_000)
    for number, (files, total, taken, told) in enumerate(
        [
            (98, 0, 2, "at most 100 files"),
            (0, 9000, 2, "at most 10,000 bytes"),
            (0, 10_000, 0, "10,000 bytes"),
        ]
    ):
        into = tmp_path / str(number)
        into.mkdir()
        inner, refused, _ = unpack(path, media_type, into, Budget(10**6, limits, files, total))
        assert len(inner) == taken
        assert told in refused[-1].reason


ZEROS = 20 * 2**20


@pytest.mark.parametrize(
    ("pack", "media_type"),
    [
        (lambda: zipped(("a.txt", b"words"), ("bomb.txt", b"0" * ZEROS), ("z.txt", b"words")), ZIP),
        (lambda: gzip.compress(tarred(("a.txt", b"words"), ("bomb.txt", b"0" * ZEROS))), GZ),
    ],
)
def test_a_bomb_is_stopped(pack: Callable[[], bytes], media_type: str, opened: Unpack) -> None:
    found = opened(pack(), media_type)
    assert list(found.files) == ["a.txt"]
    (name,) = found.reasons
    assert name.startswith("bomb.txt and")
    assert "200 times its size" in found.reasons[name]


def test_a_bomb_in_a_part_that_is_left_out_is_stopped_too(opened: Unpack) -> None:
    found = opened(gzip.compress(tarred((".hidden", b"0" * ZEROS), ("z.txt", b"words"))), GZ)
    assert found.files == {}
    assert "200 times its size" in list(found.reasons.values())[-1]


def test_a_single_compressed_bomb(opened: Unpack) -> None:
    found = opened(gzip.compress(b"0" * ZEROS), GZ, name="log.txt.gz")
    assert found.files == {}
    assert "200 times its size" in found.reasons["log.txt"]


def test_an_archive_in_an_archive_is_a_file(opened: Unpack) -> None:
    found = opened(zipped(("in.zip", zipped(("a.txt", b"words")))), ZIP)
    assert [each.media_type for each in found.inner] == [ZIP]
    assert opened(found.files["in.zip"], ZIP).files == {"a.txt": b"words"}


# --- names ---


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Größe.txt".encode(), "Größe.txt"),  # macOS writes UTF-8 and does not say so
        ("Größe.txt".encode("cp437"), "Größe.txt"),
        ("テスト.txt".encode("cp932"), "テスト.txt"),
    ],
)
def test_names_of_a_zip_that_does_not_say_their_encoding(raw: bytes, name: str, opened: Unpack) -> None:
    data = zipped(("x" * len(raw), b"words")).replace(b"x" * len(raw), raw)
    assert list(opened(data, ZIP).files) == [name]


def test_names_in_the_unicode_field_of_a_zip(opened: Unpack) -> None:
    entry = zipfile.ZipInfo("???.txt")
    raw = "Прилив.txt".encode()
    entry.extra = b"\x75\x70" + (5 + len(raw)).to_bytes(2, "little") + b"\1" + bytes(4) + raw
    assert list(opened(zipped((entry, b"words")), ZIP).files) == ["Прилив.txt"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_names_of_a_tar(encoding: str, opened: Unpack) -> None:
    raw = "Größe.txt".encode(encoding)
    entry = tarfile.TarInfo(raw.decode("utf-8", "surrogateescape"))
    assert list(opened(tarred((entry, b"words"), tar_format=tarfile.GNU_FORMAT), TAR).files) == ["Größe.txt"]


def test_names_with_control_characters_and_of_any_length(opened: Unpack) -> None:
    entries = (("a\nb.txt", b"1"), ("x" * 3000 + ".txt", b"2"), ("y/" * 800 + "z.txt", b"3"))
    found = opened(zipped(*entries), ZIP)
    assert list(found.files) == ["a\ufffdb.txt", "x" * 251 + ".txt"]
    assert len(found.reasons) == 1


# --- damage ---


@pytest.mark.parametrize("media_type", sorted(ARCHIVES - {MBOX}))
@pytest.mark.parametrize("data", [b"x", b"not an archive at all\n" * 50])
def test_what_is_no_archive(data: bytes, media_type: str, opened: Unpack) -> None:
    with pytest.raises(SourceCorrupt, match=r"c\.bin cannot be opened as an archive"):
        opened(data, media_type)


def test_a_truncated_zip(opened: Unpack) -> None:
    data = zipped(("a.txt", b"words"), ("b.txt", b"words"))
    with pytest.raises(SourceCorrupt):
        opened(data[:-30], ZIP)


@pytest.mark.parametrize("keep", [1024, 1400, 1538])
def test_a_truncated_tar_gives_what_it_has_and_says_so(keep: int, opened: Unpack) -> None:
    data = tarred(*((f"{name}.txt", b"words") for name in "abc"))
    found = opened(data[:keep], TAR)
    assert list(found.files) == ["a.txt"]
    (reason,) = found.reasons.values()
    assert "breaks off" in reason


def test_a_tar_with_a_broken_header_says_so(opened: Unpack) -> None:
    data = bytearray(tarred(*((f"{name}.txt", b"words") for name in "abc")))
    data[1024 + 150] ^= 0xFF
    found = opened(bytes(data), TAR)
    assert list(found.files) == ["a.txt"]
    assert list(found.reasons) == ["(after a.txt) and all after it"]


@pytest.mark.parametrize(
    ("compress", "suffix"), [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz")]
)
def test_compressed(compress: Callable[[bytes], bytes], suffix: str, opened: Unpack) -> None:
    media_type = MEDIA_TYPES[f".{suffix}"]
    tar = compress(tarred(("a.txt", b"words" * 300)))
    assert opened(tar, media_type, name=f"c.tar.{suffix}").files == {"a.txt": b"words" * 300}
    assert opened(compress(b"a,b\n"), media_type, name=f"t.csv.{suffix}").files == {"t.csv": b"a,b\n"}
    if suffix == "bz2":  # packs in blocks of 900 kB: half a block is nothing
        return
    noise = os.urandom(50_000)
    found = opened(compress(tarred(("a.txt", b"words"), ("b.txt", noise.hex().encode())))[:-9000], media_type)
    assert list(found.files) == ["a.txt"]
    assert list(found.reasons) == ["b.txt and all after it"]


@given(kind=st.sampled_from(["zip", "tar", "gz", "mbox", "eml"]), data=st.data())
def test_damage_is_reported(kind: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    files = (("a.txt", b"words " * 20), ("b/c.md", b"# Title\n" * 20))
    whole = {
        "zip": lambda: zipped(*files),
        "tar": lambda: tarred(*files),
        "gz": lambda: gzip.compress(tarred(*files)),
        "mbox": lambda: MAILBOX,
        "eml": lambda: letter().as_bytes(),
    }[kind]()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damage")
    path = folder / "c"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    (folder / "into").mkdir()
    try:
        inner, refused, _ = unpack(path, MEDIA_TYPES[f".{kind}"], folder / "into")
    except SourceError:
        return
    assert all(each.path.parent == folder / "into" for each in inner)
    assert all(each.reason for each in refused)


def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.zip"
    path.write_bytes(zipped(("a.txt", b"words")))
    with pytest.raises(FileNotFoundError):
        unpack(path, ZIP, tmp_path / "never made")


# --- mail ---


def letter(subject: str = "Levels") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["Subject"] = "a@x.example", subject
    message.set_content("See the files.")
    message.add_alternative("<p>See the <b>files</b>.</p>", subtype="html")
    message.add_attachment(b"%PDF-1.7 ...", maintype="application", subtype="pdf", filename="level.pdf")
    message.add_attachment("gauge,level\n", subtype="csv", filename="../../Größe.csv")
    return message


def test_attachments_of_a_mail(opened: Unpack) -> None:
    found = opened(letter().as_bytes(), EML)
    assert found.files == {"level.pdf": b"%PDF-1.7 ...", "Größe.csv": b"gauge,level\n"}
    assert [each.media_type for each in found.inner] == ["application/pdf", "text/csv"]
    assert found.reasons == {}


def test_a_mail_without_attachments(opened: Unpack) -> None:
    found = opened(b"From: a@x.example\r\nSubject: Hi\r\n\r\nWords.\r\n", EML)
    assert (found.files, found.reasons) == ({}, {})


def test_a_mail_in_a_mail(opened: Unpack) -> None:
    outer = EmailMessage()
    outer["Subject"] = "Fwd"
    outer.set_content("See below.")
    outer.add_attachment(letter("Levels: May/June"))
    found = opened(outer.as_bytes(), EML)
    assert list(found.files) == ["Levels May June.eml"]
    assert list(opened(found.files["Levels May June.eml"], EML).files) == ["level.pdf", "Größe.csv"]


def test_pictures_of_a_mail(opened: Unpack) -> None:
    message = EmailMessage()
    message["Subject"] = "Picture"
    message.set_content("<img src='cid:a'>", subtype="html")
    for data, name in ((b"words" * 1000, "shot.txt"), (b"words", "dot.txt")):
        message.add_related(data, maintype="image", subtype="png", disposition="inline", filename=name)
    found = opened(message.as_bytes(), EML)
    assert list(found.files) == ["shot.txt"]
    assert found.reasons == {"dot.txt": "a small picture within the text (5 bytes)"}


def test_what_is_no_message(opened: Unpack) -> None:
    with pytest.raises(SourceCorrupt, match=r"The attachments of c\.bin"):
        opened(b"not an Outlook file", MSG)


MAILBOX = (
    b"From a@x.example Sun May  3 03:00:00 2026\nFrom: a@x.example\nSubject: One\n\nFirst.\n>From here on.\n\n"
    b"From now on, levels rise.\n\n"
    b"From b@x.example Sun May  3 04:00:00 2026\nFrom: b@x.example\nSubject: Two\n\nSecond.\n"
)


def test_messages_of_a_mailbox(opened: Unpack) -> None:
    found = opened(MAILBOX, MBOX)
    one, two = found.files
    assert one.startswith("One ")
    assert two.startswith("Two ")
    assert found.files[one].endswith(b"First.\nFrom here on.\n\nFrom now on, levels rise.\n\n")
    assert [each.media_type for each in found.inner] == [EML, EML]


def test_a_message_keeps_its_name_when_those_before_it_go(opened: Unpack) -> None:
    (two,) = opened(MAILBOX[MAILBOX.index(b"From b@") :], MBOX).files
    assert two in opened(MAILBOX, MBOX).files


@pytest.mark.parametrize("data", [b"", b"Subject: no mailbox\n\nwords\n"])
def test_what_is_no_mailbox(data: bytes, opened: Unpack) -> None:
    with pytest.raises(SourceCorrupt, match="no mailbox"):
        opened(data, MBOX)
