"""A data directory of an earlier version is taken over: nothing in it is lost, or sent again.

tests/data/data-directory-1.tar.xz was made by the version before the code was cut into rooms, and
killed with all its processes at once. It holds three hooks of one account: `/ok`; `/later`, which
is signed and retries by `standard`; `/bad`, which made one attempt a delivery. Ten events were
delivered to `/ok`, wait for `/later`, and are dead letters of `/bad`; five more were taken from the
queue, but not yet delivered.
"""

import json
import tarfile
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from support.receiver import Receiver
from support.running import RunningSystem

pytestmark = pytest.mark.multiprocess

ARCHIVE = Path(__file__).parents[1] / "data" / "data-directory-1.tar.xz"
ADDRESS, PORT = "127.77.1.9", 39871
SECRET = "whsec_RpsciZQFpLofpi68xk+6oB6eYLHjjPf33sosB2B0d2A="
DELIVERED = {f"call-{number}@switch" for number in range(10)}
TAKEN = {f"call-{number}@switch" for number in range(10, 15)}


@pytest.fixture
def endpoint():
    """Where the hooks of the archive point to."""
    with Receiver(ADDRESS, PORT) as endpoint:
        yield endpoint


@pytest.fixture
def taken_over(tmp_path, endpoint):
    """This version, started on what the earlier one left."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    system = RunningSystem(tmp_path / "data")
    yield system
    system.close()


def calls(endpoint, path):
    """The calls of all requests on that path, repeats too."""
    return sorted(
        json.loads(request.body)["call_id"] for request in endpoint.requests if request.path == path
    )


def test_what_an_earlier_version_left_is_delivered_once_and_listed(taken_over, endpoint):
    expected = {"/ok": TAKEN, "/later": DELIVERED | TAKEN, "/bad": TAKEN}
    taken_over.wait(
        lambda: all(set(calls(endpoint, path)) >= wanted for path, wanted in expected.items()),
        timeout_s=30,
        what="what waited",
    )
    taken_over.wait(
        lambda: taken_over.node("deliveries/retry_queue").stats.get("in_hand") == 0,
        what="word that it was delivered",
    )
    assert {path: calls(endpoint, path) for path in expected} == {
        path: sorted(wanted) for path, wanted in expected.items()
    }
    for request in endpoint.requests:
        if request.path == "/later":
            Webhook(SECRET).verify(request.body, dict(request.headers))
    letters = json.loads(taken_over.run("dead-letters", "list", "--json").stdout)
    assert len(letters) == len(DELIVERED)
    hooks = json.loads(taken_over.run("hooks", "list", "--json").stdout)
    assert {hook["uri"] for hook in hooks} == {
        f"http://{ADDRESS}:{PORT}{path}" for path in expected
    }
