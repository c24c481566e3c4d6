"""How a try went, and what can follow from it; policy.py decides which."""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Response:
    """An HTTP answer; `cut`: the body was longer than what the transport reads."""

    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)
    cut: bool = False


@frozen
class ClientError:
    """No answer.

    `kind` is what attempts store: `timeout`, `failed_connect: nxdomain`, `failed_connect:
    econnrefused`, `unknown`, and our own `refused: …` for an address we will not call. `detail`
    is for the log.
    """

    kind: str
    detail: str | None = None


Outcome = Response | ClientError


@frozen
class Done:
    """The endpoint has taken it."""


@frozen
class Retry:
    """Try again after a pause."""

    after_ms: int


@frozen
class GiveUp:
    """Nothing more will be tried. `disable`: the hook is to be disabled at once."""

    reason: str
    disable: bool = False


TIMEOUT, CONNECTION_ERROR, REFUSED, ERROR = "timeout", "connection_error", "refused", "error"
RESULTS = ("2xx", "3xx", "4xx", "5xx", "other", TIMEOUT, CONNECTION_ERROR, REFUSED, ERROR)
"""The classes that attempts are counted in. `refused`: by us, so that nothing was sent."""

_KINDS = {"timeout": TIMEOUT, "failed_connect": CONNECTION_ERROR, "refused": REFUSED}


def result_of(outcome: Outcome) -> str:
    """Which of `RESULTS` it is."""
    if isinstance(outcome, Response):
        return f"{outcome.status // 100}xx" if 200 <= outcome.status < 600 else "other"
    return _KINDS.get(outcome.kind.partition(":")[0], ERROR)
