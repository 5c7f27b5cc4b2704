from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from pydantic import ValidationError

from fakes import FakeEmbedder
from rag.compose import open_store
from rag.errors import BadSetting
from rag.models.embed import SentenceEmbedder
from rag.roles import settings_of
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


def test_keys_are_not_told_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBOOK_QDRANT_API_KEY", "secret-of-qdrants\n")
    monkeypatch.setenv("OPENBOOK_LLM_API_KEY", "secret-of-the-models")
    made = load_settings()
    assert made.qdrant_api_key == "secret-of-qdrants"
    assert "secret" not in f"{made!r} {made}"


@pytest.mark.process
def test_the_qdrant_client_is_given_its_key_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors here."""
    monkeypatch.setenv("OPENBOOK_QDRANT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENBOOK_QDRANT_API_KEY", "secret-of-qdrants")
    import qdrant_client  # takes two seconds

    given: dict[str, object] = {}
    made = qdrant_client.QdrantClient

    def client(**options: object) -> object:
        given.update(options)
        return made(**options, check_compatibility=False)  # type: ignore[arg-type]

    monkeypatch.setattr(qdrant_client, "QdrantClient", client)
    store = open_store(load_settings(), cast(SentenceEmbedder, FakeEmbedder()))
    store.close()
    assert given["api_key"] == "secret-of-qdrants"


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


def test_further_models_and_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = (
        '{"deep": {"url": "http://127.0.0.1:1/v1", "model": "org/deep", "api_key": " k\\n", "window": 4096}}'
    )
    monkeypatch.setenv("OPENBOOK_MODELS", deep)
    monkeypatch.setenv("OPENBOOK_FAST_URL", "http://127.0.0.1:2/v1")
    monkeypatch.setenv("OPENBOOK_FALLBACK", "deep fast")
    monkeypatch.setenv("OPENBOOK_LLM_API_KEY", "secret")
    made = load_settings()
    assert made.named == ["answer", "fast", "deep"]
    assert made.fallback == ("deep", "fast")
    of = settings_of(made)
    assert [str(of[name].llm_url) for name in ("fast", "deep")] == [
        "http://127.0.0.1:2/v1",
        "http://127.0.0.1:1/v1",
    ]
    # A key is for the server that it was given for, and no other.
    assert [of[name].llm_api_key for name in made.named] == ["secret", None, "k"]
    assert (of["deep"].llm_model, of["deep"].llm_window) == ("org/deep", 4096)
    assert (made.rewrites, load_settings(rewrite_follow_ups=False).rewrites) == (True, False)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"MODELS": "{deep"}, "OPENBOOK_MODELS: "),
        ({"MODELS": '{"deep": {"url": "x", "api_key": "secret"}}'}, "OPENBOOK_MODELS at deep.url: "),
        ({"MODELS": '{"De ep": {"url": "http://h/v1"}}'}, "OPENBOOK_MODELS at De ep.[key]: "),
        ({"MODELS": '{"fast": {"url": "http://h/v1"}}'}, "OPENBOOK_MODELS: fast is the name of a role"),
        ({"FALLBACK": "deep"}, "OPENBOOK_FALLBACK: there is no model deep"),
        (
            {"FAST_URL": "http://h/v1", "FAST_VLLM_MODEL": "/m"},
            "OPENBOOK_FAST_URL and OPENBOOK_FAST_VLLM_MODEL are both set",
        ),
    ],
)
def test_models_that_cannot_be_are_refused_and_no_key_is_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(BadSetting) as caught:
        load_settings()
    assert caught.value.message.startswith(told)
    assert "secret" not in caught.value.message
