"""A deliverer's reports of attempts to the attempt log, the failure cache and the hook listener."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from attrs import evolve, frozen
from thespian.actors import ActorAddress

from callboard.actors.messages import (
    AttemptPolicy,
    Attempts,
    AttemptsPersisted,
    DisableHook,
    FailedAttempts,
    WhichAttempts,
)
from callboard.actors.messages.notifications import DeliveryFailed, Notice
from callboard.actors.messages.paths import ATTEMPT_LOG, FAILURE_CACHE, HOOK_LISTENER
from callboard.config.settings import Settings
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.outbox import Outbox
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.dispatch.jobs import Job
from callboard.webhooks.history.attempts import CUT_MARK, attempt_database, attempt_document
from callboard.webhooks.history.dead_letters import DATABASE as DEAD_LETTERS
from callboard.webhooks.history.dead_letters import dead_letter
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.tally import Tally
from callboard.webhooks.retries.outcome import Cancelled, GiveUp, Outcome, Response, Unsent
from callboard.webhooks.retries.retry_message import with_attempt
from callboard.webhooks.values.kazoo_names import gregorian_ms

MAX_BATCHES_OUT = 4
MAX_SUCCESSES_WAITING = 5_000
"""Limit of waiting attempt records on which no delivery's settlement depends; more are dropped."""
ATTEMPT_BATCH = 200
_BODIES = ("req_body", "resp_body", "body", "body_base64")
GONE = "the endpoint answered 410 Gone"


@frozen
class _Record:
    """(database, document) pairs to store, and the delivery that is finished once they are."""

    documents: tuple[tuple[str, Mapping[str, Any]], ...]
    ends: Job | None = None

    @property
    def size(self) -> int:
        """The approximate size in bytes."""
        return sum(
            len(document.get(body) or "")
            for _database, document in self.documents
            for body in _BODIES
        )


class Recorder:
    """Records the outcome of each attempt and sends the records to other actors in batches.

    `finished` is called with a finished delivery: at once if it succeeded; if it is exhausted, when
    the attempt log has its record on disk. `send` sends to the address of a peer, and `peer` finds
    that address by the peer's path.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        finished: Callable[[Job], None],
        notify: Callable[[Notice], None],
        peer: Callable[[str], ActorAddress | None],
        send: Callable[[ActorAddress, Any], None],
        tally: Tally,
        log: Any,
    ) -> None:
        self._settings, self._finished, self._notify = settings, finished, notify
        self._peer, self._send, self._tally, self._log = peer, send, tally, log
        self._attempts: Outbox[_Record] = Outbox(
            ATTEMPT_BATCH, MAX_BATCHES_OUT, lambda record: record.size
        )
        self._failures: list[tuple[str, str, int]] = []
        self._disables: list[DisableHook] = []
        self._keep_successes = settings.attempts.log_successful or False
        names = ["delivered", "given_up", "cancelled", "failed_tries", "unrecorded"]
        names += ["dry_run"] if settings.delivery.dry_run else []
        self.counts = dict.fromkeys(names, 0)

    @property
    def unrecorded(self) -> int:
        """Records not yet confirmed by the attempt log."""
        return len(self._attempts)

    @property
    def resent(self) -> int:
        """How often the same unconfirmed batch was sent again."""
        return self._attempts.resent

    @property
    def unreported(self) -> int:
        """Records and failures not sent yet."""
        return self._attempts.waiting + len(self._failures) + len(self._disables)

    # Outcomes

    def delivered(self, job: Job, outcome: Outcome, now: float) -> None:
        """The delivery succeeded."""
        self.counts["delivered"] += 1
        self._log.debug("delivered", hook=job.delivery.hook_id, delivery=job.delivery.id)
        chosen = job.delivery.options.log_successful
        if self._keep_successes if chosen is None else chosen:
            self._record(job, outcome, now)
        self._finished(job)

    def failed(self, job: Job, outcome: Outcome, now: float) -> None:
        """An attempt failed."""
        self.counts["failed_tries"] += 1
        delivery = job.delivery
        job.history = with_attempt(job.history, now, outcome)
        self._count_failure(delivery, now)
        self._note("try_failed", delivery, **_as_fields(outcome), tries_left=job.attempts_left)

    def skipped(self, job: Job, now: float) -> None:
        """No attempt was made, because its endpoint's circuit is open. Counts as a failure.

        Otherwise the hooks of an endpoint that is down would stop failing and never be disabled.
        """
        self._count_failure(job.delivery, now)

    def retried(self, job: Job, outcome: Outcome, now: float) -> None:
        """An attempt failed and another will follow."""
        self._record(job, outcome, now)

    def exhausted(
        self, job: Job, outcome: Outcome, then: GiveUp, now: float, lost_bytes: int | None = None
    ) -> None:
        """The delivery is exhausted; `finished` once its dead letter and attempt are on disk.

        `lost_bytes`: the size of its payload, if that is too large to be recorded.
        """
        if lost_bytes is not None:
            job.delivery = evolve(job.delivery, body=CUT_MARK.encode())
        delivery = job.delivery
        self.counts["given_up"] += 1
        self._note("given_up", delivery, reason=then.reason)
        self._notify(
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
        document = dead_letter(
            delivery,
            then.reason,
            job.attempts_made,
            job.history,
            now,
            self._settings.node.name,
            lost_bytes,
        )
        attempt = self._attempt(job, outcome, now)
        self._attempts.add(_Record(((DEAD_LETTERS, document), attempt), ends=job))

    def cancelled(self, job: Job, reason: str, now: float) -> None:
        """The delivery will not be sent; `finished` once its record is on disk."""
        self.counts["cancelled"] += 1
        self._note("delivery_cancelled", job.delivery, reason=reason)
        attempt = self._attempt(job, Cancelled(reason), now)
        self._attempts.add(_Record((attempt,), ends=job))

    def unsent(self, job: Job, now: float) -> None:
        """A dry run ends before the request; `finished` once its record is on disk."""
        self.counts["dry_run"] += 1
        self._attempts.add(_Record((self._attempt(job, Unsent(), now),), ends=job))

    def _count_failure(self, delivery: Delivery, now: float) -> None:
        self._failures.append((delivery.account_id, delivery.hook_id, gregorian_ms(now)))

    def _note(self, event: str, delivery: Delivery, **facts: Any) -> None:
        self._log.info(
            event,
            account=delivery.account_id,
            hook=delivery.hook_id,
            event_id=delivery.event_id,
            delivery=delivery.id,
            **facts,
        )

    def _record(self, job: Job, outcome: Outcome, now: float) -> None:
        if self._attempts.waiting > MAX_SUCCESSES_WAITING:
            self.counts["unrecorded"] += 1
        else:
            self._attempts.add(_Record((self._attempt(job, outcome, now),)))

    def _attempt(
        self, job: Job, outcome: Outcome | Cancelled | Unsent, now: float
    ) -> tuple[str, dict[str, Any]]:
        # The end of a delivery that was deferred too long, or cancelled, is no attempt, but has a
        # record.
        no_attempt = job.deferred_since_s is not None or isinstance(outcome, Cancelled)
        return attempt_database(job.delivery, now), attempt_document(
            evolve(job.delivery, headers=job.headers or job.delivery.headers),
            outcome,
            job.attempts_left + 1 if job.attempts_made else job.attempts_left,
            now,
            self._settings.attempts.body_limit,
            job.policy,
            number=job.attempts_made + no_attempt,
            credentials=self._settings.attempts.credentials,
            took_s=None if no_attempt else job.took_s,
        )

    # Reports

    def report_attempts(self) -> None:
        """Send waiting records to the actors that are up."""
        if self._failures and (cache := self._peer(FAILURE_CACHE)):
            self._send(cache, FailedAttempts(tuple(self._failures)))
            self._failures = []
        if self._disables and (listener := self._peer(HOOK_LISTENER)):
            for disable in self._disables:
                self._send(listener, disable)
            self._disables = []
        if log := self._peer(ATTEMPT_LOG):
            while (out := self._attempts.next(time.monotonic())) is not None:
                number, records = out
                self._tally.observe(catalog.BATCH_SIZE, len(records), "attempts")
                self._hand_over(log, number, records)

    def report_overdue(self, before: float, now: float) -> None:
        """Repeat batches sent before `before`: the message or its confirmation may be lost."""
        if log := self._peer(ATTEMPT_LOG):
            for number, records in self._attempts.overdue(before, now):
                self._hand_over(log, number, records)

    def _hand_over(self, log: ActorAddress, number: int, records: Sequence[_Record]) -> None:
        documents = chain.from_iterable(record.documents for record in records)
        self._send(log, Attempts(number, tuple(documents)))

    def attempts_kept(self, message: AttemptsPersisted) -> None:
        """The attempt log has a batch on disk: finish its exhausted deliveries."""
        for record in self._attempts.confirmed(message.batch):
            if record.ends is not None:
                self._finished(record.ends)

    def follow(self, policy: AttemptPolicy) -> None:
        """Start or stop recording successful attempts, unless the node's settings say."""
        if self._settings.attempts.log_successful is None:
            self._keep_successes = policy.successes

    def on_peers(self, before: Mapping[str, Peer], now: Mapping[str, Peer]) -> None:
        """Send a new attempt log the batches that its predecessor did not confirm."""
        if is_new(ATTEMPT_LOG, before, now):
            self._attempts.take_back()
            self._send(now[ATTEMPT_LOG].address, WhichAttempts())


def is_new(path: str, before: Mapping[str, Peer], now: Mapping[str, Peer]) -> bool:
    """Whether the peer is up and its incarnation is new."""
    return path in now and (path not in before or before[path] != now[path])


def _as_fields(outcome: Outcome) -> Mapping[str, Any]:
    """The outcome as fields of a log event."""
    if isinstance(outcome, Response):
        return {"outcome": outcome.status}
    return {"outcome": outcome.kind} | ({"detail": outcome.detail} if outcome.detail else {})
