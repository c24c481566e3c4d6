"""Two nodes on one broker change their version one after the other, under load: nothing is lost.

`CALLBOARD_TEST_ROLLS` is the number of changes, 2 by default: the first node, then the second, take
this version. Further ones take the nodes back and forth, in both orders. At the end both start this
version once more: from there on, nothing is repeated. On a busy machine, a stop of the version
before repeats a request now and then.
"""

import io
import json
import os
import subprocess
import tarfile
import threading
from collections import Counter

import pytest

from callboard.adapters.receiver.server import Answer
from support.building import PROJECT
from support.bus import publish_durably
from support.cluster import prepared
from support.hooks import save_hook
from support.running import ACCOUNT, RunningSystem, call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq, pytest.mark.couchdb]

BEFORE = "a3432cc"
"""The commit of the version before."""
ORDERS = ((0, 1), (1, 0))
ROLLS = int(os.environ.get("CALLBOARD_TEST_ROLLS", "2"))
FAILING = 5
"""One event in so many fails at its first attempt, and is deferred to whichever node is next."""
EVERY_S = 0.02
MEANWHILE = 50
"""Events to arrive between two changes."""


class OfVersion(RunningSystem):
    """A node whose version is chosen before each start; it is only used by its broker and store."""

    modules = ""  # The version before cannot choose.
    before = ""
    """The folder above the package of the version before; empty: this version."""

    def start(self):
        code = "import sys; sys.path.insert(0, {!r}); from callboard.run_system import main; main()"
        self.program = ("-c", code.format(self.before)) if self.before else None
        super().start()

    def change(self, before):
        """Stop in order, and start with this version."""
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0
        self.close()
        self.before = before
        self.start()


@pytest.fixture(scope="module")
def version_before(tmp_path_factory):
    """A folder with the package of the version before."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", BEFORE], cwd=PROJECT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"no commit {BEFORE} in this checkout")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder / "callboard", filter="data")
    return str(folder)


@pytest.fixture
def nodes(tmp_path, amqp_url, couchdb_url, version_before):
    """Two nodes of the version before, with one hook."""
    with_store = prepared(couchdb_url, tmp_path, webhooks={"attempt_failure_count": 1_000_000})
    running = []

    def started(url):
        save_hook(with_store, url, ACCOUNT, format="json")
        OfVersion.before = version_before
        for number in range(2):
            running.append(
                OfVersion(
                    tmp_path / f"data{number}",
                    node__name=f"callboard{number}@here",
                    amqp__url=amqp_url,
                    couchdb__url=couchdb_url,
                    delivery__workers=1,
                    delivery__retry_policy="standard",
                    delivery__retry_steps_s="1,2,4,8",
                )
            )
        return running

    yield started
    OfVersion.before = ""
    for node in running:
        node.close()
    with_store.close()


class Publisher:
    """Publishes events until it is told to stop."""

    def __init__(self, url):
        self.published = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=publish_durably, args=(url, self._events()))

    def _events(self):
        while not self._stopped.wait(EVERY_S):
            yield call_event(self.published)
            self.published += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._stopped.set()
        self._thread.join()


def test_versions_change_on_one_node_after_the_other_and_no_event_is_lost(
    nodes, receiver, amqp_url, version_before
):
    attempts = Counter()

    def answer(request):
        call = json.loads(request.body)["call_id"]
        attempts[call] += 1
        number = int("".join(c for c in call if c.isdigit()))
        return Answer(500 if attempts[call] == 1 and number % FAILING == 0 else 200)

    def change(node, before):
        until = publisher.published + MEANWHILE
        node.wait(lambda: publisher.published >= until, 30, "events")
        node.change(before)

    receiver.answer("/hook", answer)
    both = nodes(f"{receiver.url}/hook")
    with Publisher(amqp_url) as publisher:
        for roll in range(ROLLS):
            node = both[ORDERS[roll // 4 % 2][roll % 2]]
            change(node, "" if node.before else version_before)
        of_this = publisher.published
        for node in both:
            change(node, node.before)
    count = publisher.published
    wanted = {call_event(number)["Call-ID"]: 2 - bool(number % FAILING) for number in range(count)}
    both[0].wait(
        lambda: all(attempts[call] >= tries for call, tries in wanted.items()), 60, "all events"
    )
    repeats = [attempts[call] - tries for call, tries in wanted.items()]
    lost = count - len(attempts)
    print(f"{ROLLS + 2} changes: {count} events, {lost} lost, {sum(repeats)} repeated")
    assert lost == 0
    assert sum(repeats[of_this:]) == 0
