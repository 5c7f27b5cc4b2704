"""Carry out what the Dockerfile does, as far as that goes without Docker, and start what it makes.

.venv/bin/python scripts/image_check.py      exit code 1, and why, where something is wrong; about half a minute

The wheel is built from what COPY and .dockerignore leave, and installed, not editable, into an environment of its own
that borrows the locked packages of .venv. The image's command is then started by a user who is not root (where this
script is root) and can write to the data folder alone, in a folder whose `rag` and `api` are not ours; it must answer
/healthz and end in order. A step of the Dockerfile that is not known here is an error: the check has to follow it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dockerfile

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534
START_S, STOP_S = 120, 45
# What RUN does: the packages are those of .venv here, and the user is made up; the others are carried out.
KNOWN = (
    r"pip install --no-deps -r locks/app\.lock",
    r"pip install --constraint locks/app\.lock .*torch.*",
    r"pip install --no-deps --no-build-isolation \.",
    r"python -m rag\.models\.embed_prepare",
    r"useradd --create-home --uid 1000 openbook",
    r"mkdir /data",
    r"chown openbook /data",
)


class Wrong(Exception):
    """What the image would lack, in words."""


def check_steps(root: Path) -> list[dockerfile.Step]:
    """Raises Wrong where the Dockerfile copies what is not there, leaves a package out, or does what is unknown."""
    found = dockerfile.steps(root / "Dockerfile")
    for done in dockerfile.named(found, "RUN"):
        if not any(re.fullmatch(known, done) for known in KNOWN):
            raise Wrong(f"RUN {done}: scripts/image_check.py does not know this step.")
    sent = {str(path) for path in dockerfile.context(root)}
    taken = dockerfile.copied(found)
    for source in taken:
        if source not in sent and not any(path.startswith(f"{source}/") for path in sent):
            raise Wrong(f"COPY {source}: not in the repository, or left out by .dockerignore.")
    project = tomllib.loads((root / "pyproject.toml").read_text())
    needed = [
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
        project["project"]["readme"],
    ]
    if left_out := {*needed, *project["project"]["license-files"], "pyproject.toml"} - set(taken):
        raise Wrong(f"The Dockerfile copies no {', '.join(sorted(left_out))}.")
    users = dockerfile.named(found, "USER")
    if not users or users[-1] in ("root", "0"):
        raise Wrong("The image's user is root.")
    if dockerfile.environment(found).get("PYTHONSAFEPATH") != "1":
        raise Wrong("PYTHONSAFEPATH is not set.")
    if dockerfile.command(found)[0] not in project["project"]["scripts"]:
        raise Wrong(f"CMD {dockerfile.command(found)}: no command of openbook's.")
    return found


def copy_context(root: Path, app: Path, found: list[dockerfile.Step]) -> None:
    taken = dockerfile.copied(found)
    for path in dockerfile.context(root):
        if any(str(path) == source or str(path).startswith(f"{source}/") for source in taken):
            (app / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, app / path)


def build(app: Path, folder: Path) -> Path:
    """The wheel. Raises Wrong where it lacks a file of a package: code, or data beside it."""
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, app)
    (wheel,) = folder.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    packages = tomllib.loads((app / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]["packages"]
    files = {str(path.relative_to(app)) for name in packages for path in (app / name).rglob("*.*")}
    if missing := {name for name in files if (app / name).is_file()} - held:
        raise Wrong(f"The wheel lacks {', '.join(sorted(missing)[:8])}.")
    return wheel


def install(wheel: Path, place: Path) -> Path:
    """An environment that has the wheel, and borrows all that it depends on; the folder with its commands."""
    venv.create(place, with_pip=False, symlinks=True)
    borrowed = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    # One line of a .pth: a folder that is searched after ours, and whose own .pth, the editable openbook, is not read.
    (place / borrowed / "locked.pth").write_text(f"{Path(sys.prefix) / borrowed}\n")
    pip = (sys.executable, "-m", "pip", "--python", place / "bin" / "python")
    _run(*pip, "install", "-q", "--no-deps", "--no-index", "--no-compile", wheel)
    return place / "bin"


def start(place: Path, commands: Path, found: list[dockerfile.Step]) -> None:
    """Raises Wrong where the image's command does not serve, or does not end in order."""
    foreign, data = place / "foreign", place / "data"
    for name in ("rag", "api"):
        (foreign / name).mkdir(parents=True)
        (foreign / name / "__init__.py").write_text("raise ImportError('not ours')\n")
    data.mkdir()
    user = user_of(commands)
    if user:
        os.chown(data, NOBODY, NOBODY)
    environment = environment_of(found, commands, foreign, data)
    told: dict[str, Any] = {"cwd": foreign, "env": environment}
    _check_place(commands, user, told)
    _run(*user, commands / "openbook", "keys", "add", "me", **told)
    words = dockerfile.command(found)
    with (place / "serve.log").open("wb") as log:
        service = subprocess.Popen([*user, commands / words[0], *words[1:]], stdout=log, stderr=log, **told)
    try:
        _answers(f"http://127.0.0.1:{environment['OPENBOOK_PORT']}/healthz", service, place / "serve.log")
    finally:
        service.send_signal(signal.SIGTERM)
        code = service.wait(STOP_S)
    if code:
        raise Wrong(f"It ended with exit code {code}: {(place / 'serve.log').read_text()[-2000:]}")


def user_of(commands: Path) -> list[str]:
    """What makes a command one of somebody who may write nowhere: nothing, where we are not root ourselves. The Python
    may lie in root's home, so to read everything may be allowed as well. Raises Wrong where neither works."""
    if os.geteuid():
        return []
    who = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    reader = [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    for each in (who, [*who, *reader]):
        done = subprocess.run([*each, commands / "python", "-c", ""], capture_output=True, check=False)
        if done.returncode == 0:
            return each
    raise Wrong(f"Nobody but root can run {commands / 'python'}: {done.stderr.decode()[-300:]}")


def _check_place(commands: Path, user: list[str], told: dict[str, Any]) -> None:
    """Ours are imported, and cannot be written."""
    asked = "import api, os, rag; print(os.geteuid(), os.access(rag.__path__[0], os.W_OK), api.__file__, rag.__file__)"
    uid, writable, *files = _run(*user, commands / "python", "-c", asked, **told).split()
    if user and (uid, writable) != (str(NOBODY), "False"):
        raise Wrong(f"User {uid} may write to {files[-1]}.")
    if not all(file.startswith(str(commands.parent)) for file in files):
        raise Wrong(f"Imported from elsewhere: {', '.join(files)}")


def environment_of(found: list[dockerfile.Step], commands: Path, home: Path, data: Path) -> Mapping[str, str]:
    """The image's, with an address for the service. No model server is needed for it to serve."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return dockerfile.environment(found) | {
        "PATH": f"{commands}:/usr/bin:/bin",
        "HOME": str(home),
        "OPENBOOK_DATA_DIR": str(data),
        "OPENBOOK_PORT": str(port),
        "OPENBOOK_LLM_URL": "http://127.0.0.1:9/v1",
    }


def _answers(url: str, service: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and service.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=3) as reply:
            if reply.status == 200:
                return
        time.sleep(0.2)
    raise Wrong(f"It does not answer {url}: {log.read_text()[-2000:]}")


def _run(*command: object, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Wrong(f"{' '.join(map(str, command))}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return str(done.stdout)


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


def check(root: Path, place: Path) -> None:
    """Everything; ``place`` is an empty folder that others may enter. Raises Wrong."""
    os.umask(0o022)
    place.chmod(0o755)
    with _timed("Dockerfile"):
        found = check_steps(root)
        copy_context(root, place / "app", found)
    with _timed("wheel"):
        wheel = build(place / "app", place / "dist")
    with _timed("environment"):
        commands = install(wheel, place / "environment")
    with _timed("embedding model"):
        # Once for all data folders, in the environment, which the image's user cannot write.
        _run(commands / "python", "-m", "rag.models.embed_prepare", cwd="/", env=_env(found, commands))
    with _timed("start, /healthz, stop"):
        start(place, commands, found)


def _env(found: list[dockerfile.Step], commands: Path) -> dict[str, str]:
    return dockerfile.environment(found) | {"PATH": f"{commands}:/usr/bin:/bin", "HOME": "/tmp"}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="openbook-image-") as folder:
        try:
            check(ROOT, Path(folder))
        except Wrong as wrong:
            print(f"image: {wrong}", file=sys.stderr)
            sys.exit(1)
    print("The image's steps work.")


if __name__ == "__main__":
    main()
