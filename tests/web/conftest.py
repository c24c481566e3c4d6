import pytest
import structlog

from support.api import Api
from support.stores import Meddled


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path)
    yield api
    api.store.close()


@pytest.fixture
def rows_read(api):
    """How many rows each view of the store was asked for."""

    class Reading(Meddled):
        def view(self, *place, **options):
            rows.append(options["page_size"])
            return self._store.view(*place, **options)

    rows, api.backend.store = [], Reading(api.store)
    return rows


@pytest.fixture
def host_logs(caplog):
    """What the `logging` of a host gets that has set up structlog."""
    structlog.configure(
        [structlog.stdlib.render_to_log_kwargs], logger_factory=structlog.stdlib.LoggerFactory()
    )
    return caplog
