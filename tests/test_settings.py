from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from rag.errors import BadSetting
from rag.settings import PREFIX, Settings, beside_environment, default_data_dir, load_settings


def test_defaults_are_those_of_one_machine(tmp_path: Path) -> None:
    made = load_settings()
    assert made.data_dir == tmp_path / "data"
    assert (made.host, made.port) == ("127.0.0.1", 8080)
    assert (made.llm_url, made.qdrant_url, made.tokenizer, made.context_tokens) == (None, None, None, None)
    assert made.vllm_python.is_absolute()
    assert made.vllm_model == beside_environment(".models") / "SmolLM2-135M-Instruct"


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_then_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBOOK_PORT", "9000")
    monkeypatch.setenv("OPENBOOK_LLM_URL", "http://127.0.0.1:8000/v1")
    monkeypatch.setenv("OPENBOOK_CONTEXT_TOKENS", "")  # empty is not set
    made = load_settings()
    assert (made.port, str(made.llm_url), made.context_tokens) == (9000, "http://127.0.0.1:8000/v1", None)
    assert load_settings(port=9001).port == 9001
    assert load_settings(port=None).port == 9000


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OPENBOOK_LLM_URI", "Did you mean OPENBOOK_LLM_URL?"),
        ("OPENBOOK_DATA_DIRECTORY", "Did you mean OPENBOOK_DATA_DIR?"),
        ("OPENBOOK_XYZZY_QUUX_FROBNICATE", "docs/settings.md lists the known ones."),
    ],
)
def test_an_unknown_variable_is_an_error_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(BadSetting) as caught:
        load_settings()
    assert name in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("LLM_URL", "localhost:8000"),
        ("LLM_URL", "file:///etc/passwd"),
        ("LLM_TIMEOUT_S", "0"),
        ("LLM_WINDOW", "511"),
        ("VLLM_DTYPE", "int4"),
        ("CONTEXT_TOKENS", "-1"),
        ("ANSWER_TOKENS", "0"),
        ("SEARCH_LIMIT", "1001"),
        ("SEARCH_LIMIT", "1.5"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(BadSetting, match=rf"^OPENBOOK_{name}: .*{value}.*docs/settings\.md"):
        load_settings()


def test_settings_do_not_change_and_take_nothing_unknown() -> None:
    with pytest.raises(ValidationError):
        load_settings().port = 1
    with pytest.raises(BadSetting, match="OPENBOOK_PROT"):
        load_settings(prot=1)


def test_paths_become_absolute_and_links_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "python").symlink_to("/usr/bin/env")
    made = load_settings(data_dir="here/../there", vllm_python="python", tokenizer="~/tokenizer.json")
    assert made.data_dir.is_absolute()
    assert made.vllm_python == tmp_path / "python"
    assert made.tokenizer == tmp_path / "home" / "tokenizer.json"


def test_the_data_folder_is_the_nearest_above_or_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPENBOOK_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    deep = tmp_path / "project" / "src" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    (tmp_path / "project" / "src" / ".openbook").write_text("a file is no data folder")
    assert load_settings().data_dir == default_data_dir() == tmp_path / "xdg" / "openbook"

    (tmp_path / "project" / ".openbook").mkdir()
    assert load_settings().data_dir == tmp_path / "project" / ".openbook"
    (deep / ".openbook").mkdir()
    assert load_settings().data_dir == deep / ".openbook"

    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path / "set"))
    assert load_settings().data_dir == tmp_path / "set"


def test_without_xdg_the_users_folder_is_below_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert default_data_dir() == tmp_path / ".local" / "share" / "openbook"
