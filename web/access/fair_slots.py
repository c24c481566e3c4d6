"""Slots for requests: each client has a limit, and those that wait take turns by client."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable

MAX_WAITING = 64
"""The most requests of one client that wait for a slot."""


class TooManyWait(Exception):
    """The client has MAX_WAITING requests that wait."""


class FairSlots:
    """A number of slots, shared by clients. Belongs to one event loop, which needs no lock.

    A client that sends ten thousand requests waits for its own; another one's first request gets
    the next slot that is free.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._running: Counter[Hashable] = Counter()
        self._most: dict[Hashable, int] = {}
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    def __len__(self) -> int:
        """The number of clients that have a slot or wait for one."""
        return len(self._running.keys() | self._waiting.keys())

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return sum(map(len, self._waiting.values()))

    def take_now(self, client: Hashable, most: int) -> bool:
        """Take a slot if one is free for the client, as `take` would; returns whether it did."""
        self._most[client] = most
        taken = client not in self._waiting and self._may_run(client)
        if taken:
            self._begin(client)
        return taken

    async def take(self, client: Hashable, most: int) -> None:
        """Wait for a slot, to be given back by `give_back`. Raises TooManyWait.

        `most`: the slots that the client may have at a time.
        """
        if self.take_now(client, most):
            return
        waiting = self._waiting.setdefault(client, deque())
        if len(waiting) >= MAX_WAITING:
            raise TooManyWait
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(client)  # Its turn came at the same moment.
            else:
                self._leave(client, turn)
            raise

    def at_limit(self, client: Hashable) -> bool:
        """Whether the client has as many slots as it may: it waits for itself, not for others."""
        return self._running[client] >= self._most.get(client, 1)

    def give_back(self, client: Hashable) -> None:
        """Free a slot of the client; the next in turn gets it."""
        self._free += 1
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        self._forget(client)
        self._serve()

    def _serve(self) -> None:
        for client in list(self._waiting):
            if not self._free:
                return
            if self._may_run(client):
                turn = self._waiting[client].popleft()
                self._waiting.move_to_end(client)
                self._drop_if_empty(client)
                self._begin(client)
                turn.set_result(None)

    def _may_run(self, client: Hashable) -> bool:
        return self._free > 0 and not self.at_limit(client)

    def _begin(self, client: Hashable) -> None:
        self._free -= 1
        self._running[client] += 1

    def _leave(self, client: Hashable, turn: "asyncio.Future[None]") -> None:
        self._waiting[client].remove(turn)
        self._drop_if_empty(client)
        self._forget(client)

    def _drop_if_empty(self, client: Hashable) -> None:
        if not self._waiting[client]:
            del self._waiting[client]

    def _forget(self, client: Hashable) -> None:
        if client not in self._running and client not in self._waiting:
            self._most.pop(client, None)
