"""Envelopes, bodies and errors in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from callboard.web.documents.hook_documents import hook_schema
from callboard.web.documents.shapes import COMPONENTS, Schema
from callboard.webhooks.hooks.options import LEAST_RATE, MOST_RATE

TAGS = [
    {"name": "hooks", "description": "The hooks of an account."},
    {"name": "re-enabling", "description": "Enabling hooks that were disabled for failures."},
    {"name": "attempts", "description": "Stored requests with their responses."},
    {"name": "events", "description": "The event types, with samples; needs no token."},
    {"name": "sending again", "description": "Replays and tests of a hook."},
    {"name": "secrets", "description": "The secrets that sign a hook's deliveries."},
    {"name": "dead letters", "description": "Exhausted deliveries, and quarantined events."},
    {"name": "portal", "description": "Links into the dashboard, for an account's users."},
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
        "status": {"const": "success"},
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
        "status": {"const": "error"},
        "error": {"type": "string", "description": "The HTTP status."},
        "message": {"type": "string"},
        **_COMMON,
    },
}

_WHAT = {
    304: "The client has this revision already (If-None-Match).",
    400: "The body or the query breaks a rule, which `data` names.",
    401: "The token is missing or unknown.",
    403: "The token is not for this account.",
    404: "The resource does not exist.",
    408: "The body did not arrive in time.",
    409: "Another client changed the document meanwhile, or a quota is used up.",
    412: "The document's revision differs from If-Match.",
    413: "The body is too long.",
    422: "The Idempotency-Key was used with another body.",
    429: "Too many wrong tokens came from this address, or too many requests of this account.",
    500: "An internal error.",
    503: "The store or an actor does not respond, or the node is busy.",
    508: "The event goes round: it was posted because of deliveries of its own.",
}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Descriptions of these errors, in their envelope."""
    error = {"$ref": "#/components/schemas/Error"}
    return {s: {"description": _WHAT[s], "content": _json(error)} for s in statuses}


def _success(status: int, data: Schema) -> dict[int | str, dict[str, Any]]:
    described = {**SUCCESS, "properties": {**SUCCESS["properties"], "data": data}}
    return {status: {"description": "Done.", "content": _json(described)}}


def open_to_all(data: Schema) -> dict[int | str, dict[str, Any]]:
    """Responses of paths that need no token. `data`: what they show."""
    return _success(200, data) | errors(400, 401, 404, 429, 500, 503)


def shows(data: Schema, *, revision: bool = False) -> dict[int | str, dict[str, Any]]:
    """Responses of paths that show `data`. `revision`: of a document, which a client may have."""
    unchanged: dict[int | str, dict[str, Any]] = {304: {"description": _WHAT[304]}}
    known = unchanged if revision else {}
    return _success(200, data) | known | errors(400, 401, 403, 404, 429, 500, 503)


def changes(data: Schema, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Responses of paths that change something, and show it as `data`."""
    return _success(status, data) | errors(400, 401, 403, 404, 409, 412, 429, 500, 503)


def posted(data: Schema) -> dict[int | str, dict[str, Any]]:
    """Responses of the path for posted events."""
    return changes(data, 202) | errors(422, 508)


def _query(name: str, description: str, type: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": type}}


START_KEY = _query("start_key", "The `next_start_key` of the page before.")
_PAGING = [
    _query("page_size", "Number of elements on a page.", "integer"),
    START_KEY,
    _query("paginate", "false returns all elements at once.", "boolean"),
    _query("ascending", "true reverses the order.", "boolean"),
    _query("descending", "false reverses the order, too.", "boolean"),
]
_CREATED = (
    _query("created_from", "Start of the period, Gregorian seconds.", "integer"),
    _query("created_to", "End of the period, Gregorian seconds.", "integer"),
)
FILTERS: list[dict[str, Any]] = [
    {
        **_query("filter", "`filter_KEY=VALUE` and `filter_not_KEY=VALUE`, for any member."),
        "style": "form",
        "explode": True,
        "schema": {
            "title": "Filters",
            "type": "object",
            "propertyNames": {"pattern": "^filter_."},
            "additionalProperties": {"type": "string"},
        },
    },
    _query("has_key", "Only elements with this member."),
    _query("key_missing", "Only elements without this member."),
    _query("has_value", "Only elements in which this member is not empty."),
    _query("value_missing", "Only elements in which this member is missing or empty."),
    *_CREATED,
    _query("modified_from", "Only elements modified since, Gregorian seconds.", "integer"),
    _query("modified_to", "Only elements modified until, Gregorian seconds.", "integer"),
]
"""The generic filters (`callboard.web.envelopes.filters`)."""
STATISTICS_PERIOD: dict[str, Any] = {
    "parameters": [*_CREATED, _query("steps", "Number of parts of the period, 24.", "integer")]
}
"""The parameters of a hook's statistics."""
OPTIONAL_TOKEN: dict[str, Any] = {"security": [{}]}
"""The operation can be called without a token as well."""
PAGES: dict[str, Any] = {"parameters": _PAGING}
"""The parameters of a listing."""
FILTERED: dict[str, Any] = {"parameters": FILTERS}
"""The parameters of a listing with filters, all at once."""
FILTERED_PAGES: dict[str, Any] = {"parameters": [*_PAGING, *FILTERS]}
"""The parameters of a listing with filters."""
ACCOUNT_HOOKS: dict[str, Any] = {
    "parameters": [
        _query("text", "Only hooks with this text in id, name, event or URL; ignores case."),
        *FILTERED_PAGES["parameters"],
    ]
}
"""The parameters of the listing of an account's hooks."""
_OF_EVENT = _query(
    "text", "Only of the event with this id or reference, or whose request has this text."
)
ATTEMPT_SEARCH: dict[str, Any] = {
    "parameters": [
        _OF_EVENT,
        *_PAGING,
        *FILTERS,
    ]
}
"""The parameters of a listing of attempts."""
WAITING_SEARCH: dict[str, Any] = {"parameters": [_OF_EVENT, *_PAGING]}
"""The parameters of a listing of waiting deliveries."""
_OF_ACCOUNT = _query("account_id", "Only this account's.")
_LETTER_SEARCH = [
    _query("hook_id", "Only this hook's."),
    _query("kind", "delivery, or event for quarantined events."),
    _query("text", "Only those with this text in a listed member; ignores case."),
]
LETTERS: dict[str, Any] = {"parameters": [*_LETTER_SEARCH, *_PAGING, *FILTERS]}
"""The parameters of a listing of an account's dead letters."""
LETTER_COUNT: dict[str, Any] = {"parameters": [*_LETTER_SEARCH, *FILTERS]}
"""The parameters of the count of an account's dead letters."""
ALL_LETTER_COUNT: dict[str, Any] = {"parameters": [_OF_ACCOUNT, *LETTER_COUNT["parameters"]]}
"""The parameters of the operator's count of dead letters."""
ALL_LETTERS: dict[str, Any] = {"parameters": [_OF_ACCOUNT, *LETTERS["parameters"]]}
"""The parameters of the operator's listing of dead letters."""
TOKEN_PAGES: dict[str, Any] = {"parameters": [_OF_ACCOUNT, *_PAGING]}
"""The parameters of the listing of tokens."""
HOOK_COUNT: dict[str, Any] = {
    "parameters": [
        _OF_ACCOUNT,
        _query("event", "Only hooks of this event type."),
        _query("enabled", "Only hooks in this state.", "boolean"),
        _query("uri", "Only hooks whose URL contains this text; ignores case."),
        _query("text", "Only hooks with this text in id, name, event, URL or account."),
    ]
}
"""The parameters of the operator's count of hooks."""
HOOK_SEARCH: dict[str, Any] = {
    "parameters": [
        *HOOK_COUNT["parameters"],
        *_PAGING,
        _query("sort", "By `name`, `hook`, `uri` or `account_id`, instead of account and id."),
    ]
}
"""The parameters of the operator's listing of hooks."""


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string"},
    }


IF_NONE_MATCH: dict[str, Any] = {
    "parameters": [_header("If-None-Match", "Revisions that the client has: 304 for one of them.")]
}
"""The header of paths that show a document."""
_IF_MATCH = _header("If-Match", "Revisions to change; 412 if the document has another.")
DELETION: dict[str, Any] = {
    "parameters": [
        _IF_MATCH,
        _query("should_soft_delete", "false deletes the document as well.", "boolean"),
    ]
}
"""The parameters of a hook's deletion."""


def hook_change(description: str, *, partial: bool = False) -> dict[str, Any]:
    """Header and body of a change of a hook. `partial`: of some members."""
    return {"parameters": [_IF_MATCH], **hook_body(description, partial=partial)}


def hook_body(description: str, *, partial: bool = False) -> dict[str, Any]:
    """The request's body: an envelope with a hook.

    Without defaults: clients made from the document would send them, over what a hook has already,
    and over those of its event's module.
    """
    schema = {k: v for k, v in hook_schema().items() if k != "$schema"}
    properties = {
        name: {
            k: v
            for k, v in member.items()
            if k not in ("support_level", "kazoo-validation", "default")
        }
        for name, member in schema["properties"].items()
    }
    properties["rate_limit"] = {
        "type": "number",
        "minimum": LEAST_RATE,
        "exclusiveMaximum": MOST_RATE,
    }
    if partial:
        del schema["required"]
    title = "HookChange" if partial else "NewHook"
    return body_of({**schema, "title": title, "properties": properties}, description)


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


def members_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members of `data` that a body of `body_of` has; others are refused."""
    envelope = body["requestBody"]["content"]["application/json"]["schema"]
    members: Mapping[str, Any] = envelope["properties"]["data"]["properties"]
    return members


MOST_EVENTS = 1000
"""The most events of one request."""
POSTED_EVENT: dict[str, Any] = {
    "title": "PostedEvent",
    "type": "object",
    "required": ["name", "payload"],
    "properties": {
        "name": {"type": "string"},
        "account_id": {"type": "string"},
        "payload": {"type": "object"},
    },
}
POST_EVENTS: dict[str, Any] = {
    "parameters": [
        _header("Idempotency-Key", "Identifies the request within its account for 24 hours."),
        _header("callboard-hops", "That of the delivery that is the reason for the event."),
    ],
    **body_of(
        {
            "anyOf": [
                POSTED_EVENT,
                {
                    "type": "array",
                    "items": POSTED_EVENT,
                    "minItems": 1,
                    "maxItems": MOST_EVENTS,
                },
            ]
        },
        "The event, or a list of events of one account.",
    ),
}
"""Header and body of posted events."""


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with what all paths have in common.

    Without the framework's errors and their schemas, which Callboard replaces.
    """
    shared = document.setdefault("components", {})
    schemas = {**shared.get("schemas", {}), **COMPONENTS, "Error": ERROR}
    document["paths"] = _named(document["paths"], schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    shared["schemas"] = schemas
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            for status, described in errors(408, 413).items():
                responses.setdefault(str(status), described)
    return document


def _named(part: Any, schemas: dict[str, Any]) -> Any:
    """The part with a reference for each schema that has a title, which becomes a component.

    So that clients made from the document have one class for what many paths show. The
    framework's own titles are those of parameters, which need no class.
    """
    if isinstance(part, list):
        return [_named(one, schemas) for one in part]
    if not isinstance(part, dict):
        return part
    inner = {key: _named(one, schemas) for key, one in part.items()}
    if inner.get("type") != "object":
        return inner
    if "properties" not in inner:  # of anything, which some generators take for an empty object
        inner.setdefault("additionalProperties", True)
    title = inner.pop("title", "")
    if not title:
        return inner
    if schemas.setdefault(title, inner) != inner:
        raise ValueError(f"two schemas have the title {title}")
    return {"$ref": f"#/components/schemas/{title}"}
