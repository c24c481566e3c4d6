"""The result of an attempt, and the possible verdicts on it; policy.py chooses among them."""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Response:
    """An HTTP response; `cut`: the body was longer than the transport reads."""

    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)
    cut: bool = False


@frozen
class ClientError:
    """An attempt that got no response.

    `kind` is stored with the attempt: `timeout`, `failed_connect: nxdomain`, `failed_connect:
    econnrefused`, `unknown`, and our own `tls: certificate expired` and `refused: …` for a
    forbidden address. `detail` is for the log.
    """

    kind: str
    detail: str | None = None


Outcome = Response | ClientError


@frozen
class Cancelled:
    """The end of a delivery without an attempt, because of its hook."""

    reason: str


@frozen
class Unsent:
    """The end of a delivery in a dry run: the request would have been sent now."""


@frozen
class Done:
    """The endpoint has accepted the delivery."""


@frozen
class Retry:
    """Attempt the delivery again after a pause."""

    after_ms: int


@frozen
class GiveUp:
    """The delivery is exhausted or rejected. `disable`: the hook is to be disabled at once."""

    reason: str
    disable: bool = False


TIMEOUT, CONNECTION_ERROR, REFUSED, ERROR = "timeout", "connection_error", "refused", "error"
RESULTS = ("2xx", "3xx", "4xx", "5xx", "other", TIMEOUT, CONNECTION_ERROR, REFUSED, ERROR)
"""The classes by which attempts are counted. `refused`: by Callboard, before sending anything."""

_KINDS = {
    "timeout": TIMEOUT,
    "failed_connect": CONNECTION_ERROR,
    "tls": CONNECTION_ERROR,
    "refused": REFUSED,
}


def result_of(outcome: Outcome) -> str:
    """The class of an outcome, one of `RESULTS`."""
    if isinstance(outcome, Response):
        return f"{outcome.status // 100}xx" if 200 <= outcome.status < 600 else "other"
    return _KINDS.get(outcome.kind.partition(":")[0], ERROR)
