"""`callboard config`, as tables and for programs."""

import json
import os

import pytest
from click.testing import CliRunner

from callboard.cli import main

MODULE = '[[modules]]\nid = "order"\nexchange = "shop"\nbindings = ["a.#", "b"]\naccount = "a"\n'


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "callboard.toml"
    file.write_text(f'[couchdb]\nurl = "http://u:sesame@h"\n{MODULE}')

    def config(*arguments):
        variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_NODE_ZONE": "east"}
        options = ("--config", str(file), "--amqp-prefetch", "7")
        ran = CliRunner().invoke(main, ["config", *arguments, *options], env=variables)
        assert ran.exit_code == 0, ran.output
        return ran.stdout, str(file)

    return config


def test_each_key_is_shown_with_its_value_and_its_origin(config):
    text, _file = config("show")
    head, *lines = text.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert head.split() == ["key", "value", "origin"]
    assert rows["amqp.prefetch"] == ["7", "option", "--amqp-prefetch"]
    assert rows["node.zone"][0] == "east"
    assert rows["amqp.tls_verify"] == ["true", "default"]


def test_programs_get_the_same(config):
    text, file = config("show", "--json")
    rows = json.loads(text)
    assert rows["amqp.prefetch"] == {"value": "7", "origin": "option --amqp-prefetch"}
    assert rows["node.zone"] == {
        "value": "east",
        "origin": "environment variable CALLBOARD_NODE_ZONE",
    }
    assert rows["couchdb.url"] == {"value": "http://u:***@h", "origin": f"{file}:2"}
    assert rows["modules.order"] == {"value": "shop: a.#, b", "origin": file}


def test_time_limits_are_a_table(config):
    head, first, *_others = config("timeouts")[0].splitlines()
    assert head.split() == ["limit", "seconds", "follows", "from"]
    assert first.split() == ["start", "of", "an", "actor", "10", "waits", "for", "no", "server"]
