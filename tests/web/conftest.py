import pytest

from support.api import Api


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path)
    yield api
    api.store.close()
