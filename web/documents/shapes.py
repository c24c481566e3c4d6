"""The `data` of the responses, as JSON schemas: for the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from callboard import admin
from callboard.actors.messages import HookProblems, SecretsReencrypted
from callboard.adapters.portal.links import RIGHTS
from callboard.adapters.repositories.tokens import TokenFacts
from callboard.supervision import TreeNode
from callboard.web.documents.class_schema import components, schema_of
from callboard.webhooks.deliveries.signing import ED25519, HMAC_SHA256
from callboard.webhooks.history.dead_letters import DELIVERY, EVENT
from callboard.webhooks.metrics.snapshot import EndpointSeen, Snapshot

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "integer", "description": "Gregorian seconds."}
_HEADERS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}


def _object(
    required: Mapping[str, Schema], more: Mapping[str, Schema] | None = None, title: str = ""
) -> Schema:
    """An object with these members, and perhaps those of `more`.

    `title`: the name of its component in the document.
    """
    return {
        **({"title": title} if title else {}),
        "type": "object",
        "required": list(required),
        "properties": {**required, **(more or {})},
    }


def list_of(schema: Schema) -> Schema:
    """A list of such elements."""
    return {"type": "array", "items": schema}


def deleted(schema: Schema) -> Schema:
    """The same, as the response to its deletion."""
    mark = _object({"deleted": {"type": "boolean", "enum": [True]}}, title="Deleted")
    title = {"title": f"Deleted{schema['title']}"} if "title" in schema else {}
    return {
        **schema,
        **title,
        "required": [*schema["required"], "_read_only"],
        "properties": {**schema["properties"], "_read_only": mark},
    }


# Documents of other programs may hold anything, so that only Callboard's own members are typed.

_OF_HOOKS: Mapping[str, Schema] = {
    "hook": _TEXT,
    "name": _TEXT,
    "uri": _TEXT,
    "group": {},
    "paused": _FLAG,
    "disable_reason": _TEXT,
}
HOOK: Schema = {
    **_object({"id": _TEXT}, {**_OF_HOOKS, "enabled": {}}, "Hook"),
    "description": "The hook's members, as sent.",
    "additionalProperties": True,
}
HOOK_OF_ANY_ACCOUNT: Schema = {
    **HOOK,
    "title": "HookOfAnyAccount",
    "required": ["id", "account_id"],
    "properties": {**HOOK["properties"], "account_id": _TEXT_OR_NULL},
}
BULK = _object(
    {
        "added": {"type": "array", "items": _TEXT},
        "changed": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": _TEXT},
            "description": "The members that differ, by the hook's id.",
        },
        "removed": {"type": "array", "items": _TEXT},
        "unchanged": {"type": "integer"},
        "refused": {"type": "object", "additionalProperties": _TEXT},
        "dry_run": {"type": "boolean"},
    },
    title="HooksChanged",
)
LISTED_HOOK = _object({"id": _TEXT, "enabled": {}}, _OF_HOOKS, "ListedHook")
LISTED_HOOK_OF_ANY_ACCOUNT = _object(
    {"id": _TEXT, "enabled": {}, "account_id": _TEXT_OR_NULL},
    {**_OF_HOOKS, "created": _TIME, "modified": _TIME},
    "ListedHookOfAnyAccount",
)
COUNT = _object({"count": _NUMBER, "more": {"type": "boolean"}}, title="Count")

ATTEMPT = _object(
    {"id": _TEXT, "timestamp": _TIME},
    {
        "hook_id": _TEXT,
        "hook_event": _TEXT,
        "event_id": _TEXT,
        "reference": _TEXT,
        "method": _TEXT,
        "uri": _TEXT,
        "req_headers": _HEADERS,
        "req_body": _TEXT,
        "result": {"type": "string", "enum": ["success", "failure", "cancelled"]},
        "reason": _TEXT,
        "client_error": _TEXT,
        "retries": _NUMBER,
        "try": _NUMBER,
        "retries_left": {"type": ["integer", "string"]},
        "resp_status_code": _TEXT,
        "resp_headers": _HEADERS,
        "resp_body": _TEXT,
        "duration_ms": _NUMBER,
    },
    "Attempt",
)
_MS: Schema = {"type": ["integer", "null"], "description": "Milliseconds."}
_COUNTED: Mapping[str, Schema] = {
    "succeeded": _NUMBER,
    "failed": _NUMBER,
    "p50_ms": _MS,
    "p90_ms": _MS,
    "p99_ms": _MS,
}
STATISTICS = _object(
    {
        **_COUNTED,
        "since": _TIME,
        "until": _TIME,
        "steps": list_of(_object({"at": _TIME, **_COUNTED}, title="StatisticsStep")),
    },
    title="Statistics",
)

_LETTER: Mapping[str, Schema] = {
    "account_id": _TEXT,
    "hook_id": _TEXT,
    "hook_event": _TEXT,
    "module": _TEXT_OR_NULL,
    "uri": _TEXT,
    "exchange": _TEXT_OR_NULL,
    "routing_key": _TEXT_OR_NULL,
    "tries": _NUMBER,
}
_EVERY_LETTER: Mapping[str, Schema] = {
    "id": _TEXT,
    "created": _TIME,
    "kind": {"type": "string", "enum": [DELIVERY, EVENT]},
    "reason": _TEXT,
}
LISTED_LETTER = _object(_EVERY_LETTER, _LETTER, "ListedDeadLetter")
LETTER = _object(
    _EVERY_LETTER,
    {
        **_LETTER,
        "event_id": _TEXT,
        "reference": _TEXT,
        "delivery_id": _TEXT,
        "webhook_id": _TEXT,
        "method": _TEXT,
        "content_type": _TEXT_OR_NULL,
        "content_encoding": _TEXT_OR_NULL,
        "message_id": _TEXT_OR_NULL,
        "headers": {"type": "object"},
        "raw": _HEADERS,
        "body": _TEXT,
        "body_base64": _TEXT,
        "body_bytes": _NUMBER,
        "history": list_of(_object({"at_ms": _NUMBER, "outcome": _TEXT}, title="PastTry")),
    },
    "DeadLetter",
)
ACTED_ON = _object(
    {
        "done": list_of(_TEXT),
        "refused": {
            "type": "object",
            "description": "The reasons, by id.",
            "additionalProperties": {"type": "string"},
        },
    },
    title="ActedOn",
)

REPLAY = _object(
    {
        "id": _TEXT,
        "hook_id": _TEXT,
        "state": {"type": "string", "enum": ["running", "done", "failed", "stopped"]},
        "found": {"type": ["integer", "null"]},
        "replayed": _NUMBER,
        "skipped": {
            "type": "object",
            "description": "The reasons, by attempt.",
            "additionalProperties": {"type": "string"},
        },
        "skipped_count": _NUMBER,
        "dry_run": _FLAG,
    },
    {"reason": _TEXT},
    "Replay",
)
TESTED = schema_of(admin.HookTested)
_WAITING = list_of(
    _object(
        {
            "id": _TEXT,
            "event_id": _TEXT,
            "reference": _TEXT,
            "hook_id": _TEXT,
            "hook_event": _TEXT,
            "uri": _TEXT,
            "tries": _NUMBER,
            "most_tries": _NUMBER,
            "due": _TIME,
            "reason": _TEXT,
        },
        title="WaitingDelivery",
    )
)
WAITING = _object(
    {
        "count": _NUMBER,
        "deliveries": _WAITING,
        "queues": list_of(
            _object(
                {
                    "hook_id": _TEXT,
                    "paused": {"type": "boolean"},
                    "count": _NUMBER,
                    "deliveries": _WAITING,
                },
                title="WaitingQueue",
            )
        ),
    },
    title="WaitingDeliveries",
)
RETRIED_NOW = _object(
    {
        "id": _TEXT,
        "sent": _NUMBER,
        "skipped": {
            "type": "object",
            "description": "The reasons, by delivery.",
            "additionalProperties": {"type": "string"},
        },
        "done": {"type": "boolean"},
    },
    title="DeliveriesRetried",
)
CANCELLED = _object({"id": _TEXT}, title="DeliveriesCancelled")
"""The hook whose deliveries were cancelled."""

_KIND: Schema = {"type": "string", "enum": [HMAC_SHA256, ED25519]}
SECRET = _object(
    {
        "fingerprint": _TEXT,
        "kind": _KIND,
        "since": _TIME,
        "public_key": _TEXT_OR_NULL,
        "until": {"type": ["integer", "null"]},
    },
    title="Secret",
)
NEW_SECRET = _object(
    {"fingerprint": _TEXT, "kind": _KIND}, {"secret": _TEXT, "public_key": _TEXT}, "NewSecret"
)

PREVIEW = _object(
    {
        "source": {"type": "string", "enum": ["payload", "attempt", "sample"]},
        "payload": {"type": "object", "additionalProperties": True},
        "sent": _FLAG,
        "modifiers": _FLAG,
        "filter": {"description": "The filter's result."},
        "filter_error": _TEXT,
        "content_type": _TEXT,
        "body": _TEXT,
        "transform_error": _TEXT,
    },
    title="Preview",
)

PORTAL_LINK = _object(
    {
        "url": _TEXT,
        "token": _TEXT,
        "account_id": _TEXT,
        "rights": {"type": "string", "enum": [*RIGHTS]},
        "until": _TIME,
    },
    title="PortalLink",
)
LINKS_REVOKED = _object({"account_id": _TEXT}, title="LinksRevoked")

DEFINITION = _object(
    {"id": _TEXT, "name": _TEXT, "description": _TEXT},
    {
        "modifiers": {"type": "object"},
        "schema": {"type": "object", "description": "JSON schema of the payload."},
        "samples": list_of({"type": "object", "additionalProperties": True}),
    },
    "EventType",
)
SAMPLES = list_of({"type": "object", "additionalProperties": True})
TEXTS = list_of(_TEXT)
_POSTED = _object({"id": _TEXT}, title="EventPosted")
POSTED: Schema = {"anyOf": [_POSTED, list_of(_POSTED)]}
"""The id of an event, or those of a list of events."""
ENABLED: Schema = {"type": "string", "enum": ["hooks updated"]}

TREE = schema_of(TreeNode)
_REASONS = list_of(
    _object(
        {"kind": _TEXT, "what": _TEXT, "since": {"type": "string", "format": "date-time"}},
        title="Reason",
    )
)
HEALTH = _object(
    {
        "ready": {"type": "boolean"},
        "problems": TEXTS,
        "details": _REASONS,
        "degraded": _REASONS,
    },
    title="Health",
)
FIGURES = schema_of(Snapshot)
ENDPOINTS = list_of(schema_of(EndpointSeen))
CIRCUIT_CLOSED = _object({"endpoint": _TEXT, "closed": _NUMBER}, title="CircuitClosed")
HOOK_PROBLEMS = schema_of(HookProblems)
MODULES = list_of(
    _object(
        {
            "id": _TEXT,
            "name": _TEXT,
            "description": _TEXT,
            "events": TEXTS,
            "bindings": list_of(
                _object({"exchange": _TEXT, "routing_key": _TEXT}, title="Binding")
            ),
        },
        title="EventModule",
    )
)
SETTINGS = list_of(_object({"key": _TEXT, "value": _TEXT}, title="Setting"))
_FACTS = components(TokenFacts)["TokenFacts"]
TOKENS = list_of(schema_of(TokenFacts))
TOKEN_REVOKED = deleted({**_FACTS, "title": "TokenFacts"})
NEW_TOKEN = _object({**_FACTS["properties"], "token": _TEXT}, title="NewToken")
PUBLISHED = _object({"published": _NUMBER}, title="Published")

_COMMANDS = (
    admin.ConfiguredHooks,
    admin.FailingHooks,
    admin.SettingSaved,
    admin.HooksEnabled,
    admin.FailuresFlushed,
    admin.ViewsRegistered,
    admin.DefinitionsReset,
    admin.OrphansCleanedUp,
    SecretsReencrypted,
)
DONE: Schema = {
    "description": "By command.",
    "anyOf": [schema_of(answer) for answer in _COMMANDS],
}

COMPONENTS = components(TreeNode, Snapshot, HookProblems, TokenFacts, admin.HookTested, *_COMMANDS)
"""The schemas that the others refer to, by name."""
