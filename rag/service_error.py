"""What the openbook service itself cannot do now; rag/errors.py draws the tree."""

from __future__ import annotations

from rag.error import RagError


class ServiceError(RagError): ...


class ClusterUnavailable(ServiceError):
    retryable = True


class CollectionBusy(ServiceError):
    retryable = True

    @classmethod
    def of(cls, name: str) -> CollectionBusy:
        return cls(
            f"Jobs for collection {name!r} run or wait.",
            "Wait for them, or cancel them; see: openbook jobs",
        )


class ConversationBusy(ServiceError):
    retryable = True

    @classmethod
    def of(cls, id_: str) -> ConversationBusy:
        return cls(
            f"Conversation {id_} has a question that is being answered.",
            "Ask again when that is done: one question at a time.",
        )


class IdempotencyKeyBusy(ServiceError):
    retryable = True


class Overloaded(ServiceError):
    """``retry_after_s``: when there will be room again, as far as can be told."""

    retryable = True

    def __init__(self, message: str, hint: str = "", *, retry_after_s: float = 5.0) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s

    @classmethod
    def of(cls, why: str, retry_after_s: float) -> Overloaded:
        return cls(why, f"Ask again in about {retry_after_s:,.0f} s.", retry_after_s=retry_after_s)


class PortInUse(ServiceError):
    @classmethod
    def of(cls, host: str, port: int) -> PortInUse:
        return cls(
            f"Port {port} on {host} is taken by another program.",
            f"Stop that program, or choose another port: openbook serve --port {port + 1 if port < 65535 else 8080}",
        )


class RateLimited(Overloaded):
    @classmethod
    def of_key(cls, what: str, most: int, retry_after_s: float) -> RateLimited:
        return cls(
            f"The key has had its {most:,} {what} of this minute.",
            f"Ask again in {retry_after_s:.0f} s, or have OPENBOOK_{what.upper()}_PER_MINUTE raised.",
            retry_after_s=retry_after_s,
        )


class ServiceStopping(ServiceError):
    retryable = True

    @classmethod
    def of(cls) -> ServiceStopping:
        return cls("The service is about to stop.", "Ask again when it is back.")


class ServiceUnreachable(ServiceError):
    retryable = True


class TimedOut(ServiceError):
    retryable = True

    @classmethod
    def of(cls) -> TimedOut:
        return cls(
            "The answer took longer than it may (OPENBOOK_ANSWER_TIMEOUT_S).",
            "Ask for less (max_context_tokens, max_answer_tokens), or again when fewer others ask.",
        )
