"""Every endpoint of the REST API, from its OpenAPI document."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from callboard.web.app import create_app
from callboard.web.backend import Portal


def endpoints() -> str:
    """A section for each topic, and in it one for each path and method."""
    node = SimpleNamespace(name="documentation", version="1", quotas=None, portal=Portal())
    backend = SimpleNamespace(node=node, store=None, admin_token="", posts_refused=str, report=list)
    document = create_app(backend).openapi()
    operations = list(_operations(document))
    return "\n\n".join(
        "\n\n".join([f"## {tag['name']}", tag["description"], *_of(tag["name"], operations)])
        for tag in document["tags"]
    )


Operation = tuple[str, str, Mapping[str, Any]]


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _of(tag: str, operations: list[Operation]) -> Iterator[str]:
    for method, path, operation in operations:
        if tag in operation["tags"]:
            parts = [f"### {method} {path}", f"{operation['summary']}."]
            parts += [operation["description"]] if "description" in operation else []
            parts += [_parameters(operation["parameters"])] if "parameters" in operation else []
            parts += [_answers(operation["responses"])]
            yield "\n\n".join(parts)


def _parameters(parameters: list[Mapping[str, Any]]) -> str:
    rows = ["| parameter | in | type | meaning |", "|---|---|---|---|"]
    for one in parameters:
        type = one["schema"].get("type", "")
        rows.append(f"| `{one['name']}` | {one['in']} | {type} | {one.get('description', '')} |")
    return "\n".join(rows)


def _answers(responses: Mapping[str, Mapping[str, Any]]) -> str:
    """The framework adds 422; the API responds with 400 instead."""
    rows = ["| response | when |", "|---|---|"]
    rows += [
        f"| {status} | {answer['description']} |"
        for status, answer in responses.items()
        if status != "422"
    ]
    return "\n".join(rows)
