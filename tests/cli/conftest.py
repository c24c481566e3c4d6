"""What the tests of commands share."""

import pytest

from services import free_port


@pytest.fixture
def unused_port():
    return free_port()
