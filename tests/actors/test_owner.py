"""The process that owns a system."""

import pytest

from callboard.actors.system.owner import with_api
from callboard.config.settings import ApiSettings, Settings


@pytest.mark.parametrize(("chosen", "enabled"), [(None, True), (True, True), (False, False)])
def test_a_system_of_its_own_has_the_api_unless_it_is_disabled(chosen, enabled):
    assert with_api(Settings(api=ApiSettings(enabled=chosen))).api.enabled is enabled
