"""Turns a module's payload into the one that a hook sends."""

from collections.abc import Mapping
from typing import Any

from callboard.webhooks.hooks.hook import Hook

_WITHHELD = ("type", "action")
"""Keys of custom_data that select events and are never sent (webhooks_util)."""

_UPPER = (*range(0x41, 0x5B), *range(0xC0, 0xD7), *range(0xD8, 0xDF))
_NORMALIZED = {ord("-"): ord("_"), **{letter: letter + 0x20 for letter in _UPPER}}


def final_payload(hook: Hook, payload: Mapping[str, Any], cluster_id: str | None) -> dict[str, Any]:
    """The payload with the hook's custom_data merged over it, and the cluster's id last.

    A null in custom_data removes the key. Without a cluster id the key is omitted.
    """
    final = dict(payload)
    for key, value in (hook.custom_data or {}).items():
        if key in _WITHHELD:
            continue
        if value is None:
            final.pop(key, None)
        else:
            final[key] = value
    if cluster_id is not None:
        final["cluster_id"] = cluster_id
    return final


def normalize_keys(value: Any) -> Any:
    """Keys in lower case with `_` for `-`, at any depth; null members are removed.

    (kz_json:normalize.) Kazoo changes Latin-1 capitals byte by byte, which breaks keys in UTF-8;
    here whole characters are changed. Of two keys that become equal, the later wins.
    """
    if isinstance(value, Mapping):
        return {
            key.translate(_NORMALIZED): normalize_keys(member)
            for key, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [normalize_keys(member) for member in value]
    return value
