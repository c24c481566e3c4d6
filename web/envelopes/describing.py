"""Envelopes, bodies and errors in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from callboard.web.documents.hook_documents import hook_schema
from callboard.webhooks.hooks.options import LEAST_RATE, MOST_RATE

TAGS = [
    {"name": "hooks", "description": "The hooks of an account."},
    {"name": "re-enabling", "description": "Enabling hooks that were disabled for failures."},
    {"name": "attempts", "description": "Stored requests with their responses."},
    {"name": "events", "description": "The event types, with samples; needs no token."},
    {"name": "sending again", "description": "Replays and tests of a hook."},
    {"name": "secrets", "description": "The secrets that sign a hook's deliveries."},
    {"name": "dead letters", "description": "Exhausted deliveries, and quarantined events."},
    {"name": "posting", "description": "Events from clients without a broker."},
    {
        "name": "operator",
        "description": "The whole node, for tokens with access to everything.",
    },
    {"name": "health", "description": "Liveness, readiness and metrics."},
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
    400: "The body or the query breaks a rule, which `data` names.",
    401: "The token is missing or unknown.",
    403: "The token is not for this account.",
    404: "The resource does not exist.",
    409: "Another client changed the document meanwhile.",
    412: "The document's revision differs from If-Match.",
    413: "The body is too long.",
    422: "The Idempotency-Key was used with another body.",
    429: "Too many wrong tokens came from this address.",
    500: "An internal error.",
    503: "The store or an actor does not respond.",
}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Descriptions of these errors, in their envelope."""
    return {s: {"description": _WHAT[s], "content": _json(ERROR)} for s in statuses}


def _success(status: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": "Done.", "content": _json(SUCCESS)}}


OPEN = _success(200) | errors(400, 404, 429, 500, 503)
"""Responses of paths without a token."""
ENVELOPE = _success(200) | errors(400, 401, 403, 404, 429, 500, 503)
"""Responses of paths with a token."""


def changes(status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Responses of paths that change a document."""
    return _success(status) | errors(400, 401, 403, 404, 409, 412, 413, 429, 500, 503)


def posted() -> dict[int | str, dict[str, Any]]:
    """Responses of the path for posted events."""
    return changes(202) | errors(422)


def _query(name: str, description: str, type: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": type}}


_PAGING = [
    _query("page_size", "Number of elements on a page.", "integer"),
    _query("start_key", "The `next_start_key` of the page before."),
    _query("paginate", "false returns all elements at once.", "boolean"),
    _query("ascending", "true reverses the order.", "boolean"),
]
PAGES: dict[str, Any] = {"parameters": _PAGING}
"""The parameters of a listing."""
RANGES: dict[str, Any] = {
    "parameters": [
        _query("created_from", "Start of the period, Gregorian seconds.", "integer"),
        _query("created_to", "End of the period, Gregorian seconds.", "integer"),
        *_PAGING,
    ]
}
"""The parameters of a listing by time."""


_CREATED = RANGES["parameters"][:2]
LETTERS: dict[str, Any] = {
    "parameters": [
        _query("account_id", "Only this account's; for the operator."),
        _query("hook_id", "Only this hook's."),
        _query("kind", "delivery, or event for quarantined events."),
        *_CREATED,
        *_PAGING[:3],
    ]
}
"""The parameters of a listing of dead letters."""
HOOK_SEARCH: dict[str, Any] = {
    "parameters": [
        _query("account_id", "Only this account's."),
        _query("event", "Only hooks of this event type."),
        _query("enabled", "Only hooks in this state.", "boolean"),
        _query("uri", "Only hooks whose URL contains this text; ignores case."),
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
            "description": "Identifies the event within its account for 24 hours.",
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
"""Header and body of a posted event."""
COMMAND: dict[str, Any] = {
    "parameters": [_query("start_key", "The `next_start_key` of the response before.")],
    **body_of({"type": "object"}, "The arguments."),
}
"""Parameters and body of a command of maintenance."""


def without_framework_errors(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document without the framework's errors, which Callboard replaces."""
    for path in document["paths"].values():
        for operation in path.values():
            theirs = "HTTPValidationError" in str(operation["responses"].get("422"))
            if theirs:
                del operation["responses"]["422"]
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document
