"""The API's open connections: how many, of whom, and which makes room for a new one."""

from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from callboard.web.access.clients import is_one_of
from callboard.web.access.refusals import Refusals
from callboard.web.access.throttling import network_of

CONNECTIONS = 256
"""The most connections of all clients."""
SPARE = 32
"""Further connections, on which only the paths of SPARE_PATHS are served."""
SPARE_PATHS = frozenset(("/healthz", "/readyz", "/metrics"))


class Connection(Protocol):
    """A connection. `waits`: whether the server waits for the client, not the client for it."""

    @property
    def waits(self) -> bool:
        """Whether it has sent no complete request, or does not read its response."""

    def close_now(self) -> None:
        """Close it without a response."""


class Connections:
    """Bounds connections by client address and in all. Belongs to one event loop.

    At a limit a new connection takes the place of one that waits for its client, the one opened
    first. So clients that send slowly, or nothing, keep no other client away: it sends its request
    at once, and its connection does not wait then. If all are at work, the new one is spare.
    """

    def __init__(
        self,
        most_per_client: int,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        refusals: Refusals | None = None,
        most: int = CONNECTIONS,
    ) -> None:
        self._most, self._most_per_client = most, most_per_client
        self._proxies, self._refusals = proxies, refusals or Refusals()
        # Connections and their clients, in the order in which they were opened.
        self._usual: dict[Connection, str] = {}
        self._spare: dict[Connection, str] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        """The number of open connections."""
        return len(self._usual) + len(self._spare)

    def opened(self, connection: Connection, address: str) -> None:
        """A client has connected; may close another connection, or this one."""
        client = network_of(address)
        limited = not is_one_of(address, self._proxies)
        own_limit = limited and self._counts[client] >= self._most_per_client
        room = not own_limit or self._make_room(self._usual, client)
        if room and len(self._usual) >= self._most:
            room = self._make_room(self._usual)
        if room:
            self._usual[connection] = client
            self._counts[client] += 1
        elif len(self._spare) < SPARE or self._make_room(self._spare):
            self._spare[connection] = client
        else:
            self._refusals.count("connection_refused", client)
            connection.close_now()

    def closed(self, connection: Connection) -> None:
        """A connection has ended. Ignored if it is not counted any more."""
        self._spare.pop(connection, None)
        client = self._usual.pop(connection, None)
        if client is None:
            return
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]

    def serves(self, connection: Connection, path: str) -> bool:
        """Whether a request for this path is served on the connection; counts a refusal."""
        if connection not in self._spare or path in SPARE_PATHS:
            return True
        self._refusals.count("too_many_connections", self._spare[connection])
        return False

    def _make_room(self, among: dict[Connection, str], client: str | None = None) -> bool:
        """Close the oldest of these that waits for its client; of one client only, if it is given.

        Returns whether there was any.
        """
        for connection, whose in among.items():
            if client in (None, whose) and connection.waits:
                self._refusals.count("connection_closed", whose)
                self.closed(connection)
                connection.close_now()
                return True
        return False
