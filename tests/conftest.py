"""Fixtures that more than one area uses; servers live in `services`, one module each."""

import logging
import os
import sys

import pytest
import pytest_timeout
import structlog
from hypothesis import HealthCheck, settings

from support.building import build
from support.patience import patient
from support.receiver import Receiver
from support.running import RunningSystem

pytest_plugins = (
    "support.parallel",
    "services.rabbitmq",
    "services.couchdb",
    "services.couchdb_rights",
    "services.chromium",
)

# Before any test is imported, which takes the settings of its time. How long an example takes says
# nothing of the code where others use the same cores.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Python keeps what it compiled, even where the environment says otherwise: the tests start it some
# hundred times.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark each test by the servers that it names, so that no choice of tests forgets one."""
    for item in items:
        for server, fixture in (("rabbitmq", "rabbitmq"), ("couchdb", "couchdb_server")):
            if fixture in item.fixturenames:
                item.add_marker(server)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item, settings):
    """Limits of tests are as patient as what waits within them."""
    settings = settings._replace(timeout=patient(settings.timeout))
    return pytest_timeout.pytest_timeout_set_timer(item, settings)


@pytest.fixture(autouse=True)
def logs_as_before():
    """Commands set up the logs of their process, which may be the tests' own."""
    handlers, level = logging.root.handlers, logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)


@pytest.fixture
def receiver():
    """A local endpoint that records what it is sent."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def start(tmp_path):
    """start(**settings) -> RunningSystem, e.g. `amqp__url=...`; ended with the test."""
    systems = []

    def start(**settings):
        systems.append(RunningSystem(tmp_path / f"data{len(systems)}", **settings))
        return systems[-1]

    yield start
    for system in systems:
        system.close()


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The source archive, and the wheel that was built from it."""
    return build(tmp_path_factory.mktemp("packaging"))
