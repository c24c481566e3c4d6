"""Records of attempts, and the settings of system_config for them."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Attempts:
    """Deliverer to AttemptLog: (database, document) pairs to store. -> `AttemptsPersisted`."""

    batch: int
    documents: tuple[tuple[str, Mapping[str, Any]], ...] = field(repr=False)


@frozen
class AttemptsPersisted:
    """AttemptLog to Deliverer: that batch is on disk, and will reach the store."""

    batch: int


@frozen
class WhichAttempts:
    """Deliverer to AttemptLog: which attempts to record? -> `AttemptPolicy`."""


@frozen
class AttemptPolicy:
    """AttemptLog to Deliverers: the settings of system_config/webhooks for attempts.

    `successes`: whether to record successful ones, too. `connect_timeout_ms`: the default for nodes
    that do not set it.
    """

    successes: bool
    connect_timeout_ms: int
