"""Deliveries over HTTP: worker threads send, the actor keeps the books."""

import heapq
import itertools
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from queue import SimpleQueue
from random import random
from typing import Any

from attrs import Factory, define, evolve
from thespian.actors import ActorAddress, WatchMessage

from callboard.actors.messages import (
    AttemptPolicy,
    Attempts,
    AttemptsKept,
    DeliveryBatch,
    FailedTries,
    NotHeld,
    Progress,
    Reconcile,
    WhichAttempts,
)
from callboard.actors.notices import DeliveryFailed
from callboard.actors.noticing import Noticing
from callboard.actors.role import Role, Setup
from callboard.actors.transports import transport
from callboard.adapters.secret_box import SecretBox
from callboard.adapters.signer import REFUSED, Headers, Signer, SigningRefused
from callboard.supervision import Peer
from callboard.webhooks.attempts import attempt_database, attempt_document
from callboard.webhooks.bulkhead import endpoint_of
from callboard.webhooks.delivery import Delivery
from callboard.webhooks.lanes import Lanes
from callboard.webhooks.names import gregorian_ms
from callboard.webhooks.outcome import ClientError, Done, Response, Retry
from callboard.webhooks.retrying import KazooPolicy, verdict

EVENT_BRIDGE = "event_bridge"
FAILURE_CACHE = "failure_cache"
ATTEMPT_LOG = "deliveries/attempt_log"

REMEMBERED = 20_000
"""How many finished delivery ids are known, so that an event that comes again is not repeated."""
LINGER_S = 0.005
"""How long outcomes gather before they are reported: a few milliseconds save many messages."""
MAX_ATTEMPT_BATCHES = 4
MAX_SUCCESSES_WAITING = 5_000
"""Successful attempts that may wait for the attempt log; more are not recorded."""
ATTEMPT_BATCH = 200

_FLUSH = "callboard: report outcomes"
_RETRIES = "callboard: retries are due"

Waiter = tuple[str, int]


@define
class _Job:
    """A delivery in hand. `waiters`: the (part, delivery tag) that wait for it to be settled.

    `headers`: those of the last try.
    """

    delivery: Delivery
    lane: str
    tries_left: int
    waiters: list[Waiter] = Factory(list)
    headers: Headers = ()


@define
class _Open:
    """What of a part is not settled: how many deliveries, by delivery tag."""

    left: dict[int, int]


class Deliverer(Noticing, Role):
    """Sends deliveries and settles their events (Kazoo: webhooks_util's fire_hook).

    A delivery is settled when it succeeded, or when its last failed attempt is safe in the
    attempt log. A hanging endpoint holds no more than its lane's share of the threads.
    """

    def begin(self, setup: Setup) -> None:
        """Start the threads."""
        delivery = self.settings.delivery
        self._transport = transport(delivery, self.settings.attempts.body_limit)
        self._signer = Signer(SecretBox(self.settings.secrets.key, self.settings.secrets_key_file))
        self._free_threads = delivery.threads
        self._lanes: Lanes[_Job] = Lanes(delivery.in_flight_per_endpoint)
        self._jobs: dict[str, _Job] = {}
        self._retries: list[tuple[float, int, _Job]] = []
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._parts: dict[tuple[int, str], _Open] = {}
        self._bridge = 0
        self._ids = itertools.count()
        self._stopping = False
        self._flush_due = False
        self._accepted: list[str] = []
        self._settled: dict[str, list[int]] = {}
        self._failures: list[tuple[str, str, int]] = []
        self._keep_successes = False
        self._attempts: deque[tuple[str, Mapping[str, Any], _Job | None]] = deque()
        self._attempt_batches: dict[int, list[tuple[str, Mapping[str, Any], _Job | None]]] = {}
        self._counts = dict.fromkeys(
            ("delivered", "given_up", "failed_tries", "repeats", "unrecorded"), 0
        )
        self._work: SimpleQueue[_Job] = SimpleQueue()
        self._outcomes: deque[tuple[_Job, Response | ClientError | Exception]] = deque()
        self._pipe_out, self._pipe_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._pipe_out)
        for number in range(delivery.threads):
            threading.Thread(target=self._send_all, name=f"send-{number}", daemon=True).start()
        self.on_peers({})

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and what is in hand."""
        in_flight = self.settings.delivery.threads - self._free_threads
        return {
            **self._counts,
            "in_flight": in_flight,
            "waiting": len(self._lanes),
            "retrying": len(self._retries),
        }

    # In

    def receiveMsg_DeliveryBatch(self, message: DeliveryBatch, _sender: ActorAddress) -> None:
        """Deliveries to make; those that are done, or under way already, are not begun again."""
        self._serve(message.bridge)
        if message.bridge != self._bridge or (message.bridge, message.part) in self._parts:
            return
        self._accepted.append(message.part)
        part = _Open({event.tag: len(event.deliveries) for event in message.events})
        self._parts[message.bridge, message.part] = part
        for event in message.events:
            for delivery in event.deliveries:
                self._accept(delivery, message, event.tag)
        self._dispatch()
        self._flush_soon()

    def _accept(self, delivery: Delivery, batch: DeliveryBatch, tag: int) -> None:
        waiter = (batch.part, tag)
        if delivery.id in self._finished:
            self._counts["repeats"] += 1
            self._settle_one(waiter)
            return
        job = self._jobs.get(delivery.id)
        if job is None:
            job = _Job(delivery, endpoint_of(delivery.uri), delivery.tries)
            self._jobs[delivery.id] = job
            self._lanes.add(job.lane, job)
        job.waiters.append(waiter)

    def _dispatch(self) -> None:
        while self._free_threads and (job := self._lanes.next()) is not None:
            self._free_threads -= 1
            self._work.put(job)

    # The threads

    def _send_all(self) -> None:
        """Send jobs as they come; a worker thread's whole life."""
        while True:
            job = self._work.get()
            delivery = job.delivery
            job.headers = delivery.headers
            outcome: Response | ClientError | Exception
            try:
                job.headers = self._signer.signed(delivery, time.time())
                outcome = self._transport.send(
                    delivery.method,
                    delivery.url,
                    job.headers,
                    delivery.body,
                    delivery.options.certificate,
                    delivery.account_id,
                )
            except SigningRefused as refused:
                outcome = ClientError(REFUSED, str(refused))
            except Exception as defect:  # noqa: BLE001 - raised again in the actor, which ends
                outcome = defect
            wake = not self._outcomes
            self._outcomes.append((job, outcome))
            if wake:
                self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._pipe_in, b"!")
        except BlockingIOError:
            return  # The pipe is full of wake-ups already.

    # Out

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """Some requests have ended."""
        os.read(self._pipe_out, 65536)
        while self._outcomes:
            self._conclude(*self._outcomes.popleft())
        self._dispatch()
        self._flush_soon()

    def _conclude(self, job: _Job, outcome: Response | ClientError | Exception) -> None:
        if isinstance(outcome, Exception):
            raise outcome
        self._free_threads += 1
        self._lanes.done(job.lane)
        delivery, now = job.delivery, time.time()
        tries_made = delivery.tries - job.tries_left + 1
        then = verdict(KazooPolicy(), delivery, tries_made, outcome, now, random)
        if isinstance(then, Done):
            self._counts["delivered"] += 1
            self.log.debug("delivered", hook=delivery.hook_id, delivery=delivery.id)
            if self._keep_successes:
                self._record(job, outcome, now, last=False)
            self._finish(job)
            return
        self._counts["failed_tries"] += 1
        self._failures.append((delivery.account_id, delivery.hook_id, gregorian_ms(now)))
        self._note(
            "try_failed",
            delivery,
            **_told(outcome),
            tries_left=job.tries_left - 1,
        )
        if isinstance(then, Retry):
            self._record(job, outcome, now, last=False)
            job.tries_left -= 1
            due = time.monotonic() + then.after_ms / 1000
            heapq.heappush(self._retries, (due, next(self._ids), job))
            self.after(then.after_ms / 1000, _RETRIES)
        else:
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
        self._jobs.pop(job.delivery.id, None)
        self._finished[job.delivery.id] = None
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)
        for waiter in job.waiters:
            self._settle_one(waiter)

    def _settle_one(self, waiter: Waiter) -> None:
        part, tag = waiter
        open_part = self._parts.get((self._bridge, part))
        if open_part is None or tag not in open_part.left:
            return
        open_part.left[tag] -= 1
        if not open_part.left[tag]:
            del open_part.left[tag]
            self._settled.setdefault(part, []).append(tag)
        if not open_part.left:
            del self._parts[self._bridge, part]

    def on_timer(self, payload: Any) -> None:
        """Report what has gathered; try again what is due."""
        if payload == _FLUSH:
            self._flush_due = False
            self._flush()
        elif payload == _RETRIES:
            now = time.monotonic()
            while self._retries and self._retries[0][0] <= now:
                job = heapq.heappop(self._retries)[2]
                self._lanes.add(job.lane, job)
            self._dispatch()

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self.after(LINGER_S, _FLUSH)

    def _flush(self) -> None:
        if (self._accepted or self._settled) and (bridge := self.peer(EVENT_BRIDGE)):
            settled = tuple((part, tuple(tags)) for part, tags in self._settled.items())
            self.send(bridge, Progress(self._bridge, tuple(self._accepted), settled))
            self._accepted, self._settled = [], {}
        if self._failures and (cache := self.peer(FAILURE_CACHE)):
            self.send(cache, FailedTries(tuple(self._failures)))
            self._failures = []
        self._send_attempts()
        if self._stopping:
            self._finish_if_idle()

    # Attempts

    def _record(
        self, job: _Job, outcome: Response | ClientError, now: float, *, last: bool
    ) -> None:
        """Keep an attempt; the last one of a delivery given up settles it once it is safe."""
        if not last and len(self._attempts) > MAX_SUCCESSES_WAITING:
            self._counts["unrecorded"] += 1
            return
        self._attempts.append(
            (
                attempt_database(job.delivery, now),
                attempt_document(
                    evolve(job.delivery, headers=job.headers),
                    outcome,
                    job.tries_left,
                    now,
                    self.settings.attempts.body_limit,
                ),
                job if last else None,
            )
        )

    def _send_attempts(self) -> None:
        log = self.peer(ATTEMPT_LOG)
        while self._attempts and log and len(self._attempt_batches) < MAX_ATTEMPT_BATCHES:
            count = min(len(self._attempts), ATTEMPT_BATCH)
            batch = [self._attempts.popleft() for _ in range(count)]
            id = next(self._ids)
            self._attempt_batches[id] = batch
            self.send(log, Attempts(id, tuple((db, document) for db, document, _job in batch)))

    def receiveMsg_AttemptsKept(self, message: AttemptsKept, _sender: ActorAddress) -> None:
        """A batch of attempts is safe: deliveries given up in it are settled."""
        for _database, _document, job in self._attempt_batches.pop(message.batch, ()):
            if job is not None:
                self._finish(job)
        self._flush_soon()

    def receiveMsg_AttemptPolicy(self, message: AttemptPolicy, _sender: ActorAddress) -> None:
        """Whether successes are wanted too."""
        self._keep_successes = message.successes
        if not self.settings.delivery.connect_timeout_ms:
            self._transport.connect_within(message.connect_timeout_ms / 1000)

    # Peers and stopping

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """A new bridge counts anew; a new attempt log gets what the old one had not confirmed."""
        if _changed(EVENT_BRIDGE, before, self.peers):
            self._serve(self.peers[EVENT_BRIDGE].incarnation)
        if _changed(ATTEMPT_LOG, before, self.peers):
            for batch in self._attempt_batches.values():
                self._attempts.extendleft(reversed(batch))
            self._attempt_batches.clear()
            self.send(self.peers[ATTEMPT_LOG].address, WhichAttempts())
        self._flush_soon()

    def _serve(self, bridge: int) -> None:
        """Nobody waits any more for what an earlier bridge sent: its events come again."""
        if bridge > self._bridge:
            self._bridge = bridge
            self._accepted, self._settled = [], {}
            self._parts.clear()
            for job in self._jobs.values():
                job.waiters.clear()

    def receiveMsg_Reconcile(self, message: Reconcile, sender: ActorAddress) -> None:
        """The bridge misses these parts; those that are unknown here never arrived."""
        lost = tuple(p for p in message.parts if (message.bridge, p) not in self._parts)
        settled = set(self._settled)
        self.send(sender, NotHeld(message.bridge, tuple(p for p in lost if p not in settled)))

    def on_stop(self) -> None:
        """Let the requests under way end; what waits goes back to the broker unsettled."""
        self._stopping = True
        self._lanes = Lanes(self.settings.delivery.in_flight_per_endpoint)
        self._retries.clear()
        self._flush_soon()

    def _finish_if_idle(self) -> None:
        in_flight = self.settings.delivery.threads - self._free_threads
        if not in_flight and not self._attempts and not self._attempt_batches:
            self.finish()
        else:
            self._flush_soon()


def _changed(path: str, before: Mapping[str, Peer], now: Mapping[str, Peer]) -> bool:
    """Whether there is a new incarnation of that peer."""
    return path in now and (path not in before or before[path] != now[path])


def _told(outcome: Response | ClientError) -> Mapping[str, Any]:
    """What the log says of it."""
    if isinstance(outcome, Response):
        return {"outcome": outcome.status}
    return {"outcome": outcome.kind} | ({"detail": outcome.detail} if outcome.detail else {})
