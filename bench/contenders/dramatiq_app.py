"""Webhooks as messages of Dramatiq, with RabbitMQ and requests.

    BENCH_AMQP_URL=… BENCH_URL=… dramatiq dramatiq_app --processes 2 --threads 16

A message is acknowledged when it has been worked on, and tried again when its endpoint did not
take it.
"""

import os
import threading

import dramatiq
import requests
from dramatiq.brokers.rabbitmq import RabbitmqBroker

dramatiq.set_broker(RabbitmqBroker(url=os.environ.get("BENCH_AMQP_URL", "amqp://")))

local = threading.local()


def session() -> requests.Session:
    """The thread's own: requests does not promise that one may be shared."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.headers["Content-Type"] = "application/json"
    return local.session


@dramatiq.actor(max_retries=10, min_backoff=1000)
def deliver(event):
    session().post(os.environ["BENCH_URL"], data=event.encode(), timeout=10).raise_for_status()
