"""The actor that serves the API: its port, what it shows of itself, and an answer through it."""

import json
from types import SimpleNamespace

import pytest
import requests
import structlog

from callboard.actors.api.asking import Asked, Asking
from callboard.actors.api.backend import Posted
from callboard.actors.api.inbox import Inbox
from callboard.actors.api.server import ApiServer
from callboard.actors.base.role import Setup
from callboard.actors.events.event_publisher import EventPublisher
from callboard.actors.messages import Published, RefusedByActor
from callboard.actors.messages.paths import TOP
from callboard.adapters.broker.protocol import (
    Blocked,
    Confirmed,
    ConnectionUp,
    Probed,
    Returned,
    Unblocked,
    Unconfirmed,
)
from callboard.config.settings import ApiSettings, DataSettings, LogSettings, Settings
from callboard.supervision import ChildSpec, Peer, SupervisorSpec
from support.patience import patient
from support.trees import SIMPLE, Tree


@pytest.fixture
def serving(tmp_path):
    """serving(port) -> (its settings, a tree of this actor alone)."""
    trees = []

    def serving(port):
        settings = Settings(
            api=ApiSettings(enabled=True, port=port),
            data=DataSettings(dir=tmp_path),
            log=LogSettings(level="critical"),
        )
        spec = SupervisorSpec((ChildSpec("api", ApiServer, Setup(settings)),))
        trees.append(Tree(SIMPLE, spec))
        return settings, trees[-1]

    yield serving
    for tree in trees:
        tree.close()


def stats_with(tree, name):
    """What the actor shows, once it shows this."""
    return tree.wait(lambda found: name in found.at("api").stats).at("api").stats


def test_it_listens_answers_and_says_where(serving):
    settings, tree = serving(0)
    port = stats_with(tree, "port")["port"]
    tree.wait(lambda found: found.at("api").stats["broker"] == "up")
    assert stats_with(tree, "port") == {
        "broker": "up",
        "works": 0,
        "unpublished": 0,
        "asking": 0,
        "refused": 0,
        "port": port,
    }
    place = json.loads(settings.api_place_file.read_text())
    assert place["url"] == f"http://127.0.0.1:{port}"
    healthy = requests.get(f"{place['url']}/healthz", timeout=patient(10)).json()
    assert 0 <= healthy.pop("uptime_s") < patient(60)
    assert healthy == {"status": "ok"}


# What it knows of the broker, without a server


class Broker:
    """A broker that answers what the test says."""

    def __init__(self):
        self.published, self.probes = [], 0

    def publish(self, message):
        self.published.append(message)
        return len(self.published)

    def probe(self):
        self.probes += 1


class Api(ApiServer):
    """Only with what `begin` prepares for posted events."""

    def __init__(self):
        super().__init__()
        self._inbox = Inbox()
        self.broker = Broker()
        self._publisher = EventPublisher(self.broker, structlog.get_logger())
        self._changes = SimpleNamespace(on_broker=lambda _event: None)
        self.log = structlog.get_logger()

    def post(self, *bodies):
        posted = [
            Posted([("callboard", "order.paid", body, "application/json")]) for body in bodies
        ]
        for each in posted:
            self._inbox.put(each)
        self.take_from_threads()
        return [each.future for each in posted]


@pytest.fixture
def api():
    api = Api()
    api.on_broker(ConnectionUp(None))
    yield api
    api._inbox.close()


def test_posts_of_one_moment_share_a_probe_and_each_gets_its_own_answer(api):
    one, two, three = api.post(b"1", b"2", b"3")
    assert (api.broker.probes, api.broker.published) == (1, [])
    api.on_broker(Probed())
    assert [message.body for message in api.broker.published] == [b"1", b"2", b"3"]
    how = {
        (message.properties.delivery_mode, message.mandatory) for message in api.broker.published
    }
    assert how == {(2, True)}
    api.on_broker(Returned(3, "312 NO_ROUTE"))
    api.on_broker(Confirmed((1, 3)))
    assert (one.result(0), two.done(), three.result(0)) == (Published(1, 0), False, Published(1, 1))
    api.on_broker(Unconfirmed((2,), "the connection was lost"))
    with pytest.raises(RefusedByActor, match="did not take it: the connection was lost"):
        two.result(0)


def test_posts_are_refused_while_the_broker_is_blocked(api):
    assert api.why_posts_are_refused() == ""
    [waits] = api.post(b"1")
    api.on_broker(Blocked("low on memory"))
    why = "the broker takes no messages: low on memory"
    assert api.why_posts_are_refused() == why
    with pytest.raises(RefusedByActor, match=why) as refused:
        waits.result(0)
    assert refused.value.cause == "blocked"
    api.on_broker(Unblocked())
    assert (api.why_posts_are_refused(), api.broker.published) == ("", [])


def test_a_request_goes_to_the_top_or_to_the_actor_at_its_path(api):
    sent = []
    api._asking = Asking(lambda to, question: sent.append((to, question.message)))
    api.supervisor, api.peers = "top", {"redelivery": Peer("redelivery", 1, "address", 0)}
    for path in (TOP, "redelivery"):
        api._inbox.put(Asked(path, f"for {path}", dict))
    api.take_from_threads()
    assert sent == [("top", f"for {TOP}"), ("address", "for redelivery")]


def test_a_client_that_has_gone_disturbs_nobody(api):
    gone, stays = api.post(b"1", b"2")
    gone.cancel()
    api.on_broker(Probed())
    api.on_broker(Confirmed((1, 2)))
    assert stays.result(0) == Published(1, 0)
