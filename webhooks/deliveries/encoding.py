"""Payloads as the contents of HTTP requests (kz_http_util:json_to_querystring, webhooks_util)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

import orjson

from callboard.webhooks.hooks.hook import JSON, Hook
from callboard.webhooks.values.exact_numbers import json_bytes, json_read
from callboard.webhooks.values.json_values import joined

_SURROGATE = re.compile("[\ud800-\udfff]")

FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"


class NotConvertible(ValueError):
    """A content that a hook cannot send in its present form; the text gives the reason."""


def form_encode(payload: Mapping[str, Any]) -> str:
    """Pairs in the object's order: nested objects as `a[b]=v`, lists as `a[]=v`.

    Empty objects, empty lists and nulls are omitted, except as the elements of a list.
    """
    return "&".join(f"{key}={value}" for key, value in _object_pairs(payload))


def json_encode(payload: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8, indented as Kazoo's. Raises ValueError for numbers that JSON lacks."""
    return json_bytes(payload, orjson.OPT_INDENT_2, "\n", ": ")


def content_type(hook: Hook) -> str:
    """The content type of the hook's payload, sent in the body or, for get, in the query."""
    return JSON_TYPE if hook.format == JSON and hook.verb != "get" else FORM_TYPE


def content(content_type: str, payload: Mapping[str, Any]) -> bytes:
    """The payload encoded as this content type."""
    if content_type == JSON_TYPE:
        return json_encode(payload)
    return form_encode(payload).encode()


def converted(
    hook: Hook, form: str, sent: bytes, source: bytes = b"", *, raw: bool = False
) -> tuple[str, bytes, bytes]:
    """An encoded content in the hook's present form: its content type, the content, its source.

    `source`: the JSON of a content that is a form. A form without it is never converted to JSON,
    since the types of its values are lost; neither is a `raw` one. Raises NotConvertible.
    """
    if raw:
        if hook.verb == "get":
            raise NotConvertible("its body is the message's own, and the hook has the verb get now")
        return form, sent, b""
    wanted = content_type(hook)
    if form == JSON_TYPE and wanted != JSON_TYPE:
        payload = _payload(sent)
        return wanted, content(wanted, payload), json_bytes(payload)
    if form != JSON_TYPE and wanted == JSON_TYPE and source:
        return wanted, content(wanted, _payload(source)), b""
    return form, sent, source


def _payload(text: bytes) -> dict[str, Any]:
    try:
        payload = json_read(text)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise NotConvertible("it is no JSON object that could be sent as a form")
    return payload


def query_added(uri: str, url: str) -> str:
    """The query pairs that were added to `uri` to make `url`."""
    added = url.removeprefix(uri.partition("#")[0])
    return added[1:] if added[:1] in ("?", "&") else added


def with_query(uri: str, query: str) -> str:
    """The URL with the pairs added to its query; its fragment is never sent."""
    uri = uri.partition("#")[0]
    if not query:
        return uri
    joint = "?" if "?" not in uri else "" if uri.endswith(("?", "&")) else "&"
    return f"{uri}{joint}{query}"


def _object_pairs(value: Mapping[str, Any], prefix: str | None = None) -> Iterator[tuple[str, str]]:
    for key, member in value.items():
        escaped = _escape(str(key))
        yield from _pairs(member, escaped if prefix is None else f"{prefix}[{escaped}]")


def _pairs(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        yield from _object_pairs(value, name)
    elif isinstance(value, list | tuple):
        for element in value:
            yield f"{name}[]", _element(element)
    else:
        yield name, _escape(_text(value))


def _element(value: Any) -> str:
    """An element of a list: an object as its JSON, a list as the text that its members make.

    A list that makes no text, over which Kazoo crashes, is sent as its JSON.
    """
    if value is None:
        return "null"
    if isinstance(value, list | tuple) and (text := joined(value)) is not None:
        return quote_plus(text)
    if isinstance(value, Mapping | list | tuple):
        return _escape(json_bytes(value).decode())
    return _escape(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _escape(text: str) -> str:
    """The text percent-encoded; a lone surrogate becomes U+FFFD, as in the URL standard (5.1)."""
    try:
        return quote_plus(text)
    except UnicodeEncodeError:
        return quote_plus(_SURROGATE.sub("\ufffd", text))
