"""A world in one process, in which the product's own actors run without processes or servers.

Nothing happens by itself in a `World`: messages, timers and requests are entries of one agenda, the
clock moves from one entry to the next, and every choice is made by one seeded generator. So a run
is the same each time, and an hour takes milliseconds. `Broker`, `Store` and `Endpoints` stand for
the servers; they implement the protocols of `adapters` and `actors.delivery.senders`.
"""

from support.world.broker import Broker
from support.world.endpoints import Endpoints
from support.world.store import Store
from support.world.world import FakePeer, Network, World

__all__ = ["Broker", "Endpoints", "FakePeer", "Network", "Store", "World"]
