"""Publishes directly on the bus, as a Kazoo node does."""

import pika

from callboard.adapters.broker import brokers
from callboard.adapters.broker.protocol import (
    Confirmed,
    ConnectionUp,
    OutgoingMessage,
    Properties,
    Topology,
)
from support.running import ACCOUNT, outgoing

CHANGE = {
    "Event-Category": "configuration",
    "Event-Name": "doc_edited",
    "App-Name": "datamgr",
    "App-Version": "4.0.0",
    "Msg-ID": "m",
    "ID": "h0",
    "Type": "webhook",
    "Database": "webhooks",
    "Account-ID": ACCOUNT,
    "Doc": {"_id": "h0", "pvt_account_id": ACCOUNT, "uri": "http://127.0.0.1:1/", "hook": "all"},
}
UPDATE = CHANGE | {"Event-Name": "doc_type_update", "Action": "account", "Server-ID": "q"}
"""The notification of an edited hook, and that of a document for maintenance."""


def publish_durably(url, bodies):
    """Publish call events, persistent and confirmed."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    for body in bodies:
        exchange, key, text, content_type = outgoing(body)
        properties = pika.BasicProperties(content_type=content_type, delivery_mode=2)
        channel.basic_publish(exchange, key, text, properties, mandatory=True)
    connection.close()


def publish_with_headers(system, body, headers):
    """Publish a call event on the bus of a system, with AMQP headers."""
    settings = system.settings
    publisher = brokers.connect(settings.amqp.url, Topology(), settings.data.dir)
    publisher.open()

    def wait_for(kind):
        system.wait(lambda: any(isinstance(event, kind) for event in publisher.poll()))

    wait_for(ConnectionUp)
    exchange, key, text, content_type = outgoing(body)
    properties = Properties(content_type=content_type, headers=headers)
    publisher.publish(OutgoingMessage(exchange, key, text, properties))
    wait_for(Confirmed)
    publisher.close()
