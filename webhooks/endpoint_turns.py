"""Endpoints that could run something take turns, as far as there are slots for them."""

from collections import OrderedDict

from callboard.webhooks.slot_shares import SlotShares


class EndpointTurns:
    """Endpoints in the order of their turns.

    Those that are doubtful while such have no room are kept apart when their turn comes, and then
    go first. So of all that may not have a turn only those are looked at, time and again, that
    have requests under way, and no more of these can be than there are slots.
    """

    def __init__(self, shares: SlotShares) -> None:
        self._shares = shares
        self._in_turn: OrderedDict[str, None] = OrderedDict()
        self._held: OrderedDict[str, None] = OrderedDict()

    def put(self, endpoint: str, now: float) -> None:
        """It could run something: it is the last in turn, unless it has its place."""
        if endpoint in self._held and not self._shares.is_doubtful(endpoint, now):
            del self._held[endpoint]
            self._in_turn[endpoint] = None
            self._in_turn.move_to_end(endpoint, last=False)
        elif endpoint not in self._held:
            self._in_turn.setdefault(endpoint)

    def drop(self, endpoint: str) -> None:
        """It could not."""
        self._in_turn.pop(endpoint, None)
        self._held.pop(endpoint, None)

    def next(self, now: float) -> str | None:
        """Take the endpoint whose turn it is; None if there is no slot for any."""
        shares = self._shares
        if not shares.free:
            return None
        doubtful = shares.doubtful(now)
        if doubtful < shares.most_with_first:
            for held in self._held:
                if shares.room_for_doubtful(held, doubtful):
                    del self._held[held]
                    return held
        while (endpoint := next(filter(shares.room_for, self._in_turn), None)) is not None:
            del self._in_turn[endpoint]
            is_doubtful = shares.is_doubtful(endpoint, now)
            if not is_doubtful or shares.room_for_doubtful(endpoint, doubtful):
                return endpoint
            self._held[endpoint] = None
        return None
