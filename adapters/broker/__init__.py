"""Message brokers behind one protocol: RabbitMQ and an embedded one."""
