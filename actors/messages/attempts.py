"""Records of attempts, and what system_config says of them."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Attempts:
    """Deliverer to AttemptLog: (database, document) pairs to keep. -> `AttemptsPersisted`."""

    batch: int
    documents: tuple[tuple[str, Mapping[str, Any]], ...] = field(repr=False)


@frozen
class AttemptsPersisted:
    """AttemptLog to Deliverer: that batch is on disk, and will reach the store."""

    batch: int


@frozen
class WhichAttempts:
    """Deliverer to AttemptLog: which attempts are wanted? Answered with `AttemptPolicy`."""


@frozen
class AttemptPolicy:
    """AttemptLog to Deliverers: what system_config/webhooks says of attempts.

    `successes`: whether successful ones are kept too. `connect_timeout_ms`: the cluster's, for
    nodes that have none of their own.
    """

    successes: bool
    connect_timeout_ms: int
