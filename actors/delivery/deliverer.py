"""Sends deliveries over HTTP: decides when each is sent, and what follows from its outcome."""

import heapq
import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from random import random
from typing import Any

from attrs import evolve
from thespian.actors import ActorAddress, WatchMessage

from callboard import admin
from callboard.actors.base.intake import DEADLY
from callboard.actors.base.notification_publisher import NotificationPublisher
from callboard.actors.base.role import Ports, Setup
from callboard.actors.base.tracing import tracing
from callboard.actors.delivery.delivery_guard import DeliveryGuard
from callboard.actors.delivery.hook_freshness import UsesHooks
from callboard.actors.delivery.recording import MAX_BATCHES_OUT, Recorder, is_new
from callboard.actors.delivery.senders import Sending, SendingFailed, Sent
from callboard.actors.delivery.transports import sending, slots
from callboard.actors.messages import (
    Applied,
    AttemptPolicy,
    AttemptsPersisted,
    Defer,
    Deferred,
    DeliveryBatch,
    DueBatch,
    HooksOutdated,
    NotHeld,
    Progress,
    Reconcile,
)
from callboard.actors.messages.notifications import NoticesSeen
from callboard.actors.messages.operational import EndpointsDown
from callboard.actors.messages.paths import (
    HOOK_LISTENER,
    HOOK_TABLE,
    RETRY_QUEUE,
    is_remote,
    is_source,
)
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.keys.signer import Signer
from callboard.adapters.local.delivered_ids import DeliveredIds
from callboard.config.settings import Settings
from callboard.config.time_limits import REPEATED_S, hold_s
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.outbox import Outbox
from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.slicing import Refusal, reason_of
from callboard.webhooks.dispatch.circuit_breaker import CircuitLimits, Circuits, reached
from callboard.webhooks.dispatch.dispatcher import Dispatcher, DispatchLimits, EndpointFigures
from callboard.webhooks.dispatch.down_endpoints import REPEATED_S as DOWN_REPEATED_S
from callboard.webhooks.dispatch.down_endpoints import DownEndpoint, DownEndpoints
from callboard.webhooks.dispatch.jobs import Job, Jobs, queue_of
from callboard.webhooks.hooks.failure_window import HookKey
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.overview import MAX_ENDPOINTS
from callboard.webhooks.retries.outcome import (
    REFUSED,
    RESULTS,
    ClientError,
    Done,
    GiveUp,
    Outcome,
    Response,
    Retry,
    Unsent,
    result_of,
)
from callboard.webhooks.retries.outdated_hooks import OutdatedHooks
from callboard.webhooks.retries.policy import KazooPolicy, deferral, verdict
from callboard.webhooks.retries.retry_message import RetryMessage, as_json

LINGER_S, ACCEPTED_S = 0.025, 0.1
"""While deliveries are in progress, settled events are collected for the first time, received
shares for the second, and reported in one message: no sender waits for the report."""
REPORTED_AT_ONCE = 100
"""This number of settled events is reported without further delay."""
GATHER_S, GATHERED = 0.1, 100
"""Attempt records and deferrals are batched for GATHER_S or GATHERED items; each batch costs one
message and one disk write."""
AT_ONCE = 16
"""Requests started before the actor handles other messages."""
DEFERRAL_BATCH = 200
MAX_DEFERRED_BYTES = 16 * 2**20 - 64 * 1024
"""RabbitMQ 4 closes the channel for a message above 16 MiB (max_message_size)."""
SWEEP_S = 1.0
PATIENCE_S = 30.0
"""Deliveries that cannot run within this time are deferred, and all that wait for `hold_s`."""
KEEPING_UP = 10_000
"""Deliveries that may wait for an endpoint that keeps up (dispatcher.py)."""
SUSPECTED_MS = 1000
"""A suspected delivery is deferred for this time while another one is in progress."""


class Deliverer(UsesHooks):
    """Sends deliveries and settles their events (Kazoo: webhooks_util's fire_hook).

    A delivery is settled when it succeeded, when the attempt log has its last failed attempt on
    disk, or when the retry queue has it. The dispatcher limits the requests in flight and the
    unsettled events that one bad endpoint can hold.

    If a hook changes, its waiting deliveries go to the retry queue, which looks at the hook; those
    in flight end as they began.

    A delivery that has ended the process again and again is exhausted (delivery_guard.py).
    """

    def __init__(
        self,
        capabilities: Mapping[str, Any] | None = None,
        ports: Ports | None = None,
        make_sending: Callable[..., Sending[Job]] = sending,
    ) -> None:
        super().__init__(capabilities, ports)
        self._make_sending = make_sending

    def begin(self, setup: Setup) -> None:
        """Start the transport."""
        delivery = self.settings.delivery
        signer = Signer(SecretBox(self.settings.secrets.key, self.settings.secrets_key_file))
        self._tracing = self.own(
            tracing(self.settings, self.path, self.log, own_process=self.own_process)
        )
        self._limits = limits(self.settings)
        self._hold_s = hold_s(self.settings)
        self._look_at = 0.0
        self._guard: DeliveryGuard[Job] = DeliveryGuard(
            self.open_suspects(), self._limits.keeping_up
        )
        self._sending: Sending[Job] = self._guard.watching(
            self.own(self._make_sending(self.settings, slots(delivery), signer, self._tracing))
        )
        self._circuits = Circuits(CircuitLimits(failures=delivery.circuit_failures), random)
        self._dispatcher: Dispatcher[Job] = Dispatcher(self._limits, self._circuits)
        self._receipts = Receipts()
        self._journal = self.own(
            DeliveredIds(self.settings.data.dir / "finished.ids", self._not_shared, time.time)
        )
        self._jobs = Jobs(
            self._receipts,
            delivery.retry_policy,
            delivery.retry_steps_s,
            self._journal,
        )
        self._notifications = NotificationPublisher(lambda: self.peers, self.send, self.timer)
        self._recorder = Recorder(
            self.settings,
            finished=self._finish_job,
            notify=self._notifications.notify,
            peer=self.peer,
            send=self.send,
            tally=self.tally,
            log=self.log,
        )
        self._pauses: list[tuple[float, int, Job]] = []
        self._pausing: Counter[str] = Counter()
        self._accounted_at = time.monotonic()
        self._deferrals: Outbox[tuple[Job, RetryMessage]] = Outbox(
            DEFERRAL_BATCH, MAX_BATCHES_OUT, lambda deferral: deferral[0].delivery.size
        )
        self._outdated = OutdatedHooks()
        self._down = DownEndpoints()
        self._down_reported: tuple[DownEndpoint, ...] = ()
        self._down_reported_at = -math.inf
        self.use_hooks(self._go_on)
        self._table: int | None = None
        self._ids = itertools.count()
        self._remote = is_remote(self.path)
        self._stopping = False
        self._flush_due = self.timer(self._flush)
        self._hand_out_due = self.timer(self._hand_out)
        self._sweep_due = self.timer(self._sweep)
        self._early: list[DeliveryBatch | DueBatch] = []
        self._pause = self.timer(self._begin_early)
        if pause_s := self._guard.pause_s(self.most_deaths):
            self.log.warning("messages_wait", seconds=round(pause_s, 1))
            self._pause.within(pause_s)
        self._turn_due = self.timer(self._take_turns)
        for result in RESULTS:
            self.tally.count(catalog.ATTEMPTS, result, by=0)
        self.watch(self._sending.fileno())
        self.on_peers({})

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and deliveries in progress."""
        return {
            **self._recorder.counts,
            "repeats": self._jobs.repeats,
            "put_off": self._jobs.deferrals,
            "in_flight": self._dispatcher.in_flight,
            "waiting": len(self._dispatcher),
            "parked": self._dispatcher.deferred,
            "retrying": len(self._pauses),
            "leaving": len(self._deferrals),
            "circuits_open": self._circuits.open,
        }

    def measure(self) -> None:
        """Count results, and deliveries in progress."""
        tally, dispatcher, counts = self.tally, self._dispatcher, self._recorder.counts
        tally.set(catalog.DELIVERIES, counts["delivered"], catalog.DELIVERED)
        tally.set(catalog.DELIVERIES, counts["given_up"], catalog.GIVEN_UP)
        tally.set(catalog.DELIVERIES, counts["cancelled"], catalog.CANCELLED)
        if self.settings.delivery.dry_run:
            tally.set(catalog.DELIVERIES, counts["dry_run"], catalog.DRY_RUN)
        tally.set(catalog.ATTEMPTS_FAILED, counts["failed_tries"])
        tally.set(catalog.DELIVERIES_PUT_OFF, self._jobs.deferrals)
        tally.set(catalog.DELIVERIES_PARKED, dispatcher.deferred)
        tally.set(catalog.DELIVERIES_REPEATED, self._jobs.repeats)
        tally.set(catalog.IN_FLIGHT, dispatcher.in_flight)
        tally.set(catalog.WAITING, len(dispatcher))
        tally.set(catalog.RETRYING, len(self._pauses))
        tally.set(catalog.LEAVING, len(self._deferrals))
        resent = max(self._deferrals.resent, self._recorder.resent)
        tally.set(catalog.BATCH_RESENDS, resent, self.path)
        self.set_progress(self._accounted_at if self._has_lost_jobs() else None)
        half_open = self._circuits.half_open(time.monotonic())
        tally.set(catalog.CIRCUITS, self._circuits.open - half_open, "open")
        tally.set(catalog.CIRCUITS, half_open, "half_open")
        tally.set(catalog.CIRCUITS_OPENED, self._circuits.opened)

    def _has_lost_jobs(self) -> bool:
        """Whether there are deliveries for which nothing is to happen any more.

        Each one is in flight, waits for a turn (its endpoint's, or its order's or rate's) or for a
        retry, or is on the way to the retry queue or the attempt log.
        """
        dispatcher = self._dispatcher
        waiting = len(dispatcher) + len(self._pauses) + len(self._deferrals)
        if len(self._jobs) > dispatcher.in_flight + waiting + self._recorder.unrecorded:
            return True
        self._accounted_at = time.monotonic()
        return False

    def busiest_endpoints(self) -> tuple[EndpointFigures, ...]:
        """Endpoints in trouble, then those with the most deliveries."""
        return tuple(self._dispatcher.figures(time.monotonic(), MAX_ENDPOINTS))

    # In

    def receiveMsg_DeliveryBatch(self, message: DeliveryBatch, _sender: ActorAddress) -> None:
        """Start deliveries, except those that are finished or in progress."""
        if self._pause.is_set:
            self._early.append(message)
            return
        counts = {event.tag: len(event.deliveries) for event in message.events}
        for tag, _delivery, _refusal in message.refused:
            counts[tag] = counts.get(tag, 0) + 1
        if not self._stopping and self._receipts.take(message.source, message.share, counts):
            self._begin_batch(message)
        self._go_on()

    def _begin_batch(self, message: DeliveryBatch) -> None:
        begin = self._begin_job if self._guard.is_calm else self._begin_suspected
        delivery: Delivery | None = None
        try:
            for event in message.events:
                receipt = Receipt(message.source, message.share, event.tag)
                taken_at = None if self._remote else event.taken_at or None
                for delivery in event.deliveries:
                    begin(self._jobs.take(delivery, receipt), taken_at)
            for tag, delivery, refusal in message.refused:
                receipt = Receipt(message.source, message.share, tag)
                if (job := self._jobs.take(delivery, receipt)) is not None:
                    self._refuse_payload(job, refusal)
        except Exception:
            self._blame(delivery)
            raise

    def _begin_early(self) -> None:
        """Start the deliveries that arrived during the pause."""
        early, self._early = self._early, []
        for message in early:
            if isinstance(message, DeliveryBatch):
                self.receiveMsg_DeliveryBatch(message, None)
            else:
                self.receiveMsg_DueBatch(message, None)

    def receiveMsg_DueBatch(self, message: DueBatch, _sender: ActorAddress) -> None:
        """Start deferred deliveries that are due."""
        if self._pause.is_set:
            self._early.append(message)
            return
        counts = {tag: 1 for tag, _retry in message.items}
        counts |= {tag: 1 for tag, _retry, _reason in message.cancelled}
        counts |= {tag: 1 for tag, *_rest in message.refused}
        if not self._stopping and self._receipts.take(message.source, message.share, counts):
            self._begin_due(message)
        self._go_on()

    def _begin_due(self, message: DueBatch) -> None:
        begin = self._begin_job if self._guard.is_calm else self._begin_suspected
        retry: RetryMessage | None = None
        returned: set[str] = set()
        try:
            for tag, retry in message.items:
                receipt = Receipt(message.source, message.share, tag)
                job = self._jobs.take(retry.delivery, receipt, retry)
                if job is None:
                    if self._jobs.is_leaving(retry.delivery):
                        returned.add(queue_of(retry.delivery))
                    continue
                outdated = job.answered is None and self._is_outdated(job, message)
                if outdated or (job.ordered and job.queue in returned):
                    self._defer(job, 0)
                else:
                    begin(job)
                if job.leaving:
                    returned.add(job.queue)  # Those behind it are not to overtake it.
            for tag, retry, reason in message.cancelled:
                receipt = Receipt(message.source, message.share, tag)
                if (job := self._jobs.take(retry.delivery, receipt, retry)) is not None:
                    self._cancel(job, reason)
            for tag, retry, reason, size in message.refused:
                receipt = Receipt(message.source, message.share, tag)
                if (job := self._jobs.take(retry.delivery, receipt, retry)) is not None:
                    outcome, then = ClientError(reason), GiveUp(reason)
                    self._recorder.exhausted(job, outcome, then, time.time(), size)
        except Exception:
            self._blame(None if retry is None else retry.delivery)
            raise

    def _blame(self, delivery: Delivery | None) -> None:
        """Remember over which delivery an exception ends the process."""
        if delivery is not None:
            self._guard.raised(delivery)

    def _is_outdated(self, job: Job, message: DueBatch) -> bool:
        return self._outdated.changed_since(job.hook, message.change)

    def _cancel(self, job: Job, reason: str) -> None:
        self._recorder.cancelled(job, reason, time.time())

    def receiveMsg_HooksOutdated(self, message: HooksOutdated, sender: ActorAddress) -> None:
        """Hooks were changed or removed: none of their deliveries is to wait here any more."""
        self._outdated.add(message.keys, message.change)
        self._return_waiting(set(message.keys))
        if message.ticket is not None:
            self.send(sender, Applied(message.ticket))
        self._go_on()

    def _return_waiting(self, keys: Collection[HookKey]) -> None:
        """Send the waiting deliveries of these hooks to the retry queue, due at once."""
        jobs = [] if self._stopping else self._jobs.of_hooks(keys)
        for job in jobs:
            job.outdated = True
        if not jobs:
            return
        now = time.monotonic()
        for job in self._dispatcher.take_back({job.queue for job in jobs}, now):
            self._defer(job, 0)
        pauses, self._pauses = sorted(self._pauses), []
        for pause in pauses:
            job = pause[2]
            if job.outdated:
                self._end_pause(job)
                self._defer(job, 0)
            else:
                self._pauses.append(pause)

    def _begin_job(self, job: Job | None, taken_at: float | None = None) -> None:
        if job is not None:
            job.taken_at = taken_at
            job.held_since = time.monotonic() if taken_at is None else taken_at
            if job.answered is None:
                self._add(job)
            else:
                self._conclude_again(job, job.answered)

    def _begin_suspected(self, job: Job | None, taken_at: float | None = None) -> None:
        """As `_begin_job`, if it has not ended the process too often.

        Few suspected ones are handled at a time, so that the next deaths tell them apart.
        """
        if job is None:
            return
        if self._guard.refuses(job):
            lost = len(job.delivery.body) if self._guard.is_unrecordable(job.delivery) else None
            outcome = ClientError(DEADLY)
            self._recorder.exhausted(job, outcome, GiveUp(DEADLY), time.time(), lost)
        elif self._guard.waits(job, self._jobs.holds):
            self._defer(job, SUSPECTED_MS)
        else:
            self._begin_job(job, taken_at)

    def _refuse_payload(self, job: Job, refusal: Refusal) -> None:
        """Give a delivery up that has no payload to send, for a dead letter."""
        self.tally.count(catalog.ATTEMPTS, REFUSED)
        reason, size = reason_of(refusal)
        outcome = ClientError(reason, f"{size} bytes")
        self._recorder.exhausted(job, outcome, GiveUp(reason), time.time(), size)

    def _add(self, job: Job) -> None:
        """Queue the delivery, or defer it if there is no room, or its message is held too long."""
        delivery, now = job.delivery, time.monotonic()
        if job.held_since < now - self._hold_s:
            self._defer_unattempted(job)
            return
        refused = self._dispatcher.add(
            job,
            delivery.id,
            job.endpoint,
            job.queue,
            delivery.options,
            now,
            delivery.account_id,
        )
        if refused is not None:
            self._defer_unattempted(job)

    def _go_on(self) -> None:
        """Start deliveries that may run, set the timer for the next, and report."""
        now = time.monotonic()
        if self.freshness.is_pending:
            self._flush_soon()
            return
        at = now if self._begin_some(now) else self._dispatcher.wake_at()
        if at is not None and self._sending.free:
            self._turn_due.at(at)
        self._flush_soon()

    def _begin_some(self, now: float) -> bool:
        """Start deliveries that may run; True if it stopped at AT_ONCE and there may be more."""
        for _turn in range(AT_ONCE):
            turn = self._dispatcher.next(now) if self._sending.free else None
            if turn is None:
                return False
            turn.item.turn = turn
            try:
                self._sending.send(turn.item)
            except Exception:
                self._blame(turn.item.delivery)
                raise
        return True

    # Out

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """Handle completed requests."""
        sent: Sent[Job] | None = None
        try:
            for sent in self._sending.ended():
                self._conclude(sent)
        except SendingFailed as failed:
            self._blame(failed.delivery)
            raise
        except Exception:
            self._blame(None if sent is None else sent.work.delivery)
            raise
        self._go_on()

    def _conclude(self, sent: Sent[Job]) -> None:
        job, outcome, now = sent.work, sent.outcome, time.time()
        job.headers, job.took_s = sent.headers, sent.took_s
        job.attempts_made += 1
        if isinstance(outcome, Unsent):
            self._end_turn(job, None)
            self._recorder.unsent(job, now)
            return
        self._count(outcome, sent.took_s)
        job.deferred_since_s = None
        then = verdict(job.policy, job.delivery, job.attempts_made, outcome, now, random)
        if isinstance(outcome, Response) and not isinstance(then, Done):
            self._journal.answered(job.delivery.id, job.attempts_made, outcome.status)
        self._end_turn(job, reached(outcome), "" if isinstance(outcome, Response) else outcome.kind)
        self._follow(job, outcome, then, now)

    def _conclude_again(self, job: Job, status: int) -> None:
        """Repeat the consequences of an attempt whose deliverer died before they were stored."""
        outcome, now = Response(status), time.time()
        then = verdict(job.policy, job.delivery, job.attempts_made, outcome, now, random)
        self._follow(job, outcome, then, now)

    def _follow(self, job: Job, outcome: Outcome, then: Done | Retry | GiveUp, now: float) -> None:
        if isinstance(then, Done):
            if job.taken_at is not None:
                self.tally.observe(catalog.DELIVERY_SECONDS, time.monotonic() - job.taken_at)
            self._recorder.delivered(job, outcome, now)
            return
        self._recorder.failed(job, outcome, now)
        if isinstance(then, Retry):
            self._recorder.retried(job, outcome, now)
            self._retry(job, then.after_ms)
        else:
            self._recorder.exhausted(job, outcome, then, now)

    def _count(self, outcome: Outcome, took_s: float | None) -> None:
        result = result_of(outcome)
        self.tally.count(catalog.ATTEMPTS, result)
        if took_s is not None and result != REFUSED:
            self.tally.observe(catalog.REQUEST_SECONDS, took_s)

    def _end_turn(self, job: Job, reached: bool | None, error: str = "") -> None:
        assert job.turn is not None
        turn, job.turn = job.turn, None
        shed = self._dispatcher.done(turn, time.monotonic(), reached, error)
        if reached is False:
            self._mark_if_down(job)
        if not self._stopping:
            for other in shed:
                self._defer_unattempted(other)

    def _mark_if_down(self, job: Job) -> None:
        if not self._circuits.is_closed(job.endpoint):
            self._down.mark(job.endpoint, job.delivery.account_id, int(time.time() * 1000))

    def _report_down(self, now: float) -> None:
        """Report the endpoints that are down to the hook listener, also if there are none more."""
        down = self._down.report(self._circuits.is_closed)
        due = down and now - self._down_reported_at >= DOWN_REPEATED_S
        if (due or down != self._down_reported) and (listener := self.peer(HOOK_LISTENER)):
            self.send(listener, EndpointsDown(self.path, down))
            self._down_reported, self._down_reported_at = down, now

    def _finish_job(self, job: Job) -> None:
        """Settle the events of a finished delivery; the caller reports them."""
        self._jobs.finish(job)

    def _not_shared(self, error: OSError) -> None:
        self.log.warning("finished_not_shared", reason=str(error))

    # Retries and deferrals

    def _retry(self, job: Job, after_ms: int) -> None:
        """Attempt again after a pause: in memory if it is short and there is room, else defer.

        Those behind a delivery of an ordered hook return to the retry queue with it.
        """
        short = isinstance(job.policy, KazooPolicy) and after_ms <= job.policy.pause_ms
        room = self._pausing[job.endpoint] < self._limits.waiting
        if job.ordered:
            self._defer(job, after_ms)
            for other in self._dispatcher.take_back({job.queue}, time.monotonic()):
                self._defer(other, 0)
        elif short and room and not job.outdated:
            self._pausing[job.endpoint] += 1
            due = time.monotonic() + after_ms / 1000
            heapq.heappush(self._pauses, (due, next(self._ids), job))
            self.after(after_ms / 1000, self._end_pauses)
        else:
            self._defer(job, after_ms)

    def _end_pauses(self) -> None:
        if self._stopping:
            return
        now = time.monotonic()
        while self._pauses and self._pauses[0][0] <= now:
            job = heapq.heappop(self._pauses)[2]
            self._end_pause(job)
            self._add(job)
        self._go_on()

    def _end_pause(self, job: Job) -> None:
        self._pausing[job.endpoint] -= 1
        if not self._pausing[job.endpoint]:
            del self._pausing[job.endpoint]

    def _defer_unattempted(self, job: Job) -> None:
        """Defer a delivery that has no room; after `delivery.park_hours` it is exhausted."""
        now = time.time()
        self._mark_if_down(job)
        if job.deferred_since_s is None or job.deferred_since_s > now:  # The clock was set back.
            job.deferred_since_s = now
            if not self._circuits.is_closed(job.endpoint):
                self._recorder.skipped(job, now)
        most_s = self.settings.delivery.park_hours * 3600
        probe_in_s = self._circuits.probe_in_s(job.endpoint, time.monotonic())
        then = deferral(job.deferred_since_s, now, job.deferrals, most_s, random, probe_in_s)
        if isinstance(then, Retry):
            self._defer(job, then.after_ms)
        else:
            self._recorder.exhausted(job, ClientError(then.reason), then, now)

    def _defer(self, job: Job, after_ms: int) -> None:
        """Send it to the retry queue, whose confirmation settles its events.

        A delivery that the broker would not take is exhausted.
        """
        deferral = job.defer(after_ms, time.time(), time.monotonic())
        if self._is_too_large(deferral):
            deferral = evolve(deferral, delivery=evolve(deferral.delivery, source=b""))
        if self._is_too_large(deferral):
            self._refuse_payload(job, len(job.delivery.body))
            return
        self._deferrals.add((job, deferral))

    @staticmethod
    def _is_too_large(deferral: RetryMessage) -> bool:
        size = deferral.delivery.size
        return size > MAX_DEFERRED_BYTES / 8 and len(as_json(deferral)) > MAX_DEFERRED_BYTES

    def _report_deferrals(self) -> None:
        if retry_queue := self.peer(RETRY_QUEUE):
            while (deferral := self._deferrals.next(time.monotonic())) is not None:
                self._send_deferrals(retry_queue, *deferral)

    def _send_deferrals(
        self, retry_queue: ActorAddress, number: int, batch: list[tuple[Job, RetryMessage]]
    ) -> None:
        items = tuple(retry for _job, retry in batch)
        self.tally.observe(catalog.BATCH_SIZE, len(items), "put_off")
        self.send(retry_queue, Defer(number, (self.path, self.incarnation), items))

    def receiveMsg_Deferred(self, message: Deferred, _sender: ActorAddress) -> None:
        """The retry queue has stored a batch of deliveries."""
        for job, _retry_message in self._deferrals.confirmed(message.batch):
            self._jobs.deferred(job)
        self._flush_soon()

    def receiveMsg_AttemptsPersisted(
        self, message: AttemptsPersisted, _sender: ActorAddress
    ) -> None:
        """The attempt log has a batch on disk; there may be room for the next."""
        self._recorder.attempts_kept(message)
        self._flush_soon()

    # Timers and reports

    def _take_turns(self) -> None:
        if not self._stopping:
            self._go_on()

    def _sweep(self) -> None:
        """Defer deliveries that wait too long; repeat batches that are unconfirmed too long."""
        if self._stopping:
            return
        now = time.monotonic()
        self._guard.settled(self._jobs.holds)
        self._report_down(now)
        for job in self._dispatcher.withdraw(now, PATIENCE_S):
            self._defer_unattempted(job)
        self._defer_held(now)
        if retry_queue := self.peer(RETRY_QUEUE):
            for number, batch in self._deferrals.overdue(now - REPEATED_S, now):
                self._send_deferrals(retry_queue, number, batch)
        self._recorder.report_overdue(now - REPEATED_S, now)
        if not self._is_idle():
            self._go_on()

    def _defer_held(self, now: float) -> None:
        """Defer deliveries that wait for `hold_s`, with all others that wait for the same hook.

        Those that pause between two attempts are deferred when the pause is over.
        """
        if now >= self._look_at:
            self._look_at = now + self._hold_s / 20
            queues = {job.queue for job in self._jobs.held_before(now - self._hold_s)}
            for job in self._dispatcher.take_back(queues, now) if queues else ():
                self._defer_unattempted(job)

    def _is_idle(self) -> bool:
        """Whether nothing here changes without a message."""
        held = (self._jobs, self._deferrals, self._dispatcher.in_flight, self._recorder.unrecorded)
        return not (any(held) or self._circuits.open)

    def _flush_soon(self) -> None:
        """Report at once if no delivery is in progress, otherwise after a short time."""
        if self._receipts.settled >= (REPORTED_AT_ONCE if len(self._jobs) else 1):
            self._flush()
        else:
            hurry = self._receipts.settled or self._stopping
            self._flush_due.within(LINGER_S if hurry else ACCEPTED_S)
        self._sweep_due.within(SWEEP_S)

    def _flush(self) -> None:
        for path in self._receipts.paths():
            if source := self.peer(path):
                report = self._receipts.report(path)
                progress = report.source, report.accepted, report.settled, report.returned
                self.send(source, Progress(*progress))
        gathered = self._recorder.unreported + self._deferrals.waiting
        if gathered >= GATHERED or self._stopping:
            self._hand_out()
        elif gathered:
            self._hand_out_due.within(GATHER_S)
        if self._stopping:
            self._finish_if_idle()

    def _hand_out(self) -> None:
        self._recorder.report_attempts()
        self._report_deferrals()

    # Peers and stopping

    def receiveMsg_CloseCircuit(self, message: admin.CloseCircuit, sender: ActorAddress) -> None:
        """Send requests to an endpoint again, whatever failed before."""
        was_open = self._dispatcher.close_circuit(message.endpoint, time.monotonic())
        self.send(sender, admin.CircuitClosed(was_open, ref=message.ref))
        self._go_on()

    def receiveMsg_AttemptPolicy(self, message: AttemptPolicy, _sender: ActorAddress) -> None:
        """Apply the cluster's settings for attempts."""
        self._recorder.follow(message)
        if not self.settings.delivery.connect_timeout_ms:
            self._sending.connect_within(message.connect_timeout_ms / 1000)

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Start receipts for new sources; send a new retry queue the unconfirmed deferrals."""
        self._recorder.on_peers(before, self.peers)
        for path, peer in self.peers.items():
            if is_source(path) and is_new(path, before, self.peers):
                self._receipts.serve((path, peer.incarnation))
        if is_new(RETRY_QUEUE, before, self.peers):
            self._deferrals.take_back()
        if is_new(HOOK_LISTENER, before, self.peers) and self._down_reported:
            self._down_reported_at = -math.inf  # It knows nothing of the reports so far.
        if (table := self.peers.get(HOOK_TABLE)) is not None:
            if self._table not in (None, table.incarnation):
                self._return_waiting(self._jobs.hooks())  # It may have missed changes.
            self._table = table.incarnation
        self._flush_soon()

    def receiveMsg_NoticesSeen(self, message: NoticesSeen, _sender: ActorAddress) -> None:
        """A subscriber has confirmed a batch of notifications."""
        self._notifications.seen(message)

    def receiveMsg_Reconcile(self, message: Reconcile, sender: ActorAddress) -> None:
        """Report which of a source's missing shares never arrived here."""
        unknown = self._receipts.unknown(message.source, message.shares)
        self.send(sender, NotHeld(message.source, unknown))

    def on_stop(self) -> None:
        """Let requests in flight end; waiting deliveries return to the broker unsettled."""
        self._stopping = True
        self._dispatcher.drain()
        self._flush_soon()

    def _finish_if_idle(self) -> None:
        if not self._dispatcher.in_flight and not self._recorder.unrecorded:
            self._guard.end()
            self.finish()
        else:
            self._flush_due.within(LINGER_S)


def limits(settings: Settings) -> DispatchLimits:
    """The limits of each endpoint.

    By default, one eighth of the prefetched events may wait for an endpoint, over all workers. An
    endpoint that keeps up may have all of them, and at least KEEPING_UP deliveries, since an event
    can fire several hooks: bursts are accepted, and the excess waits at the broker, which is
    cheaper than the retry queue.
    """
    delivery = settings.delivery
    workers = delivery.workers or os.cpu_count() or 1
    share = settings.amqp.prefetch // workers
    return DispatchLimits(
        in_flight=delivery.in_flight_per_endpoint,
        slots=slots(delivery),
        waiting=delivery.waiting_per_endpoint or max(1, share // 8),
        keeping_up=max(settings.amqp.prefetch, KEEPING_UP),
    )
