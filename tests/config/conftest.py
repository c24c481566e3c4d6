"""A port for the actor system of the log tests."""

import pytest

from services import free_port


@pytest.fixture
def free_admin_port() -> int:
    return free_port()
