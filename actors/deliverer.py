"""Deliveries over HTTP: worker threads send, the actor keeps the books."""

import heapq
import itertools
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from random import random
from typing import Any

from attrs import Factory, define, evolve
from thespian.actors import ActorAddress, WatchMessage

from callboard.actors.handover import Handover
from callboard.actors.messages import (
    AttemptPolicy,
    Attempts,
    AttemptsKept,
    DeliveryBatch,
    DisableHook,
    DueBatch,
    FailedTries,
    NotHeld,
    Progress,
    PutOff,
    PutOffKept,
    Reconcile,
    WhichAttempts,
)
from callboard.actors.notices import DeliveryFailed
from callboard.actors.noticing import Noticing
from callboard.actors.role import Role, Setup
from callboard.actors.sending import SendingThreads, Sent
from callboard.actors.transports import transport
from callboard.adapters.secret_box import SecretBox
from callboard.adapters.signer import Headers, Signer
from callboard.config.settings import Settings
from callboard.supervision import Peer
from callboard.webhooks.attempts import attempt_database, attempt_document
from callboard.webhooks.bulkhead import Bulkhead, BulkheadLimits, Park, Turn, endpoint_of
from callboard.webhooks.circuit import CircuitLimits, Circuits, reached
from callboard.webhooks.delivery import Delivery
from callboard.webhooks.later import Later, in_time, with_try
from callboard.webhooks.names import gregorian_ms
from callboard.webhooks.outcome import ClientError, Done, GiveUp, Outcome, Response, Retry
from callboard.webhooks.owed import Owed, Waiter
from callboard.webhooks.retrying import (
    KazooPolicy,
    Policy,
    max_tries,
    park,
    policy_named,
    verdict,
)

EVENT_BRIDGE = "event_bridge"
FAILURE_CACHE = "failure_cache"
HOOK_LISTENER = "hook_listener"
ATTEMPT_LOG = "deliveries/attempt_log"
RETRY_QUEUE = "deliveries/retry_queue"

REMEMBERED = 20_000
"""How many finished delivery ids are known, so that an event that comes again is not repeated."""
LINGER_S = 0.005
"""How long outcomes gather before they are reported: a few milliseconds save many messages."""
MAX_BATCHES_OUT = 4
MAX_SUCCESSES_WAITING = 5_000
"""Successful attempts that may wait for the attempt log; more are not recorded."""
BATCH = 200
SWEEP_S = 10.0
PATIENCE_S = 30.0
"""What cannot run for so long yet is put off: RabbitMQ takes events back that wait for hours."""
OVERDUE_S = 60.0
"""A batch that is not kept after so long is sent again: its message may have been lost."""
GONE = "the endpoint answered 410 Gone"

_FLUSH = "callboard: report outcomes"
_RETRIES = "callboard: retries are due"
_WAKE = "callboard: a turn may be due"
_SWEEP = "callboard: put off what cannot run"


@define
class _Job:
    """A delivery in hand. `waiters` wait for it to be settled.

    `rounds`: how often it was put off; `leaving`: it is being put off now. `headers`: those of
    the last try.
    """

    delivery: Delivery
    endpoint: str
    policy: Policy
    tries_made: int = 0
    parked_since_s: float | None = None
    rounds: int = 0
    history: tuple[tuple[int, str], ...] = ()
    leaving: bool = False
    waiters: list[Waiter] = Factory(list)
    headers: Headers = ()
    turn: "Turn[_Job] | None" = None


_Attempt = tuple[str, Mapping[str, Any], _Job | None]


class Deliverer(Noticing, Role):
    """Sends deliveries and settles their events (Kazoo: webhooks_util's fire_hook).

    A delivery is settled when it succeeded, when its last failed attempt is safe in the attempt
    log, or when the retry queue keeps it for later. A bad endpoint holds no more than its
    bulkhead's share of the threads and of the events in hand.
    """

    def begin(self, setup: Setup) -> None:
        """Start the threads."""
        delivery = self.settings.delivery
        signer = Signer(SecretBox(self.settings.secrets.key, self.settings.secrets_key_file))
        self._threads: SendingThreads[_Job] = SendingThreads(
            delivery.threads, transport(delivery, self.settings.attempts.body_limit), signer
        )
        self._room = waiting_room(self.settings)
        self._circuits = Circuits(CircuitLimits(failures=delivery.circuit_failures), random)
        self._bulkhead: Bulkhead[_Job] = Bulkhead(
            BulkheadLimits(in_flight=delivery.in_flight_per_endpoint, waiting=self._room),
            self._circuits,
        )
        self._owed = Owed()
        self._jobs: dict[str, _Job] = {}
        self._retries: list[tuple[float, int, _Job]] = []
        self._pausing: Counter[str] = Counter()
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._away: OrderedDict[str, None] = OrderedDict()
        self._ids = itertools.count()
        self._stopping = False
        self._flush_due = False
        self._wake_at: float | None = None
        self._failures: list[tuple[str, str, int]] = []
        self._disables: list[DisableHook] = []
        self._keep_successes = False
        self._attempts: Handover[_Attempt] = Handover(BATCH, MAX_BATCHES_OUT)
        self._put_offs: Handover[tuple[_Job, Later]] = Handover(
            BATCH, MAX_BATCHES_OUT, lambda put_off: len(put_off[0].delivery.body)
        )
        self._counts = dict.fromkeys(
            ("delivered", "given_up", "failed_tries", "put_off", "repeats", "unrecorded"), 0
        )
        self.watch(self._threads.fileno())
        self.after(SWEEP_S, _SWEEP)
        self.on_peers({})

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and what is in hand."""
        return {
            **self._counts,
            "in_flight": self._bulkhead.in_flight,
            "waiting": len(self._bulkhead),
            "parked": self._bulkhead.parked,
            "retrying": len(self._retries),
            "leaving": len(self._put_offs),
            "circuits_open": self._circuits.open,
        }

    # In

    def receiveMsg_DeliveryBatch(self, message: DeliveryBatch, _sender: ActorAddress) -> None:
        """Deliveries to make; those that are done, or under way already, are not begun again."""
        counts = {event.tag: len(event.deliveries) for event in message.events}
        if self._owed.take(message.source, message.part, counts):
            for event in message.events:
                waiter = Waiter(message.source, message.part, event.tag)
                for delivery in event.deliveries:
                    self._accept(delivery, waiter)
        self._go_on()

    def receiveMsg_DueBatch(self, message: DueBatch, _sender: ActorAddress) -> None:
        """Deliveries that were put off are due."""
        if self._owed.take(message.source, message.part, {tag: 1 for tag, _l in message.items}):
            for tag, later in message.items:
                waiter = Waiter(message.source, message.part, tag)
                self._accept(later.delivery, waiter, later)
        self._go_on()

    def _accept(self, delivery: Delivery, waiter: Waiter, later: Later | None = None) -> None:
        job = self._jobs.get(delivery.id)
        if job and later and job.leaving and later.rounds >= job.rounds:
            self._kept(job)  # Its way through the queue was quicker than the word of it.
            job = None
        if delivery.id in self._finished or (later is None and delivery.id in self._away):
            self._counts["repeats"] += 1
            self._owed.settle(waiter)
        elif job is not None:
            job.waiters.append(waiter)
        else:
            self._away.pop(delivery.id, None)
            job = self._jobs[delivery.id] = self._job(delivery, later)
            job.waiters.append(waiter)
            self._add(job)

    def _job(self, delivery: Delivery, later: Later | None) -> _Job:
        settings = self.settings.delivery
        name = delivery.options.policy or settings.retry_policy
        job = _Job(delivery, endpoint_of(delivery.uri), policy_named(name, settings.retry_steps_s))
        if later is not None:
            job.tries_made, job.rounds, job.history = (
                later.tries_made,
                later.rounds,
                later.history,
            )
            if later.parked_since_ms is not None:
                job.parked_since_s = later.parked_since_ms / 1000
        return job

    def _add(self, job: _Job) -> None:
        delivery = job.delivery
        answer = self._bulkhead.add(
            job, delivery.id, job.endpoint, delivery.hook_id, delivery.options, time.monotonic()
        )
        if isinstance(answer, Park):
            self._park(job)

    def _go_on(self) -> None:
        """Start what may run, be woken for what may run later, and report."""
        now = time.monotonic()
        while self._threads.free and (turn := self._bulkhead.next(now)) is not None:
            turn.item.turn = turn
            self._threads.send(turn.item)
        at = self._bulkhead.wake_at() if self._threads.free else None
        if at is not None and (self._wake_at is None or at < self._wake_at):
            self._wake_at = at
            self.after(at - now, _WAKE)
        self._flush_soon()

    # Out

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """Some requests have ended."""
        for sent in self._threads.ended():
            self._conclude(sent)
        self._go_on()

    def _conclude(self, sent: Sent[_Job]) -> None:
        job, outcome, now = sent.work, sent.outcome, time.time()
        job.headers = sent.headers
        job.tries_made += 1
        job.parked_since_s = None
        then = verdict(job.policy, job.delivery, job.tries_made, outcome, now, random)
        self._end_turn(job, outcome, then)
        if isinstance(then, Done):
            self._counts["delivered"] += 1
            self.log.debug("delivered", hook=job.delivery.hook_id, delivery=job.delivery.id)
            if self._keep_successes:
                self._record(job, outcome, now, last=False)
            self._finish(job)
            return
        self._failed(job, outcome, now)
        if isinstance(then, Retry):
            self._record(job, outcome, now, last=False)
            self._retry(job, then.after_ms)
        else:
            self._give_up(job, outcome, then, now)

    def _end_turn(self, job: _Job, outcome: Outcome, then: Done | Retry | GiveUp) -> None:
        assert job.turn is not None
        turn, job.turn = job.turn, None
        back_in_s = then.after_ms / 1000 if isinstance(then, Retry) else None
        shed = self._bulkhead.done(turn, time.monotonic(), reached(outcome), back_in_s)
        if not self._stopping:
            for other in shed:
                self._park(other)

    def _failed(self, job: _Job, outcome: Outcome, now: float) -> None:
        self._counts["failed_tries"] += 1
        delivery = job.delivery
        job.history = with_try(job.history, now, outcome)
        self._failures.append((delivery.account_id, delivery.hook_id, gregorian_ms(now)))
        tries_left = max_tries(job.policy, delivery) - job.tries_made
        self._note("try_failed", delivery, **_told(outcome), tries_left=tries_left)

    def _give_up(self, job: _Job, outcome: Outcome, then: GiveUp, now: float) -> None:
        delivery = job.delivery
        self._counts["given_up"] += 1
        self._note("given_up", delivery, reason=then.reason)
        self.notify(
            DeliveryFailed(
                delivery.account_id,
                delivery.hook_id,
                delivery.id,
                delivery.event_id,
                delivery.uri,
                then.reason,
            )
        )
        if then.disable:
            self._disables.append(DisableHook(delivery.account_id, delivery.hook_id, GONE))
        self._record(job, outcome, now, last=True)

    def _note(self, event: str, delivery: Delivery, **facts: Any) -> None:
        self.log.info(
            event,
            account=delivery.account_id,
            hook=delivery.hook_id,
            event_id=delivery.event_id,
            delivery=delivery.id,
            **facts,
        )

    def _finish(self, job: _Job) -> None:
        """A delivery needs nothing more: settle the events that waited for it."""
        _remember(self._finished, job.delivery.id)
        self._settle(job)

    def _settle(self, job: _Job) -> None:
        if self._jobs.get(job.delivery.id) is job:
            del self._jobs[job.delivery.id]
        for waiter in job.waiters:
            self._owed.settle(waiter)

    # Later

    def _retry(self, job: _Job, after_ms: int) -> None:
        """Try again after a pause: a short one in memory while there is room, or put it off."""
        short = isinstance(job.policy, KazooPolicy) and after_ms <= job.policy.pause_ms
        if short and self._pausing[job.endpoint] < self._room:
            self._pausing[job.endpoint] += 1
            due = time.monotonic() + after_ms / 1000
            heapq.heappush(self._retries, (due, next(self._ids), job))
            self.after(after_ms / 1000, _RETRIES)
        else:
            self._put_off(job, after_ms)

    def _retry_due(self) -> None:
        now = time.monotonic()
        while self._retries and self._retries[0][0] <= now:
            job = heapq.heappop(self._retries)[2]
            self._pausing[job.endpoint] -= 1
            if not self._pausing[job.endpoint]:
                del self._pausing[job.endpoint]
            self._add(job)

    def _park(self, job: _Job) -> None:
        """There is no room for it: it comes back later, untried, or is given up after days."""
        now = time.time()
        if job.parked_since_s is None:
            job.parked_since_s = now
        most_s = self.settings.delivery.park_hours * 3600
        then = park(job.parked_since_s, now, most_s, random)
        if isinstance(then, Retry):
            self._put_off(job, then.after_ms)
        else:
            delivery = job.delivery
            self._bulkhead.gone(delivery.id, job.endpoint, delivery.hook_id, time.monotonic())
            self._give_up(job, ClientError(then.reason), then, now)

    def _put_off(self, job: _Job, after_ms: int) -> None:
        """Let the retry queue have it; its events are settled once that keeps it."""
        job.leaving = True
        job.rounds += 1
        due_ms, left = in_time(after_ms, time.time())
        since_s = job.parked_since_s
        later = Later(
            job.delivery,
            job.tries_made,
            due_ms,
            left,
            None if since_s is None else int(since_s * 1000),
            job.rounds,
            job.history,
        )
        self._put_offs.add((job, later))
        self._flush_soon()

    def receiveMsg_PutOffKept(self, message: PutOffKept, _sender: ActorAddress) -> None:
        """A batch of deliveries is safe in the retry queue."""
        for job, _later in self._put_offs.kept(message.batch):
            if self._jobs.get(job.delivery.id) is job:
                self._kept(job)
        self._flush_soon()

    def _kept(self, job: _Job) -> None:
        self._counts["put_off"] += 1
        _remember(self._away, job.delivery.id)
        self._settle(job)

    # Timers and reports

    def on_timer(self, payload: Any) -> None:
        """Report what has gathered; go on with what is due."""
        if payload == _FLUSH:
            self._flush_due = False
            self._flush()
            return
        if self._stopping:
            return
        if payload == _RETRIES:
            self._retry_due()
        elif payload == _WAKE:
            self._wake_at = None
        elif payload == _SWEEP:
            self._sweep()
            self.after(SWEEP_S, _SWEEP)
        self._go_on()

    def _sweep(self) -> None:
        now = time.monotonic()
        for job in self._bulkhead.withdraw(now, PATIENCE_S):
            self._park(job)
        if retry_queue := self.peer(RETRY_QUEUE):
            for number, batch in self._put_offs.overdue(now - OVERDUE_S, now):
                self._send_put_off(retry_queue, number, batch)

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self.after(LINGER_S, _FLUSH)

    def _flush(self) -> None:
        for path in self._owed.paths():
            if source := self.peer(path):
                report = self._owed.report(path)
                self.send(source, Progress(report.source, report.accepted, report.settled))
        if self._failures and (cache := self.peer(FAILURE_CACHE)):
            self.send(cache, FailedTries(tuple(self._failures)))
            self._failures = []
        if listener := self.peer(HOOK_LISTENER):
            for disable in self._disables:
                self.send(listener, disable)
            self._disables = []
        self._hand_over(time.monotonic())
        if self._stopping:
            self._finish_if_idle()

    def _hand_over(self, now: float) -> None:
        if log := self.peer(ATTEMPT_LOG):
            while (out := self._attempts.next(now)) is not None:
                number, attempts = out
                documents = tuple((db, document) for db, document, _job in attempts)
                self.send(log, Attempts(number, documents))
        if retry_queue := self.peer(RETRY_QUEUE):
            while (put_off := self._put_offs.next(now)) is not None:
                self._send_put_off(retry_queue, *put_off)

    def _send_put_off(
        self, retry_queue: ActorAddress, number: int, batch: list[tuple[_Job, Later]]
    ) -> None:
        items = tuple(later for _job, later in batch)
        self.send(retry_queue, PutOff(number, (self.path, self.incarnation), items))

    # Attempts

    def _record(self, job: _Job, outcome: Outcome, now: float, *, last: bool) -> None:
        """Keep an attempt; the last one of a delivery given up settles it once it is safe."""
        if not last and self._attempts.waiting > MAX_SUCCESSES_WAITING:
            self._counts["unrecorded"] += 1
            return
        tries_left = max_tries(job.policy, job.delivery) - max(job.tries_made, 1) + 1
        document = attempt_document(
            evolve(job.delivery, headers=job.headers or job.delivery.headers),
            outcome,
            tries_left,
            now,
            self.settings.attempts.body_limit,
            job.policy,
        )
        self._attempts.add((attempt_database(job.delivery, now), document, job if last else None))
        self._flush_soon()

    def receiveMsg_AttemptsKept(self, message: AttemptsKept, _sender: ActorAddress) -> None:
        """A batch of attempts is safe: deliveries given up in it are settled."""
        for _database, _document, job in self._attempts.kept(message.batch):
            if job is not None:
                self._finish(job)
        self._flush_soon()

    def receiveMsg_AttemptPolicy(self, message: AttemptPolicy, _sender: ActorAddress) -> None:
        """Whether successes are wanted too."""
        self._keep_successes = message.successes

    # Peers and stopping

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """New sources count anew; who is to keep something gets what the one before had not."""
        for path in (EVENT_BRIDGE, RETRY_QUEUE):
            if _changed(path, before, self.peers):
                self._owed.serve((path, self.peers[path].incarnation))
        if _changed(RETRY_QUEUE, before, self.peers):
            self._put_offs.take_back()
        if _changed(ATTEMPT_LOG, before, self.peers):
            self._attempts.take_back()
            self.send(self.peers[ATTEMPT_LOG].address, WhichAttempts())
        self._flush_soon()

    def receiveMsg_Reconcile(self, message: Reconcile, sender: ActorAddress) -> None:
        """A source misses these parts; those that are unknown here never arrived."""
        unknown = self._owed.unknown(message.source, message.parts)
        self.send(sender, NotHeld(message.source, unknown))

    def on_stop(self) -> None:
        """Let the requests under way end; what waits goes back to the broker unsettled."""
        self._stopping = True
        self._bulkhead.drain()
        self._retries.clear()
        self._flush_soon()

    def _finish_if_idle(self) -> None:
        if not self._bulkhead.in_flight and not self._attempts:
            self.finish()
        else:
            self._flush_soon()


def waiting_room(settings: Settings) -> int:
    """How many deliveries may wait for one endpoint here.

    By default, with those under way in all workers, four fifths of the events in hand: a burst to
    one endpoint that keeps up is taken as it comes, and others always have room.
    """
    delivery = settings.delivery
    if delivery.waiting_per_endpoint:
        return delivery.waiting_per_endpoint
    workers = delivery.workers or os.cpu_count() or 1
    share = settings.amqp.prefetch * 4 // 5 // workers
    return max(1, share - delivery.in_flight_per_endpoint)


def _remember(ids: "OrderedDict[str, None]", id: str) -> None:
    ids[id] = None
    if len(ids) > REMEMBERED:
        ids.popitem(last=False)


def _changed(path: str, before: Mapping[str, Peer], now: Mapping[str, Peer]) -> bool:
    """Whether there is a new incarnation of that peer."""
    return path in now and (path not in before or before[path] != now[path])


def _told(outcome: Outcome) -> Mapping[str, Any]:
    """What the log says of it."""
    if isinstance(outcome, Response):
        return {"outcome": outcome.status}
    return {"outcome": outcome.kind} | ({"detail": outcome.detail} if outcome.detail else {})
