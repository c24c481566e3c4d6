import pytest
import structlog

from support.api import Api


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path)
    yield api
    api.store.close()


@pytest.fixture
def host_logs(caplog):
    """What the `logging` of a host gets that has set up structlog."""
    structlog.configure(
        [structlog.stdlib.render_to_log_kwargs], logger_factory=structlog.stdlib.LoggerFactory()
    )
    return caplog
