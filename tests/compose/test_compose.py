"""docker-compose.yml and Dockerfile, checked without an engine."""

import re
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from containers import pinned

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "docs"))

from commands import check  # noqa: E402

ONE_SHOT = {"topics", "registry", "producer", "loadtest"}
TIDEMARK_PORT = {
    "online": 9400,
    "history": 9400,
    "scores": 9400,
    "heartbeat": 9400,
    "api": 8000,
    "feast": 6566,
}


class Health(msgspec.Struct, forbid_unknown_fields=True):
    test: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str = "0s"


class Service(msgspec.Struct, forbid_unknown_fields=True):
    """What a service here may say; anything else is a typing error."""

    image: str
    logging: dict
    deploy: dict
    build: dict | None = None
    command: list[str] = []
    depends_on: dict[str, dict[str, str]] = {}
    environment: dict[str, str] = {}
    healthcheck: Health | None = None
    init: bool = False
    ports: list[str] = []
    profiles: list[str] = []
    restart: str = "no"
    security_opt: list[str] = []
    stop_grace_period: str = "10s"
    volumes: list[str] = []


def load() -> dict:
    text = (ROOT / "docker-compose.yml").read_text()
    variables = pinned()
    used = set(re.findall(r"\$\{(\w+)\}", text))
    assert used | {"COMPOSE_PROFILES"} == variables.keys(), (
        "every variable is used, and has its value in .env"
    )
    return yaml.safe_load(re.sub(r"\$\{(\w+)\}", lambda m: variables[m[1]], text))


COMPOSE = load()
SERVICES = {name: msgspec.convert(s, Service) for name, s in COMPOSE["services"].items()}


def megabytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", text).groups()
    return int(number) * (1024 if unit == "g" else 1)


def limit(service: Service) -> int:
    return megabytes(service.deploy["resources"]["limits"]["memory"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_bounded_and_logs_within_limits(name):
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?[\w.-]*", service.image)
    assert re.search(r":v?\d+\.\d+\.\d+", service.image) or "postgres" in service.image
    assert limit(service)
    assert service.logging["options"]["max-size"]
    assert (service.healthcheck is not None) != (name in ONE_SHOT)
    if name in ONE_SHOT:
        assert service.restart in ("no", "on-failure")


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_are_waited_for_until_they_are_of_use(name):
    for other, rule in SERVICES[name].depends_on.items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert rule == {"condition": wanted}, other
        assert set(SERVICES[other].profiles) <= set(SERVICES[name].profiles), "what it waits for also starts"


@pytest.mark.parametrize("name", ["online", "history", "scores", "api"])
def test_whatever_reads_waits_for_everything_it_reads(name):
    assert SERVICES[name].depends_on.keys() == {"kafka", "redis", "topics", "registry"}


@pytest.mark.parametrize("name", SERVICES)
def test_mounts_exist_and_volumes_are_declared(name):
    for mount in SERVICES[name].volumes:
        source, target, *mode = mount.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


def test_every_volume_is_used():
    used = {mount.split(":")[0] for s in SERVICES.values() for mount in s.volumes if mount[0] != "."}
    assert used == COMPOSE["volumes"].keys()


def test_ports_are_unique_and_for_this_machine_only():
    published = [port for s in SERVICES.values() for port in s.ports]
    assert all(port.startswith("127.0.0.1:") for port in published)
    hosts = [port.split(":")[1] for port in published]
    assert len(set(hosts)) == len(hosts)
    expected = "9092 6379 8080 4040 6566 3000 5601 9200 8086 5432 9090 8000"
    assert set(expected.split()) <= set(hosts)


def test_without_more_profiles_it_fits_eight_gigabytes():
    chosen = set(pinned()["COMPOSE_PROFILES"].split(","))
    running = [
        s for n, s in SERVICES.items() if n not in ("topics", "registry") and set(s.profiles) <= chosen
    ]
    assert sum(map(limit, running)) <= 8192


def test_every_profile_is_explained_at_the_top():
    text = (ROOT / "docker-compose.yml").read_text().split("\nname:")[0]
    named = set(re.findall(r"^#   ([a-z-]+)  +\S", text, re.M))
    assert named == {profile for s in SERVICES.values() for profile in s.profiles}


def test_kafka_listens_where_it_says():
    environment = SERVICES["kafka"].environment
    protocols = dict(
        pair.split(":") for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    listeners = dict(pair.split("://") for pair in environment["KAFKA_LISTENERS"].split(","))
    advertised = dict(pair.split("://") for pair in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert protocols.keys() == listeners.keys() == advertised.keys() | {"CONTROLLER"}
    assert advertised["PLAINTEXT"].removeprefix("kafka") == listeners["PLAINTEXT"]
    assert COMPOSE["x-tidemark"]["environment"]["TIDEMARK_BOOTSTRAP"] == advertised["PLAINTEXT"]
    assert SERVICES["kafka"].ports == [f"127.0.0.1:{advertised['PLAINTEXT_HOST'].split(':')[1]}:9092"]


def test_the_containers_repo_differs_in_the_address_of_redis_alone():
    ours = yaml.safe_load((ROOT / "feature_repo" / "feature_store.yaml").read_text())
    theirs = yaml.safe_load((ROOT / "conf" / "feature_store.compose.yaml").read_text())
    assert theirs["online_store"].pop("connection_string") == "redis:6379"
    assert ours["online_store"].pop("connection_string") == "localhost:6379"
    assert theirs == ours


@pytest.mark.parametrize(
    ("inner", "outer", "share"),
    [
        ("REDIS_MAXMEMORY", "REDIS_MEMORY", 0.85),
        ("KAFKA_HEAP", "KAFKA_MEMORY", 0.6),
        ("ONLINE_DRIVER_MEMORY", "ONLINE_MEMORY", 0.6),
        ("HISTORY_DRIVER_MEMORY", "HISTORY_MEMORY", 0.6),
        ("SEARCH_HEAP", "SEARCH_MEMORY", 0.6),
    ],
)
def test_programs_leave_room_within_their_limit(inner, outer, share):
    assert megabytes(pinned()[inner]) <= megabytes(pinned()[outer]) * share


def ours() -> list[str]:
    return [name for name, s in SERVICES.items() if s.build]


@pytest.mark.parametrize("name", [n for n in ours() if n != "spark-worker"])
def test_our_commands_exist_with_their_options(name):
    check(SERVICES[name].command)


@pytest.mark.parametrize("name", TIDEMARK_PORT)
def test_health_is_asked_where_the_program_answers(name):
    service, port = SERVICES[name], TIDEMARK_PORT[name]
    assert f"127.0.0.1:{port}/" in service.healthcheck.test[-1]
    said = [*service.command, *service.environment.values()]
    assert str(port) in said


def test_settings_in_the_environment_are_settings():
    from streaming.settings import HistorySettings, LaneSettings
    from tidemark.settings import LocalSettings

    known = {
        f"TIDEMARK_{n.upper()}"
        for s in (LaneSettings, HistorySettings, LocalSettings)
        for n in s.model_fields
    }
    for name in ours():
        assert {v for v in SERVICES[name].environment if v.startswith("TIDEMARK_")} <= known


def test_prometheus_asks_every_program_that_has_metrics():
    config = yaml.safe_load((ROOT / "conf" / "prometheus" / "prometheus.yml").read_text())
    asked = {
        target for job in config["scrape_configs"] for s in job["static_configs"] for target in s["targets"]
    }
    assert asked == {f"{name}:{TIDEMARK_PORT[name]}" for name in TIDEMARK_PORT if name != "feast"}


def test_one_spark_everywhere():
    locked = re.search(r"^pyspark==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)[1]
    assert pinned()["SPARK_IMAGE"] == f"apache/spark:{locked}"
    assert SERVICES["spark-worker"].image == SERVICES["online"].image
    master = SERVICES["spark-master"].command
    worker = SERVICES["spark-worker"].command
    assert worker[-1] == f"spark://{master[master.index('--host') + 1]}:{master[master.index('--port') + 1]}"
    assert (Path(sys.prefix) / "bin" / worker[0]).is_file()


def test_the_servers_of_a_sink_are_of_its_clients_generation():
    locked = re.search(r"^elasticsearch==(\d+)", (ROOT / "requirements.lock").read_text(), re.M)[1]
    for name in ("ELASTICSEARCH_IMAGE", "KIBANA_IMAGE"):
        assert pinned()[name].split(":")[1].split(".")[0] == locked
    assert pinned()["ELASTICSEARCH_IMAGE"].split(":")[1] == pinned()["KIBANA_IMAGE"].split(":")[1]


def test_no_secret_but_the_local_password_is_in_a_file():
    text = (ROOT / "docker-compose.yml").read_text()
    for line in re.findall(r"^.*(?:PASSWORD|TOKEN|SECRET).*: .*$", text, re.M):
        assert "${LOCAL_PASSWORD}" in line, line
    assert {n for n in pinned() if re.search("PASSWORD|TOKEN|SECRET|KEY", n)} == {"LOCAL_PASSWORD"}
    assert ".env*" in (ROOT / ".dockerignore").read_text().split()


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
    owned = re.search(r"install --directory --owner tidemark (.+)", stages[-1])[1].split()
    written = {mount.split(":")[1] for n in ours() for mount in SERVICES[n].volumes if mount[0] != "."}
    assert written <= set(owned), "a new volume belongs to root unless the image has its folder"


def test_the_kafka_image_is_the_broker_that_runs_without_docker():
    ivy = (ROOT / "conf" / "ivy.xml").read_text()
    local = re.search(r'name="kafka_2\.13" rev="([^"]+)"', ivy)
    assert local is not None
    assert pinned()["KAFKA_IMAGE"] == f"apache/kafka:{local[1]}"
