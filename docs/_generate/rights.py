"""The rights in CouchDB, from adapters/store/rights.py."""

from callboard.adapters.store.rights import RIGHTS


def table() -> str:
    """A row for each right."""
    rows = [
        "| database | operation | needed role | when | without it |",
        "|---|---|---|---|---|",
        *(
            f"| `{right.database}` | {right.operation} "
            f"| {right.role} | {right.when} | {right.without} |"
            for right in RIGHTS
        ),
    ]
    return "\n".join(rows)
