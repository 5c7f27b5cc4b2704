"""What a model's configuration says of its size: what the KV cache takes for a token, what the weights take. Pure.

Keys and values of attention are kept for every token: ``2 x kv heads x head size`` numbers a layer, or one compressed
vector (multi-head latent attention, arXiv 2405.04434, 2.1). A layer with a sliding window keeps them for its window
only, and a recurrent one (Mamba, gated delta nets) a state that does not grow.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelShape:
    """``kv_numbers`` is what one attention layer keeps for a token, ``wide_kv_numbers`` what one without a sliding
    window keeps. ``state_bytes`` is what all recurrent layers keep for a sequence, 0 where that is not known.
    ``window`` and ``sliding_window`` are in tokens, ``active`` are the parameters that a token passes through and
    ``active_bytes`` what they take."""

    kind: str
    window: int
    full_layers: int
    sliding_layers: int
    recurrent_layers: int
    kv_numbers: int
    wide_kv_numbers: int
    sliding_window: int
    state_bytes: int
    hidden: int
    vocabulary: int
    parameters: int
    active: int
    weight_bytes: int
    active_bytes: int

    @property
    def hybrid(self) -> bool:
        """Whether a prompt's beginning can be reused at checkpoints only."""
        return self.recurrent_layers > 0

    def kv_bytes_per_token(self, number_bytes: int = 2) -> int:
        """What the cache grows by with each token, once all sliding windows are full."""
        return self.full_layers * self.wide_kv_numbers * number_bytes

    def kv_bytes(self, tokens: int, number_bytes: int = 2) -> int:
        """Of one sequence of ``tokens``."""
        sliding = self.sliding_layers * self.kv_numbers * min(tokens, self.sliding_window) * number_bytes
        return self.kv_bytes_per_token(number_bytes) * tokens + sliding + self.state_bytes
