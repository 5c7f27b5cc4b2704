"""Beyond one machine: what a Qdrant cluster is asked, and the compose files in deploy/cluster without Docker."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import httpx
import pytest
import yaml

import compose_file
from compose_file import COMPOSE, ENVIRONMENT
from conftest import ROOT
from rag.errors import BadSetting
from rag.settings import load_settings
from rag.store.points import Where

FOLDER = ROOT / "deploy" / "cluster"


class Server:
    """Answers what a Qdrant server does, as far as the client needs it, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        results: dict[str, Any] = {
            "/aliases": {"aliases": []},
            "/points": [],
            "/points/scroll": {"points": [], "next_page_offset": None},
            "/points/query": {"points": []},
            "/facet": {"hits": []},
        }
        end = re.sub(r"^/collections/[^/]+(?=/)", "", request.url.path)
        done: Any = (
            True if end in ("/collections/aliases",) or request.method == "PUT" else results.get(end, True)
        )
        if end == "/index" or (end == "/points" and request.method == "PUT"):
            done = {"operation_id": 1, "status": "completed"}
        return httpx.Response(200, json={"result": done, "status": "ok", "time": 0.0})

    def body(self, method: str, path: str) -> dict[str, Any]:
        (found,) = [
            each for each in self.asked if each.method == method and re.fullmatch(path, each.url.path)
        ]
        body: dict[str, Any] = json.loads(found.content)
        return body


@pytest.fixture
def server() -> Server:
    return Server()


def client_of(server: Server) -> Any:
    from qdrant_client import QdrantClient

    return QdrantClient(
        url="http://qdrant:6333", check_compatibility=False, transport=httpx.MockTransport(server)
    )


@pytest.mark.process  # the client takes seconds to import
def test_a_new_collection_is_divided_and_copied_as_the_settings_say(server: Server) -> None:
    from rag.store.server import Copies, ServerStore

    store = ServerStore(client_of(server), embedder="e", dimension=4, copies=Copies(6, 2, 2))
    store._create("openbook_notes")
    made = server.body("PUT", r"/collections/openbook_notes-\w+")
    assert (made["shard_number"], made["replication_factor"], made["write_consistency_factor"]) == (6, 2, 2)


@pytest.mark.process
def test_without_settings_the_server_decides(server: Server) -> None:
    from rag.store.server import ServerPoints, ServerStore

    ServerStore(client_of(server), embedder="e", dimension=4)._create("openbook_notes")
    made = server.body("PUT", r"/collections/openbook_notes-\w+")
    assert not {"shard_number", "replication_factor", "write_consistency_factor"} & {
        name for name, value in made.items() if value is not None
    }
    ServerPoints(client_of(server), "notes").get(["4d5e3a36-4cc5-4be1-b9b8-2b9f6d0a3b7e"])
    assert "consistency" not in server.asked[-1].url.params


@pytest.mark.process
@pytest.mark.parametrize("read", [2, "majority"])
def test_every_read_asks_as_many_copies_as_the_settings_say(server: Server, read: Any) -> None:
    from rag.store.server import ServerPoints

    points = ServerPoints(client_of(server), "notes", read)
    ids = ["4d5e3a36-4cc5-4be1-b9b8-2b9f6d0a3b7e"]
    points.get(ids)
    points.dense(ids)
    list(points.scroll(Where()))
    points.nearest([0.0] * 4, Where(), 3)
    points.values("language", Where())
    assert len(server.asked) == 5
    assert all(each.url.params["consistency"] == str(read) for each in server.asked)


@pytest.mark.parametrize(("given", "taken"), [("2", 2), ("majority", "majority"), ("all", "all")])
def test_read_consistency_is_a_number_or_a_word(
    monkeypatch: pytest.MonkeyPatch, given: str, taken: object
) -> None:
    monkeypatch.setenv("OPENBOOK_QDRANT_READ_CONSISTENCY", given)
    assert load_settings().qdrant_read_consistency == taken


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBOOK_QDRANT_READ_CONSISTENCY", "most")
    with pytest.raises(BadSetting, match="OPENBOOK_QDRANT_READ_CONSISTENCY"):
        load_settings()


def composed(*overlays: str) -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml with overlays, merged as compose does what these files use of it."""
    merged = compose_file.services(COMPOSE)
    for overlay in overlays:
        for name, changes in yaml.safe_load((FOLDER / overlay).read_text())["services"].items():
            base = merged.setdefault(name, {})
            for key, value in changes.items():
                if isinstance(value, dict) and key in ("environment", "depends_on") and key in base:
                    base[key] = base[key] | value
                else:
                    base[key] = base.get(key, []) + value if key == "ports" else value
    return merged


OVERLAYS = ("qdrant.yml", "router.yml")


@pytest.fixture(params=OVERLAYS)
def overlaid(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    return composed(request.param)


def test_there_is_a_test_for_each_overlay() -> None:
    assert {each.name for each in FOLDER.glob("*.yml")} == {*OVERLAYS, "second.yml"}


@pytest.mark.parametrize("name", [*OVERLAYS, "second.yml"])
def test_overlays_follow_the_compose_specification(name: str) -> None:
    assert compose_file.schema_errors(FOLDER / name) == []
    assert compose_file.undeclared(FOLDER / name, COMPOSE) == set()


def test_every_service_of_an_overlay_is_as_those_of_one_machine(overlaid: dict[str, dict[str, Any]]) -> None:
    core = {name: each for name, each in overlaid.items() if "profiles" not in each}
    for service in core.values():
        assert compose_file.PINNED.match(service["image"])
        assert service["restart"] == "unless-stopped"
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["ports"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    bound = [port.rpartition(":")[0] for service in core.values() for port in service["ports"]]
    assert len(bound) == len(set(bound))


def test_the_overlays_set_what_openbook_knows(
    overlaid: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in overlaid["openbook"]["environment"].items():
        if value is None:  # set where the shell or .env sets it
            continue
        monkeypatch.setenv(name, compose_file.interpolated(value, ENVIRONMENT))
    load_settings()


def test_the_qdrant_nodes_join_the_first_and_are_alike() -> None:
    text = yaml.safe_load((FOLDER / "qdrant.yml").read_text())
    nodes = {name: each for name, each in composed("qdrant.yml").items() if name.startswith("qdrant")}
    assert len(nodes) == 3
    assert {each["image"] for each in nodes.values()} == {compose_file.services(COMPOSE)["qdrant"]["image"]}
    for name, node in nodes.items():
        assert (
            node["deploy"] == compose_file.services(COMPOSE)["qdrant"]["deploy"]
        )  # as much memory as the one, each
        assert node["environment"].items() >= compose_file.services(COMPOSE)["qdrant"]["environment"].items()
        assert node["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
        words = node["command"].split()
        assert words[words.index("--uri") + 1] == f"http://{name}:6335"
        assert ("--bootstrap" in words) == (name != "qdrant")
    assert set(text["volumes"]) == {"qdrant-2", "qdrant-3"}
    copies = int(text["services"]["openbook"]["environment"]["OPENBOOK_QDRANT_REPLICAS"])
    assert copies <= len(nodes)


def test_the_router_stands_between_openbook_and_the_servers() -> None:
    merged = composed("router.yml")
    command = re.sub(r"\$\{\w+:\?[^}]*\}", "http://second:8000", merged["router"]["command"])
    words = shlex.split(command)
    at = words.index("--worker-urls")
    assert words[at + 1 : at + 3] == ["http://vllm:8000", "http://second:8000"]
    assert merged["openbook"]["environment"]["OPENBOOK_LLM_URL"] == "http://router:30000/v1"
    assert merged["openbook"]["depends_on"]["router"] == {"condition": "service_healthy"}
    assert words[words.index("--port") + 1] == "30000"


def test_a_second_machine_is_reached_by_an_address_that_must_be_named() -> None:
    (port,) = yaml.safe_load((FOLDER / "second.yml").read_text())["services"]["vllm"]["ports"]
    assert re.fullmatch(r"\$\{LINK_ADDRESS:\?[^}]+\}:8000:8000", port)


def test_the_second_machines_command_sets_what_its_files_ask_for_and_starts_vllm_alone() -> None:
    comment = re.sub(r"^# ?", "", (FOLDER / "second.yml").read_text(), flags=re.MULTILINE)
    lines = [set(second_machine(text)) for text in (comment, (ROOT / "docs" / "scale-out.md").read_text())]
    (line,) = lines[0]
    assert lines[1] == {line}, "the file says one thing, the documentation another"
    words = shlex.split(line)
    docker = words.index("docker")
    files = [ROOT / words[at + 1] for at, word in enumerate(words) if word == "-f"]
    given = {word.partition("=")[0] for word in words[:docker]}
    assert given == set().union(*map(compose_file.required, files))
    assert all(word.partition("=")[2] for word in words[:docker])
    after = words[words.index("up") + 1 :]
    assert [word for word in after if not word.startswith("-")] == ["vllm"]
    assert compose_file.services(COMPOSE)["vllm"]["depends_on"]
    assert "--no-deps" in after  # a service without what it depends on


def second_machine(text: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", text)
    return re.findall(r"^ +(.* docker compose .*second\.yml .*)$", joined, re.MULTILINE)


def test_qdrant_is_started_with_the_key_that_openbook_is_given() -> None:
    page = (ROOT / "docs" / "scale-out.md").read_text()
    (started,) = re.findall(r"^    (docker run .*?qdrant/qdrant:.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    words = shlex.split(started.replace("\\\n", " "), comments=True)
    variables = {words[at + 1].partition("=")[0] for at, word in enumerate(words) if word == "-e"}
    assert variables >= {"QDRANT__SERVICE__API_KEY", "QDRANT__CLUSTER__ENABLED", "QDRANT__TELEMETRY_DISABLED"}
    assert variables <= composed("qdrant.yml")["qdrant"]["environment"].keys()
    assert "| `OPENBOOK_QDRANT_API_KEY` |" in page
