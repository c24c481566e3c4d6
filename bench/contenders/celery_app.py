"""Webhooks as tasks of Celery, with RabbitMQ and requests.

    BENCH_AMQP_URL=… BENCH_URL=… celery --app celery_app worker --concurrency 32 --pool …

A task is acknowledged when it has ended, and tried again when its endpoint did not take it.
"""

import os
import threading

import requests
from celery import Celery

app = Celery("bench", broker=os.environ.get("BENCH_AMQP_URL"))
app.conf.task_acks_late = True
app.conf.task_reject_on_worker_lost = True
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True

local = threading.local()


def session() -> requests.Session:
    """The thread's own: requests does not promise that one may be shared."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.headers["Content-Type"] = "application/json"
    return local.session


@app.task(
    name="deliver",
    autoretry_for=(requests.RequestException,),
    retry_backoff=True,
    max_retries=10,
)
def deliver(event):
    session().post(os.environ["BENCH_URL"], data=event.encode(), timeout=10).raise_for_status()
