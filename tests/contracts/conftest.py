"""Every document store, for what is to work alike on each of them."""

import pytest

from support.stores import STORES, opened


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    made = opened(request, tmp_path)
    yield made
    made.close()
