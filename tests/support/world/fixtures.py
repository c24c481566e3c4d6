"""A world in which actors run without processes (support/world)."""

import logging
from types import SimpleNamespace

import pytest

from callboard.actors.base.role import Ports
from callboard.config.settings import ApiSettings, ModuleSettings
from support.world import Broker, Endpoints, Store, World


@pytest.fixture
def world(request):
    """A world whose actors log the warnings that the test's marks `logs` name, and no others."""
    expected = {event for mark in request.node.iter_markers("logs") for event in mark.args}
    with World(log_level=logging.WARNING) as world:
        yield world
        assert world.crashes == []
        assert {line["event"] for line in world.logged} == expected


@pytest.fixture
def servers(world):
    """A broker, a store and endpoints, to which the actors of the world connect."""
    made = SimpleNamespace(broker=Broker(world), store=Store(), endpoints=Endpoints(world))
    world.ports = Ports(made.broker.connect, made.store.connect)
    world.make_sending = made.endpoints.make_sending
    yield made
    assert made.broker.misuse == []


@pytest.fixture
def settings(world):
    """With one event module, `shop`, whose account is `a`."""
    shop = ModuleSettings(id="shop", exchange="shop", bindings=("order.#",), account_id="a")
    return world.settings(api=ApiSettings(events=False), modules=(shop,))
