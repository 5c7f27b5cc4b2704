"""What can be told of a compose file without Docker. Each check takes a path and gives what is wrong, by service or
name; an overlay is checked as it stands, with the files it is laid over as ``beneath`` where that matters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from conftest import ROOT
from rag.settings import PREFIX, Settings

COMPOSE = ROOT / "docker-compose.yml"
ENVIRONMENT = {"QDRANT_API_KEY": "a-key-of-qdrants"}  # what it does not do without
SCHEMA = ROOT / "tests" / "data" / "compose-spec" / "schema.json"
# A version with at least two numbers: neither "latest" nor a moving "v1".
PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")
VARIABLE = re.compile(r"\$\{(\w+)(?::?([-?])([^}]*))?\}")
SHELLS = {"sh", "bash", "dash", "ash", "/bin/sh", "/bin/bash"}
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields}


def load(path: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """As compose reads it with these variables set. Raises KeyError for one that there must be."""
    given = environment or {}
    found: dict[str, Any] = _interpolated(yaml.safe_load(path.read_text()), given)
    for each in found.get("services", {}).values():
        if "environment" in each:
            each["environment"] = dict(_handed_on(each["environment"], given))
    return found


def _handed_on(variables: Mapping[str, str | None], given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """One without a value has that of the same name, or is not set at all."""
    for name, value in variables.items():
        if value is not None:
            yield name, value
        elif name in given:
            yield name, given[name]


def _interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, environment) for each in value]
    return interpolated(value, environment) if isinstance(value, str) else value


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if given := environment.get(name):
            return given
        if kind == "?":
            raise KeyError(f"{name}: {rest}")
        return rest or ""

    return VARIABLE.sub(value, text)


def schema_errors(path: Path) -> list[str]:
    """Against the Compose Specification; in the words of the file, before variables are replaced."""
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    found = validator.iter_errors(yaml.safe_load(path.read_text()))
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def services(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text()).get("services", {})
    return found


def unpinned(path: Path) -> list[str]:
    return [each["image"] for each in services(path).values() if not PINNED.match(each.get("image", "a:0.0"))]


def unknown_settings(path: Path) -> set[str]:
    """Variables of openbook's that are no settings, wherever the file names them."""
    return set(re.findall(PREFIX + r"[A-Z0-9_]+", path.read_text())) - KNOWN


def undocumented(path: Path) -> set[str]:
    """Variables that .env may set and that the file's head says nothing of, or says without reading them."""
    named = {match[1] for match in VARIABLE.finditer(path.read_text())}
    bare = {
        name
        for each in services(path).values()
        for name, value in each.get("environment", {}).items()
        if value is None
    }
    return (named | bare) ^ documented(path)


def required(path: Path) -> set[str]:
    """Variables without which compose refuses the file."""
    return {match[1] for match in VARIABLE.finditer(path.read_text()) if match[2] == "?"}


def documented(path: Path) -> set[str]:
    return set(re.findall(r"^#   ([A-Z_]+)  ", path.read_text(), re.MULTILINE))


def missing_files(path: Path, root: Path = ROOT) -> set[str]:
    """Bind mounts of the repository that are not there."""
    mounted = (volume.split(":")[0] for volume in _mounts(path))
    return {source for source in mounted if source.startswith("./") and not (root / source).exists()}


def undeclared(path: Path, *beneath: Path) -> set[str]:
    """Volumes and secrets that services use and no file declares, and those that are declared and not used."""
    used = {source for volume in _mounts(path) if re.match(r"[\w-]+$", source := volume.split(":")[0])}
    used |= {name for each in services(path).values() for name in each.get("secrets", ())}
    own, others = _declared(path), {name for each in beneath for name in _declared(each)}
    return (used - own - others) | (own - used)


def open_ports(path: Path) -> dict[str, list[str]]:
    """Services with ports that are not for this machine alone."""
    ports = {
        name: [port for port in each.get("ports", ()) if not port.startswith("127.0.0.1:")]
        for name, each in services(path).items()
    }
    return {name: found for name, found in ports.items() if found}


def without_health(path: Path) -> set[str]:
    """Services whose health is not checked by a command that is run as it is, and which no lower file defines."""
    return {
        name
        for name, each in services(path).items()
        if "image" in each and (each.get("healthcheck") or {}).get("test", [""])[0] != "CMD"
    }


def with_shell(path: Path) -> set[str]:
    """Services whose health is checked by a shell, which an image may lack."""
    tests = {
        name: (each.get("healthcheck") or {}).get("test", ["", ""]) for name, each in services(path).items()
    }
    return {name for name, test in tests.items() if test[0] == "CMD-SHELL" or test[1] in SHELLS}


def started(path: Path, environment: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """The services that ``docker compose up`` starts with these variables: those of the profiles that are on, and all
    without one."""
    on = {name.strip() for name in (environment or {}).get("COMPOSE_PROFILES", "").split(",")}
    found: dict[str, dict[str, Any]] = load(path, environment)["services"]
    return {name: each for name, each in found.items() if on & set(each.get("profiles", on))}


def _declared(path: Path) -> set[str]:
    text = yaml.safe_load(path.read_text())
    return {*(text.get("volumes") or ()), *(text.get("secrets") or ())}


def _mounts(path: Path) -> Iterator[str]:
    """In the short form: SOURCE:TARGET[:ro]."""
    for each in services(path).values():
        yield from (interpolated(volume, {}) for volume in each.get("volumes", ()))
