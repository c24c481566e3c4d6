"""What each event module fires for and sends; the payload is what it makes of a sample."""

import json
from collections.abc import Mapping
from typing import Any

from _generate.samples import sample
from callboard.webhooks.modules.discovery import FILE, discover
from callboard.webhooks.modules.protocol import EventModule


class _Cluster:
    """A directory that knows no more than that the account has a reseller."""

    def reseller_id(self, _account_id: str) -> str:
        return "b8a7c6d5e4f30212a1b0c9d8e7f60504"

    def setting(self, _category: str, _key: str, default: Any) -> Any:
        return default


def events() -> str:
    """A section for each module that comes with Callboard, whatever else is installed here."""
    found = discover()
    shipped = (module for module in found.modules if found.sources[module.id] == FILE)
    return "\n\n".join(map(_section, shipped))


def _section(module: EventModule) -> str:
    firing = module.firing(sample(module.id), _Cluster())
    payload = json.dumps(firing.payload, indent=2, ensure_ascii=False)
    bindings = "\n".join(f"| `{exchange}` | `{key}` |" for exchange, key in module.bindings)
    return "\n\n".join(
        [
            f"## {module.id}",
            f"**{module.name}.** {module.description}",
            _modifiers(module.modifiers(_Cluster())),
            f"```json\n{payload}\n```",
            f"| exchange | binding key |\n|---|---|\n{bindings}",
        ]
    )


def _modifiers(modifiers: Mapping[str, Any]) -> str:
    return "\n".join(
        f"- `custom_data.{key}` selects: {_names(value['items'])}"
        for key, value in modifiers.items()
    )


def _names(items: Any) -> str:
    return ", ".join(f"`{name}`" for name in items)
