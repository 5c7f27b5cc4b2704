"""What the ``openbook`` command runs.

Worker processes import the script that was started, and with it this module, but need none of the commands: they are
imported in ``main``.
"""

from __future__ import annotations

import io
import os
import sys

# Before any import of a library that reads them: nothing leaves the machine, and nothing is asked for.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 the request was wrong, 3 not now, 130 interrupted."""
    from openbook.app import app
    from rag.errors import RagError
    from rag.terminal import exit_code, print_error

    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character, or a name that is no UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except RagError as error:
        print_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
