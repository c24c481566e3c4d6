"""A hook: one account's subscription, which sends an event's payload to a URL."""

import json
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from sys import intern
from typing import Any

from attrs import field, frozen

from callboard.webhooks.events.event import MAX_NESTING, too_deep
from callboard.webhooks.expressions.shape import InvalidShape, Shape, parse_shape
from callboard.webhooks.hooks.options import (
    CHECKED,
    NO_OPTIONS,
    STANDARD,
    InvalidOption,
    Options,
    parse_options,
)
from callboard.webhooks.values.json_values import as_bool, as_int
from callboard.webhooks.values.kazoo_names import account_of_database
from callboard.webhooks.values.pickling import Positional

ALL = "all"
"""A hook on every event of every module."""
FORM_DATA, JSON = "form-data", "json"
VERBS = ("get", "post", "put")
DEFAULT_ATTEMPTS, MAX_ATTEMPTS = 2, 5
MAX_URI = 65_536
"""The longest URI of a hook, in characters; no server accepts one of this length."""
MAX_OBJECT = 1_048_576
"""The longest `custom_data` and `modifiers` of a hook, in characters of JSON.

A stored hook with more does not fire. Quotas are far below; no payload could contain it.
"""

_NOT_PLAIN = re.compile("[^a-z0-9]")
_CHANNEL_EVENTS = ("channel_create", "channel_answer", "channel_destroy", "channel_bridge")
# Shared by all hooks without options, to save memory.
_NONE: Mapping[str, Any] = {}


class InvalidHook(Exception):
    """A hook document that cannot fire. `str` gives the fault and the permitted values."""

    def __init__(self, hook_id: str, reason: str) -> None:
        super().__init__(hook_id, reason)
        self.hook_id = hook_id
        self.reason = reason

    def __str__(self) -> str:
        return f"hook {self.hook_id}: {self.reason}"


@frozen(weakref_slot=False)
class Hook(Positional):
    """A hook as it is held in memory (Kazoo: the webhook record).

    `event`: the form used for matching: `CHANNEL_CREATE`, `object`, `all`. `max_attempts`: attempts
    in all, 1 to 5. `custom_data` is None if the document has none, which selects other events than
    an empty one. `modifiers` is empty if the document has none, and `shape` is None without
    expressions.
    """

    id: str
    account_id: str
    uri: str
    event: str
    verb: str = "post"
    format: str = FORM_DATA
    max_attempts: int = DEFAULT_ATTEMPTS
    include_subaccounts: bool = False
    include_internal_legs: bool = True
    custom_data: Mapping[str, Any] | None = field(default=None, hash=False)
    modifiers: Mapping[str, Any] = field(default=_NONE, hash=False)
    options: Options = NO_OPTIONS
    shape: Shape | None = None


def parse_hook(document: Mapping[str, Any], known_events: Collection[str]) -> Hook:
    """The hook of a document of database `webhooks` (kzd_webhooks, webhooks_util).

    `known_events`: the modules' ids and events. An absent or unknown `format` counts as form-data,
    and `http_verb` may be in capitals, where Kazoo crashes. Raises InvalidHook.
    """
    id = _header_text(document, "_id", "without id")
    account_id = _header_text(_with_account(document), "pvt_account_id", id)
    uri = _text(document, "uri", id)
    if len(uri) > MAX_URI:
        raise InvalidHook(id, f"uri has {len(uri)} characters: at most {MAX_URI} are possible")
    verb = str(document.get("http_verb") or "post").lower()
    if verb not in VERBS:
        raise InvalidHook(id, f"http_verb {verb!r} is unknown: use one of {', '.join(VERBS)}")
    format = str(document.get("format")).lower()
    return Hook(
        id=id,
        account_id=intern(account_id),
        uri=uri,
        event=intern(hook_event(id, _text(document, "hook", id), known_events)),
        verb=intern(verb),
        format=JSON if format == JSON else FORM_DATA,
        max_attempts=_max_attempts(document.get("retries")),
        include_subaccounts=as_bool(document.get("include_subaccounts"), False),
        include_internal_legs=as_bool(document.get("include_internal_legs"), True),
        custom_data=_object(document, "custom_data", id),
        modifiers=_object(document, "modifiers", id) or _NONE,
        options=_options(document, id),
        shape=_shape(document, id),
    )


def size_of(hook: Hook) -> int:
    """The approximate size of a hook in bytes, in a message or in memory."""
    own = [part for part in (hook.custom_data, hook.modifiers) if part]
    shape = hook.shape or Shape()
    expressions = shape.filter, shape.transform
    texts = (*hook.options.secrets, *map("".join, hook.options.headers), *expressions)
    return 200 + len(hook.uri) + sum(map(len, texts)) + sum(len(json.dumps(part)) for part in own)


def _options(document: Mapping[str, Any], hook_id: str) -> Options:
    try:
        return parse_options(document)
    except InvalidOption as problem:
        raise InvalidHook(hook_id, str(problem)) from None


def _shape(document: Mapping[str, Any], hook_id: str) -> Shape | None:
    try:
        return parse_shape(document)
    except InvalidShape as problem:
        raise InvalidHook(hook_id, str(problem)) from None


def _with_account(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with `pvt_account_id`, derived from `pvt_account_db` if it is missing."""
    database = document.get("pvt_account_db")
    if document.get("pvt_account_id") is not None or not isinstance(database, str):
        return document
    return {**document, "pvt_account_id": account_of_database(database)}


def matched_event(name: str) -> str:
    """The form in which a hook's name is matched: lower case, but channel events in capitals."""
    lower = name.lower()
    return lower.upper() if lower in _CHANNEL_EVENTS else lower


def hook_event(hook_id: str, name: str, known_events: Collection[str]) -> str:
    """The event that a hook of this name matches (kzd_webhooks:event). Raises InvalidHook."""
    event = matched_event(name)
    if event != ALL and event not in known_events and event.lower() not in known_events:
        names = sorted({ALL, *(n for n in known_events if n == n.lower())})
        meant = get_close_matches(name.lower(), names, n=1)
        question = f"; did you mean {meant[0]}?" if meant else ""
        raise InvalidHook(
            hook_id, f"hook {name!r} is unknown: use one of {', '.join(names)}{question}"
        )
    return event


def _text(document: Mapping[str, Any], key: str, hook_id: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidHook(hook_id, f"{key} is missing: it must be a non-empty string")
    return value


def _header_text(document: Mapping[str, Any], key: str, hook_id: str) -> str:
    """A text that is sent in a header: it must not contain a character that ends the header."""
    value = _text(document, key, hook_id)
    if not value.isascii() or not value.isprintable():
        raise InvalidHook(hook_id, f"{key} {value!r} is no header value: use printable ASCII")
    return value


def _object(document: Mapping[str, Any], key: str, hook_id: str) -> Mapping[str, Any] | None:
    """An object; None for any other value.

    An object that cannot be encoded is refused, because it would stop the event for all other
    hooks.
    """
    value = document.get(key)
    if not isinstance(value, dict):
        return None
    if not value:
        return _NONE
    if too_deep(value):
        raise InvalidHook(hook_id, f"{key} is nested deeper than {MAX_NESTING} levels")
    try:
        size = len(json.dumps(value, allow_nan=False))
    except ValueError as problem:
        raise InvalidHook(hook_id, f"{key} is not JSON: {problem}") from None
    if size > MAX_OBJECT:
        raise InvalidHook(hook_id, f"{key} has {size} characters: at most {MAX_OBJECT} can be sent")
    return value


def _max_attempts(value: Any) -> int:
    """Kazoo clamps `retries` to 1..5, and counts all attempts by it."""
    number = as_int(value)
    return DEFAULT_ATTEMPTS if number is None else min(max(number, 1), MAX_ATTEMPTS)


def is_enabled(document: Mapping[str, Any]) -> bool:
    """Whether the document lets its hook fire; absent counts as true."""
    return as_bool(document.get("enabled"), True)


def is_deleted(document: Mapping[str, Any]) -> bool:
    """Whether the document is soft-deleted."""
    return as_bool(document.get("pvt_deleted"), False)


def is_auto_disabled(document: Mapping[str, Any]) -> bool:
    """Whether the hook was disabled for its failures, and not by a person."""
    return not is_enabled(document) and document.get("pvt_disabled_message") is not None


def disabling(document: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The changes that disable a hook that failed too often; empty if it is disabled already."""
    return {"enabled": False, "pvt_disabled_message": reason} if is_enabled(document) else {}


def enabled_again(document: Mapping[str, Any], now_gregorian_s: int) -> dict[str, Any]:
    """The document of an auto-disabled hook with the hook re-enabled (kzd_webhooks)."""
    kept = {key: value for key, value in document.items() if key != "pvt_disabled_message"}
    return {**kept, "enabled": True, "pvt_modified": now_gregorian_s}


def edited(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that give the document the public members in `changes`.

    None removes a member; private keys and values already in place are dropped. Enabling a hook
    also removes the reason for which it was disabled (cb_webhooks). Another `uri` is subject to
    Callboard's own rules from now on, even of a hook of Kazoo.
    """
    wanted = {k: v for k, v in changes.items() if not k.startswith(("_", "pvt_"))}
    changed = {k: v for k, v in wanted.items() if document.get(k) != v}
    told = document.get("pvt_disabled_message") is not None
    if told and "enabled" in wanted and is_enabled({**document, **wanted}):
        changed["pvt_disabled_message"] = None
    if "uri" in changed:
        changed[CHECKED] = True
    return changed


def with_changes(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The document with these members; None removes a member."""
    gone = {key for key, value in changes.items() if value is None}
    return {k: v for k, v in {**document, **changes}.items() if k not in gone}


def new_hook_id(now_s: float) -> str:
    """The id of a hook that is new at this Unix time: 32 hex digits, the last 19 of them random.

    It ascends with time, so that the indexes of a store grow at their end and not everywhere.
    """
    return f"{int(now_s * 1e6):013x}{secrets.randbits(76):019x}"


def new_hook(public: Mapping[str, Any], now_gregorian_s: int, id: str, node: str) -> dict[str, Any]:
    """The document to store for a new hook: public fields, defaults, and the usual private ones.

    The account comes from `pvt_account_id`; other private keys of `public` are dropped.
    """
    account_id = public.get("pvt_account_id")
    document = {
        "http_verb": "post",
        "format": FORM_DATA,
        "retries": DEFAULT_ATTEMPTS,
        "enabled": True,
        "include_internal_legs": True,
        **{k: v for k, v in public.items() if not k.startswith(("_", "pvt_"))},
        "_id": id,
        "pvt_type": "webhook",
        "pvt_created": now_gregorian_s,
        "pvt_modified": now_gregorian_s,
        "pvt_node": node,
        "pvt_vsn": "1",
        CHECKED: True,
    }
    if account_id is not None:
        document["pvt_account_id"] = account_id
        # The database of the document, as in Crossbar, and not the account's.
        document["pvt_account_db"] = "webhooks"
    return with_plain_name(document)


def defaults_of(
    document: Mapping[str, Any],
    usual_events: Collection[str],
    account: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
    """The members that a new hook gets if it lacks them, besides those that Kazoo gives each.

    Hooks for Kazoo's events keep Kazoo's defaults. Others have the usual ones: JSON, any 2xx is
    success, and other responses are retried for days. `usual_events`: `Discovery.usual_events`.
    `account`: reads its document `configs_webhooks`; a retry policy there has priority.
    """
    event = document.get("hook")
    if not isinstance(event, str) or matched_event(event) not in usual_events:
        return {}
    chosen = {} if "retry_policy" in account() else {"retry_policy": STANDARD}
    return {"format": JSON, **chosen}


def with_plain_name(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its name's letters and digits, as Crossbar stores them for searches."""
    name = document.get("name")
    if not isinstance(name, str):
        return dict(document)
    return {**document, "pvt_alphanum_name": _NOT_PLAIN.sub("", name.lower())}
