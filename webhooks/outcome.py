"""How a try went, and what follows from it (webhooks_util: fire_hook, retry_hook)."""

from collections.abc import Mapping

from attrs import field, frozen

from callboard.webhooks.delivery import Delivery

RETRY_PAUSE_MS = 2000
"""Kazoo's fixed pause before the next try."""


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
    """Nothing more will be tried."""

    reason: str


def succeeded(delivery: Delivery, response: Response) -> bool:
    """Whether the answer means success: 200, and 201 to a PUT."""
    return response.status == 200 or (response.status == 201 and delivery.method == "PUT")


def next_try(delivery: Delivery, tries_left: int, outcome: Outcome) -> Done | Retry | GiveUp:
    """Kazoo's rule: a bad status ends it, an error of the client is tried again.

    `tries_left` counts the try that just ended. An address that is refused is refused for good.
    """
    if isinstance(outcome, Response):
        if succeeded(delivery, outcome):
            return Done()
        return GiveUp(f"status {outcome.status}")
    if outcome.kind.startswith("refused") or tries_left <= 1:
        return GiveUp(outcome.kind)
    return Retry(RETRY_PAUSE_MS)
