"""What the API's actor knows of the broker, without a server."""

import pytest

from callboard.actors.api.asking import Asking
from callboard.actors.api.server import ApiServer
from callboard.actors.messages import PostsRefused
from callboard.actors.messages.paths import EVENT_BRIDGE
from callboard.config.time_limits import BLOCK_LASTS_S, LOOK_S
from callboard.supervision import Peer


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
