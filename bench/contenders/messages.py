"""What a publisher sends for an event: to an exchange, or as the task that somebody expects."""

import json
from collections.abc import Callable

import pika
from attrs import frozen

from contenders import celery_app, dramatiq_app

PERSISTENT = 2


@frozen
class Message:
    """To one routing key of one exchange; `body` is what AMQP carries."""

    exchange: str
    routing_key: str
    body: bytes
    properties: pika.BasicProperties


Wrap = Callable[[int, bytes], Message]
"""Makes the message of an event from its number and its body."""


def event(number: int, body: bytes) -> Message:
    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=PERSISTENT, message_id=f"event-{number}"
    )
    return Message("bench", "bench.event", body, properties)


def celery_task(number: int, body: bytes) -> Message:
    """As `deliver.delay(event)` sends it: Celery's own encoding, protocol 2."""
    task = celery_app.app.amqp.as_task_v2(f"task-{number}", "deliver", args=[body.decode()])
    properties = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=PERSISTENT,
        headers=task.headers,
        correlation_id=task.properties["correlation_id"],
    )
    return Message("celery", "celery", json.dumps(task.body).encode(), properties)


def dramatiq_message(_number: int, body: bytes) -> Message:
    """As `deliver.send(event)` sends it."""
    message = dramatiq_app.deliver.message(body.decode())
    properties = pika.BasicProperties(delivery_mode=PERSISTENT)
    return Message("", message.queue_name, message.encode(), properties)


WRAPS: dict[str, Wrap] = {
    "event": event,
    "celery_task": celery_task,
    "dramatiq_message": dramatiq_message,
}
