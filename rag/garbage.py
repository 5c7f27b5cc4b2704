"""What the garbage collector need not look through."""

from __future__ import annotations

import gc

COLLECT_AT = (2000, 20, 100)  # see docs/log.md, "A crowd"


def set_aside() -> None:
    """What is there now, modules and models, stays until the end. To look through all of it takes 0.2 s, in which
    nobody is answered, and would come again every hundred questions or so. There is little to find in the rest, so it
    is looked at less often."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AT)
