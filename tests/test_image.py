"""The Dockerfile's steps, read and carried out without Docker (scripts/image_check.py)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import dockerfile
import image_check
from conftest import ROOT


def edited(tmp_path: Path, file: str, old: str, new: str) -> Path:
    """A repository like ours as far as the check looks at it, with one thing changed."""
    for path in dockerfile.context(ROOT):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml"):
        text = (ROOT / name).read_text()
        assert name != file or old in text
        (tmp_path / name).write_text(text.replace(old, new) if name == file else text)
    return tmp_path


def test_our_dockerfile_is_known() -> None:
    steps = image_check.check_steps(ROOT)
    assert dockerfile.command(steps) == ["openbook", "serve"]
    assert dockerfile.environment(steps)["HF_HUB_OFFLINE"] == "1"
    assert (
        dockerfile.environment(steps)["TOKENIZERS_PARALLELISM"] == "false"
    )  # behind a comment between two lines


def test_continued_lines_are_one_step_and_comments_none(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM a:1.0\n# no\nRUN b \\\n # nor this\n  c && \\\n d\ncmd ["e"]\n'
    )
    assert dockerfile.steps(tmp_path / "Dockerfile") == [
        dockerfile.Step("FROM", "a:1.0"),
        dockerfile.Step("RUN", "b c"),
        dockerfile.Step("RUN", "d"),
        dockerfile.Step("CMD", '["e"]'),
    ]


def test_the_last_line_of_dockerignore_that_matches_decides(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n!rag\n!locks/app.lock\n**/__pycache__\n")
    for name in ("rag/a.py", "rag/__pycache__/a.pyc", "locks/app.lock", "locks/dev.lock", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {str(path) for path in dockerfile.context(tmp_path)} == {"rag/a.py", "locks/app.lock"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("Dockerfile", "COPY rag rag", "COPY rags rag", "COPY rags: not in the repository"),
        ("Dockerfile", "COPY rag rag\n", "", "copies no rag"),
        ("Dockerfile", "COPY pyproject.toml README.md LICENSE ./", "COPY pyproject.toml ./", "LICENSE, README"),
        (".dockerignore", "!openbook\n", "", "COPY openbook: not in the repository, or left out"),
        ("Dockerfile", " && mkdir /data", " && rm -r / && mkdir /data", "RUN rm -r /: .* does not know"),
        ("Dockerfile", "USER openbook", "USER root", "user is root"),
        ("Dockerfile", "PYTHONSAFEPATH=1", "PYTHONUTF8=1", "PYTHONSAFEPATH is not set"),
        ("Dockerfile", 'CMD ["openbook"', 'CMD ["python"', "no command of openbook's"),
        ("pyproject.toml", 'packages = ["openbook"', 'packages = ["more", "openbook"', "copies no more"),
    ],
)  # fmt: skip
def test_a_changed_step_is_noticed(tmp_path: Path, file: str, old: str, new: str, expected: str) -> None:
    with pytest.raises(image_check.Wrong, match=expected):
        image_check.check_steps(edited(tmp_path, file, old, new))


@pytest.mark.process
def test_a_wheel_without_data_is_noticed(tmp_path: Path) -> None:
    app = tmp_path / "app"
    image_check.copy_context(ROOT, app, image_check.check_steps(ROOT))
    text = (app / "pyproject.toml").read_text()
    excluded = '[tool.hatch.build]\nexclude = ["*.json"]'
    (app / "pyproject.toml").write_text(text.replace("[tool.hatch.build]", excluded))
    with pytest.raises(image_check.Wrong, match=r"The wheel lacks .*presets\.json"):
        image_check.build(app, tmp_path / "dist")


@pytest.mark.process
def test_what_the_image_has_serves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with tempfile.TemporaryDirectory() as place:  # others may not enter pytest's own
        image_check.check(ROOT, Path(place))
    assert "start, /healthz, stop" in capsys.readouterr().out
