"""Requests to publish that must not be published after they are refused."""

from collections.abc import Callable

from callboard.adapters.broker.protocol import (
    Blocked,
    BrokerConnection,
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    Probed,
    Unblocked,
)

Publish = Callable[[], None]
Refuse = Callable[[str], None]


def why_blocked(reason: str) -> str:
    """Why a request is refused, in words for the one who made it."""
    return f"the broker takes no messages: {reason}"


class PublishGate:
    """Publishes for each request once the broker is known to take messages, or refuses it.

    RabbitMQ does not say that it has blocked a connection before this has published something,
    which it then takes when the block ends. So requests follow a probe, which those of one moment
    share. A block between the probe's confirm and the requests remains possible; that takes less
    than a millisecond.

    While the connection is down, requests publish at once, which the connection refuses.
    """

    def __init__(self, broker: BrokerConnection) -> None:
        self._broker = broker
        self._up = False
        self._waiting: list[tuple[Publish, Refuse]] = []
        self.blocked = ""
        """Why the broker takes no messages, empty if it does."""

    def enter(self, publish: Publish, refuse: Refuse) -> None:
        """Call `publish` once the broker takes messages, or `refuse` with the reason."""
        if self.blocked:
            refuse(self.blocked)
        elif self._up:
            self._waiting.append((publish, refuse))
            if len(self._waiting) == 1:
                self._broker.probe()
        else:
            publish()

    def look(self) -> None:
        """Find out whether the broker takes messages, for `Blocked` to be reported."""
        if self._up and not self.blocked and not self._waiting:
            self.enter(lambda: None, lambda _reason: None)

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle all events of the connection."""
        match event:
            case Probed():
                for publish, _refuse in self._take_waiting():
                    publish()
            case Blocked(reason):
                self.blocked = reason
                for _publish, refuse in self._take_waiting():
                    refuse(reason)
            case Unblocked():
                self.blocked = ""
            case ConnectionUp():
                self._up, self.blocked = True, ""
            case ConnectionDown():
                self._up, self.blocked = False, ""
                for publish, _refuse in self._take_waiting():
                    publish()

    def _take_waiting(self) -> list[tuple[Publish, Refuse]]:
        waiting, self._waiting = self._waiting, []
        return waiting
