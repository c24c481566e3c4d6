"""Counts of an actor, reported to `metrics` at most once a second."""

import time
from collections.abc import Mapping
from typing import Any

from thespian.actors import ActorAddress, PoisonMessage, WakeupMessage

from callboard.actors.messages import Figures
from callboard.actors.messages.paths import METRICS
from callboard.supervision import SupervisedActor
from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics.catalog import LAST_PROGRESS, MESSAGES_REFUSED
from callboard.webhooks.metrics.tally import FigureSet, Tally

REPORT_S = 1.0


class Counting(SupervisedActor):
    """An actor with a `tally`, which it reports to its peer `metrics` when it has changed.

    Each report has all figures since the start, so none is lost while `metrics` is down. Figures
    change only when a message is handled, so an idle actor does not wake to report.
    """

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(capabilities)
        self.tally = Tally()
        self._last_report: tuple[int, FigureSet, tuple[EndpointFigures, ...]] | None = None
        self._reports = 0
        self._clock_began = time.time() - time.monotonic()
        self._reporting = False
        self._report_due = False

    def measure(self) -> None:
        """Set the gauges, and counts that the subclass keeps outside the tally."""

    def busiest_endpoints(self) -> tuple[EndpointFigures, ...]:
        """The endpoints to show to users."""
        return ()

    def set_progress(self, at: float | None) -> None:
        """Set when what this actor holds last made progress, by the monotonic clock.

        None if it holds nothing, or nothing that has no reason to wait. That no progress follows
        needs no report: the value stays the same, and `metrics` judges it.
        """
        self.tally.set(LAST_PROGRESS, 0 if at is None else self._clock_began + at, self.path)

    def start_reporting(self) -> None:
        """Report from now on."""
        self._reporting = True

    def receiveMessage(self, message: Any, sender: ActorAddress) -> Any:
        """Handle one message; changed figures are reported within REPORT_S."""
        watched = super().receiveMessage(message, sender)
        is_report = isinstance(message, WakeupMessage) and message.payload == self._report
        if (
            self._reporting
            and not self._report_due
            and not is_report
            and not self.is_heartbeat(message)
        ):
            self._report_due = True
            self.after(REPORT_S, self._report)
        return watched

    def receiveMsg_PoisonMessage(self, message: PoisonMessage, _sender: ActorAddress) -> None:
        """Count a message of ours that the transport refused."""
        kind = type(message.poisonMessage).__name__
        self.log.error("message_refused", message=kind, reason=str(message.details)[-500:])
        self.tally.count(MESSAGES_REFUSED, self.path, kind)

    def _report(self) -> None:
        self._report_due = False
        self.report_figures()

    def finish(self) -> None:
        """Report the last figures, then end."""
        self.report_figures()
        super().finish()

    def report_figures(self) -> None:
        """Report the figures if they have changed, or if `metrics` was restarted."""
        metrics = self.peers.get(METRICS)
        if metrics is None:
            return
        self.measure()
        report = metrics.incarnation, self.tally.figures(), self.busiest_endpoints()
        if report != self._last_report:
            self._last_report = report
            self._reports += 1
            sender = self.path, self.incarnation
            self.send(metrics.address, Figures(sender, self._reports, *report[1:]))
