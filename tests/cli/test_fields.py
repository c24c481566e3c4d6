"""The fields of a hook as options of commands."""

import click
import pytest

from callboard.cli.hooks.commands import drafted
from callboard.cli.hooks.fields import unset, with_fields
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
