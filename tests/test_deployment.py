"""The files under deploy/: what they name exists here, and what they promise holds."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from callboard.adapters.local.systemd import tell_ready
from callboard.cli import main
from callboard.config import Settings, load, options
from callboard.config.loader import SYSTEM_FILE
from callboard.config.time_limits import STOP_S
from callboard.web.routes import health

PROJECT = Path(__file__).parents[1]
PACKAGING = PROJECT / "deploy"
UNIT = PACKAGING / "callboard.service"
DOCKERFILE = (PACKAGING / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((PACKAGING / "compose.yaml").read_text())

KUBERNETES = PACKAGING / "kubernetes" / "callboard.yaml"
MANIFESTS = {
    (one["kind"], one["metadata"]["name"]): one
    for one in yaml.safe_load_all(KUBERNETES.read_text())
}

# What a service may have at most (https://github.com/compose-spec/compose-spec), of what is used.
SERVICE_KEYS = {
    *("build", "image", "hostname", "environment", "configs", "volumes", "healthcheck", "restart"),
    *("depends_on", "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period", "ports"),
}


def exists(words):
    """Whether these words are a command of ours."""
    command = main
    for word in words:
        command = command.get_command(click.Context(command), word) if command else None
    return isinstance(command, click.Command)


def variables_of(text):
    return set(re.findall(r"\b(CALLBOARD_(?!LOCK)[A-Z_]+)", text))


@pytest.mark.parametrize(
    "name", ["callboard.service", "Dockerfile", "compose.yaml", "kubernetes/callboard.yaml"]
)
def test_every_variable_is_a_setting(name):
    found = variables_of((PACKAGING / name).read_text())
    assert found
    assert found <= {option.variable for option in options()}


# systemd


def unit():
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(UNIT)
    return parser


def test_the_unit_starts_the_system_and_leaves_its_children_to_it():
    service = unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert (
        Path(program).name
        in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    )
    assert exists(words)
    assert service["KillMode"] == "mixed", "systemd would end the actors under their supervisors"
    data_dir = service["Environment"].partition("=")[2]
    assert data_dir == f"/var/lib/{service['StateDirectory']}"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_knows_every_key_of_the_unit(tmp_path):
    program = shlex.split(unit()["Service"]["ExecStart"])[0]
    checked = tmp_path / "callboard.service"
    checked.write_text(UNIT.read_text().replace(program, sys.executable))
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", checked], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_systemd_is_told_when_the_tree_stands(start, monkeypatch, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        start()
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("abstract", [False, True])
def test_a_socket_is_told_whatever_its_name(abstract, tmp_path):
    name = f"callboard-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        tell_ready({"NOTIFY_SOCKET": f"@{name}" if abstract else name})
        assert manager.recv(100) == b"READY=1"
    tell_ready({})


# Docker


def instructions():
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def arguments(name):
    return [rest for instruction, rest in instructions() if instruction == name]


def test_the_image_has_a_python_that_is_supported():
    given = dict(rest.split("=", 1) for rest in arguments("ARG"))
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains(f"{given['PYTHON']}.0")
    assert (given["BASE"], given["PYTHON"]) == ("debian:trixie-slim", "3.13"), "it is Debian's own"


def test_the_image_is_built_from_locks_and_runs_as_nobody_special():
    assert arguments("FROM") == ["${BASE} AS build", "scratch"]
    final = instructions()[instructions().index(("FROM", "scratch")) :]
    (user,) = (rest for name, rest in final if name == "USER")
    uid, gid = map(int, user.split(":"))
    assert uid > 0
    assert f"callboard:x:{uid}:{gid}:" in DOCKERFILE
    assert f"--owner {uid} --group {gid} --mode 0700 /image/var/lib/callboard" in DOCKERFILE
    copied = [rest.split()[1:] for name, rest in final if name == "COPY"]
    assert copied == [["/image", "/"], ["/opt/callboard", "/opt/callboard"]]
    installing = re.findall(r"\bpip (?:--python \S+ )?(?:wheel|install) ([^&;]*)", DOCKERFILE)
    assert len(installing) == 3
    assert all("--require-hashes" in words or "--no-index" in words for words in installing)


def test_what_the_image_is_built_from_is_there():
    ignored = (PACKAGING / "Dockerfile.dockerignore").read_text().splitlines()
    for copy in arguments("COPY"):
        for source in copy.split()[:-1]:
            if not source.startswith("--") and not copy.startswith("--from"):
                assert (PROJECT / source).exists(), source
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", project["project"]["readme"], "LICENSE", "requirements.lock"}
    packages = {init.parent.name for init in PROJECT.glob("*/__init__.py")}
    assert packages >= {"actors", "config", "supervision", "webhooks"}
    assert not (needed | packages | {"setup.py"}) & set(ignored)


def test_the_images_commands_exist():
    def listed(text):
        return re.findall(r'"([^"]*)"', text)

    assert listed(arguments("ENTRYPOINT")[0])[-1] == "callboard"
    assert exists(listed(arguments("CMD")[0]))
    (check,) = arguments("HEALTHCHECK")
    program, *words = listed(check)
    assert program == "callboard"
    assert exists(words)


def test_what_is_said_to_run_in_a_container_is_there():
    texts = [*PACKAGING.rglob("*.yaml"), *(PROJECT / "docs").glob("*.md")]
    running = r"(?:compose exec \w+|kubectl exec \S+ --) (\w+)"
    programs = [name for text in texts for name in re.findall(running, text.read_text())]
    assert len(programs) >= 4
    assert set(programs) <= {"callboard", "python"}, "there is nothing else"


# Compose


def test_the_compose_file_hangs_together():
    services = COMPOSE["services"]
    assert set(COMPOSE) == {"name", "services", "configs", "volumes"}
    for service in services.values():
        assert set(service) <= SERVICE_KEYS
        assert ("image" in service) != ("build" in service)
        for volume in service.get("volumes", ()):
            source = filled(volume, {}).partition(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith("./")
        for config in service.get("configs", ()):
            assert config["source"] in COMPOSE["configs"]
        for name, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert services[name]["healthcheck"]["test"][0] == "CMD"
        for port in service.get("ports", ()):
            address = filled(port, {}).partition(":")[0]
            assert address == "127.0.0.1", "nothing is open to the network by itself"


def test_the_api_is_reached_and_the_configuration_read_by_setting():
    callboard = COMPOSE["services"]["callboard"]
    (port,) = callboard["ports"]
    assert filled(port, {}) == "127.0.0.1:8000:8000"
    assert filled(port, {"API_ADDRESS": "192.0.2.1:80"}) == "192.0.2.1:80:8000"
    assert callboard["environment"]["CALLBOARD_API_BIND"] == "0.0.0.0"
    assert Settings().api.port == 8000
    mounts = [filled(volume, {}) for volume in callboard["volumes"]]
    assert f"./config:{SYSTEM_FILE.parent}:ro" in mounts
    assert f"callboard:{dict(e.split('=') for e in variables())['CALLBOARD_DATA_DIR']}" in mounts


def variables():
    """What the image sets, as NAME=value."""
    return [word for text in arguments("ENV") for word in text.split() if "=" in word]


def test_images_are_pinned_to_a_version():
    for service in COMPOSE["services"].values():
        if "image" in service:
            assert re.fullmatch(r"[a-z]+:\d+\.\d+", service["image"])


def test_the_compose_file_builds_the_image_that_is_here():
    build = COMPOSE["services"]["callboard"]["build"]
    assert (PACKAGING / build["context"]).resolve() == PROJECT
    assert (PROJECT / build["dockerfile"]).samefile(PACKAGING / "Dockerfile")
    for argument, value in build["args"].items():
        assert [rest for rest in arguments("ARG") if rest.startswith(f"{argument}=")]
        assert (PROJECT / filled(value, {})).is_file()


def filled(text, values):
    """As Compose fills in variables: with a default, or with an error where there is none."""

    def value(match):
        name, operator, default = match[1], match[2], match[3]
        if operator == ":-":
            return values.get(name) or default
        return values[name]

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def test_its_variables_make_settings_that_name_its_services():
    services = COMPOSE["services"]
    passwords = {"RABBITMQ_PASSWORD": "r4bbit", "COUCHDB_PASSWORD": "c0uch"}
    environment = {
        name: filled(text, passwords) for name, text in services["callboard"]["environment"].items()
    }
    settings = load(None, environment | {"CALLBOARD_CONFIG": os.devnull}).settings
    rabbitmq, couchdb = services["rabbitmq"]["environment"], services["couchdb"]["environment"]
    user = rabbitmq["RABBITMQ_DEFAULT_USER"], filled(rabbitmq["RABBITMQ_DEFAULT_PASS"], passwords)
    assert settings.amqp.url == "amqp://{}:{}@rabbitmq:5672/".format(*user)
    user = couchdb["COUCHDB_USER"], filled(couchdb["COUCHDB_PASSWORD"], passwords)
    assert settings.couchdb.url == "http://{}:{}@couchdb:5984".format(*user)
    assert settings.tracing.endpoint == ""


def test_no_password_is_written_in_the_compose_file():
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASS" in name:
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


# Kubernetes


def pod():
    return MANIFESTS["StatefulSet", "callboard"]["spec"]["template"]["spec"]


def container():
    (only,) = pod()["containers"]
    return only


@pytest.fixture(scope="module")
def kubernetes():
    """The schemas of Kubernetes' releases."""
    return pytest.importorskip("kubernetes_validate")


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=lambda one: one["kind"])
def test_kubernetes_accepts_each_manifest(kubernetes, manifest, version):
    kubernetes.validate(manifest, version, strict=True)


def test_an_unknown_field_would_be_seen(kubernetes):
    wrong = {**MANIFESTS["Service", "callboard"], "sepc": {}}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(wrong, "1.31", strict=True)


def test_everything_selects_the_pods():
    stateful = MANIFESTS["StatefulSet", "callboard"]["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    assert stateful["selector"]["matchLabels"] == labels
    assert (
        MANIFESTS["PodDisruptionBudget", "callboard"]["spec"]["selector"]["matchLabels"] == labels
    )
    assert MANIFESTS["NetworkPolicy", "callboard"]["spec"]["podSelector"]["matchLabels"] == labels
    for name in ("callboard", stateful["serviceName"]):
        assert MANIFESTS["Service", name]["spec"]["selector"] == labels


def test_the_pods_run_the_image_as_its_user():
    (user,) = arguments("USER")
    context = pod()["securityContext"]
    assert context["runAsNonRoot"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert pod()["terminationGracePeriodSeconds"] >= STOP_S


def test_probes_ask_what_the_api_has():
    paths = {route.path for route in health.router.routes}
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"api": Settings().api.port}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container()[probe]["httpGet"]
        assert asked["path"] in paths
        assert asked["port"] in ports
    assert container()["livenessProbe"]["httpGet"]["path"] == "/healthz", (
        "a lost broker kills no pod"
    )


def test_the_configuration_of_the_pods_is_valid_and_has_no_secret(tmp_path):
    values = {
        "amqp-url": "amqp://u:p@rabbit-0/ amqp://u:p@rabbit-1/",
        "couchdb-url": "http://u:p@couchdb:5984",
        "api-token": "0123456789abcdef",
        "secrets-key": "A" * 43 + "=",
    }
    environment = {
        one["name"]: one.get("value") or values[one["valueFrom"]["secretKeyRef"]["key"]]
        for one in container()["env"]
    }
    config = tmp_path / "callboard.toml"
    config.write_text(MANIFESTS["ConfigMap", "callboard"]["data"]["callboard.toml"])
    settings = load(config, environment).settings
    assert settings.amqp.queue_type == "quorum"
    assert settings.amqp.url.split(",") == values["amqp-url"].split()
    (data,) = (m for m in container()["volumeMounts"] if m["name"] == "data")
    assert settings.data.dir.is_relative_to(data["mountPath"])
    (mounted,) = (m for m in container()["volumeMounts"] if m["name"] == "configuration")
    assert Path(mounted["mountPath"], config.name) == SYSTEM_FILE
    assert not any(kind == "Secret" for kind, _name in MANIFESTS)
