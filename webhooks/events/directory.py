"""The look-ups available to event modules: accounts, resellers, numbers, system configuration."""

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen


@frozen
class Account:
    """An account and its ancestors, the topmost first (`pvt_tree`)."""

    id: str
    tree: tuple[str, ...] = ()


class Directory(Protocol):
    """Look-ups that may read a store; they raise the store's errors when it is unavailable."""

    def account(self, account_id: str) -> Account | None:
        """The account, or None if the id is unknown."""

    def reseller_id(self, account_id: str) -> str | None:
        """The account's reseller: the one that is stored, the nearest above, or the master."""

    def account_by_number(self, number: str) -> str | None:
        """The id of the enabled account that receives calls to a number in E.164 form."""

    def setting(self, category: str, key: str, default: Any) -> Any:
        """A key of `system_config/{category}`, resolved by `resolve_setting`."""


def resolve_setting(
    document: Mapping[str, Any] | None, node: str, zone: str, key: str, default: Any
) -> Any:
    """A key of a system_config document: from this node's section, the zone's, or `default`.

    Null counts as absent, and so does a section that is not an object (kapps_config).
    """
    for section in (node, zone, "default"):
        values = (document or {}).get(section)
        if isinstance(values, Mapping) and values.get(key) is not None:
            return values[key]
    return default
