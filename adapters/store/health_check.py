"""Checks every few seconds, in a thread of its own, whether the document store responds."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from attrs import frozen

from callboard.adapters.store.protocol import DocumentStore, StoreError

DATABASE, DOCUMENT = "system_config", "webhooks"
"""The document that is read; it need not exist."""


@frozen
class Probed:
    """The result of one check. `problem`: "" if the store responded."""

    took_s: float
    problem: str


class StoreProbe:
    """Checks until it is closed. A hanging store blocks only this thread.

    `close_s`: how long it may hold up the end of its actor.
    """

    def __init__(
        self, connect: Callable[[], DocumentStore], every_s: float, close_s: float
    ) -> None:
        self._connect, self._every_s, self._close_s = connect, every_s, close_s
        self._results: deque[Probed | Exception] = deque(maxlen=1000)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, name="store-probe", daemon=True)
        self._thread.start()

    def results(self) -> Iterator[Probed]:
        """The results since the last call. Raises errors that are bugs in Callboard."""
        while self._results:
            result = self._results.popleft()
            if isinstance(result, Exception):
                raise result
            yield result

    def close(self) -> None:
        """Stop probing, and wait until the store is closed, for `close_s` at most.

        A process that is forked while a thread closes a SQLite file inherits SQLite's lock, and
        hangs at its first use.
        """
        self._closed.set()
        self._thread.join(self._close_s)

    def _ask_on(self) -> None:
        try:
            store = self._connect()
            try:
                while not self._closed.is_set():
                    self._results.append(_ask(store))
                    self._closed.wait(self._every_s)
            finally:
                store.close()
        except Exception as defect:  # noqa: BLE001 - raised again in the actor, which ends
            self._results.append(defect)


def _ask(store: DocumentStore) -> Probed:
    began = time.monotonic()
    try:
        store.get(DATABASE, DOCUMENT)
    except StoreError as problem:
        return Probed(time.monotonic() - began, str(problem) or type(problem).__name__)
    return Probed(time.monotonic() - began, "")
