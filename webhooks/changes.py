"""Changes of documents and databases as Kazoo's data layer publishes them (kzs_publish)."""

import uuid
from collections.abc import Mapping
from typing import Any

from callboard.webhooks.event import Event
from callboard.webhooks.names import account_of_database, encode_segment, encoded


def document_change(
    event_name: str, database: str, document: Mapping[str, Any], node: str
) -> tuple[str, dict[str, Any]]:
    """Routing key and body that tell of a saved document; `event_name`: `doc_edited` and so on.

    As on a real cluster, `Date-Created` carries pvt_modified and `Date-Modified` pvt_created, and
    the document itself is not sent.
    """
    name, id, type = encoded(database), str(document["_id"]), document.get("pvt_type", "")
    body: dict[str, Any] = {
        "App-Name": "datamgr",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": event_name,
        "Msg-ID": uuid.uuid4().hex,
        "Node": node,
        "ID": id,
        "Type": type,
        "Database": name,
        "Rev": document.get("_rev"),
        "Account-ID": document.get("pvt_account_id"),
        "Date-Created": document.get("pvt_modified"),
        "Date-Modified": document.get("pvt_created"),
        "Is-Soft-Deleted": bool(document.get("pvt_deleted", False)),
    }
    key = f"{event_name}.{name}.{type}.{encode_segment(id)}"
    return key, {header: value for header, value in body.items() if value is not None}


def tells_of_an_account(event: Event) -> bool:
    """Whether there may be an account now where there was none before.

    Its database was made, or its copy in `accounts`. A new hook tells of its account, too.
    """
    if event.name == "db_created":
        return account_of_database(event.database or "") is not None
    return event.name == "doc_created" and event.database in ("accounts", "webhooks")
