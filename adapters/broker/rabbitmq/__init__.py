"""RabbitMQ (AMQP 0-9-1) through pika, without threads and without waiting.

Offers `AmqpConnection`, one connection that comes back when it is lost, and a probe for `callboard
doctor`. The rest is its own.
"""
