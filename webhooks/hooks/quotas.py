"""Quotas: how much one account may have or do, so that it cannot harm the others.

The node's settings (section `quotas`) hold for every account; an account's own document
`configs_webhooks` overrides them by its member `quotas`. They apply when a hook is written:
a stored hook above them goes on firing, and an edit may leave its size as it is.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, fields, frozen

from callboard.webhooks.values.documents import public_fields
from callboard.webhooks.values.json_values import as_int, as_object

SECTION = "quotas"
"""The section of the settings, and the member of an account's document."""


@frozen
class Quotas:
    """One account's limits on one node; `config.settings.QuotaSettings` describes each."""

    hooks: int = 10_000
    hook_bytes: int = 131_072
    custom_data_bytes: int = 32_768
    custom_data_members: int = 500
    events_per_s: int = 500
    test_deliveries: int = 4
    requests: int = 4

    def of_account(self, config: Mapping[str, Any] | None) -> "Quotas":
        """These quotas, with the account's own by its `configs_webhooks`.

        Values that are no whole numbers of at least 1 are ignored.
        """
        own = as_object((config or {}).get(SECTION))
        read = {one.name: as_int(own.get(one.name)) for one in fields(Quotas)}
        return evolve(self, **{k: v for k, v in read.items() if v is not None and v >= 1})


@frozen
class Excess:
    """A quota that is exceeded. `subject`: a member of the hook, or `hooks`, `events` and so on.

    `reason`: a sentence with the limit and the setting. `account_id`: set where it is known.
    """

    subject: str
    setting: str
    limit: int
    reason: str
    account_id: str = ""


class QuotaExceeded(Exception):
    """A hook may not be written, because it exceeds a quota of its account."""

    def __init__(self, excess: Excess) -> None:
        super().__init__(excess.reason)
        self.excess = excess


def excess(subject: str, name: str, limit: int, had: str) -> Excess:
    """The excess over the quota `name`. `had`: what there is, such as "there are 7 hooks"."""
    setting = f"{SECTION}.{name}"
    return Excess(subject, setting, limit, f"{had}: {setting} allows {limit}")


def check_document(
    document: Mapping[str, Any], quotas: Quotas, before: Mapping[str, Any] | None = None
) -> None:
    """Raise QuotaExceeded for a hook's document that is too large.

    `before`: the stored document that it replaces. It may exceed a quota as far as that one does.
    """
    old = _sizes(before or {})
    for name, size in _sizes(document).items():
        limit: int = getattr(quotas, name)
        if size > max(limit, old[name]):
            of_data = name.startswith("custom_data")
            subject = "custom_data" if of_data else "hook"
            unit = name.rpartition("_")[2]
            raise QuotaExceeded(excess(subject, name, limit, f"{subject} has {size} {unit}"))


def check_count(stored: int, quotas: Quotas, account_id: str = "") -> None:
    """Raise QuotaExceeded if an account with this number of hooks may have no more."""
    if stored >= quotas.hooks:
        over = excess("hooks", "hooks", quotas.hooks, f"the account has {stored} hooks")
        raise QuotaExceeded(evolve(over, account_id=account_id))


def _sizes(document: Mapping[str, Any]) -> dict[str, int]:
    """What a document takes of each quota, by the quota's name.

    Of the document only what clients write counts, and not whether it is enabled: to disable a hook
    must always be possible.
    """
    public = {key: value for key, value in public_fields(document).items() if key != "enabled"}
    custom_data = document.get("custom_data")
    return {
        "custom_data_members": sum(_members(custom_data)),
        "custom_data_bytes": _bytes(custom_data) if custom_data else 0,
        "hook_bytes": _bytes(public) if public else 0,
    }


def _members(value: Any) -> Iterator[int]:
    """The number of members of each object and list in a value."""
    left = [value]
    while left:
        match left.pop():
            case Mapping() as members:
                yield len(members)
                left += members.values()
            case [*items]:
                yield len(items)
                left += items


def _bytes(value: Any) -> int:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return 0  # The store cannot write it, either, and says so.
    return len(text.encode(errors="replace"))
