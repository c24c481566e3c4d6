"""The fields of a hook as options of commands."""

import click
import pytest

from callboard.cli.hooks.commands import drafted
from callboard.cli.hooks.fields import members, unset, with_fields
from callboard.cli.terminal.output import WrongUsage

OPTIONS = with_fields(click.command("add")(lambda **_fields: None)).params


def test_each_field_that_can_be_set_can_be_unset_but_for_those_that_a_hook_needs():
    needed = []
    for name in ("uri", *(option.name for option in OPTIONS)):
        try:
            assert unset([name.replace("_", "-")]) == {name: None}
        except WrongUsage as problem:
            assert "every hook requires it" in str(problem)
            needed.append(name)
    assert sorted(needed) == ["hook", "name", "uri"]


def test_a_field_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(WrongUsage) as refused:
        unset(["colour"])
    assert str(refused.value) == (
        "--unset colour: use one of allow_networks, ca_bundle, client_certificate, custom_data, "
        "enabled, filter, follow_redirects, format, give_up, group, headers, hook, http_verb, "
        "include_internal_legs, include_subaccounts, modifiers, name, ordered, paused, ports, "
        "rate_limit, retries, retry_policy, retry_steps_s, signature, success, tls_verify, "
        "transform, uri, url_credentials"
    )


def test_a_new_hook_takes_all_events_as_json_by_post_twice_unless_its_fields_say_otherwise():
    drafted_by = {"uri": "https://e.example/", "pvt_account_id": "a", "name": "https://e.example/"}
    usual = {"hook": "all", "http_verb": "post", "format": "json", "retries": 2}
    assert drafted("https://e.example/", "a", {}) == drafted_by | usual
    own = {"name": "n", "hook": "object", "retries": 4, "http_verb": "get", "format": "form-data"}
    assert drafted("https://e.example/", "a", own) == drafted_by | own


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"name": None, "headers": (), "retries": 0, "enabled": False},
            {"retries": 0, "enabled": False},
        ),
        ({"custom_data": '{"a": 1}'}, {"custom_data": {"a": 1}}),
        ({"success": "200, 2xx ,4040"}, {"success": [200, "2xx", "4040"]}),
        ({"give_up": "410"}, {"give_up": [410]}),
        ({"ports": "443, 8000-8010"}, {"ports": ["443", "8000-8010"]}),
        ({"allow_networks": "10.0.0.0/8 ,::1"}, {"allow_networks": ["10.0.0.0/8", "::1"]}),
        ({"retry_steps_s": "5,60, 0.5"}, {"retry_steps_s": [5.0, 60.0, 0.5]}),
        ({"headers": ("X-A: b:c ", "Y:")}, {"headers": {"X-A": "b:c", "Y": ""}}),
    ],
)
def test_options_become_the_members_of_a_document(given, expected):
    assert members(given) == expected


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"custom_data": "{"}, "--custom-data is not JSON: "),
        ({"modifiers": "[]"}, '--modifiers must be a JSON object, as \'{"team": "billing"}\''),
        ({"signature": "1"}, "--signature must be a JSON object, as "),
        ({"retry_steps_s": "soon"}, "--retry-steps 'soon': write seconds, as 5,60,300"),
        ({"headers": ("X-A",)}, "--header 'X-A': write NAME:VALUE, as 'X-Team: billing'"),
        ({"headers": (" : b",)}, "--header ' : b': write NAME:VALUE, as 'X-Team: billing'"),
        ({"headers": ("X-A: 1", "x-a: 2")}, "--header x-a is given twice"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(given, reason):
    with pytest.raises(WrongUsage) as refused:
        members(given)
    assert str(refused.value).startswith(reason)
