"""Names looked up in threads, for one that must not wait."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from callboard.adapters.address_guard import AddressGuard, AddressRefusedError, Candidate

Found = list[Candidate] | AddressRefusedError | OSError
"""The addresses that may be called; or an error as `AddressGuard.candidates` raises it."""
Then = Callable[[Found], None]

THREADS, KEPT = 24, 8
"""Threads for all, and for hosts alone whose latest answer came quickly: however many keep us
waiting, a quarter is left to those."""
QUICK_S = 1.0
MAX_QUICK = 10_000
"""Such hosts, at most; beyond, the one is forgotten that was asked for longest ago."""

_Question = tuple[AddressGuard, str, int]


class Lookups:
    """Asks guards for the addresses of hosts; those who ask for the same at once share an answer.

    `wake` is called, in another thread, when `run` has answers to give.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._threads = ThreadPoolExecutor(THREADS, "lookup")
        self._kept = ThreadPoolExecutor(KEPT, "lookup-quick")
        self._quick: OrderedDict[str, None] = OrderedDict()
        self._asked: dict[_Question, list[Then]] = {}
        self._answers: deque[tuple[_Question, Found | Exception, float]] = deque()

    def ask(self, guard: AddressGuard, host: str, port: int, then: Then) -> None:
        """Have `then` called with the answer: by `run`, or at once where nobody need be asked."""
        question = guard, host, port
        if _is_address(host):
            then(_known(_answer(question)))
            return
        asked = self._asked.setdefault(question, [])
        asked.append(then)
        if len(asked) == 1:
            threads = self._kept if host in self._quick else self._threads
            threads.submit(self._look_up, question)

    def run(self) -> None:
        """Give the answers that there are. Raises what a defect of ours raised in a thread."""
        while self._answers:
            question, answer, took_s = self._answers.popleft()
            self._remember(question[1], took_s)
            for then in self._asked.pop(question):
                then(_known(answer))

    def close(self) -> None:
        """Look up no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._kept.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, question: _Question) -> None:
        began = time.monotonic()
        answer = _answer(question)
        self._answers.append((question, answer, time.monotonic() - began))
        self._wake()

    def _remember(self, host: str, took_s: float) -> None:
        if took_s > QUICK_S:
            self._quick.pop(host, None)
            return
        self._quick[host] = None
        self._quick.move_to_end(host)
        if len(self._quick) > MAX_QUICK:
            self._quick.popitem(last=False)


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
