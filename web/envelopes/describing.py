"""What the OpenAPI document says of envelopes, bodies and errors."""

from collections.abc import Mapping
from typing import Any

from callboard.web.documents.hook_documents import hook_schema
from callboard.webhooks.hooks.options import LEAST_RATE, MOST_RATE

TAGS = [
    {"name": "hooks", "description": "The hooks of an account."},
    {"name": "re-enabling", "description": "Hooks that were disabled for their failures."},
    {"name": "attempts", "description": "What was sent, and what was answered."},
    {"name": "events", "description": "The kinds of events and samples of them; open to all."},
    {"name": "sending again", "description": "Replays and tests of a hook."},
    {"name": "secrets", "description": "What a hook's deliveries are signed with."},
    {"name": "dead letters", "description": "Deliveries that were given up."},
    {"name": "posting", "description": "Events from clients without a broker."},
    {"name": "operator", "description": "The whole node, for those who see everything."},
    {"name": "health", "description": "Whether this process is well."},
]

_COMMON: dict[str, Any] = {
    "request_id": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"},
    "node": {"type": "string"},
    "version": {"type": "string"},
    "auth_token": {"type": "string"},
}

SUCCESS: dict[str, Any] = {
    "type": "object",
    "required": ["data", "status", "request_id", "timestamp", "node"],
    "properties": {
        "data": {},
        "status": {"type": "string", "enum": ["success"]},
        "revision": {"type": "string"},
        "page_size": {"type": "integer"},
        "start_key": {"type": "string"},
        "next_start_key": {"type": "string"},
        "warnings": {"type": "array", "items": {"type": "string"}},
        **_COMMON,
    },
}

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["data", "status", "error", "message", "request_id"],
    "properties": {
        "data": {},
        "status": {"type": "string", "enum": ["error"]},
        "error": {"type": "string", "description": "The HTTP status."},
        "message": {"type": "string"},
        **_COMMON,
    },
}

_WHAT = {
    400: "The body or the query breaks a rule; `data` says which.",
    401: "No token, or none that is known.",
    403: "The token is not for this account.",
    404: "There is no such thing here.",
    409: "Somebody else changed the document meanwhile.",
    412: "The document has another revision than If-Match wants.",
    413: "The body is too long.",
    422: "The Idempotency-Key was used with another body.",
    429: "Too many wrong tokens came from this address.",
    500: "A failure of ours.",
    503: "The store or an actor does not answer.",
}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These errors, in their envelope."""
    return {s: {"description": _WHAT[s], "content": _json(ERROR)} for s in statuses}


def _success(status: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": "Done.", "content": _json(SUCCESS)}}


OPEN = _success(200) | errors(400, 404, 429, 500, 503)
"""Of paths that take no token."""
ENVELOPE = _success(200) | errors(400, 401, 403, 404, 429, 500, 503)
"""Of paths that take one."""


def changes(status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Of paths that change a document."""
    return _success(status) | errors(400, 401, 403, 404, 409, 412, 413, 429, 500, 503)


def posted() -> dict[int | str, dict[str, Any]]:
    """Of the path that events are posted to."""
    return changes(202) | errors(422)


def _query(name: str, description: str, type: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": type}}


_PAGING = [
    _query("page_size", "Elements of a page.", "integer"),
    _query("start_key", "The `next_start_key` of the page before."),
    _query("paginate", "false: all at once.", "boolean"),
    _query("ascending", "true: in the opposite order.", "boolean"),
]
PAGES: dict[str, Any] = {"parameters": _PAGING}
"""The parameters of a listing."""
RANGES: dict[str, Any] = {
    "parameters": [
        _query("created_from", "From here on, Gregorian seconds.", "integer"),
        _query("created_to", "Up to here, Gregorian seconds.", "integer"),
        *_PAGING,
    ]
}
"""The parameters of a listing of what happened."""


_CREATED = RANGES["parameters"][:2]
LETTERS: dict[str, Any] = {
    "parameters": [
        _query("account_id", "Of this account; for the operator."),
        _query("hook_id", "Of this hook."),
        _query("kind", "delivery, or event: one that could not be handled."),
        *_CREATED,
        *_PAGING[:3],
    ]
}
"""The parameters of a listing of dead letters."""
HOOK_SEARCH: dict[str, Any] = {
    "parameters": [
        _query("account_id", "Of this account."),
        _query("event", "Of this kind of event."),
        _query("enabled", "Whether they are.", "boolean"),
        _query("uri", "With this in their uri, in any case."),
        *_PAGING,
    ]
}
"""The parameters of the operator's listing of hooks."""


def hook_body(description: str, *, partial: bool = False) -> dict[str, Any]:
    """The request's body: an envelope with a hook."""
    schema = {k: v for k, v in hook_schema().items() if k != "$schema"}
    properties = {
        name: {k: v for k, v in member.items() if k not in ("support_level", "kazoo-validation")}
        for name, member in schema["properties"].items()
    }
    properties["rate_limit"] = {
        "type": "number",
        "minimum": LEAST_RATE,
        "exclusiveMaximum": MOST_RATE,
    }
    hook = {**schema, "properties": properties}
    if partial:
        del hook["required"]
    return body_of(hook, description)


def body_of(data: Mapping[str, Any], description: str) -> dict[str, Any]:
    """The request's body: an envelope with this as `data`."""
    envelope = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": dict(data),
            "auth_token": {"type": "string"},
            "verb": {"type": "string"},
        },
    }
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": _json(envelope),
        }
    }


POST_EVENT: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Names the event among those of its account, for 24 hours.",
            "schema": {"type": "string"},
        }
    ],
    **body_of(
        {
            "type": "object",
            "required": ["name", "payload"],
            "properties": {
                "name": {"type": "string"},
                "account_id": {"type": "string"},
                "payload": {"type": "object"},
            },
        },
        "The event.",
    ),
}
"""Header and body of an event that is posted."""
COMMAND: dict[str, Any] = {
    "parameters": [_query("start_key", "The `next_start_key` of the answer before.")],
    **body_of({"type": "object"}, "The arguments."),
}
"""Parameters and body of a command of maintenance."""


def without_framework_errors(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document without the errors that the framework would answer: ours has its own."""
    for path in document["paths"].values():
        for operation in path.values():
            theirs = "HTTPValidationError" in str(operation["responses"].get("422"))
            if theirs:
                del operation["responses"]["422"]
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document
