"""Paths of the tree's actors, by which they are addressed and named as peers."""

import re

TOP = ""
METRICS = "metrics"
FAILURE_CACHE = "failure_cache"
HOOK_TABLE = "hook_table"
DISABLER = "disabler"
HOOK_LISTENER = "hook_listener"
EVENT_BRIDGE = "event_bridge"
MAINTENANCE = "maintenance"
REDELIVERY = "redelivery"
API = "api"
INITIALIZER = "initializer"

RESPONDERS = "responders"
ALL_RESPONDERS = f"{RESPONDERS}/*"

DELIVERIES = "deliveries"
ATTEMPT_LOG = f"{DELIVERIES}/attempt_log"
RETRY_QUEUE = f"{DELIVERIES}/retry_queue"
ELSEWHERE = f"{DELIVERIES}/elsewhere"
"""The supervisor of the deliverers on other machines."""
ALL_DELIVERERS = f"{DELIVERIES}/*deliverer-*"
"""The deliverers on this machine and on others."""

_DELIVERER = re.compile(rf"({ELSEWHERE}/[^/]+|{DELIVERIES})/deliverer-\d+")


def responder_path(module: str) -> str:
    """The path of the responder of an event module."""
    return f"{RESPONDERS}/{module}"


def is_source(path: str) -> bool:
    """Whether it is the path of an actor that hands out deliveries and waits for reports."""
    return path in (EVENT_BRIDGE, RETRY_QUEUE) or path.startswith(f"{RESPONDERS}/")


def is_deliverer(path: str) -> bool:
    """Whether it is the path of a deliverer, on this machine or on one that has joined."""
    return _DELIVERER.fullmatch(path) is not None


def is_remote(path: str) -> bool:
    """Whether it is the path of a deliverer on a machine that has joined, with its own clock."""
    return is_deliverer(path) and path.startswith(f"{ELSEWHERE}/")


def id_of(path: str) -> str:
    """The id of the actor's ChildSpec."""
    return path.rpartition("/")[2]
