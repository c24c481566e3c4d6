"""`[[modules]]` tables: what they may hold, and what an operator reads when something is wrong."""

import pickle
import re
from pathlib import Path

import pytest
from attrs import asdict

import callboard.config
from callboard.config import ConfigError, ModuleSettings, Settings, effective, load

DEFAULT_FILE = Path(callboard.config.__file__).parent / "default.toml"

LEAST = """
[[modules]]
id = "order_paid"
exchange = "shop"
bindings = ["order.*.paid"]
account = "customer.id"
"""


@pytest.fixture
def loaded(tmp_path):
    def loaded(text):
        file = tmp_path / "callboard.toml"
        file.write_text(text)
        return load(file, {})

    return loaded


def test_without_a_file_there_are_none():
    assert load(None, {"CALLBOARD_CONFIG": "/dev/null"}).settings.modules == ()
    assert Settings().modules == ()


def test_the_least_table_and_its_defaults(loaded):
    (module,) = loaded(LEAST).settings.modules
    assert module == ModuleSettings(
        id="order_paid",
        exchange="shop",
        bindings=("order.*.paid",),
        account="customer.id",
    )
    assert (module.exchange_type, module.exchange_durable) == ("topic", True)
    assert (module.name, module.description, module.account_id) == ("", "", "")
    assert (module.only, module.fields) == ({}, {})


def test_everything_a_table_may_hold(loaded):
    (_one, other) = loaded(
        LEAST
        + """
[[modules]]
id = "Stock"
name = "Stock"
description = "Something is sold out."
exchange = "warehouse"
exchange_type = "fanout"
exchange_durable = false
bindings = ["", "x"]
account_id = "shop"
only = { "state.sold-out" = true, "level" = 0, "of" = "x" }
fields = { sku = "item.stock no", all = "*" }
schema = { required = ["sku"], properties = { sku = { enum = ["a", 1, true] } } }
samples = [{ sku = "a", all = { x = [1.5] } }, {}]
validate = "reject"
reference = "sku"
only_if_present = { "b" = 1.5 }

[log]
level = "debug"
"""
    ).settings.modules
    assert other == ModuleSettings(
        id="Stock",
        name="Stock",
        description="Something is sold out.",
        exchange="warehouse",
        exchange_type="fanout",
        exchange_durable=False,
        bindings=("", "x"),
        account_id="shop",
        only={"state.sold-out": True, "level": 0, "of": "x"},
        fields={"sku": "item.stock no", "all": "*"},
        schema={"required": ["sku"], "properties": {"sku": {"enum": ["a", 1, True]}}},
        samples=({"sku": "a", "all": {"x": [1.5]}}, {}),
        validate="reject",
        reference="sku",
        only_if_present={"b": 1.5},
    )


def test_a_headers_exchange_is_bound_by_headers(loaded):
    table = lines(
        *('exchange_type = "headers"', "bindings = "),
        'binding_headers = [{ x-match = "any", state = "paid", total = 7 }, { urgent = true }]',
    )
    (module,) = loaded(table).settings.modules
    assert module.bindings == ("",)
    assert module.binding_headers == (
        {"x-match": "any", "state": "paid", "total": 7},
        {"urgent": True},
    )


def test_the_documented_example_loads_when_its_marks_are_taken_away(loaded):
    commented = DEFAULT_FILE.read_text().partition("# [[modules]]")
    example = re.sub(r"(?m)^# ?", "", commented[1] + commented[2])
    (module,) = loaded(example).settings.modules
    assert module == ModuleSettings(
        id="order_paid",
        name="Order Paid",
        description="An order was paid.",
        exchange="shop",
        bindings=("order.*.paid",),
        account="data.customer.id",
        only={"data.test": False},
        only_if_present={"data.version": 2},
        fields={"order": "data.id", "total": "data.total.amount"},
        schema={"required": ["order"], "properties": {"order": {"type": "string"}}},
        samples=({"order": "7", "total": 9.5},),
        validate="mark",
        reference="order",
    )
    documented = set(re.findall(r"(?m)^[\s#]*(?:or )?(\w+) = ", example))
    documented |= {"only", "only_if_present", "fields", "schema"}
    assert documented >= {key.name for key in ModuleSettings.__attrs_attrs__}


def lines(*changed):
    """The least table with lines added, or put in place of its own."""
    added = dict(line.partition(" = ")[::2] for line in changed)
    kept = [line for line in LEAST.splitlines() if line.partition(" = ")[0] not in added]
    return "\n".join([*kept, *(f"{k} = {v}" for k, v in added.items() if v)]) + "\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("id = 5", "id = 5: must be a name of letters, digits and -_."),
        ('id = "a/b"', "id = 'a/b': must be a name"),
        ('id = "größe"', "id = 'größe': must be a name"),
        ('id = ""', "id = '': must be a name"),
        ("id = ", "id is missing: The module's id, which hooks name."),
        ("exchange = ", "exchange is missing: Exchange that publishes its messages."),
        ('exchange = ""', "exchange = '': must be an exchange's name"),
        ("bindings = ", "bindings is missing: Routing keys to bind"),
        ("bindings = []", "bindings = []: must be a list, not empty, of routing keys"),
        ('bindings = "order.#"', "bindings = 'order.#': must be a list, not empty,"),
        ("bindings = [5]", "bindings = [5]: must be a list, not empty,"),
        ("name = 5", "name = 5: must be text"),
        ("description = 5", "description = 5: must be text"),
        ('exchange_type = ""', "must be topic, direct, fanout, headers or the type of a plug-in"),
        ("exchange_arguments = { a = [] }", "must be a table such as { alternate-exchange"),
        ("binding_headers = { a = 1 }", "must be a list of tables such as { x-match"),
        ("binding_headers = [{ a = 1 }]", 'these need exchange_type = "headers"'),
        ('declare = "perhaps"', "must be true or false"),
        ('exchange_durable = "perhaps"', "must be true or false"),
        ('account = "a..b"', "account = 'a..b': must be a path such as data.account.id"),
        ("account = ", "needs either account, a path, or account_id, a constant"),
        ('account_id = "a b"', "account_id = 'a b': must be an account's id"),
        ('account_id = "x"', "needs either account, a path, or account_id, a constant"),
        ("only = { state.paid = true }", "must be a table of paths, each in quotes, and values"),
        ('only = { "state" = ["paid"] }', "must be a table of paths, each in quotes, and values"),
        ('only = "x"', "must be a table of paths"),
        (
            "only_if_present = { state = [1] }",
            "must be a table of paths, each in quotes, and values",
        ),
        ("schema = 5", "must be a table with a JSON schema"),
        ("schema = { const = nan }", "must be a table with a JSON schema"),
        ("schema = { const = 1979-05-27 }", "must be a table with a JSON schema"),
        ("samples = { order = 7 }", "must be a list of tables with payloads"),
        ("samples = [7]", "must be a list of tables with payloads"),
        ('validate = "perhaps"', "must be one of off, mark, reject"),
        ('validate = "mark"', "has validate = 'mark' and no schema"),
        ("fields = { order = 5 }", "must be a table of keys and paths"),
        ('fields = "*"', "must be a table of keys and paths"),
        ('fields = { order = "a..b" }', "must be a table of keys and paths"),
        ('binding = "x"', "no key is called binding; did you mean bindings?"),
        ('zzz = "x"', "no key is called zzz; there are id, exchange, bindings,"),
    ],
)
def test_an_error_names_file_line_table_and_key(line, reason, loaded, tmp_path):
    with pytest.raises(ConfigError) as caught:
        loaded(LEAST + lines(line))
    assert str(caught.value).startswith(f"{tmp_path / 'callboard.toml'}:8: modules table 2: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[modules]\nid = 'x'\n", "modules is a list of tables, write [[modules]]"),
        ("modules = 5\n", "modules is a list of tables, write [[modules]]"),
        ("modules = [5]\n", "modules table 1 is no table"),
        ("modules = [{ id = 'x' }]\n", ": modules table 1: exchange is missing"),
    ],
)
def test_it_is_a_list_of_tables(text, reason, loaded, tmp_path):
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert str(caught.value).startswith(f"{tmp_path / 'callboard.toml'}: ")
    assert reason in str(caught.value)


def test_they_are_shown_after_the_keys(loaded, tmp_path):
    rows = effective(loaded(LEAST + LEAST.replace("order_paid", "other")))
    assert [row.key for row in rows[-2:]] == ["modules.order_paid", "modules.other"]
    assert rows[-1].value == "shop: order.*.paid"
    assert rows[-1].origin == str(tmp_path / "callboard.toml")


def test_they_travel_between_processes(loaded):
    settings = loaded(LEAST).settings
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_members_that_a_table_leaves_out(loaded):
    """As docs/modules.md says."""
    (module,) = loaded(LEAST).settings.modules
    left_out = asdict(module)
    for name in ("id", "exchange", "bindings", "account"):
        left_out.pop(name)
    assert left_out == {
        "binding_headers": (),
        "declare": True,
        "exchange_type": "topic",
        "exchange_durable": True,
        "exchange_auto_delete": False,
        "exchange_internal": False,
        "exchange_arguments": {},
        "name": "",
        "description": "",
        "account_id": "",
        "only": {},
        "only_if_present": {},
        "fields": {},
        "raw": False,
        "schema": {},
        "samples": (),
        "validate": "off",
        "reference": "",
    }
