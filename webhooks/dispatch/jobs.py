"""The deliveries that a deliverer has in hand, and those it knows to be done or kept elsewhere."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from attrs import Factory, define

from callboard.webhooks.acknowledgement.receipts import Owed, Waiter
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.dispatch.dispatcher import Turn, endpoint_of
from callboard.webhooks.retries.policy import Policy, max_tries, policy_named
from callboard.webhooks.retries.retry_message import Later, in_time

REMEMBERED = 20_000
"""How many finished delivery ids are known, so that an event that comes again is not repeated;
and how many that were put off."""

RECENT_S = 3600.0
"""So long an id counts: what comes after a death comes within seconds of the start after it, and
later the same event may be meant to come again."""


class Finished(Protocol):
    """Ids of deliveries that are finished, whoever has finished them; it may forget old ones."""

    def add(self, id: str, /) -> None:
        """This one is."""

    def __contains__(self, id: str, /) -> bool:
        """Whether this one is known to be."""


@define
class Job:
    """A delivery in hand. `waiters` wait for it to be settled.

    `rounds`: how often it was put off; `leaving`: it is being put off now. `headers`: those of
    the last try; `history`: as in `Later`; `turn`: while it is under way. `taken_at`: when its
    event arrived, by the monotonic clock; None if it came from the retry queue.
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
    headers: tuple[tuple[str, str], ...] = ()
    turn: "Turn[Job] | None" = None
    taken_at: float | None = None

    @property
    def tries_left(self) -> int:
        """How many tries it has after those made."""
        return max_tries(self.policy, self.delivery) - self.tries_made

    def put_off(self, after_ms: int, now_unix_s: float) -> Later:
        """It leaves, to come back after a while."""
        self.leaving = True
        self.rounds += 1
        due_ms, left = in_time(after_ms, now_unix_s)
        since_s = self.parked_since_s
        return Later(
            self.delivery,
            self.tries_made,
            due_ms,
            left,
            None if since_s is None else int(since_s * 1000),
            self.rounds,
            self.history,
        )


class InHand:
    """Jobs by delivery id. What is settled is told to `owed`.

    `policy`: the name of the policy of deliveries that name none; `steps_s`: those of `standard`.
    `finished`: what is known beyond this, and shared with others. `clock`: seconds, monotonic.
    """

    def __init__(
        self,
        owed: Owed,
        policy: str,
        steps_s: tuple[float, ...],
        finished: Finished,
        clock: Callable[[], float],
    ) -> None:
        self._owed, self._policy, self._steps_s = owed, policy, steps_s
        self._jobs: dict[str, Job] = {}
        self._clock = clock
        self._finished: OrderedDict[str, float] = OrderedDict()
        self._finished_anywhere = finished
        self._away: OrderedDict[str, float] = OrderedDict()
        self.repeats = 0
        """How many deliveries came that were known to be done, or put off."""
        self.kept_elsewhere = 0
        """How many were put off, and are kept."""

    def __len__(self) -> int:
        """How many deliveries are in hand."""
        return len(self._jobs)

    def take(self, delivery: Delivery, waiter: Waiter, later: Later | None = None) -> Job | None:
        """A delivery has come, from the retry queue with what is known of it; the job to begin.

        None if there is nothing to begin: it is done, in hand, or put off and still to come back.
        """
        job = self._jobs.get(delivery.id)
        if job is not None and later is not None and self._is_back(job, later):
            self.kept(job)
            job = None
        away = later is None and self._knows(self._away, delivery.id)
        if away or self._is_finished(delivery.id):
            self.repeats += 1
            self._owed.settle(waiter)
            return None
        if job is not None:
            job.waiters.append(waiter)
            return None
        self._away.pop(delivery.id, None)
        job = self._jobs[delivery.id] = self._job(delivery, later)
        job.waiters.append(waiter)
        return job

    def finish(self, job: Job) -> None:
        """A delivery needs nothing more: settle what waited for it."""
        self._remember(self._finished, job.delivery.id)
        self._finished_anywhere.add(job.delivery.id)
        self._settle(job)

    def kept(self, job: Job) -> None:
        """A delivery is safe in the retry queue; no news if it is back by now."""
        if self._jobs.get(job.delivery.id) is job:
            self.kept_elsewhere += 1
            self._remember(self._away, job.delivery.id)
            self._settle(job)

    def _is_finished(self, id: str) -> bool:
        return self._knows(self._finished, id) or id in self._finished_anywhere

    def _knows(self, ids: "OrderedDict[str, float]", id: str) -> bool:
        since = ids.get(id)
        return since is not None and self._clock() - since <= RECENT_S

    def _remember(self, ids: "OrderedDict[str, float]", id: str) -> None:
        ids[id] = self._clock()
        ids.move_to_end(id)
        if len(ids) > REMEMBERED:
            ids.popitem(last=False)

    @staticmethod
    def _is_back(job: Job, later: Later) -> bool:
        """Whether what has come is what was just put off: it was quicker than the word of it."""
        return job.leaving and later.rounds >= job.rounds

    def _job(self, delivery: Delivery, later: Later | None) -> Job:
        policy = policy_named(delivery.options.policy or self._policy, self._steps_s)
        job = Job(delivery, endpoint_of(delivery.uri), policy)
        if later is not None:
            job.tries_made, job.rounds, job.history = later.tries_made, later.rounds, later.history
            if later.parked_since_ms is not None:
                job.parked_since_s = later.parked_since_ms / 1000
        return job

    def _settle(self, job: Job) -> None:
        if self._jobs.get(job.delivery.id) is job:
            del self._jobs[job.delivery.id]
        for waiter in job.waiters:
            self._owed.settle(waiter)
