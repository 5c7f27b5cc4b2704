"""The deployment files, as far as they can be checked without Docker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
# A version with at least two numbers: neither "latest" nor a moving "v1".
PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


@pytest.fixture(params=["qdrant", "vllm", "openbook"])
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return services()[request.param]


def test_there_are_the_three_services() -> None:
    assert set(services()) == {"qdrant", "vllm", "openbook"}


def test_images_are_pinned(service: dict[str, Any]) -> None:
    assert PINNED.match(service["image"])


def test_the_base_image_is_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(PINNED.match(base) for base in bases)


def test_ports_are_for_this_machine_only(service: dict[str, Any]) -> None:
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_health_is_checked_and_a_crash_answered(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


def test_openbook_waits_for_the_other_two() -> None:
    waits = services()["openbook"]["depends_on"]
    assert waits == {name: {"condition": "service_healthy"} for name in ("qdrant", "vllm")}


def variables() -> Iterator[str]:
    for path in ("docker-compose.yml", "Dockerfile", "scripts/run.sh", "scripts/setup.sh"):
        yield from re.findall(PREFIX + r"[A-Z0-9_]+", (ROOT / path).read_text())


def test_every_variable_is_a_setting() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(variables()) <= known


def test_the_values_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in services()["openbook"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = Settings()  # type: ignore[call-arg]
    assert str(settings.llm_url) == "http://vllm:8000/v1"
    assert settings.port == 8080
    assert str(settings.qdrant_url).startswith("http://qdrant:6333")


def test_the_service_names_and_ports_agree() -> None:
    environment = services()["openbook"]["environment"]
    for name, variable in (("qdrant", "OPENBOOK_QDRANT_URL"), ("vllm", "OPENBOOK_LLM_URL")):
        inside = services()[name]["ports"][0].rpartition(":")[2]
        assert environment[variable].startswith(f"http://{name}:{inside}")


def test_the_server_is_no_older_than_its_client() -> None:
    """qdrant-client supports a server of its own minor version or one beside it."""
    client = re.search(r"^qdrant-client==(\d+)\.(\d+)", (ROOT / "locks/app.lock").read_text(), re.MULTILINE)
    server = re.search(r":v(\d+)\.(\d+)", services()["qdrant"]["image"])
    assert client
    assert server
    assert client[1] == server[1]
    assert abs(int(client[2]) - int(server[2])) <= 1


@pytest.mark.parametrize("lock", ["app", "dev", "vllm"])
def test_locks_pin_every_package_once(lock: str) -> None:
    lines = [
        line for line in (ROOT / f"locks/{lock}.lock").read_text().splitlines() if line and line[0] != "#"
    ]
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines]
    assert all(re.match(r"^[\w.-]+==[\w.!]+( ; .+)?$", line) for line in lines)
    assert len(names) == len(set(names))


def test_the_locks_of_one_environment_agree() -> None:
    app, dev = (set((ROOT / f"locks/{name}.lock").read_text().splitlines()) for name in ("app", "dev"))
    names = {line.split("==")[0].lower() for line in app if "==" in line and line[0] != "#"}
    assert {line for line in dev if line.split("==")[0].lower() in names} <= app
