"""The rights in CouchDB that are listed (adapters/store/rights.py) are those that the code uses."""

import ast
import re
from importlib import import_module

import pytest

from callboard.adapters.store import rights
from callboard.adapters.store.rights import ACCOUNT, ALL, MONTH, NUMBERS, RIGHTS, Operation, right
from support.building import PROJECT

CREATE, VIEWS, READ, WRITE, LIST = Operation
OPERATIONS = {
    "ensure_database": (CREATE,),
    "ensure_views": (VIEWS,),
    "list_databases": (LIST,),
    **dict.fromkeys(
        ("database_exists", "get", "get_many", "view", "documents", "changes"), (READ,)
    ),
    **dict.fromkeys(("save", "save_many", "delete"), (WRITE,)),
    "revise": (READ, WRITE),
    # StoreDirectory's own
    **dict.fromkeys(("_document", "_prefetch"), (READ,)),
}
STORE = re.compile(r"couchdb|(.*\.)?_?store|self\._?documents")
"""How the code names a store."""
ONE_ARGUMENT = {"ensure_database", "database_exists", "documents"}
FUNCTIONS = {"account_database": ACCOUNT, "modb": MONTH}

DIRECTORY = "adapters/repositories/directory.py"
PASSED = {
    "actors/delivery/attempt_log.py": (MONTH, "callboard_dead_letters"),
    "adapters/repositories/attempt_history.py": (MONTH,),
    "adapters/repositories/stored_attempts.py": (MONTH,),
    "cli/doctor/store_rights.py": ("webhooks", ACCOUNT, MONTH),
    DIRECTORY: ("accounts", "services", "system_config", ACCOUNT),
}
"""What functions that get a database's name as an argument are given; by file, or by function."""
PASSED_TO = {
    "_delete": (ACCOUNT,),
    "_refresh_views": ("webhooks", ACCOUNT, MONTH),
    "_save_all": ("webhooks", ACCOUNT),
}
EMBEDDED = {(CREATE, "accounts"), (VIEWS, "accounts"), (WRITE, "accounts")}
"""Done in the embedded store only: elsewhere the accounts are Kazoo's."""


def files():
    for folder in ("actors", "adapters", "cli", "web"):
        for path in (PROJECT / folder).rglob("*.py"):
            if path.parent != PROJECT / "adapters" / "store" or path.name == "health_check.py":
                yield path


def calls(function, path):
    """The calls of a store's methods in a function: name, and the database's expression."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        name, arguments = ast.unparse(node.func).rpartition(".")[2], node.args
        if name == "revise":
            yield name, arguments[1]
        elif name in ("_document", "_prefetch"):
            if path == DIRECTORY:
                yield name, arguments[0]
        elif name in OPERATIONS and isinstance(node.func, ast.Attribute):
            least = 1 if name in ONE_ARGUMENT else 2
            if len(arguments) >= least and STORE.fullmatch(ast.unparse(node.func.value)):
                yield name, arguments[0]


def databases(expression, function, path, module):
    """The databases that an expression stands for."""
    text = ast.unparse(expression)
    if isinstance(expression, ast.Constant):
        return (expression.value,)
    if isinstance(expression, ast.JoinedStr):
        return (NUMBERS if text.startswith("f'numbers/") else MONTH,)
    if isinstance(expression, ast.Call):
        return (FUNCTIONS[ast.unparse(expression.func)],)
    if text.isupper():
        return (getattr(import_module(module), text),)
    values = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and text in map(ast.unparse, node.targets)
    ]
    if values:
        return databases(values[0], function, path, module)
    return PASSED_TO.get(function.name) or PASSED[path]


@pytest.fixture(scope="module")
def done():
    """The operations that the code does on each database, with where."""
    found = {}
    for file in files():
        path = str(file.relative_to(PROJECT))
        module = "callboard." + path.removesuffix(".py").replace("/", ".")
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef):
                for name, expression in calls(function, path):
                    for database in databases(expression, function, path, module):
                        for operation in OPERATIONS[name]:
                            key = operation, ALL if operation is LIST else database
                            found.setdefault(key, f"{path}: {function.name}")
    return found


def test_all_that_the_code_does_is_listed(done):
    assert len(done) > 25
    listed = {(each.operation, each.database) for each in RIGHTS}
    assert {key: place for key, place in done.items() if key not in listed | EMBEDDED} == {}


def test_all_that_is_listed_is_done(done):
    assert [each for each in RIGHTS if (each.operation, each.database) not in done] == []


def test_each_is_listed_once():
    assert len({(each.operation, each.database) for each in RIGHTS}) == len(RIGHTS)
    assert all(right(each.operation, each.database) is each for each in RIGHTS)
    assert right(CREATE, "services") is None


def test_the_names_and_the_roles_are_those_of_the_documentation():
    assert [
        *("account/…", "account/…-YYYYMM"),
        *("(all)", "numbers/…"),
    ] == [ACCOUNT, MONTH, ALL, NUMBERS]
    assert {str(each): rights.ROLES[each] for each in Operation} == {
        "create": "server administrator",
        "store views": "database administrator",
        "read": "member",
        "write": "member",
        "list databases": "server administrator",
    }
    views = {
        database: [f"{view.design}/{view.name}" for view in views]
        for database, views in rights.VIEWS.items()
    }
    assert views == {
        "webhooks": [
            f"webhooks/{name}_listing" for name in ("webhooks", "accounts", "hook", "crossbar")
        ],
        "account/…": ["webhooks/webhook_meta_listing"],
        "account/…-YYYYMM": [f"webhooks/attempts_by_{name}_listing" for name in ("hook", "time")],
        "callboard_dead_letters": [
            f"dead_letters/by_{name}" for name in ("time", "account", "hook")
        ],
    }


def test_the_rights_by_database():
    found: dict[str, list[str]] = {}
    for each in RIGHTS:
        found.setdefault(each.database, []).append(str(each.operation))
    everything = {"create", "store views", "read", "write"}
    assert {database: set(operations) for database, operations in found.items()} == {
        **dict.fromkeys(("webhooks", "account/…", "account/…-YYYYMM"), everything),
        "callboard_dead_letters": everything,
        **{name: {"read"} for name in ("accounts", "services", "numbers/…", "port_requests")},
        "system_config": {"read", "write", "create"},
        "system_schemas": {"read", "write"},
        "(all)": {"list databases"},
        "callboard_posted_events": {"create", "read", "write"},
        "callboard_tokens": {"create", "read", "write"},
    }


def test_rights_that_only_some_installations_need():
    """The others are needed by all, and `callboard doctor` asks for them."""
    found = {(str(each.operation), each.database) for each in RIGHTS if not each.always}
    assert found == {
        ("create", "system_config"),
        ("read", "system_schemas"),
        ("write", "system_schemas"),
        ("read", "numbers/…"),
        ("read", "port_requests"),
        ("create", "account/…"),
        ("store views", "account/…"),
        ("list databases", "(all)"),
        *((name, "callboard_posted_events") for name in ("create", "read", "write")),
        *((name, "callboard_tokens") for name in ("create", "read", "write")),
    }
