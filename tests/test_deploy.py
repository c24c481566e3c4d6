"""The files of deploy/, as far as they speak of the program; no container engine is needed."""

import re
import shlex
import tomllib
from pathlib import Path

import yaml
from click.testing import CliRunner

from callboard.cli import main
from callboard.config.loader import load

PROJECT = Path(__file__).parents[1]
DEPLOY = PROJECT / "deploy"
UNIT = (DEPLOY / "callboard.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
COMPOSE = re.sub(r"\$\{\w+:\?\}", "secret", (DEPLOY / "compose.yaml").read_text())
SERVICES = yaml.safe_load(COMPOSE)["services"]
PACKAGING = tomllib.loads((PROJECT / "pyproject.toml").read_text())
DATA = Path("/var/lib/callboard")


def settings(pairs):
    """What the environment of these NAME=VALUE pairs makes; unknown names are errors."""
    names = dict(pair.split("=", 1) for pair in pairs)
    ours = {k: v for k, v in names.items() if k.startswith("CALLBOARD_") and k[10:] != "CONFIG"}
    assert ours
    return load(Path("/dev/null"), ours).settings


def is_a_command(words):
    return CliRunner().invoke(main, [*words, "--help"]).exit_code == 0


def test_the_unit_starts_what_there_is():
    (command,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    program, *words = shlex.split(command)
    assert program.endswith("/bin/callboard") and is_a_command(words)
    environment = settings(re.findall(r"^Environment=(.*)$", UNIT, re.MULTILINE))
    (folder,) = re.findall(r"^StateDirectory=(.*)$", UNIT, re.MULTILINE)
    assert environment.data.dir == Path("/var/lib") / folder


def test_the_image_runs_what_there_is():
    (environment,) = re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    assert settings(shlex.split(environment)).data.dir == DATA
    assert f"VOLUME {DATA}\n" in DOCKERFILE
    commands = re.findall(r'CMD \["(?:callboard", ")?(\w+)"\]', DOCKERFILE)
    assert commands == ["status", "start"] and is_a_command(["status"]) and is_a_command(["start"])


def test_the_image_has_a_python_that_the_project_allows():
    (version,) = set(re.findall(r"^FROM python:3\.(\d+)-", DOCKERFILE, re.MULTILINE))
    allowed = PACKAGING["project"]["requires-python"]
    least, below = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", allowed).groups())
    assert least <= int(version) < below


def test_the_image_is_built_of_all_packages():
    taken = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    packages = PACKAGING["tool"]["setuptools"]["packages"]
    folders = {name.split(".")[1] for name in packages if "." in name}
    assert folders <= {line.removeprefix("!") for line in taken}
    wanted = {"pyproject.toml", "requirements.lock", PACKAGING["project"]["readme"]}
    assert wanted <= {line.removeprefix("!") for line in taken}


def test_the_services_fit_together():
    ours = SERVICES["callboard"]
    read = settings(f"{name}={value}" for name, value in ours["environment"].items())
    for url, name, user in (
        (read.amqp.url, "rabbitmq", "RABBITMQ_DEFAULT_USER"),
        (read.couchdb.url, "couchdb", "COUCHDB_USER"),
    ):
        assert name in ours["depends_on"] and f"@{name}" in url
        assert f"//{SERVICES[name]['environment'][user]}:" in url
        assert "healthcheck" in SERVICES[name]
    assert (DEPLOY / ours["build"]["context"]).resolve() == PROJECT
    assert (PROJECT / ours["build"]["dockerfile"]).is_file()
    assert f"callboard:{DATA}" in ours["volumes"]
