"""The one place where configuration is read: environment variables with the prefix OPENBOOK_."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, HttpUrl, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rag.collection_settings import MOST_TARGET_MS
from rag.errors import BadSetting

PREFIX = "OPENBOOK_"
MAX_UPLOAD_BYTES = 2 * 2**30

# A key that was read from a file often ends in a line feed, which no header may hold.
Secret = Annotated[str, StringConstraints(strip_whitespace=True)]


def default_data_dir() -> Path:
    """The nearest ``.openbook`` folder above the working directory (as git finds ``.git``), else the user's."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".openbook").is_dir():
            return folder / ".openbook"
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "openbook"


def beside_environment(name: str) -> Path:
    """``name`` next to this interpreter's virtual environment, where the set-up puts what belongs to it."""
    return Path(sys.prefix).parent / name


class Settings(BaseSettings):
    """Built only in entry points; everything below them takes plain arguments."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="Index, logs and the owner's lock.")
    host: str = Field("127.0.0.1", description="Address that the service binds.")
    port: int = Field(8080, ge=1, le=65535, description="Port that the service binds.")

    qdrant_url: HttpUrl | None = Field(
        None, description="A Qdrant server; without it Qdrant runs in process."
    )
    qdrant_api_key: Secret | None = Field(None, description="The Qdrant server's API key.")

    embedder: str | None = Field(
        None, description="Folder or hub name of a sentence-transformers model; by default all-MiniLM-L6-v2."
    )

    reranker: str | None = Field(
        None,
        description="Folder or hub name of a cross-encoder that reorders what was found; by default none.",
    )

    llm_url: HttpUrl | None = Field(
        None, description="An OpenAI-compatible server (…/v1); without it openbook starts vLLM."
    )
    llm_model: str | None = Field(None, description="The model to ask for; by default the server's first.")
    llm_api_key: Secret | None = Field(None, description="The model server's API key.")
    llm_timeout_s: float = Field(600.0, gt=0, description="Longest wait for the next piece of an answer.")
    llm_window: int = Field(
        32768, ge=512, description="The model's window in tokens, where the server does not tell it."
    )
    tokenizer: Path | None = Field(
        None, description="tokenizer.json of the served model; by default the server is asked."
    )

    vllm_python: Path = Field(
        default_factory=lambda: beside_environment(".venv-vllm") / "bin" / "python",
        description="Interpreter of the environment that holds vLLM.",
    )
    vllm_model: Path = Field(
        default_factory=lambda: beside_environment(".models") / "SmolLM2-135M-Instruct",
        description="Folder of the model that the managed vLLM serves.",
    )
    vllm_max_model_len: int = Field(8192, ge=512, description="Window of the managed vLLM, in tokens.")
    vllm_dtype: Literal["float32", "bfloat16", "float16", "auto"] = Field(
        "float32", description="bfloat16 gives wrong answers on some CPUs; see docs/log.md."
    )
    vllm_kv_cache_gib: int = Field(2, ge=1, description="Memory for the managed vLLM's KV cache, in GiB.")
    kv_disk: Path | None = Field(
        None,
        description="Folder on a fast disk where the managed vLLM keeps its KV cache over restarts; needs a GPU.",
    )
    kv_disk_gib: int = Field(
        64, ge=1, description="Most that is kept there, in GiB, looked at when it starts."
    )
    kv_disk_memory_gib: int = Field(
        2, ge=1, description="Memory through which it travels, in GiB; what does not fit is prefilled again."
    )
    vllm_args: str = Field(
        "", description="Further arguments for the managed vLLM, as a shell would split them."
    )
    vllm_start_timeout_s: float = Field(
        900.0, gt=0, description="Longest wait for the managed vLLM's health."
    )

    context_tokens: int | None = Field(
        None, ge=128, description="Tokens of documents put before the model; by default by the model's size."
    )
    answer_tokens: int | None = Field(
        None, ge=1, description="Longest answer; by default by the model's size."
    )
    target_ttft_ms: int | None = Field(
        None,
        ge=1,
        le=MOST_TARGET_MS,
        description="Milliseconds in which answers begin: so much is read as that affords; by default no target.",
    )
    prefills_at_once: int = Field(
        1, ge=1, description="Questions whose prompt the model server reads at the same time; others wait."
    )
    answers_at_once: int = Field(
        16, ge=1, description="Questions that the model server reads or answers at once."
    )
    queue_limit: int = Field(
        64, ge=1, description="Questions that wait for the model server; more are refused."
    )
    max_wait_s: float = Field(
        300.0, gt=0, description="A question that would wait longer for the model server is refused."
    )
    warm_up: bool = Field(
        True, description="Let the service prefill what questions will begin with, while nobody asks."
    )
    rewrite_follow_ups: bool = Field(
        False, description="Let the model make follow-up questions self-contained; by default a rule does."
    )
    search_limit: int = Field(48, ge=1, le=1000, description="Passages taken from the index for a question.")
    max_question_characters: int = Field(8000, ge=1, description="Longer questions are refused.")
    max_upload_bytes: int = Field(
        MAX_UPLOAD_BYTES, ge=1, description="Most bytes of files that are sent in one request."
    )

    @field_validator("data_dir", "vllm_python", "vllm_model", "kv_disk", "tokenizer")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # Not resolve(): a virtual environment's python is a link that must stay one.
        return path.expanduser().absolute() if path else path


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; raises BadSetting naming the variable."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise BadSetting(
                f"Unknown environment variable {name}.",
                f"Did you mean {close[0]}?" if close else "docs/settings.md lists the known ones.",
            )
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise BadSetting(
            f"{name}: {first['msg']} (got {first['input']!r}).", "docs/settings.md says what it takes."
        ) from error
