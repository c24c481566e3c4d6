"""Looks up names in threads, for a caller that must not wait."""

import heapq
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import ip_address
from itertools import count
from queue import SimpleQueue

from attrs import define

from callboard.adapters.http.address_guard import AddressGuard, AddressRefusedError, Candidate

Found = list[Candidate] | AddressRefusedError | OSError
"""The permitted addresses, or an error of `AddressGuard.candidates`."""
Then = Callable[[Found], None]

THREADS, KEPT = 24, 8
"""Threads for all hosts, and threads only for hosts whose latest look-up was quick.

So a quarter of the threads remains for quick hosts, however many others hang.
"""
QUICK_S = 1.0
MAX_QUICK = 10_000
"""The most quick hosts to remember; beyond, the one with the oldest look-up is forgotten."""

_Question = tuple[AddressGuard, str, int]


@define(eq=False)
class _Lookup:
    """A look-up, and the callers that wait for it, by number."""

    question: _Question
    askers: dict[int, Then]


class Lookups:
    """Looks up hosts' addresses by guards; simultaneous look-ups of the same host share a result.

    `wake` is called, in another thread, when `run` has results to deliver; `wake_at` with the
    time.monotonic() at which a caller's time limit passes.
    """

    def __init__(self, wake: Callable[[], None], wake_at: Callable[[float], None]) -> None:
        self._wake, self._wake_at = wake, wake_at
        self._threads = _Threads(THREADS, self._look_up, "lookup")
        self._kept = _Threads(KEPT, self._look_up, "lookup-quick")
        self._quick: OrderedDict[str, None] = OrderedDict()
        self._asked: dict[_Question, _Lookup] = {}
        self._answers: deque[tuple[_Lookup, Found | Exception | None, float]] = deque()
        self._numbers = count()
        self._patience: list[tuple[float, int, _Lookup]] = []

    def ask(self, guard: AddressGuard, host: str, port: int, until: float, then: Then) -> None:
        """Look up a host and pass the result to `then`: in `run`, or at once if it is known.

        Passes TimeoutError if there is no result at `until`, a time.monotonic().
        """
        question = guard, host, port
        if _is_address(host):
            then(_known(_answer(question)))
            return
        number = next(self._numbers)
        lookup = self._asked.get(question)
        if lookup is None:
            lookup = self._asked[question] = _Lookup(question, {number: then})
            self._submit(lookup)
        else:
            lookup.askers[number] = then
        heapq.heappush(self._patience, (until, number, lookup))
        self._wake_at(self._patience[0][0])

    def run(self) -> None:
        """Deliver the results so far.

        Raises exceptions of the threads that are bugs in Callboard.
        """
        while self._answers:
            lookup, answer, took_s = self._answers.popleft()
            if answer is None and lookup.askers:
                self._submit(lookup)
                continue
            del self._asked[lookup.question]
            if answer is not None:
                self._remember(lookup.question[1], took_s)
                askers, lookup.askers = lookup.askers, {}
                for then in askers.values():
                    then(_known(answer))
        self._end_waiting()

    def close(self) -> None:
        """Stop all look-ups, without waiting for those that hang."""
        for lookup in self._asked.values():
            lookup.askers.clear()
        self._threads.close()
        self._kept.close()

    def _submit(self, lookup: _Lookup) -> None:
        threads = self._kept if lookup.question[1] in self._quick else self._threads
        threads.add(lookup)

    def _look_up(self, lookup: _Lookup) -> None:
        """Carry out a look-up; the result is None if all its callers have timed out."""
        began = time.monotonic()
        answer = _answer(lookup.question) if lookup.askers else None
        self._answers.append((lookup, answer, time.monotonic() - began))
        self._wake()

    def _end_waiting(self) -> None:
        """End the waits whose time limit has passed; their callers get no later result."""
        now = time.monotonic()
        while self._patience:
            until, number, lookup = self._patience[0]
            if number in lookup.askers and until > now:
                self._wake_at(until)
                return
            heapq.heappop(self._patience)
            then = lookup.askers.pop(number, None)
            if then is not None:
                then(TimeoutError("the name was not looked up in time"))

    def _remember(self, host: str, took_s: float) -> None:
        if took_s > QUICK_S:
            self._quick.pop(host, None)
            return
        self._quick[host] = None
        self._quick.move_to_end(host)
        if len(self._quick) > MAX_QUICK:
            self._quick.popitem(last=False)


class _Threads:
    """Threads that `do` one look-up after another: at most `most`, started when none is idle.

    They do not delay the end of the process.
    """

    def __init__(self, most: int, do: Callable[[_Lookup], None], name: str) -> None:
        self._most, self._do, self._name = most, do, name
        self._lookups: SimpleQueue[_Lookup | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0

    def add(self, lookup: _Lookup) -> None:
        """Add a look-up."""
        self._lookups.put(lookup)
        if self._count < self._most and not self._idle.acquire(blocking=False):
            name = f"{self._name}-{self._count}"
            self._count += 1
            threading.Thread(target=self._live, name=name, daemon=True).start()

    def close(self) -> None:
        """End the threads, each after its current look-up."""
        for _thread in range(self._count):
            self._lookups.put(None)

    def _live(self) -> None:
        while (lookup := self._lookups.get()) is not None:
            self._do(lookup)
            self._idle.release()


def _answer(question: _Question) -> Found | Exception:
    guard, host, port = question
    try:
        return guard.candidates(host, port)
    except Exception as error:  # noqa: BLE001 - given to those who asked, or raised again
        return error


def _known(answer: Found | Exception) -> Found:
    if isinstance(answer, list | AddressRefusedError | OSError):
        return answer
    raise answer


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
