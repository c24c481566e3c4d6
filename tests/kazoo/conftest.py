"""The cluster that the facts are shown on."""

import pytest

from callboard.adapters.store import views
from callboard.adapters.store.embedded import EmbeddedStore
from support.kazoo import ACCOUNT, CLUSTER, RESELLER, TOP, Cluster


@pytest.fixture
def cluster(tmp_path):
    """An account below its reseller, below the top account; the databases of hooks and accounts."""
    store = EmbeddedStore(tmp_path / "store.sqlite3", views=views.ALL)
    for database, its_views in (
        ("webhooks", views.WEBHOOKS),
        ("accounts", views.ACCOUNTS),
        ("port_requests", views.PORT_REQUESTS),
    ):
        store.ensure_database(database)
        store.ensure_views(database, its_views)
    cluster = Cluster(store)
    cluster.account(TOP)
    cluster.account(RESELLER, TOP)
    cluster.account(ACCOUNT, TOP, RESELLER)
    cluster.put("services", {"_id": ACCOUNT, "pvt_reseller_id": RESELLER})
    cluster.configure("cluster", cluster_id=CLUSTER)
    yield cluster
    store.close()
