"""The JSON schema by which Kazoo's API checks hook documents (kzd_webhooks)."""

from collections.abc import Mapping
from typing import Any

from callboard.webhooks.hooks.hook import DEFAULT_ATTEMPTS, FORM_DATA, JSON, VERBS
from callboard.webhooks.values.documents import merge, public_fields, stamped

_OFFERED = {"support_level": "supported"}

SCHEMA: Mapping[str, Any] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "description": "A wish to have each event of a kind sent to a URI",
    "type": "object",
    "required": ["hook", "name", "uri"],
    "properties": {
        "name": {"description": "What people call the hook", "type": "string", **_OFFERED},
        "uri": {
            "description": "Where events are sent to",
            "type": "string",
            "format": "uri",
            "kazoo-validation": True,
            **_OFFERED,
        },
        "hook": {
            "description": "The kind of event that is sent; all stands for every kind",
            "type": "string",
            **_OFFERED,
        },
        "http_verb": {
            "description": "The HTTP method of the request",
            "type": "string",
            "enum": list(VERBS),
            "default": "post",
            **_OFFERED,
        },
        "format": {
            "description": "How the body of a post or put is encoded",
            "type": "string",
            "enum": [FORM_DATA, JSON],
            "default": FORM_DATA,
            **_OFFERED,
        },
        "retries": {
            "description": "How often sending is tried in all; 0 counts as once",
            "type": "integer",
            "minimum": 0,
            "maximum": 4,
            "default": DEFAULT_ATTEMPTS,
            **_OFFERED,
        },
        "enabled": {
            "description": "Whether the hook fires",
            "type": "boolean",
            "default": True,
        },
        "include_subaccounts": {
            "description": "Whether events of the accounts below fire it, too",
            "type": "boolean",
            **_OFFERED,
        },
        "include_internal_legs": {
            "description": "Whether call legs within the system (loopback) fire it",
            "type": "boolean",
            "default": True,
        },
        "custom_data": {
            "description": "Values laid over the event's, and what selects some of its kinds",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
    },
}
"""The schema's public fields. Fields added by others, such as the event kinds, stay theirs."""


def schema_update(
    existing: Mapping[str, Any] | None, node: str, now_gregorian_s: int
) -> dict[str, Any] | None:
    """The schema document to save; None if the stored one is up to date.

    As with metadata, Callboard's schema is merged deeply over the stored one.
    """
    if existing is None:
        return stamped(
            {"_id": "webhooks", "pvt_created": now_gregorian_s, **SCHEMA}, node, now_gregorian_s
        )
    merged = merge(existing, SCHEMA)
    if public_fields(merged) == public_fields(existing):
        return None
    return stamped(merged, node, now_gregorian_s)
