"""The quotas of an account: the node's, and the account's own in its settings."""

from callboard.adapters.repositories.system_config import ACCOUNT_CONFIG
from callboard.adapters.store.protocol import DocumentStore
from callboard.webhooks.hooks.hook import is_deleted
from callboard.webhooks.hooks.quotas import Quotas
from callboard.webhooks.values.kazoo_names import account_database, is_account_id


def account_quotas(store: DocumentStore, account_id: str, node: Quotas) -> Quotas:
    """The account's quotas, read from the store now. `node`: those of the node."""
    if not is_account_id(account_id):
        return node
    config = store.get(account_database(account_id), ACCOUNT_CONFIG)
    return node if config is None or is_deleted(config) else node.of_account(config)
