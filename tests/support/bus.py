"""The bus past all nodes, as a Kazoo node uses it."""

import pika

from support.running import outgoing


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
