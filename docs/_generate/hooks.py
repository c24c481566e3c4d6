"""The public fields of a hook's document: its schema."""

import json

from callboard.webhooks.hooks.schema import SCHEMA


def fields() -> str:
    """A row for each field."""
    rows = ["| field | meaning | type | default |", "|---|---|---|---|"]
    for name, field in SCHEMA["properties"].items():
        required = "required" if name in SCHEMA["required"] else ""
        default = f"`{json.dumps(field['default'])}`" if "default" in field else required
        rows.append(f"| `{name}` | {field['description']} | {_type(field)} | {default} |")
    return "\n".join(rows)


def _type(field: dict) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "minimum" in field:
        return f"{field['type']}, {field['minimum']} to {field['maximum']}"
    return field["type"]
