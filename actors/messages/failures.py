"""Failed attempts: reported, listed, counted and forgotten.

`ask`: the requester's number for its request.
"""

from collections.abc import Mapping

from attrs import frozen


@frozen
class FailedAttempts:
    """Deliverer to FailureCache: failed attempts as (account, hook, Gregorian ms)."""

    failures: tuple[tuple[str, str, int], ...]


@frozen
class GetFailures:
    """Disabler to FailureCache: which hooks have failed? -> `FailuresSeen`."""


@frozen
class FailuresSeen:
    """FailureCache to Disabler: the times (Gregorian ms) of failed attempts by (account, hook).

    `here`: the hooks whose latest failure was an attempt of this node.
    """

    failures: Mapping[tuple[str, str], tuple[int, ...]]
    here: frozenset[tuple[str, str]] = frozenset()


@frozen
class FlushFailures:
    """Forget the failures of an account, or of one of its hooks; `everywhere`: on all nodes.

    With `ask`, the response is `FailuresForgotten`.
    """

    account_id: str
    hook_id: str | None = None
    everywhere: bool = False
    ask: int | None = None


@frozen
class FlushHooks:
    """Maintenance to FailureCache: these (account, hook) ids are enabled again; forget failures."""

    hooks: tuple[tuple[str, str], ...]


@frozen
class FailuresForgotten:
    """FailureCache to Maintenance: the number of failed attempts that were flushed."""

    ask: int
    count: int


@frozen
class ListFailing:
    """Maintenance to FailureCache: which hooks failed, behind `after`? -> `FailingListed`."""

    ask: int
    account_id: str | None
    after: tuple[str, str] | None
    limit: int


@frozen
class FailingListed:
    """FailureCache to Maintenance: (account, hook) ids in order; `more`: there are others."""

    ask: int
    hooks: tuple[tuple[str, str], ...]
    more: bool


@frozen
class CountFailures:
    """Maintenance to FailureCache: how often did these hooks fail? -> `FailuresCounted`.

    `since_ms`: the time (Gregorian) after which a failure counts, by account.
    """

    ask: int
    hooks: tuple[tuple[str, str], ...]
    since_ms: Mapping[str, int]


@frozen
class FailuresCounted:
    """FailureCache to Maintenance: one number for each requested hook."""

    ask: int
    counts: tuple[int, ...]
