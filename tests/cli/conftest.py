"""What the tests of commands share."""

import os

import pytest

from callboard.config.loader import load
from services import free_port


@pytest.fixture
def unused_port():
    return free_port()


@pytest.fixture
def settings(tmp_path):
    def settings(**given):
        overrides = {key.replace("__", "."): str(value) for key, value in given.items()}
        overrides = {"data.dir": str(tmp_path / "data")} | overrides
        return load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings

    return settings
