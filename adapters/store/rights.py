"""The rights that a CouchDB's user needs: the operation, when, and the consequence of its lack.

CouchDB's roles (its documentation, "Security" and `/{db}/_security`): the server's administrators
may do everything, a database's administrators store its design documents, and its members read and
write all other documents.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from attrs import frozen

from callboard.adapters.store import views
from callboard.adapters.store.protocol import View

ACCOUNT = "account/…"
"""An account's database, `account/ab/cd/ef…`."""
MONTH = "account/…-YYYYMM"
"""An account's database of a month."""
ALL = "(all)"
"""All databases of the server."""
NUMBERS = "numbers/…"
"""A database of telephone numbers, `numbers/+1555`."""


class Operation(StrEnum):
    """An operation on a database. `LIST` finds the databases of a server."""

    CREATE = "create"
    VIEWS = "store views"
    READ = "read"
    WRITE = "write"
    LIST = "list databases"


ROLES: Mapping[Operation, str] = {
    Operation.CREATE: "server administrator",
    Operation.VIEWS: "database administrator",
    Operation.READ: "member",
    Operation.WRITE: "member",
    Operation.LIST: "server administrator",
}
"""The least role that CouchDB asks for."""

VIEWS: Mapping[str, Sequence[View]] = {
    "webhooks": views.WEBHOOKS,
    ACCOUNT: views.ACCOUNT,
    MONTH: views.MODB,
    "callboard_dead_letters": views.DEAD_LETTERS,
}
"""The views that Callboard stores in a CouchDB; those of `accounts` are Kazoo's."""


@frozen
class Right:
    """A right, when it is used, and the consequence where it is lacking.

    `always` False: only a feature that not every installation uses needs it.
    """

    operation: Operation
    database: str
    when: str
    without: str
    always: bool = True

    @property
    def role(self) -> str:
        """The least role that has this right."""
        return ROLES[self.operation]


_CREATE, _VIEWS, _READ, _WRITE, _LIST = Operation

RIGHTS = (
    Right(_CREATE, "webhooks", "first start", "no hook is loaded (`store_not_prepared`)"),
    Right(
        _VIEWS,
        "webhooks",
        "first start; a version with new views; `callboard maintenance register_views`",
        "no hook is loaded (`store_not_prepared`)",
    ),
    Right(
        _READ,
        "webhooks",
        "start; changed hooks; API and commands; retries; `clean_up_orphans`",
        "no hook is loaded (`hooks_not_loaded`)",
    ),
    Right(
        _WRITE,
        "webhooks",
        "hooks are added, edited, enabled, deleted or migrated; failing hooks are disabled; "
        "`doc_type_update`; `clean_up_orphans`",
        "hooks stay as they are; old fax and callflow hooks do not fire (`hook_not_migrated`)",
    ),
    Right(
        _READ,
        "accounts",
        "events of accounts, with their ancestors; the API; the search for the master account and "
        "for descendants, by Kazoo's views",
        "events that need an ancestor wait (`store_unavailable`); no metadata without a configured "
        "master account (`accounts_unreadable`)",
    ),
    Right(
        _READ,
        "system_config",
        "start; settings, every 30 seconds",
        "events wait (`store_unavailable`); the node is not ready",
    ),
    Right(
        _WRITE,
        "system_config",
        "defaults of settings; ids of the cluster and the master account; `maintenance set_…`",
        "defaults are not shown (`default_not_written`); without a stored id of the cluster, "
        "events wait",
    ),
    Right(
        _CREATE,
        "system_config",
        "the first setting, without Kazoo",
        "settings are not stored (`default_not_written`)",
        always=False,
    ),
    Right(
        _READ,
        "system_schemas",
        "start, if the database exists",
        "Crossbar refuses Callboard's members of hooks (`schema_not_revised`)",
        always=False,
    ),
    Right(
        _WRITE,
        "system_schemas",
        "start, if the database exists",
        "Crossbar refuses Callboard's members of hooks (`schema_not_revised`)",
        always=False,
    ),
    Right(
        _READ,
        "services",
        "resellers of accounts, for payloads and limits",
        "events wait (`store_unavailable`)",
    ),
    Right(
        _READ,
        NUMBERS,
        "inbound messages (`sms`, `mms`)",
        "these events wait (`store_unavailable`)",
        always=False,
    ),
    Right(
        _READ,
        "port_requests",
        "inbound messages to numbers being ported",
        "they belong to no account, and fire no hook",
        always=False,
    ),
    Right(
        _READ,
        ACCOUNT,
        "an account's own settings (`configs_webhooks`); the hooks' metadata; `clean_up_orphans`",
        "events of the account wait (`store_unavailable`)",
    ),
    Right(
        _WRITE,
        ACCOUNT,
        "metadata of event types in the master account's; `maintenance set_…` of an account",
        "Crossbar lists no event types (`metadata_not_stored`)",
    ),
    Right(
        _CREATE,
        ACCOUNT,
        "start, the master account's database; the first setting of an account without one",
        "no metadata (`store_not_prepared`)",
        always=False,
    ),
    Right(
        _VIEWS,
        ACCOUNT,
        "start, in the master account's database; `register_views`",
        "no metadata (`store_not_prepared`)",
        always=False,
    ),
    Right(
        _CREATE,
        MONTH,
        "start, and the first attempt of a month",
        "the attempts of the account are lost until the database exists (`attempts_refused`)",
    ),
    Right(
        _VIEWS,
        MONTH,
        "start, and the first attempt of a month; `register_views`",
        "attempts are stored, and cannot be listed or replayed (`views_not_stored`)",
    ),
    Right(
        _READ,
        MONTH,
        "attempts are listed or replayed; `attempts.keep_days`",
        "attempts are neither listed nor replayed",
    ),
    Right(
        _WRITE,
        MONTH,
        "attempts; `attempts.keep_days`",
        "the attempts of the account are lost (`attempts_refused`)",
    ),
    Right(
        _LIST,
        ALL,
        "`attempts.keep_days`, every hour",
        "old attempts stay (`attempts_not_purged`)",
        always=False,
    ),
    Right(
        _CREATE,
        "callboard_dead_letters",
        "the first dead letter",
        "dead letters wait on disk (`dead_letters_refused`)",
    ),
    Right(
        _VIEWS,
        "callboard_dead_letters",
        "the first dead letter",
        "dead letters are stored, and cannot be listed or retried (`views_not_stored`)",
    ),
    Right(
        _READ,
        "callboard_dead_letters",
        "dead letters are listed or retried; `dead_letters.keep_days`",
        "dead letters cannot be handled, and stay",
    ),
    Right(
        _WRITE,
        "callboard_dead_letters",
        "a delivery is exhausted, an event quarantined, a dead letter retried or removed",
        "dead letters wait on disk (`dead_letters_refused`)",
    ),
    *(
        Right(operation, "callboard_posted_events", when, without, always=False)
        for operation, when, without in (
            (_CREATE, "the first event posted with a key", "it is refused"),
            (_READ, "an event is posted with a key", "it is refused"),
            (_WRITE, "an event is posted with a key; old keys are deleted", "it is refused"),
        )
    ),
    *(
        Right(operation, "callboard_tokens", when, without, always=False)
        for operation, when, without in (
            (_CREATE, "`callboard tokens add`, for the first token", "no tokens of accounts"),
            (_READ, "the API is called with an account's token or a link", "it is refused"),
            (_WRITE, "tokens are added or revoked; links are revoked", "the command fails"),
        )
    ),
)
"""Every right, by database."""


def right(operation: Operation, database: str) -> Right | None:
    """The right to this operation on a database of this name, if Callboard needs it."""
    found = (one for one in RIGHTS if (one.operation, one.database) == (operation, database))
    return next(found, None)
