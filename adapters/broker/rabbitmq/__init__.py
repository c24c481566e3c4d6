"""RabbitMQ (AMQP 0-9-1) through pika, without threads and without waiting.

Offers `AmqpConnection`, one connection that reconnects by itself, and a probe for `callboard
doctor`. The rest is its own.
"""
