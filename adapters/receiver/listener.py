"""A receiver of webhooks that verifies requests: for `callboard listen`, and for tests.

with Listener(keys=["whsec_…"]) as listener:
    …                                  # let a hook send to listener.url + "/calls"
    (arrival,) = listener.wait_for(1)
    assert arrival.verdict == "ok"
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from attrs import frozen

from callboard.adapters.receiver.arrivals import Arrivals, Attempt
from callboard.adapters.receiver.faults import Misbehaviour
from callboard.adapters.receiver.server import (
    Answer,
    Behaviour,
    ReceivedRequest,
    Receiver,
    behaviour_of_path,
)
from callboard.adapters.receiver.serving import Serving
from callboard.webhooks.deliveries.verifying import Verdict, parse_verifying_key, verify


@frozen
class Arrival:
    """A request, the result of its verification, and the response to it.

    `verdict`: None without a key to verify it. `answer`: in words, as `200` or `hang`.
    """

    request: ReceivedRequest
    made: Attempt
    verdict: Verdict | None
    answer: str


class Listener(Serving):
    """The server, in a thread of its own; a context manager.

    `keys`: `whsec_…` and `whpk_…`; raises InvalidSecret. `path`: other paths get 404. `strict`:
    requests without a valid signature get 401. `on_arrival` is called in the server's thread, and
    should be quick. `keep`: how many arrivals are remembered (None: all).
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        keys: Iterable[str] = (),
        path: str | None = None,
        strict: bool = False,
        misbehaviour: Misbehaviour | None = None,
        on_arrival: Callable[[Arrival], None] | None = None,
        keep: int | None = None,
    ) -> None:
        self._keys = tuple(parse_verifying_key(key) for key in keys)
        self._path = path
        self._strict = strict
        self._misbehaviour = misbehaviour
        self._on_arrival = on_arrival
        self._judged = threading.Condition()
        self._arrived: deque[Arrival] = deque(maxlen=keep)
        self._receiver = Receiver(host, port, keep=keep)
        self._receiver.answer("", self._take)
        self.account = Arrivals()

    def start(self) -> Self:
        """Bind and serve. Raises OSError if the address cannot be bound. Once only."""
        self._receiver.start()
        return self

    def stop(self) -> None:
        """Close the port and all connections."""
        self._receiver.stop()

    @property
    def url(self) -> str:
        """The server's URL, without a slash at the end."""
        return self._receiver.url

    @property
    def port(self) -> int:
        """The port in use."""
        return self._receiver.port

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """The arrivals that are remembered, oldest first."""
        with self._judged:
            return tuple(self._arrived)

    def wait_for(self, arrivals: int, timeout_s: float = 10.0) -> Sequence[Arrival]:
        """Wait until this many requests have arrived in total. Raises TimeoutError.

        Returns those that are remembered.
        """
        with self._judged:
            if not self._judged.wait_for(lambda: self.account.requests >= arrivals, timeout_s):
                raise TimeoutError(f"only {self.account.requests} requests within {timeout_s:g} s")
            return tuple(self._arrived)

    def _take(self, request: ReceivedRequest) -> Behaviour:
        with self._judged:
            arrival, behaviour = self._judge(request)
            self._arrived.append(arrival)
            self._judged.notify_all()
        if self._on_arrival is not None:
            self._on_arrival(arrival)
        return behaviour

    def _judge(self, request: ReceivedRequest) -> tuple[Arrival, Behaviour]:
        verdict = None
        if self._keys:
            verdict = verify(self._keys, request.headers, request.body, request.time)
        made = self.account.take(request.headers, verdict, request.time)
        behaviour = self._behaviour(request, made, verdict)
        if isinstance(behaviour, Answer) and 200 <= behaviour.status < 300:
            self.account.answered_well(made.delivery)
        return Arrival(request, made, verdict, in_words(behaviour)), behaviour

    def _behaviour(
        self, request: ReceivedRequest, made: Attempt, verdict: Verdict | None
    ) -> Behaviour:
        if self._path is not None and request.path != self._path:
            return Answer(404)
        if self._strict and verdict is not Verdict.OK:
            return Answer(401)
        if self._misbehaviour is not None:
            return self._misbehaviour.of(request, made)
        return behaviour_of_path(request)


def in_words(behaviour: Behaviour) -> str:
    """A response's status, with its delay if there is one; the name of any other behaviour."""
    if isinstance(behaviour, Answer):
        late = f" after {behaviour.delay_s:g} s" if behaviour.delay_s else ""
        return f"{behaviour.status}{late}"
    return type(behaviour).__name__.lower()
