"""What an account's own settings say: its quotas, and its endpoints' options."""

from collections.abc import Mapping
from typing import Any

from callboard.adapters.repositories.system_config import ACCOUNT_CONFIG
from callboard.adapters.store.protocol import DocumentStore
from callboard.webhooks.hooks.hook import is_deleted
from callboard.webhooks.hooks.quotas import SECTION, Quotas
from callboard.webhooks.values.endpoint_options import Grants
from callboard.webhooks.values.json_values import as_object
from callboard.webhooks.values.kazoo_names import account_database, may_have_database


def account_quotas(store: DocumentStore, account_id: str, node: Quotas) -> Quotas:
    """The account's quotas, read from the store now. `node`: those of the node."""
    config = account_config(store, account_id)
    return node.of_account(config) if config else node


def endpoint_config(store: DocumentStore, account_id: str, grants: Grants) -> Mapping[str, Any]:
    """The account's settings as `Grants.settled` needs them: empty, unread, if none count."""
    return account_config(store, account_id) if grants.accounts else {}


def own_quotas(store: DocumentStore, account_id: str) -> dict[str, Any]:
    """The quotas that the account has of its own; empty if it has none."""
    return dict(as_object(account_config(store, account_id).get(SECTION)))


def account_config(store: DocumentStore, account_id: str) -> Mapping[str, Any]:
    """The account's document `configs_webhooks`, read from the store now; empty if it has none."""
    if not may_have_database(account_id):
        return {}
    config = store.get(account_database(account_id), ACCOUNT_CONFIG)
    return {} if config is None or is_deleted(config) else config
