"""How long a cluster may be without any machine before who waits for it gives up. Pure: times are passed in."""

from __future__ import annotations

from dataclasses import dataclass

from rag.errors import ClusterUnavailable


@dataclass(slots=True)
class Absence:
    """``most_s`` is the longest that is waited; ``since`` when the last machine went, None while there is one. Seconds,
    by one clock."""

    most_s: float
    since: float | None = None

    def saw(self, machines: int, now: float) -> None:
        """So many are there."""
        if machines:
            self.since = None
        elif self.since is None:
            self.since = now

    def too_long(self, now: float, waiting_since: float = 0.0) -> bool:
        """For one who has waited since then: what a machine of this moment can still do may go on for as long."""
        return self.since is not None and now - max(self.since, waiting_since) >= self.most_s

    @property
    def error(self) -> ClusterUnavailable:
        return ClusterUnavailable(
            f"The Ray cluster has had no machine with a CPU for {self.most_s:g} s (OPENBOOK_RAY_PATIENCE_S).",
            "What was stored stays. Add a machine with: ray start --address=...; the same command goes on from there.",
        )
