"""docker-compose.yml and Dockerfile, checked without an engine."""

import re
from pathlib import Path

import pytest
import yaml
from containers import pinned

ROOT = Path(__file__).parents[2]
ONE_SHOT = {"topics", "registry", "producer"}


def load() -> dict:
    text = (ROOT / "docker-compose.yml").read_text()
    variables = pinned()
    used = set(re.findall(r"\$\{(\w+)\}", text))
    assert used == variables.keys(), "every variable is used, and has its value in .env"
    return yaml.safe_load(re.sub(r"\$\{(\w+)\}", lambda m: variables[m[1]], text))


COMPOSE = load()
SERVICES = COMPOSE["services"]


def commands() -> list[tuple[str, list[str]]]:
    return [(name, s["command"]) for name, s in SERVICES.items() if "command" in s]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_bounded_and_logs_within_limits(name):
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", service["image"])
    assert re.fullmatch(r"\d+[mg]", service["deploy"]["resources"]["limits"]["memory"])
    assert service["logging"]["options"]["max-size"]
    assert ("healthcheck" in service) != (name in ONE_SHOT)
    if name in ONE_SHOT:
        assert service["restart"] in ("no", "on-failure")


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_are_waited_for_until_they_are_of_use(name):
    for other, rule in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert rule == {"condition": wanted}, other
        assert other in SERVICES


def test_the_lane_waits_for_everything_it_reads():
    assert SERVICES["online"]["depends_on"].keys() == {"kafka", "redis", "topics", "registry"}


@pytest.mark.parametrize("name", SERVICES)
def test_mounts_exist_and_volumes_are_declared(name):
    for mount in SERVICES[name].get("volumes", []):
        source, target, *mode = mount.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).is_file()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


def test_ports_are_unique_and_for_this_machine_only():
    published = [port for s in SERVICES.values() for port in s.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    hosts = [port.split(":")[1] for port in published]
    assert len(set(hosts)) == len(hosts)


def test_kafka_listens_where_it_says():
    environment = SERVICES["kafka"]["environment"]
    protocols = dict(
        pair.split(":") for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    listeners = dict(pair.split("://") for pair in environment["KAFKA_LISTENERS"].split(","))
    advertised = dict(pair.split("://") for pair in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert protocols.keys() == listeners.keys() == advertised.keys() | {"CONTROLLER"}
    assert advertised["PLAINTEXT"].removeprefix("kafka") == listeners["PLAINTEXT"]
    assert COMPOSE["x-tidemark"]["environment"]["TIDEMARK_BOOTSTRAP"] == advertised["PLAINTEXT"]
    assert SERVICES["kafka"]["ports"] == [f"127.0.0.1:{advertised['PLAINTEXT_HOST'].split(':')[1]}:9092"]


def test_the_containers_repo_differs_in_the_address_of_redis_alone():
    ours = yaml.safe_load((ROOT / "feature_repo" / "feature_store.yaml").read_text())
    theirs = yaml.safe_load((ROOT / "conf" / "feature_store.compose.yaml").read_text())
    assert theirs["online_store"].pop("connection_string") == "redis:6379"
    assert ours["online_store"].pop("connection_string") == "localhost:6379"
    assert theirs == ours


def test_redis_leaves_room_between_its_data_and_its_limit():
    data, limit = pinned()["REDIS_MAXMEMORY"], pinned()["REDIS_MEMORY"]
    assert int(data.removesuffix("mb")) * 2**20 < int(limit.removesuffix("g")) * 2**30 * 0.85


def test_our_commands_are_commands():
    from tidemark.cli import COMMANDS

    ours = [words for _, words in commands() if words[0] == "tidemark"]
    assert len(ours) == 3
    assert all(words[1] in COMMANDS for words in ours)


def test_the_image_is_built_in_stages_from_the_pinned_python_and_runs_as_a_user():
    text = (ROOT / "Dockerfile").read_text()
    assert f"ARG PYTHON_IMAGE={pinned()['PYTHON_IMAGE']}" in text
    stages = text.split("\nFROM ")[1:]
    assert len(stages) == 3
    assert "--require-hashes" in stages[1]
    users = re.findall(r"^USER (\w+)", stages[-1], re.M)
    assert users == ["tidemark"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)
    assert all((ROOT / source).exists() for line in copied for source in line.split())


def test_the_kafka_image_is_the_broker_that_runs_without_docker():
    ivy = (ROOT / "conf" / "ivy.xml").read_text()
    local = re.search(r'name="kafka_2\.13" rev="([^"]+)"', ivy)
    assert local is not None
    assert pinned()["KAFKA_IMAGE"] == f"apache/kafka:{local[1]}"
