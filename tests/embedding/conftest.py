"""Actor systems with a host in them, and settings for what it embeds."""

import logging
import os

import pytest

from callboard import embed
from support.hosts import Hosted
from support.patience import patient
from support.trees import MULTI, SIMPLE


@pytest.fixture(params=[SIMPLE, pytest.param(MULTI, marks=pytest.mark.multiprocess)])
def base(request):
    """Each system base in turn."""
    return request.param


@pytest.fixture
def embedding():
    """embedding(base) -> Hosted; ended with the test."""
    systems = []

    def embedding(base, **options):
        systems.append(Hosted(base, **options))
        return systems[-1]

    logging.getLogger("Thespian").setLevel(logging.CRITICAL)
    yield embedding
    for system in systems:
        system.close()


@pytest.fixture
def hosted(embedding, base):
    """A host on each base in turn."""
    return embedding(base)


@pytest.fixture
def settings(tmp_path):
    """settings(name, **settings) -> Settings with a data directory of that name."""

    def settings(name="data", **others):
        overrides = {
            "data.dir": str(tmp_path / name),
            "actors.heartbeat_ms": "300",
            "actors.hang_timeout_ms": str(int(patient(3000))),
            "delivery.request_timeout_ms": str(int(patient(10_000))),
            "delivery.allow_networks": "127.0.0.0/8",
            "delivery.workers": "1",
            "log.level": "error",
            # A system of all of Kazoo's modules takes twice the time.
            "kazoo.modules": "channel_create,object",
        } | {key.replace("__", "."): str(value) for key, value in others.items()}
        return embed.load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings

    return settings
