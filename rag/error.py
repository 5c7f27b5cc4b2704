"""What every error of rag/errors.py is."""

from __future__ import annotations


class RagError(Exception):
    retryable: bool = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def code(self) -> str:
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
