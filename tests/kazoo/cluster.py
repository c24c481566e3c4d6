"""A small Kazoo cluster: what it keeps in CouchDB, and how its nodes publish on RabbitMQ."""

import gzip
import json
import time
from typing import Any

import couchdb
import pika
from attrs import frozen

MASTER = "10aa20bb30cc40dd50ee60ff70108090"
PARENT = "2f6d1c0b9a8e4f7d8c6b5a4938271605"
CHILD = "7c1e5a90d3b24f6881a2c3d4e5f60917"
NUMBERED = "e47b0a3c98d14c149afbf4c8996fb924"
"""Owns the number that nobody's account id comes with."""
GHOST = "d00dd00dd00dd00dd00dd00dd00dd00d"
"""Has hooks, but is no account."""
CLUSTER = "0c1d2e3f405162738495a6b7c8d9eaf0"

NODE = "kazoo_apps@apps2.example.org"
SWITCH = "freeswitch@media4.example.org"

GREGORIAN_US = 62_167_219_200 * 1_000_000

DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "accounts": [
        {"_id": MASTER, "pvt_type": "account", "pvt_tree": [], "pvt_created": 63_700_000_000},
        {"_id": PARENT, "pvt_type": "account", "pvt_tree": [MASTER]},
        {"_id": CHILD, "pvt_type": "account", "pvt_tree": [MASTER, PARENT]},
        {"_id": NUMBERED, "pvt_type": "account", "pvt_tree": [MASTER]},
    ],
    "services": [{"_id": CHILD, "pvt_reseller_id": MASTER}],
    "numbers/+1555": [
        {"_id": "+15557654321", "pvt_assigned_to": NUMBERED, "pvt_state": "in_service"},
        {"_id": "+15557654322", "pvt_assigned_to": NUMBERED, "pvt_state": "in_service"},
        {"_id": "+15557654323", "pvt_assigned_to": NUMBERED, "pvt_state": "in_service"},
    ],
    "system_config": [
        {"_id": "accounts", "default": {"master_account_id": MASTER}},
        {"_id": "cluster", "default": {"cluster_id": CLUSTER}},
        {
            "_id": "call_command",
            "default": {"reserved_ccv_keys": ["Account-Realm", "Realm", "Username"]},
        },
    ],
}


def prepare(url: str, documents: dict[str, list[dict[str, Any]]]) -> None:
    """Store documents, by database."""
    server = couchdb.Server(url)
    for database, some in documents.items():
        place = server[database] if database in server else server.create(database)
        for document in some:
            place.save(dict(document))


@frozen
class Message:
    """As a Kazoo node publishes it. `bound`: Kazoo's webhooks app has a binding for it."""

    exchange: str
    key: str
    body: dict[str, Any]
    gzip: bool = False
    bound: bool = True


class Publisher:
    """Publishes as Kazoo does: transient messages, times in Gregorian microseconds."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        # Refused by the broker if somebody else has declared them in another way.
        for exchange in ("callevt", "callmgr", "configuration", "notifications", "im"):
            self._channel.exchange_declare(exchange, "topic", durable=False, auto_delete=False)
        self._channel.exchange_declare("targeted", "direct", durable=False, auto_delete=False)
        self._channel.confirm_delivery()

    def publish(self, message: Message) -> None:
        """Raises pika's UnroutableError where there is no binding for it, though there should."""
        body = json.dumps(message.body, ensure_ascii=False).encode()
        call_id = message.body.get("Call-ID")
        properties = pika.BasicProperties(
            content_type="application/json",
            content_encoding="gzip" if message.gzip else None,
            timestamp=int(time.time() * 1_000_000) + GREGORIAN_US,
            headers={"call-id": call_id} if message.exchange == "callevt" else None,
        )
        self._channel.basic_publish(
            message.exchange,
            message.key,
            gzip.compress(body) if message.gzip else body,
            properties,
            mandatory=message.bound,
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
