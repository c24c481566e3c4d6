"""Replays that continue after the response to their request: in threads, at a limited rate."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from attrs import evolve, field, frozen

from callboard import admin
from callboard.actors.messages import NoAnswer, RefusedByActor
from callboard.actors.messages.paths import REDELIVERY
from callboard.web.backend import Backend
from callboard.webhooks.history.replaying import one_of_each

RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"

AT_ONCE = 16
"""The most replays at the same time; one for each account."""
REMEMBERED = 100
REASONS = 100
"""The most skipped attempts that are reported individually."""
PATIENCE_S = 30.0
TRIES = 5
"""How many times a page is requested while actors are being restarted."""


A = TypeVar("A")

Key = tuple[str, str]
"""A hook's id, and the name of a replay of it."""


@frozen
class Wanted:
    """A replay's parameters. `run`: its name among those of the hook; times are Unix seconds.

    `asked_span`: the times named in the request; others depend on its time.
    """

    account_id: str
    hook_id: str
    run: str
    since_s: float
    until_s: float
    failed: bool = False
    event_id: str | None = None
    attempt_id: str | None = None
    rate: float = 20.0
    dry_run: bool = False
    asked_span: tuple[int | None, int | None] = (None, None)

    @property
    def key(self) -> "Key":
        """The key that identifies it here."""
        return self.hook_id, self.run

    def repeats(self, other: "Wanted") -> bool:
        """Whether it would send the same attempts again, at any rate."""
        return self._as_asked() == other._as_asked()

    def _as_asked(self) -> "Wanted":
        return evolve(self, since_s=0.0, until_s=0.0, rate=0.0)


@frozen
class Progress:
    """A replay's progress. `found`: None while attempts are still being listed."""

    wanted: Wanted
    state: str = RUNNING
    found: int | None = None
    replayed: int = 0
    skipped: dict[str, str] = field(factory=dict)
    skipped_count: int = 0
    reason: str = ""


class TooMany(Exception):
    """The limit of replays is reached; the text says whether the account's or the node's."""


class NameTaken(Exception):
    """Another replay of that hook, with other parameters, has this name."""


class Replays:
    """The last hundred replays of this process. They end with it.

    A second request for the same `run` resends attempts with the same webhook-id.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._progress: OrderedDict[Key, Progress] = OrderedDict()
        self._stop: dict[Key, threading.Event] = {}

    def begin(self, wanted: Wanted) -> Progress:
        """Start it, unless it is running or done already. Raises NameTaken, TooMany."""
        key = wanted.key
        with self._lock:
            known = self._progress.get(key)
            if known is not None and not wanted.repeats(known.wanted):
                raise NameTaken
            if known is not None and known.state in (RUNNING, DONE):
                return known
            if any(
                self._progress[one].wanted.account_id == wanted.account_id for one in self._stop
            ):
                raise TooMany("a replay of this account runs")
            if len(self._stop) >= AT_ONCE:
                raise TooMany("as many replays run as may")
            began = self._progress[key] = Progress(wanted)
            self._progress.move_to_end(key)
            self._stop[key] = threading.Event()
            self._forget()
        name = f"api-replay-{wanted.run}"
        threading.Thread(target=self._run, args=(wanted,), name=name, daemon=True).start()
        return began

    def _forget(self) -> None:
        while len(self._progress) > REMEMBERED:
            oldest = next(key for key in self._progress if key not in self._stop)
            del self._progress[oldest]

    def get(self, key: Key) -> Progress | None:
        """Its progress; None if it is unknown here."""
        with self._lock:
            return self._progress.get(key)

    def stop(self, key: Key) -> None:
        """Stop sending its attempts."""
        with self._lock:
            if key in self._stop:
                self._stop[key].set()

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
                del self._stop[wanted.key]
                known = self._progress[wanted.key]
                self._progress[wanted.key] = evolve(known, state=state, reason=reason)

    def _replay(self, wanted: Wanted) -> bool:
        """Run a replay; returns whether it was completed."""
        stop = self._stop[wanted.key]
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
                known = self._progress[wanted.key]
                done = known.replayed + len(answer.replayed)
                self._progress[wanted.key] = evolve(known, replayed=done)
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
        """An actor's reply; repeats the request while the actor is being restarted."""
        for attempts_left in reversed(range(TRIES)):
            try:
                return self._backend.ask(REDELIVERY, request, kind, PATIENCE_S)
            except NoAnswer:
                if not attempts_left or stop.wait(1.0):
                    raise
        raise AssertionError("the last try returns or raises")

    def _note(self, wanted: Wanted, *, found: int) -> None:
        with self._lock:
            self._progress[wanted.key] = evolve(self._progress[wanted.key], found=found)

    def _skip(self, wanted: Wanted, skipped: Sequence[tuple[str, str]]) -> None:
        with self._lock:
            known = self._progress[wanted.key]
            room = max(0, REASONS - len(known.skipped))
            self._progress[wanted.key] = evolve(
                known,
                skipped={**known.skipped, **dict(skipped[:room])},
                skipped_count=known.skipped_count + len(skipped),
            )
