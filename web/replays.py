"""Replays that go on when their request is answered: in threads, at a bounded rate."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from attrs import evolve, field, frozen

from callboard import admin
from callboard.web.backend import Backend, NoAnswer, RefusedByActor
from callboard.webhooks.replaying import one_of_each

RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"

AT_ONCE = 4
"""More replays do not run at the same time."""
REMEMBERED = 100
REASONS = 100
"""So many attempts that were skipped are told one by one."""
PATIENCE_S = 30.0
TRIES = 5
"""So often a page is asked for while actors are being restarted."""

REDELIVERY = "redelivery"

A = TypeVar("A")


@frozen
class Wanted:
    """What to replay. `run`: names it, also to whoever asks for it; times are Unix seconds."""

    hook_id: str
    run: str
    since_s: float
    until_s: float
    failed: bool = False
    event_id: str | None = None
    attempt_id: str | None = None
    rate: float = 20.0
    dry_run: bool = False


@frozen
class Progress:
    """How far a replay is. `found`: None while attempts are still being listed."""

    wanted: Wanted
    state: str = RUNNING
    found: int | None = None
    replayed: int = 0
    skipped: dict[str, str] = field(factory=dict)
    skipped_count: int = 0
    reason: str = ""


class TooMany(Exception):
    """As many replays run as may."""


class Replays:
    """The replays of this process, the last hundred of them. They die with it.

    Whoever asks for the same `run` again has what was sent already sent with the same webhook-id.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._progress: OrderedDict[str, Progress] = OrderedDict()
        self._stop: dict[str, threading.Event] = {}

    def begin(self, wanted: Wanted) -> Progress:
        """Start it, unless that name runs, is done or another hook's. Raises TooMany."""
        with self._lock:
            known = self._progress.get(wanted.run)
            if known is not None and (
                known.state in (RUNNING, DONE) or known.wanted.hook_id != wanted.hook_id
            ):
                return known
            if len(self._stop) >= AT_ONCE:
                raise TooMany
            began = self._progress[wanted.run] = Progress(wanted)
            self._progress.move_to_end(wanted.run)
            self._stop[wanted.run] = threading.Event()
            self._forget()
        name = f"api-replay-{wanted.run}"
        threading.Thread(target=self._run, args=(wanted,), name=name, daemon=True).start()
        return began

    def _forget(self) -> None:
        while len(self._progress) > REMEMBERED:
            oldest = next(run for run in self._progress if run not in self._stop)
            del self._progress[oldest]

    def get(self, run: str) -> Progress | None:
        """How far it is; None if it is not known here."""
        with self._lock:
            return self._progress.get(run)

    def stop(self, run: str) -> None:
        """Send no more of it."""
        with self._lock:
            if run in self._stop:
                self._stop[run].set()

    def close(self) -> None:
        """Stop them all."""
        with self._lock:
            for stop in self._stop.values():
                stop.set()

    def _run(self, wanted: Wanted) -> None:
        state, reason = DONE, ""
        try:
            if not self._replay(wanted):
                state = STOPPED
        except (NoAnswer, RefusedByActor) as problem:
            state, reason = FAILED, str(problem)
        except BaseException:
            state, reason = FAILED, "a defect: see the log"
            raise
        finally:
            with self._lock:
                del self._stop[wanted.run]
                known = self._progress[wanted.run]
                self._progress[wanted.run] = evolve(known, state=state, reason=reason)

    def _replay(self, wanted: Wanted) -> bool:
        """Whether it was done to its end."""
        stop = self._stop[wanted.run]
        chosen = one_of_each(
            self._attempts(wanted, stop), wanted.event_id, wanted.attempt_id, failed=wanted.failed
        )
        if stop.is_set():
            return False
        self._note(wanted, found=len(chosen))
        self._skip(wanted, [(one.id, one.problem) for one in chosen if one.problem])
        ids = [one.id for one in chosen if not one.problem]
        if wanted.dry_run:
            return True
        size = max(1, min(admin.IDS_LIMIT, int(wanted.rate / 2)))
        began = time.monotonic()
        for first in range(0, len(ids), size):
            if stop.wait(max(0.0, began + first / wanted.rate - time.monotonic())):
                return False
            some = tuple(ids[first : first + size])
            request = admin.ReplayAttempts(wanted.hook_id, some, wanted.run)
            answer = self._ask(request, admin.AttemptsReplayed, stop)
            with self._lock:
                known = self._progress[wanted.run]
                done = known.replayed + len(answer.replayed)
                self._progress[wanted.run] = evolve(known, replayed=done)
            self._skip(wanted, answer.refused)
        return True

    def _attempts(self, wanted: Wanted, stop: threading.Event) -> Iterator[admin.StoredAttempt]:
        after: admin.Cursor | None = ()
        while after is not None and not stop.is_set():
            request = admin.ListAttempts(
                wanted.hook_id, wanted.since_s, wanted.until_s, after, limit=500
            )
            page = self._ask(request, admin.AttemptsListed, stop)
            yield from page.attempts
            after = page.more

    def _ask(self, request: admin.RedeliveryRequest, kind: type[A], stop: threading.Event) -> A:
        """The answer; an actor that is being restarted is asked again."""
        for tries_left in reversed(range(TRIES)):
            try:
                return self._backend.ask(REDELIVERY, request, kind, PATIENCE_S)
            except NoAnswer:
                if not tries_left or stop.wait(1.0):
                    raise
        raise AssertionError("the last try returns or raises")

    def _note(self, wanted: Wanted, *, found: int) -> None:
        with self._lock:
            self._progress[wanted.run] = evolve(self._progress[wanted.run], found=found)

    def _skip(self, wanted: Wanted, skipped: Sequence[tuple[str, str]]) -> None:
        with self._lock:
            known = self._progress[wanted.run]
            room = max(0, REASONS - len(known.skipped))
            self._progress[wanted.run] = evolve(
                known,
                skipped={**known.skipped, **dict(skipped[:room])},
                skipped_count=known.skipped_count + len(skipped),
            )
