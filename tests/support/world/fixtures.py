"""A world in which actors run without processes (support/world)."""

from types import SimpleNamespace

import pytest

from callboard.actors.base.role import Ports
from callboard.config.settings import ApiSettings, ModuleSettings
from support.world import Broker, Endpoints, Store, World


@pytest.fixture
def world():
    with World() as world:
        yield world
        assert world.crashes == []


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
