"""The actor that serves the API: its port, what it shows of itself, and an answer through it."""

import json

import pytest
import requests

from callboard.actors.api.asking import Asking
from callboard.actors.api.server import ApiServer
from callboard.actors.base.role import Setup
from callboard.actors.messages import PostsRefused
from callboard.actors.messages.paths import EVENT_BRIDGE
from callboard.config.settings import ApiSettings, DataSettings, LogSettings, Settings
from callboard.config.time_limits import BLOCK_LASTS_S, LOOK_S
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


class Api(ApiServer):
    """Only with what `begin` prepares for messages from the bridge."""

    def __init__(self):
        super().__init__()
        self._posts_refused = "", 0.0
        self._asking = Asking(self.send)


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def clock(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    return clock


def test_a_block_lasts_as_long_as_the_bridge_says_so(api, clock):
    assert api.why_posts_are_refused() == ""
    for _time in range(3):
        api.receiveMsg_PostsRefused(PostsRefused("low on memory"), "bridge")
        clock[0] += 2 * LOOK_S  # One message may be lost.
        assert api.why_posts_are_refused() == "low on memory"
    clock[0] += BLOCK_LASTS_S
    assert api.why_posts_are_refused() == ""
    api.receiveMsg_PostsRefused(PostsRefused("low on memory"), "bridge")
    api.receiveMsg_PostsRefused(PostsRefused(""), "bridge")
    assert api.why_posts_are_refused() == ""


def test_a_new_bridge_finds_out_by_itself(api):
    api.receiveMsg_PostsRefused(PostsRefused("low on memory"), "bridge")
    before = api.peers = {EVENT_BRIDGE: Peer(EVENT_BRIDGE, 1, "bridge", 0)}
    api.on_peers(before)
    assert api.why_posts_are_refused() == "low on memory"
    api.peers = {}
    api.on_peers(before)
    assert api.why_posts_are_refused() == ""
