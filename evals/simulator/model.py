"""The simulated model: a real tokenizer and chat template, and an answer that any reader can predict."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from rag.errors import BadRequest, ModelNotInstalled
from rag.prompt import NOT_FOUND

_DOCUMENT = re.compile(r"<document (\[\d+\])[^\n]*>\n(.*?)\n</document>", re.S)
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)|.+", re.S)
LONGEST_WORDS = 40


class Model:
    """``folder`` holds tokenizer.json, tokenizer_config.json and, beside or in it, the chat template."""

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            config = json.loads((folder / "tokenizer_config.json").read_text())
            beside = folder / "chat_template.jinja"
            source = beside.read_text() if beside.exists() else config["chat_template"]
            # As transformers compiles it.
            jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
            self._template = jinja.from_string(source)
        except Exception as error:  # the tokenizer's bindings raise plain Exception on a bad file
            raise ModelNotInstalled(
                f"{folder} holds no tokenizer with a chat template: {error}",
                "Run: make setup; or name another folder with --model.",
            ) from error
        self._special = {name: _content(config.get(name)) for name in ("bos_token", "eos_token")}
        self.end_id: int = self._tokenizer.token_to_id(self._special["eos_token"]) or 0

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=special).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        more: Mapping[str, Any] | None = None,
        *,
        answer: bool = True,
    ) -> list[int]:
        """``answer``: up to where the model's answer begins; ``more`` is for the template, as ``enable_thinking``.
        Raises BadRequest where the template refuses."""
        given = {**(more or {}), **self._special, "messages": messages, "add_generation_prompt": answer}
        try:
            said = self._template.render(given)
        except (TemplateError, TypeError) as error:
            raise BadRequest(f"The chat template refuses these messages: {error}") from error
        return self.encode(said)

    def reply(self, prompt: str) -> list[int]:
        """The first sentence of the first document of the prompt with its mark, else what openbook takes for "not
        found"; then the token that ends an answer."""
        found = _DOCUMENT.search(prompt)
        text = NOT_FOUND
        if found and (sentence := _SENTENCE.match(found[2].strip())):
            text = " ".join([*sentence[0].split()[:LONGEST_WORDS], found[1]])
        return [*self.encode(text), self.end_id]


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token or "")
