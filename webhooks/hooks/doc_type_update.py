"""The bus request to re-enable hooks, and its reply (kapi_conf, kapi_self)."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.hooks.arguments import BadArgument, account_argument

ACCOUNT, DESCENDANTS = "account", "descendants"
ACTIONS = (ACCOUNT, DESCENDANTS)

MAX_ROUTING_KEY_BYTES = 255
"""AMQP 0-9-1, 4.2.5.3: short strings."""

_REQUIRED = ("App-Name", "App-Version", "Event-Category", "Event-Name", "Msg-ID", "Type")
_VALUES = {"Event-Category": "configuration", "Event-Name": "doc_type_update"}
_AT_A_PROCESS = re.compile(r"pid://(.*)/(.*)", re.DOTALL)


class InvalidRequest(Exception):
    """A doc_type_update that cannot be carried out; the text gives the reason."""


@frozen
class DocTypeUpdate:
    """Re-enable the hooks of an account, or of it and its descendants.

    `reply_to`: the queue for the reply, None if no reply is expected; `pid`: the process behind
    that queue, named in the header `Deliver-To-PID`.
    """

    action: str
    account_id: str
    msg_id: Any
    reply_to: str | None = None
    pid: str | None = None


def parse_doc_type_update(body: Mapping[str, Any]) -> DocTypeUpdate:
    """The request in a message body. Raises InvalidRequest where Kazoo's handler crashes."""
    missing = [header for header in _REQUIRED if header not in body]
    if missing:
        raise InvalidRequest(f"it lacks {', '.join(missing)}")
    for header, value in _VALUES.items():
        if body[header] != value:
            raise InvalidRequest(f"{header} is {body[header]!r}, not {value!r}")
    if body.get("Action") not in ACTIONS:
        raise InvalidRequest(f"Action is {body.get('Action')!r}: use one of {', '.join(ACTIONS)}")
    try:
        account_id = account_argument(body.get("Account-ID"))
    except BadArgument as problem:
        raise InvalidRequest(f"Account-ID: {problem}") from None
    return DocTypeUpdate(
        body["Action"], account_id, body["Msg-ID"], *_address(body.get("Server-ID"))
    )


def _address(server_id: Any) -> tuple[str | None, str | None]:
    """Queue and process of a `Server-ID`: a queue's name, or `pid://{pid}/{queue}`."""
    if server_id is None or server_id == "":
        return None, None
    problem = InvalidRequest(f"Server-ID {server_id!r} names no queue")
    if not isinstance(server_id, str):
        raise problem
    queue, pid = server_id, None
    if server_id.startswith("pid://"):
        match = _AT_A_PROCESS.fullmatch(server_id)
        if match is None:
            raise problem
        pid, queue = match.groups()
    try:
        size = len(queue.encode())
        (pid or "").encode()
    except UnicodeEncodeError:
        raise problem from None
    if not 0 < size <= MAX_ROUTING_KEY_BYTES:
        raise problem
    return queue, pid


def doc_type_updated(request: DocTypeUpdate, node: str) -> dict[str, Any]:
    """The body of the reply; the requester reads only `Msg-ID`."""
    return {
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_type_updated",
        "Msg-ID": request.msg_id,
        "Node": node,
    }
