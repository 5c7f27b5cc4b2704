"""scripts/check_locks.py, with a pip that answers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import check_locks
from check_locks import LOCKS, MACHINES, Found, Target


class FakePip(check_locks.Pip):
    """Has wheels of everything but of what is ``lacking``; ``broken`` is what it says of all."""

    def __init__(self, *lacking: str, broken: str = "") -> None:
        self._lacking, self._broken = lacking, broken

    def planned(self, machine: str, *what: str) -> tuple[dict[str, str], str]:
        asked = [word for word in what if "==" in word]
        for word in asked:
            if self._broken or word.split("==")[0] in self._lacking:
                return {}, self._broken or f"ERROR: No matching distribution found for {word}\n"
        return {word.split("==")[0]: f"{word.replace('==', '-')}-py3-none-any.whl" for word in asked}, ""


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check_locks, "LOCKS", tmp_path)
    return tmp_path


def test_each_missing_wheel_is_named(locks: Path) -> None:
    (locks / "a.lock").write_text("# torch==2.0\nOne_Thing==1\ntwo==2\nthree==3\nlangdetect==1.0.9\n")
    found = check_locks.check(Target("a", "aarch64"), FakePip("one-thing", "three"))
    assert found == Found({"two": "two-2-py3-none-any.whl"}, ("one-thing==1", "three==3"), ("langdetect",))


def test_another_version_of_what_is_source_alone_has_to_have_a_wheel(locks: Path) -> None:
    (locks / "a.lock").write_text("langdetect==2.0\n")
    assert check_locks.check(Target("a", "x86_64"), FakePip()).wheels == {
        "langdetect": "langdetect-2.0-py3-none-any.whl"
    }


def test_a_pip_that_fails_otherwise_ends_it(locks: Path) -> None:
    (locks / "a.lock").write_text("one==1\n")
    with pytest.raises(SystemExit, match="a on x86_64: no network"):
        check_locks.check(Target("a", "x86_64"), FakePip(broken="no network"))


def test_a_pin_for_one_machine_is_none_for_the_other(locks: Path) -> None:
    (locks / "a.lock").write_text('a==1\nb==2 ; platform_machine == "x86_64"\n')
    assert check_locks.pins(locks / "a.lock", "x86_64") == {"a": "1", "b": "2"}
    assert check_locks.pins(locks / "a.lock", "aarch64") == {"a": "1"}


def test_what_torch_needs_is_written_beside_the_application(locks: Path) -> None:
    (locks / "app.lock").write_text("# torch==2.0\nnumpy==1\n")
    check_locks.resolve("aarch64", FakePip())
    written = (locks / "torch-aarch64-cuda.lock").read_text()
    assert [line for line in written.splitlines() if line[0] != "#"] == ["torch==2.0"]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_locks_of_torch_go_with_the_application(machine: str) -> None:
    app = check_locks.pins(LOCKS / "app.lock", machine)
    torch = check_locks.pins(LOCKS / f"torch-{machine}-cuda.lock", machine)
    assert check_locks.torch_of(LOCKS / "app.lock") == f"torch=={torch['torch']}"
    assert not set(app) & set(torch)


def test_all_locks_but_that_of_the_test_tools_are_checked() -> None:
    assert {target.lock for target in check_locks.TARGETS} == {
        path.stem for path in LOCKS.glob("*.lock") if path.stem != "dev"
    }


def test_wheels_are_for_no_newer_system_than_the_image() -> None:
    told = check_locks.platforms()
    assert told[0] == "manylinux_2_36"
    assert {"manylinux_2_28", "manylinux2014", "manylinux1", "linux"} <= set(told)
