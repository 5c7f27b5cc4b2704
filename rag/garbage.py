"""What the garbage collector need not look through."""

from __future__ import annotations

import gc


def set_aside() -> None:
    """What is there now, modules and models, stays until the end. To look through all of it takes 0.2 s, in which
    nobody is answered, and comes again every hundred questions or so."""
    gc.freeze()
