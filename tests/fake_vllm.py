"""Stands in for vLLM's server in tests of its supervision: the same flags, log lines and /health, no model.

The variables FAKE_VLLM_* tell it how to behave: DELAY (seconds before it is healthy), FAIL (an error to die of),
DIE_AFTER (seconds of service before it exits), STUBBORN (ignores SIGTERM). It has a grandchild in a session of
its own, as the hardest case of an engine process: nobody who signals a process group reaches that one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def say(line: str) -> None:
    sys.stdout.write(f"(APIServer pid={os.getpid()}) INFO 11-22 02:47:38 [core.py:133] {line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--model")
    parser.add_argument("--children", type=Path)  # a file to write the grandchild's process id to
    options, _ = parser.parse_known_args()
    if "FAKE_VLLM_STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.children:
        sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]
        child = subprocess.Popen(sleeper, start_new_session=True)
        with options.children.open("a") as file:
            file.write(f"{child.pid}\n")
    say("Initializing a V1 LLM engine")
    time.sleep(float(os.environ.get("FAKE_VLLM_DELAY", "0")))
    say("Consider a higher limit: `OSError: [Errno 24] Too many open files`")  # a warning, never the reason
    if failure := os.environ.get("FAKE_VLLM_FAIL"):
        sys.exit(f"ValueError: {failure}\nRuntimeError: Engine core initialization failed.")
    say(f"Starting to load model {options.model}...")
    server = HTTPServer((options.host, options.port), Health)
    if seconds := os.environ.get("FAKE_VLLM_DIE_AFTER"):
        threading.Timer(float(seconds), os._exit, (3,)).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
