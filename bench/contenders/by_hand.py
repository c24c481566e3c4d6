"""Webhooks by hand: one process with pika, a pool of 32 threads and requests.

    python by_hand.py AMQP_URL QUEUE URL

A message is acknowledged when its endpoint has taken it, and goes back to the queue otherwise.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pika
import requests

THREADS = 32
PREFETCH = 100
PAUSE_S = 1.0

local = threading.local()
ended = threading.Event()


def session() -> requests.Session:
    """The thread's own: requests does not promise that one may be shared."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.headers["Content-Type"] = "application/json"
    return local.session


def deliver(url, body):
    try:
        session().post(url, data=body, timeout=10).raise_for_status()
    except requests.RequestException:
        return False
    return True


def main(amqp_url, queue, url):
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.exchange_declare("bench", "topic", durable=True)
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "bench", "#")
    channel.basic_qos(prefetch_count=PREFETCH)

    def work(tag, body):
        if deliver(url, body):
            connection.add_callback_threadsafe(partial(channel.basic_ack, tag))
        else:
            ended.wait(PAUSE_S)
            connection.add_callback_threadsafe(partial(channel.basic_nack, tag))

    with ThreadPoolExecutor(THREADS) as pool:

        def on_message(_channel, method, _properties, body):
            pool.submit(work, method.delivery_tag, body)

        channel.basic_consume(queue, on_message)
        channel.start_consuming()


if __name__ == "__main__":
    main(*sys.argv[1:])
