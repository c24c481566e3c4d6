"""Message brokers behind one protocol: RabbitMQ (`rabbitmq`) and an embedded one (`embedded`).

In: a `Topology`, messages to publish, tags to acknowledge. Offers `BrokerConnection`, which its
owner's event loop drives, and the events that come of it; `brokers.connect` for a URL.
"""
