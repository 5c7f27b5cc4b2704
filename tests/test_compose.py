"""The deployment files, as far as they can be checked without Docker."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import compose_file
from api.plan_env import FAST_SERVER
from api.tracing import ENDPOINTS
from compose_file import COMPOSE, ENVIRONMENT
from conftest import ROOT
from rag.settings import Settings, load_settings

PROFILES = {"fast": {"vllm-fast"}, "observability": {"prometheus", "grafana"}, "tls": {"caddy"}}


def services() -> dict[str, dict[str, Any]]:
    return compose_file.services(COMPOSE)


def loaded(**environment: str) -> dict[str, Any]:
    found: dict[str, Any] = compose_file.load(COMPOSE, ENVIRONMENT | environment)["services"]
    return found


def test_it_follows_the_compose_specification() -> None:
    assert compose_file.schema_errors(COMPOSE) == []


def test_what_does_not_follow_it_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yml"
    wrong.write_text("services: {a: {image: x, restrat: always, healthcheck: {retries: [1]}}}")
    found = compose_file.schema_errors(wrong)
    assert len(found) == 2
    assert any("restrat" in error for error in found)
    assert any(error.startswith("services.a.healthcheck.retries") for error in found)


def test_there_are_the_three_services_and_others_where_they_are_asked_for() -> None:
    plain = {name for name, each in services().items() if "profiles" not in each}
    assert plain == {"qdrant", "vllm", "openbook"}
    for profile, names in PROFILES.items():
        assert {name for name, each in services().items() if each.get("profiles") == [profile]} == names
    assert len(services()) == len(plain) + sum(map(len, PROFILES.values()))


def test_files_volumes_and_secrets_are_there() -> None:
    assert compose_file.missing_files(COMPOSE) == set()
    assert compose_file.undeclared(COMPOSE) == set()


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yml"
    wrong.write_text(
        "services: {a: {image: 'x:latest', volumes: ['./no-such:/a', 'data:/b'], ports: ['80:80'], "
        "environment: {OPENBOOK_NONE: '${HEARD_OF}'}, healthcheck: {test: [CMD-SHELL, curl x]}}}\n"
        "volumes: {other: }\n"
    )
    assert compose_file.missing_files(wrong) == {"./no-such"}
    assert compose_file.undeclared(wrong) == {"data", "other"}
    assert compose_file.unpinned(wrong) == ["x:latest"]
    assert compose_file.open_ports(wrong) == {"a": ["80:80"]}
    assert compose_file.unknown_settings(wrong) == {"OPENBOOK_NONE"}
    assert compose_file.undocumented(wrong) == {"HEARD_OF"}
    assert compose_file.without_health(wrong) == compose_file.with_shell(wrong) == {"a"}


def test_images_are_pinned() -> None:
    assert compose_file.unpinned(COMPOSE) == []


def test_the_base_image_is_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(compose_file.PINNED.match(base) for base in bases)


def test_ports_are_for_this_machine_only_but_those_with_tls() -> None:
    assert all(each["ports"] for each in services().values())
    assert set(compose_file.open_ports(COMPOSE)) == {"caddy"}


def test_health_is_checked_and_a_crash_answered() -> None:
    assert compose_file.without_health(COMPOSE) == set()
    assert compose_file.with_shell(COMPOSE) == {"qdrant"}  # its image has nothing else to ask with
    assert {each["restart"] for each in services().values()} == {"unless-stopped"}


def test_they_start_one_after_the_other() -> None:
    healthy = {"condition": "service_healthy"}
    assert services()["vllm"]["depends_on"] == {"qdrant": healthy}
    assert services()["vllm-fast"]["depends_on"] == {"vllm": healthy}
    second = healthy | {"required": False}  # not where its profile is off
    assert services()["openbook"]["depends_on"] == {"qdrant": healthy, "vllm": healthy, "vllm-fast": second}
    assert services()["caddy"]["depends_on"] == {"openbook": healthy}


def test_no_service_gains_privileges() -> None:
    for name, each in services().items():
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in each
    openbook = services()["openbook"]
    assert openbook["read_only"] is True
    assert openbook["cap_drop"] == ["ALL"]
    assert "cap_add" not in openbook
    assert "user" not in openbook  # that of the image
    assert re.search(r"^USER openbook$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_openbook_writes_to_its_volume_and_to_memory_alone() -> None:
    openbook = loaded()["openbook"]
    written = [openbook["environment"][name] for name in ("OPENBOOK_DATA_DIR", "HF_HOME")]
    targets = [volume.split(":")[1] for volume in openbook["volumes"] if not volume.endswith(":ro")]
    assert targets == ["/data"]
    assert all(path == "/data" or path.startswith("/data/") for path in written)
    assert [mount.split(":")[0] for mount in openbook["tmpfs"]] == ["/tmp"]


def test_memory_has_limits_beside_the_model_server() -> None:
    limits = {name: each["deploy"]["resources"]["limits"]["memory"] for name, each in limited()}
    assert limits == {"qdrant": "16g", "openbook": "16g"}


def limited() -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, each)
        for name, each in loaded().items()
        if "limits" in each.get("deploy", {}).get("resources", {})
    ]


def variables() -> Iterator[str]:
    for path in (
        "docker-compose.yml",
        "Dockerfile",
        "scripts/run.sh",
        "scripts/setup.sh",
        "scripts/spark.sh",
    ):
        yield from compose_file.unknown_settings(ROOT / path)


def test_every_variable_is_a_setting() -> None:
    assert set(variables()) == set()


def test_every_variable_of_env_is_told_at_the_head() -> None:
    outside = {"METRICS_KEY", "COMPOSE_PROFILES"}  # a secret's, and one that compose itself reads
    assert compose_file.undocumented(COMPOSE) == outside
    assert yaml.safe_load(COMPOSE.read_text())["secrets"]["metrics_key"] == {"environment": "METRICS_KEY"}


def test_a_profile_that_the_head_names_is_one(tmp_path: Path) -> None:
    named = re.findall(r"^#   \w+ +profile (\w+):", COMPOSE.read_text(), re.MULTILINE)
    assert set(named) == set(PROFILES)


def test_the_values_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in loaded()["openbook"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = Settings()  # type: ignore[call-arg]
    assert str(settings.llm_url) == "http://vllm:8000/v1"
    assert settings.port == 8080
    assert str(settings.qdrant_url).startswith("http://qdrant:6333")


# Settings that .env does not reach by their own name, and why.
OF_THE_FILE = {"host", "port", "data_dir", "qdrant_url", "qdrant_api_key", "llm_url"}  # what is within
RENAMED = {"context_tokens": "CONTEXT_TOKENS", "embedder": "EMBEDDER", "reranker": "RERANKER"}
OF_NO_USE = (
    {"vllm_python", "vllm_model", "vllm_max_model_len", "vllm_dtype", "vllm_kv_cache_gib", "vllm_args"}
    | {"vllm_start_timeout_s", "kv_disk", "kv_disk_gib", "kv_disk_memory_gib"}
    | {
        f"fast_vllm_{name}" for name in ("model", "max_model_len", "kv_cache_gib", "args")
    }  # no vLLM is within
    | {"llm_model", "llm_window", "tokenizer"}  # the server in the other container tells
    | {"ray", "ray_patience_s"}  # not in the image
    | {"require_key"}  # one is asked for wherever the service is not bound to loopback
    | {"stop_grace_s"}  # less than stop_grace_period, which the file sets
)
PASSED = {
    f"OPENBOOK_{name.upper()}"
    for name in Settings.model_fields.keys() - OF_THE_FILE - RENAMED.keys() - OF_NO_USE
}


def test_every_setting_is_handed_on_but_those_that_have_a_reason() -> None:
    given = services()["openbook"]["environment"]
    by_name = {name for name, value in given.items() if value == f"${{{name}:-}}"} - {"HF_TOKEN"}
    assert by_name == PASSED
    assert {name: given[f"OPENBOOK_{name.upper()}"] for name in RENAMED} == {
        name: f"${{{variable}:-}}" for name, variable in RENAMED.items()
    }
    ours = {name for name in given if name.startswith("OPENBOOK_")}
    assert ours - PASSED == {f"OPENBOOK_{name.upper()}" for name in OF_THE_FILE | RENAMED.keys()}
    assert Settings.model_fields.keys() >= OF_NO_USE


def test_traces_and_the_hub_are_told_of_as_env_says() -> None:
    own = {"HF_TOKEN": "hf_a", "OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_SERVICE_NAME": "team"}
    own |= dict.fromkeys(ENDPOINTS, "http://collector:4318")
    assert loaded(**own)["openbook"]["environment"].items() >= own.items()
    # An empty endpoint would be one.
    assert not [name for name in loaded()["openbook"]["environment"] if name.startswith("OTEL_")]


def settings_with(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in loaded(**environment)["openbook"]["environment"].items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_what_is_not_in_env_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given = loaded()["openbook"]["environment"]
    empty = {name.removeprefix("OPENBOOK_").lower() for name, value in given.items() if value == ""} - {
        "hf_token"
    }
    assert {f"OPENBOOK_{name.upper()}" for name in empty} == PASSED | {
        f"OPENBOOK_{name.upper()}" for name in RENAMED
    }
    settings = settings_with(monkeypatch)
    assert {name: getattr(settings, name) for name in empty} == {
        name: Settings.model_fields[name].default for name in empty
    }
    assert settings.named == ["answer"]


def test_further_models_and_servers_of_env_reach_openbook(monkeypatch: pytest.MonkeyPatch) -> None:
    roles = {
        name for name in PASSED if name.startswith(("OPENBOOK_FAST_", "OPENBOOK_EMBED_", "OPENBOOK_RERANK_"))
    }
    given = {
        name: f"http://{name[9:].lower().replace('_', '-')}:1/v1" for name in roles if name.endswith("URL")
    }
    given |= {name: f"of {name}" for name in roles - given.keys()}
    assert len(given) == 10
    further = {
        "OPENBOOK_MODELS": '{"deep": {"url": "http://10.0.0.2:8000/v1", "api_key": "k$ey"}}',
        "OPENBOOK_FALLBACK": "deep fast",
        "OPENBOOK_FALLBACK_FOR_NAMED": "true",
    }
    settings = settings_with(monkeypatch, **given, **further)
    assert settings.named == ["answer", "fast", "deep"]
    assert (settings.fallback, settings.fallback_for_named) == (("deep", "fast"), True)
    assert settings.models["deep"].api_key == "k$ey"
    for name, value in given.items():
        assert str(getattr(settings, name.removeprefix("OPENBOOK_").lower())) == value


def test_limits_and_permissions_of_env_reach_openbook(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "OPENBOOK_ANSWERS_AT_ONCE": "32",
        "OPENBOOK_QDRANT_READ_CONSISTENCY": "majority",
        "OPENBOOK_WARM_UP": "false",
        "OPENBOOK_ROOTS": "/documents:/data/more",
        "OPENBOOK_CORS_ORIGINS": "https://a.example https://b.example",
        "OPENBOOK_LOG_FORMAT": "json",
    }
    settings = settings_with(monkeypatch, **given)
    assert (settings.answers_at_once, settings.qdrant_read_consistency) == (32, "majority")
    assert (settings.warm_up, settings.log_format) == (False, "json")
    assert settings.roots == (Path("/documents"), Path("/data/more"))
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_the_second_model_is_started_with_its_profile_alone() -> None:
    assert set(compose_file.started(COMPOSE, ENVIRONMENT)) == {"qdrant", "vllm", "openbook"}
    on = compose_file.started(COMPOSE, ENVIRONMENT | {"COMPOSE_PROFILES": "tls, fast"})
    assert set(on) == {"qdrant", "vllm", "vllm-fast", "openbook", "caddy"}


def test_the_second_model_server_is_as_the_first_but_for_what_is_its_own() -> None:
    first, second = services()["vllm"], services()["vllm-fast"]
    own = {"profiles", "depends_on", "ports", "command", "healthcheck"}
    assert {name: value for name, value in second.items() if name not in own} == {
        name: value for name, value in first.items() if name not in own
    }
    given = {"FAST_MODEL": "org/small", "FAST_MODEL_LENGTH": "2048", "FAST_KV_CACHE_BYTES": "7"}
    model, *flags = shlex.split(loaded(**given, FAST_MODEL_FLAGS="--a=1 --b")["vllm-fast"]["command"])
    assert model == "org/small"
    assert flags[-2:] == ["--a=1", "--b"]
    assert {
        "--port=8001", "--max-model-len=2048", "--max-num-batched-tokens=2048", "--kv-cache-memory-bytes=7"
    } <= set(flags)  # fmt: skip
    assert "http://127.0.0.1:8001/health" in second["healthcheck"]["test"][-1]
    assert second["ports"] == ["127.0.0.1:8001:8001"]
    assert FAST_SERVER == "http://vllm-fast:8001/v1"


def test_no_model_server_wants_a_share_of_all_memory() -> None:
    """Beside another one vLLM would refuse to start otherwise, and so would the first when it is started again."""
    for name in ("vllm", "vllm-fast"):
        flags = shlex.split(loaded()[name]["command"])
        assert "--gpu-memory-utilization=0.01" in flags
        assert any(re.fullmatch(r"--kv-cache-memory-bytes=\d+", flag) for flag in flags)


def test_qdrant_asks_for_the_key_that_openbook_has() -> None:
    with pytest.raises(KeyError, match=r"QDRANT_API_KEY: Put .* into \.env"):
        compose_file.load(COMPOSE)
    made = loaded()
    key = made["qdrant"]["environment"]["QDRANT__SERVICE__API_KEY"]
    assert key == made["openbook"]["environment"]["OPENBOOK_QDRANT_API_KEY"] == "a-key-of-qdrants"


def test_prometheus_has_the_keys_of_what_it_asks() -> None:
    """The service asks for one wherever it is not reached on loopback, and so does Qdrant."""
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    files = {
        job["job_name"]: job["authorization"]["credentials_file"] for job in jobs if "authorization" in job
    }
    assert files == {"openbook": "/run/secrets/metrics_key", "qdrant": "/run/secrets/qdrant_key"}
    assert {f"/run/secrets/{name}" for name in services()["prometheus"]["secrets"]} == set(files.values())
    asked = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs if "static_configs" in job}
    (by_name,) = [job for job in jobs if "dns_sd_configs" in job]
    (found,) = by_name["dns_sd_configs"]
    assert services()[by_name["job_name"]]["profiles"] == ["fast"]
    asked |= {by_name["job_name"]: [f"{name}:{found['port']}" for name in found["names"]]}
    assert len(asked) == len(jobs)
    inside = {name: services()[name]["ports"][0].rpartition(":")[2] for name in asked}
    assert asked == {name: [f"{name}:{port}"] for name, port in inside.items()}


def test_the_service_names_and_ports_agree() -> None:
    environment = services()["openbook"]["environment"]
    for name, variable in (("qdrant", "OPENBOOK_QDRANT_URL"), ("vllm", "OPENBOOK_LLM_URL")):
        inside = services()[name]["ports"][0].rpartition(":")[2]
        assert environment[variable].startswith(f"http://{name}:{inside}")


def test_tls_goes_to_openbook_and_holds_no_event_back() -> None:
    text = (ROOT / "deploy/caddy/Caddyfile").read_text()
    port = services()["openbook"]["ports"][0].rpartition(":")[2]
    assert f"reverse_proxy openbook:{port} {{" in text
    assert "flush_interval -1" in text
    assert text.count("{") == text.count("}")
    read = set(re.findall(r"\{\$(\w+)\}", text))
    assert read == set(services()["caddy"]["environment"])
    assert loaded()["caddy"]["environment"] == {"SITE": "openbook.lan", "ISSUER": "internal"}


def test_the_server_is_no_older_than_its_client() -> None:
    """qdrant-client supports a server of its own minor version or one beside it."""
    client = re.search(r"^qdrant-client==(\d+)\.(\d+)", (ROOT / "locks/app.lock").read_text(), re.MULTILINE)
    server = re.search(r":v(\d+)\.(\d+)", services()["qdrant"]["image"])
    assert client
    assert server
    assert client[1] == server[1]
    assert abs(int(client[2]) - int(server[2])) <= 1


@pytest.mark.parametrize("lock", ["app", "dev", "vllm", "torch-x86_64-cuda", "torch-aarch64-cuda"])
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


def test_the_model_servers_words_are_a_model_and_flags() -> None:
    command = loaded(MODEL_FLAGS="--a=1 --b")["vllm"]["command"]
    assert isinstance(command, str)
    model, *flags = shlex.split(command)
    assert model == "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8"
    assert all(word.startswith("--") for word in flags)
    assert flags[-2:] == ["--a=1", "--b"]
