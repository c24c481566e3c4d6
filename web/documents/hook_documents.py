"""Hook documents in the form that clients send and receive (cb_webhooks)."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.repositories.account_quotas import account_config, endpoint_config
from callboard.adapters.repositories.definitions import Definition, definitions
from callboard.web.backend import Backend
from callboard.web.documents.client_url import uri_problem
from callboard.web.documents.schema_check import checked
from callboard.web.documents.system_settings import setting
from callboard.web.errors import datastore_fault, invalid
from callboard.webhooks.expressions.parsing import MAX_CHARACTERS
from callboard.webhooks.expressions.shape import EXPRESSIONS, InvalidShape, parse_shape
from callboard.webhooks.hooks.hook import (
    ALL,
    InvalidHook,
    defaults_of,
    is_enabled,
    parse_hook,
    with_plain_name,
)
from callboard.webhooks.hooks.options import (
    CHECKED,
    MAX_RANGES,
    MAX_STEP_S,
    MAX_STEPS,
    POLICIES,
    InvalidOption,
    parse_options,
)
from callboard.webhooks.hooks.schema import SCHEMA
from callboard.webhooks.hooks.signature_schemes import BASE64, HEX
from callboard.webhooks.modules.notification_types import NOTIFICATION_TYPES
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.documents import public_fields
from callboard.webhooks.values.endpoint_options import (
    MOST_MEMBERS,
    MOST_REDIRECTS,
    InvalidEndpointOption,
    parse_endpoint_options,
)
from callboard.webhooks.values.json_values import as_object

SHOWN_ONLY = ("id", "disable_reason")
"""Members of responses that are not in the document; a client may send them back."""

_STATUSES: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": ["integer", "string"]},
    "minItems": 1,
    "maxItems": MAX_RANGES,
}

OPTIONS: Mapping[str, Any] = {
    "filter": {
        "description": "A JMESPath expression: only events for which it is true are sent",
        "type": "string",
        "maxLength": MAX_CHARACTERS,
    },
    "transform": {
        "description": "A JMESPath expression: its result is sent in place of the payload",
        "type": "string",
        "maxLength": MAX_CHARACTERS,
    },
    "retry_policy": {
        "description": "How a failed delivery is retried",
        "type": "string",
        "enum": list(POLICIES),
    },
    "ordered": {"description": "Whether events are sent strictly in order", "type": "boolean"},
    "paused": {"description": "Whether deliveries are kept until it is not", "type": "boolean"},
    "rate_limit": {
        "description": "Requests a second, at most",
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
    },
    "headers": {
        "description": "Headers that are sent along",
        "type": "object",
        "additionalProperties": {"type": "string"},
    },
    "retry_steps_s": {
        "description": "Longest pause after each failed try but the last, seconds",
        "type": "array",
        "items": {"type": "number", "minimum": 1, "maximum": MAX_STEP_S},
        "minItems": 1,
        "maxItems": MAX_STEPS,
    },
    "success": {
        "description": 'Statuses that mean success, or ranges such as "200-299"',
        **_STATUSES,
    },
    "give_up": {
        "description": "Statuses after which nothing is tried again, with the policy standard",
        **_STATUSES,
    },
    "signature": {
        "description": "A signature that is sent besides those of Standard Webhooks",
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "header": {"type": "string"},
            "prefix": {"type": "string"},
            "encoding": {"type": "string", "enum": [HEX, BASE64]},
        },
        "additionalProperties": False,
    },
    "client_certificate": {
        "description": "Name of the client certificate that is shown to the endpoint",
        "type": "string",
    },
    "ca_bundle": {
        "description": "Name of the authorities that verify the endpoint's certificate",
        "type": "string",
    },
    "tls_verify": {
        "description": "Whether the endpoint's certificate is verified",
        "type": "boolean",
    },
    "url_credentials": {
        "description": "Whether the uri may contain a user and a password",
        "type": "boolean",
    },
    "follow_redirects": {
        "description": "Redirects to follow, at most",
        "type": "integer",
        "minimum": 0,
        "maximum": MOST_REDIRECTS,
    },
    "ports": {
        "description": 'Ports to call besides the node\'s, or ranges such as "8000-8010"',
        "type": "array",
        "items": {"type": ["integer", "string"]},
        "maxItems": MOST_MEMBERS,
    },
    "allow_networks": {
        "description": "Private networks to call besides the node's",
        "type": "array",
        "items": {"type": "string"},
        "maxItems": MOST_MEMBERS,
    },
}
"""A hook's members beyond Kazoo's (`callboard.webhooks.hooks.options`)."""

_NOT_LISTED = "value not found in enumerated list of values"
_ADMIN_ONLY = frozenset(type.name for type in NOTIFICATION_TYPES.values() if type.admin_only)


def hook_schema(hooks: list[str] | None = None) -> dict[str, Any]:
    """The JSON schema of a hook; `hooks`: the existing kinds of events."""
    properties = {**SCHEMA["properties"], **OPTIONS}
    if hooks is not None:
        properties["hook"] = {**properties["hook"], "enum": hooks}
    return {**SCHEMA, "properties": properties}


def known_definitions(backend: Backend) -> dict[str, Definition]:
    """The kinds of events that hooks may name, by id."""
    node = backend.node
    return definitions(backend.store, node.modules, node.name, node.zone)


def with_defaults(backend: Backend, data: Mapping[str, Any], account_id: str) -> dict[str, Any]:
    """The whole of a hook that a client sends, with the defaults by the module of its event."""
    account = partial(account_config, backend.store, account_id)
    return {**defaults_of(data, backend.node.usual_events, account), **data}


def valid_hook(
    backend: Backend,
    data: Mapping[str, Any],
    account_id: str,
    *,
    sees_all: bool,
    stored: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The public fields to store. Raises ApiError 400 with all faults; 503.

    `stored`: the document before the change. One that is refused today can still be disabled:
    members that stay as they are, and whether the hook could fire, are then not checked.
    """
    data = {key: value for key, value in data.items() if key not in SHOWN_ONLY}
    known = known_definitions(backend)
    document, problems = checked(data, hook_schema(sorted({*known, ALL})))
    uri = document.get("uri")
    if isinstance(uri, str):
        blacklist = as_object(
            as_object(setting(backend, "kazoo_web", "client", {})).get("blacklist")
        )
        endpoints = endpoint_rules(backend, {**document, **_mark(document, stored)}, account_id)
        if problem := uri_problem(uri, blacklist, endpoints.refusal):
            problems["uri"] = problem
    for key in (*OPTIONS,):
        if key in document and key not in problems:
            try:
                parse_options({key: document[key]})
            except InvalidOption as refused:
                problems[key] = {"error": {"message": str(refused), "value": document[key]}}
    problems |= shape_problems(document, problems)
    disabled = None if is_enabled(document) else stored
    if disabled is not None:
        changed = {key for key in {*disabled, *document} if disabled.get(key) != document.get(key)}
        problems = {m: found for m, found in problems.items() if m.partition(".")[0] in changed}
    if problems:
        raise invalid(problems)
    if disabled is not None:
        return document
    if document["hook"] != ALL:
        _check_modifiers(document, known.get(document["hook"]), sees_all=sees_all)
    _check_whole(backend, {**document, **_mark(document, stored)}, account_id)
    return document


def shape_problems(
    document: Mapping[str, Any], known: Collection[str] = ()
) -> dict[str, dict[str, dict[str, Any]]]:
    """The faults of a hook's expressions, without members `known` to be faulty.

    `position`: the characters before the mistake.
    """
    problems = {}
    for key in EXPRESSIONS:
        if key in document and key not in known:
            try:
                parse_shape({key: document[key]})
            except InvalidShape as refused:
                facts = {"message": str(refused), "position": refused.position}
                problems[key] = {"error": {**facts, "value": document[key]}}
    return problems


def endpoint_rules(backend: Backend, document: Mapping[str, Any], account_id: str) -> EndpointRules:
    """The rules for the URL of a hook, by what it, its account and the node permit."""
    grants = backend.node.grants
    try:
        own = parse_endpoint_options(document)
    except InvalidEndpointOption:
        own = None
    account = endpoint_config(backend.store, account_id, grants)
    checked = document.get(CHECKED) is True
    return backend.node.endpoints.given(grants.settled(own, account, checked=checked))


def _mark(document: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whether the document's `uri` is subject to Callboard's own rules, as it is to be stored."""
    same = stored is not None and stored.get("uri") == document.get("uri")
    return {CHECKED: stored.get(CHECKED) is True if stored and same else True}


def _check_modifiers(
    document: Mapping[str, Any], definition: Definition | None, *, sees_all: bool
) -> None:
    """Check that the hook's custom_data selects among the values of the kind of event."""
    if definition is None:
        raise datastore_fault()
    chosen = as_object(document.get("custom_data"))
    problems: dict[str, dict[str, dict[str, Any]]] = {}
    for key, modifier in definition.modifiers.items():
        path = f"custom_data.{key}"
        if key not in chosen:
            problems[path] = {"required": {"message": "missing required modifier"}}
            continue
        choices = _choices(modifier)
        if choices is not None and chosen[key] not in choices:
            target = [c for c in choices if sees_all or c not in _ADMIN_ONLY]
            problems[path] = {
                "enum": {"message": _NOT_LISTED, "cause": chosen[key], "target": target}
            }
    if problems:
        raise invalid(problems)


def _choices(modifier: Any) -> list[str] | None:
    match modifier:
        case {"type": "array", "items": list(items)}:
            return list(dict.fromkeys([*items, ALL]))
        case {"type": "object", "items": dict(items)}:
            return list(items)
    return None


def _check_whole(backend: Backend, document: Mapping[str, Any], account_id: str) -> None:
    """Check for faults that the schema permits, but with which the hook could never fire."""
    whole = {**document, "_id": "new", "pvt_account_id": account_id}
    try:
        backend.check_hook(parse_hook(whole, backend.node.known_events | {document["hook"]}))
    except InvalidHook as refused:
        member = refused_member(refused, document)
        message = {"message": refused.reason, "value": document.get(member)}
        raise invalid({member: {"error": message}}) from None


def refused_member(refused: InvalidHook, members: Collection[str]) -> str:
    """The member with which the reason begins; `hook` if it is none of these."""
    named = refused.reason.replace(":", " ").partition(" ")[0]
    return named if named in members else "hook"


def shown_hook(document: Mapping[str, Any]) -> dict[str, Any]:
    """A single hook in the form for clients."""
    shown = {**public_fields(document), "id": document["_id"]}
    if (reason := document.get("pvt_disabled_message")) is not None:
        shown["disable_reason"] = reason
    return shown


def listed_hook(document: Mapping[str, Any]) -> dict[str, Any]:
    """A hook as an element of a listing."""
    names = ("hook", "name", "uri", "group", "paused")
    shown = {name: document[name] for name in names if document.get(name) is not None}
    shown |= {"id": document["_id"], "enabled": document.get("enabled", True)}
    if (reason := document.get("pvt_disabled_message")) is not None:
        shown["disable_reason"] = reason
    return shown


def shown_definition(
    definition: Definition, module: EventModule | None = None, *, sees_all: bool
) -> dict[str, Any]:
    """A kind of event in the form for clients; some are visible to admins only.

    `module`: this node's, for the schema and the samples of the payload.
    """
    shown: dict[str, Any] = {
        "id": definition.id,
        "name": definition.name,
        "description": definition.description,
    }
    for name in ("schema", "samples"):
        if found := getattr(module, name, None):
            shown[name] = found
    if definition.modifiers:
        shown["modifiers"] = {
            key: modifier if sees_all else _without_admin_only(modifier)
            for key, modifier in definition.modifiers.items()
        }
    return shown


def _without_admin_only(modifier: Any) -> Any:
    match modifier:
        case {"type": "object", "items": dict(items)}:
            kept = {name: item for name, item in items.items() if name not in _ADMIN_ONLY}
            return {**modifier, "items": kept}
    return modifier


def replaced(
    stored: Mapping[str, Any], public: Mapping[str, Any], private: Mapping[str, Any], now: int
) -> dict[str, Any]:
    """The stored document with other public fields, and with these private ones.

    An enabled hook has no reason for being disabled: any change without `enabled: false` enables
    the hook again, as in Kazoo. Another `uri` is subject to Callboard's own rules from now on.
    """
    kept = {key: value for key, value in stored.items() if key.startswith(("_", "pvt_"))}
    document = {**kept, **private, **public, "pvt_modified": now}
    if public.get("uri") != stored.get("uri"):
        document[CHECKED] = True
    if is_enabled(document):
        document.pop("pvt_disabled_message", None)
    return with_plain_name(document)
