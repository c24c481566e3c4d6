"""The actor of the API alone, with a server that does what the test says."""

import json
from types import SimpleNamespace

import pytest
from attrs import evolve

from callboard.actors.api.asking import Asked
from callboard.actors.api.backend import Changed, Posted, ServerEnded
from callboard.actors.api.server import ApiServer
from callboard.actors.api.thread import PortTaken, listening_socket
from callboard.actors.messages import NoAnswer, Published
from callboard.adapters.broker.protocol import Binding, Exchange, Queue, Topology
from callboard.adapters.repositories.maintenance import Change
from callboard.config.settings import ApiSettings
from callboard.supervision import Stop


class Thread:
    """Stands for the thread of the server; `stopped`: how often it was asked to stop."""

    stopped = 0

    def stop(self):
        self.stopped += 1


class Api:
    """`listened`: how often the server was to be started. Without `thread` it never is."""

    def __init__(self, world, settings, thread=None):
        self.world, self.thread, self.listened = world, thread, listened = world, thread, []

        class Serving(ApiServer):
            def _listen(self):
                listened.append(world.now)
                self._thread = thread

        settings = evolve(settings, api=ApiSettings(events=True))
        self.owner = world.peer("owner")
        self.address = world.start(Serving, "api", settings).address
        self.actor = world.actor(self.address)
        world.pass_time(2)

    def say(self, message):
        self.world.deliver(self.address, message, self.owner.address)


def test_that_the_broker_is_blocked_is_found_without_a_post(world, servers, settings):
    api = Api(world, settings)
    assert api.actor.stats()["broker"] == "up"
    servers.broker.block("low on disk")
    world.pass_time(11)
    why = "the broker takes no messages: low on disk"
    assert api.actor.why_posts_are_refused() == why
    servers.broker.unblock()
    world.pass_time(1)
    assert api.actor.why_posts_are_refused() == ""
    world.logged.clear()


@pytest.mark.logs("event_unroutable")
def test_a_posted_event_is_published(world, servers, settings):
    api = Api(world, settings)
    posted = Posted([("callboard", "order.paid", b"{}", "application/json")])
    api.actor._inbox.put(posted)
    api.actor.take_from_threads()
    world.pass_time(1)
    assert posted.future.result(0) == Published(1, 1), "no queue is bound"


@pytest.mark.parametrize("runs", [False, True])
def test_at_its_end_it_asks_the_server_to_stop_if_there_is_one(world, servers, settings, runs):
    api = Api(world, settings, Thread() if runs else None)
    world.kill(api.address)
    assert not runs or api.thread.stopped == 1


def test_a_stop_waits_for_the_server_to_end(world, servers, settings):
    api = Api(world, settings, Thread())
    place = api.actor.settings.api_place_file
    place.write_text("{}")
    api.say(Stop())
    world.pass_time(1)
    assert (world.ended, api.thread.stopped) == ([], 1)
    api.actor._inbox.put(ServerEnded(None))
    api.actor.take_from_threads()
    world.pass_time(0.1)
    assert world.ended == ["api"]
    assert not place.exists()


def test_a_stop_without_a_server_ends_it_at_once(world, servers, settings):
    api = Api(world, settings)
    api.say(Stop())
    world.pass_time(0.1)
    assert world.ended == ["api"]


@pytest.mark.logs("api_cannot_listen")
def test_a_port_that_is_taken_is_tried_again_every_three_seconds(world, servers, settings):
    api = Api(world, settings, Thread())
    for _time in range(2):
        api.actor._inbox.put(ServerEnded(PortTaken("port 1 is taken")))
        api.actor.take_from_threads()
        assert api.actor.stats()["problem"] == "port 1 is taken"
        world.pass_time(3.1)
    assert len(api.listened) == 3
    assert [line["event"] for line in world.logged] == ["api_cannot_listen"], "once"


def test_a_request_to_an_actor_that_died_is_answered(world, servers, settings):
    api = Api(world, settings)
    redelivery = world.peer("redelivery")
    world.tell_peers(SimpleNamespace(address=api.address), redelivery)
    asked = Asked("redelivery", "?", str)
    api.actor._inbox.put(asked)
    api.actor.take_from_threads()
    assert api.actor.stats()["asking"] == 1
    redelivery.restart()
    world.tell_peers(SimpleNamespace(address=api.address), redelivery)
    with pytest.raises(NoAnswer, match="redelivery was restarted meanwhile: try again"):
        asked.future.result(0)
    assert api.actor.stats()["asking"] == 0


def test_a_change_of_a_client_is_announced_to_all_nodes(world, servers, settings):
    another = Topology(
        (Exchange("configuration"),), Queue("another"), (Binding("configuration", "#"),)
    )
    servers.broker.declare(another, "another")
    api = Api(world, settings)
    hook = {"_id": "h", "pvt_account_id": "a", "_rev": "2-0", "pvt_type": "webhook"}
    api.actor._inbox.put(Changed((Change("doc_edited", "webhooks", hook),)))
    api.actor.take_from_threads()
    world.pass_time(1)
    bodies = [json.loads(message.body) for message in servers.broker.held("another")]
    assert [(body["Event-Name"], body["ID"]) for body in bodies] == [("doc_edited", "h")]


def test_a_port_that_another_program_has_is_named():
    with listening_socket("127.0.0.1", 0) as first:
        host, port = first.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(PortTaken, match=f"port {port} of 127.0.0.1: another program has it"):
            listening_socket("127.0.0.1", port)


def test_where_it_listens_is_known_until_its_server_ends(world, servers, settings):
    api = Api(world, settings, Thread())
    api.actor._listens(8080)
    place = json.loads(api.actor.settings.api_place_file.read_text())
    assert (place["port"], api.actor.stats()["port"]) == (8080, 8080)
    api.say(Stop())
    api.actor._server_ended(None)
    assert "port" not in api.actor.stats()
    api.actor.take_from_threads()
    world.pass_time(0.1)
    assert world.ended == ["api"]


@pytest.mark.logs("api_refused")
def test_refusals_are_logged_each_minute(world, servers, settings):
    api = Api(world, settings)
    api.actor._refusals.count("too_many_connections", "192.0.2.1")
    world.pass_time(57)
    assert world.logged == []
    world.pass_time(3)
    assert len(world.logged) == 1
    assert api.actor.stats()["refused"] == 1
