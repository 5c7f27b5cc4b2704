"""A model server beside the first, as a setting names it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints

# A key that was read from a file often ends in a line feed, which no header may hold.
Secret = Annotated[str, StringConstraints(strip_whitespace=True)]
# As in a URL and in the name of an OpenAI model, in which others stand beside it.
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class ModelAt(BaseModel):
    """A further model: the OpenAI-compatible server that has it; the others as OPENBOOK_LLM_MODEL, _API_KEY and
    _WINDOW, and OPENBOOK_TOKENIZER are for the first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: HttpUrl
    model: str | None = None
    api_key: Secret | None = Field(None, repr=False)
    window: int | None = Field(None, ge=512)
    tokenizer: Path | None = None
