"""Documents in Kazoo's form: public fields beside private ones, and merging two documents."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def public_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document's public fields: all but `_id`, `_rev` and the `pvt_` fields (kz_doc)."""
    return {key: value for key, value in document.items() if not key.startswith(("_", "pvt_"))}


def stamped(document: Mapping[str, Any], node: str, now_gregorian_s: int) -> dict[str, Any]:
    """The document with the private fields that every save renews."""
    return {
        **document,
        "pvt_modified": now_gregorian_s,
        "pvt_node": node,
        "pvt_document_hash": document_hash(document),
    }


def document_hash(document: Mapping[str, Any]) -> str:
    """A digest of the public fields, regardless of their order."""
    text = json.dumps(public_fields(document), sort_keys=True, separators=(",", ":"))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Objects merged key by key, `over` taking precedence; nulls in either remove their keys."""
    merged = {key: value for key, value in base.items() if value is not None}
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged
