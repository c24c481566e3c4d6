"""`callboard hooks preview` without a hook's id, which needs no running system."""

import json
import os

import pytest
from click.testing import CliRunner

from callboard.cli import main

SHOP = """
[[modules]]
id = "order_paid"
exchange = "shop"
bindings = ["#"]
account = "shop"
fields = { order = "id" }
"""


def preview(*arguments, input="", **changes):
    environment = {"CALLBOARD_CONFIG": os.devnull} | changes
    return CliRunner().invoke(main, ["hooks", "preview", *arguments], input, environment)


def test_a_sample_is_filtered_and_transformed():
    made = preview(
        *("--event", "channel_create", "--filter", 'call_direction == `"inbound"`'),
        *("--transform", "{text: join(' ', ['Call from', caller_id_name])}"),
    )
    assert made.exit_code == 0, made.stderr
    assert made.stdout == 'sent as application/json:\n{\n  "text": "Call from Ada"\n}\n'


def test_without_a_hook_the_sample_is_of_an_account_of_that_name_and_of_any_event():
    shown = json.loads(preview("--json").stdout)
    assert (shown["payload"]["account_id"], shown["content_type"]) == (
        "preview",
        "application/json",
    )


def test_a_payload_of_a_file_with_its_message(tmp_path):
    file = tmp_path / "order.json"
    file.write_text('{"price": 1.10}')
    made = preview(
        *("--payload", str(file), "--routing-key", "k", "--exchange", "e", "--json"),
        *("--message-header", "x: y", "--custom-data", '{"team": "a"}', "--filter", "price"),
        *("--transform", "[price, team, _event.routing_key, _event.exchange, _headers.x]"),
    )
    assert made.exit_code == 0, made.stderr
    shown = json.loads(made.stdout)
    assert shown["body"].split() == ["[", "1.10,", '"a",', '"k",', '"e",', '"y"', "]"]
    assert (shown["sent"], shown["filter"], shown["payload"]["team"]) == (True, 1.1, "a")


def test_a_module_of_the_configuration_has_its_fields(tmp_path):
    (tmp_path / "callboard.toml").write_text(SHOP)
    made = preview("--event", "order_paid", CALLBOARD_CONFIG=str(tmp_path / "callboard.toml"))
    assert '"order": "sample"' in made.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--filter", "missing"), "the filter does not accept the event"),
        (("--filter", "length(missing)"), "argument 1 of length must be"),
        (("--transform", "missing"), "no body: the result is null"),
        (("--modifiers", '{"call_direction": "outbound"}'), "the modifiers do not accept"),
    ],
)
def test_the_exit_code_says_that_nothing_would_be_sent(options, said):
    made = preview("--event", "channel_create", *options)
    assert made.exit_code == 1
    assert said in made.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--filter", "lenght(a)"), "filter is no JMESPath: there is no function lenght at"),
        (("--event", "teapot"), "'teapot' is unknown"),
        (("--payload", "-"), "--payload is not JSON"),
    ],
)
def test_wrong_usage_is_refused(options, said):
    made = preview(*options)
    assert made.exit_code == 2
    assert said in made.stderr


def test_a_payload_is_an_object():
    made = preview("--payload", "-", input="[1]")
    assert made.exit_code == 2
    assert "must be a JSON object" in made.stderr
