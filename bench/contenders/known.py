"""The contenders, and what each of them does and guarantees."""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from report import Table

from callboard.config.loader import ConfigError, load
from contenders.running import ONE_ACCOUNT, Callboard, Command, Contender, Hook

BIN = Path(sys.executable).parent

BY_HAND = Command("by hand: pika, requests", [sys.executable, "by_hand.py"], named=True)
CELERY = Command(
    "Celery, requests",
    [
        *(str(BIN / "celery"), "--app", "celery_app", "worker", "--loglevel", "warning"),
        *("--pool", "threads", "--concurrency", "32"),
    ],
    wrap="celery_task",
    queue="celery",
)
DRAMATIQ = Command(
    "Dramatiq, requests",
    [str(BIN / "dramatiq"), "dramatiq_app", "--processes", "2", "--threads", "16"],
    wrap="dramatiq_message",
    queue="default",
)
AIO = Command("aio-pika, aiohttp", [sys.executable, "aio.py"], named=True)
CALLBOARD = Callboard("Callboard, requests")
CALLBOARD_ASYNC = Callboard("Callboard, curl", delivery__transport="curl")


def async_transport() -> bool:
    """Whether this Callboard can deliver with the asynchronous transport."""
    try:
        load(None, {}, {"delivery.transport": "curl"})
    except ConfigError:
        return False
    return find_spec("pycurl") is not None


def callboards() -> list[Callboard]:
    """Callboard with each transport that there is."""
    return [CALLBOARD, CALLBOARD_ASYNC] if async_transport() else [CALLBOARD]


def callboards_with(
    hooks: Sequence[Hook], account: str = ONE_ACCOUNT, **settings: str
) -> list[Callboard]:
    """Callboard with each transport that there is, and with these hooks and settings."""
    return [Callboard(one.name, account, hooks, **one.settings, **settings) for one in callboards()]


def settings_text(settings: Mapping[str, str]) -> str:
    """Settings as `callboards_with` takes them, for people."""
    return ", ".join(f"{key.replace('__', '.')} {value}" for key, value in settings.items())


def contenders() -> list[Contender]:
    return [*callboards(), BY_HAND, CELERY, DRAMATIQ, AIO]


GUARANTEES = Table(
    ("", "processes", "requests at once", "acknowledges", "what fails", "besides"),
    (
        (
            "Callboard",
            "a tree of supervised ones, two of which deliver",
            "32",
            "when every delivery succeeded, is given up on record, or lies in a durable queue",
            "is tried again by policy from a durable queue, then kept as a dead letter",
            "signs (HMAC-SHA256), refuses private addresses, keeps endpoints from holding up each "
            "other, keeps every attempt for `callboard`, API and dashboard",
        ),
        (
            "by hand",
            "one",
            "32 threads",
            "after success",
            "goes back to the queue after a second, without end",
            "nothing",
        ),
        (
            "Celery",
            "one, 32 threads (the fastest of its pools here)",
            "32",
            "when the task has ended (acks_late)",
            "is tried again up to 10 times with growing pauses, held in the worker's memory",
            "nothing",
        ),
        (
            "Dramatiq",
            "two and their parent",
            "2 × 16 threads",
            "when the message has been worked on",
            "is tried again up to 10 times with growing pauses, from a durable queue",
            "nothing",
        ),
        (
            "aio-pika, aiohttp",
            "one, one thread",
            "100, its prefetch",
            "after success",
            "goes back to the queue after a second, without end",
            "nothing",
        ),
    ),
)
