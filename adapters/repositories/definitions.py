"""The kinds of events that hooks may name, as stored in the cluster's metadata documents."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.store.protocol import DatabaseMissing, Document, DocumentStore
from callboard.webhooks.events.directory import resolve_setting
from callboard.webhooks.hooks.arguments import DEFINITION_PREFIX
from callboard.webhooks.modules.metadata import RETIRED
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.json_values import as_object
from callboard.webhooks.values.kazoo_names import account_database

HIDDEN = frozenset({*RETIRED, "webhooks_skel"})


@frozen
class Definition:
    """A kind of event. `modifiers`: the required selection in a hook's custom_data."""

    id: str
    name: str
    description: str
    modifiers: Mapping[str, Any] = field(factory=dict)


def definitions(
    store: DocumentStore, modules: Iterable[EventModule], node: str, zone: str
) -> dict[str, Definition]:
    """The definitions in the master account's database, by id, and our modules' missing ones.

    Without a master account there is no place to store them. Raises StoreError.
    """
    directory = StoreDirectory(store, node, zone, write_defaults=False)
    found = {
        module.id: Definition(
            module.id, module.name, module.description, module.modifiers(directory)
        )
        for module in modules
    }
    accounts = store.get("system_config", "accounts")
    master = resolve_setting(accounts, node, zone, "master_account_id", None)
    if isinstance(master, str) and master:
        found |= {one.id: one for one in map(_definition, _stored(store, master))}
    return found


def _stored(store: DocumentStore, master: str) -> list[Document]:
    end = DEFINITION_PREFIX + "{"  # in ASCII it follows the letters
    try:
        documents = list(
            store.documents(account_database(master), start=DEFINITION_PREFIX, end=end)
        )
    except DatabaseMissing:
        return []
    return [
        document
        for document in documents
        if document.get("pvt_type") == "webhook_meta"
        and not document.get("pvt_deleted")
        and document["_id"] not in HIDDEN
    ]


def _definition(document: Document) -> Definition:
    id = document["_id"].removeprefix(DEFINITION_PREFIX)
    name, description = document.get("name"), document.get("description")
    return Definition(
        id,
        name if isinstance(name, str) else id,
        description if isinstance(description, str) else "",
        as_object(document.get("modifiers")),
    )
