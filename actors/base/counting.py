"""What an actor counts, and telling it to the metrics: once a second while it does something."""

from collections.abc import Mapping
from typing import Any

from thespian.actors import ActorAddress, WakeupMessage

from callboard.actors.messages import Figures
from callboard.actors.messages.paths import METRICS
from callboard.supervision import SupervisedActor
from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics.tally import FigureSet, Tally

TELL_S = 1.0


class Counting(SupervisedActor):
    """An actor with a `tally`, which it tells its peer `metrics` whenever it has changed.

    A new peer is told everything. Without that peer nothing is told, and nothing missed. Figures
    change only with a message that was handled, so an actor without work does not wake to tell.
    """

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(capabilities)
        self.tally = Tally()
        self._last_told: tuple[int, FigureSet, tuple[EndpointFigures, ...]] | None = None
        self._times_told = 0
        self._counts_on = False
        self._tell_due = False

    def measure(self) -> None:
        """Put into the tally what is kept elsewhere: gauges, and counts of the subclass's own."""

    def busiest_endpoints(self) -> tuple[EndpointFigures, ...]:
        """The endpoints that people should see."""
        return ()

    def begin_to_tell(self) -> None:
        """From now on."""
        self._counts_on = True

    def receiveMessage(self, message: Any, sender: ActorAddress) -> Any:
        """Handle one message; what it has changed is told within a second."""
        watched = super().receiveMessage(message, sender)
        telling = isinstance(message, WakeupMessage) and message.payload == self._tell_when_due
        if (
            self._counts_on
            and not self._tell_due
            and not telling
            and not self.is_heartbeat(message)
        ):
            self._tell_due = True
            self.after(TELL_S, self._tell_when_due)
        return watched

    def _tell_when_due(self) -> None:
        self._tell_due = False
        self.tell_figures()

    def finish(self) -> None:
        """What was counted last is not lost in an orderly end."""
        self.tell_figures()
        super().finish()

    def tell_figures(self) -> None:
        """Tell what has changed."""
        metrics = self.peers.get(METRICS)
        if metrics is None:
            return
        self.measure()
        news = metrics.incarnation, self.tally.figures(), self.busiest_endpoints()
        if news != self._last_told:
            self._last_told = news
            self._times_told += 1
            sender = self.path, self.incarnation
            self.send(metrics.address, Figures(sender, self._times_told, *news[1:]))
