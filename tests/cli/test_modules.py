"""`callboard modules`, which needs no running system."""

import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from callboard.cli import main
from support import commands
from support.patience import patient

SHOP = """
[[modules]]
id = "Order_Paid"
exchange = "shop"
bindings = ["order.*.paid", "order.*.refunded"]
account = "customer.id"
"""


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=commands.environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def callboard(*arguments, **environment):
    environment = {"CALLBOARD_CONFIG": os.devnull} | environment
    return CliRunner().invoke(main, ["modules", *arguments], env=environment)


def installed_beside(site, *arguments):
    """The same in a process that finds the packages of this folder, too."""
    return commands.run("modules", *arguments, PYTHONPATH=str(site))


@pytest.fixture
def configured(tmp_path):
    def configured(text):
        file = tmp_path / "callboard.toml"
        file.write_text(text)
        return str(file)

    return configured


def test_the_list_tells_of_every_module(configured):
    listed = callboard("list", "--json", CALLBOARD_CONFIG=configured(SHOP))
    assert listed.exit_code == 0, listed.stderr
    told = json.loads(listed.stdout)
    assert told["problems"] == []
    by_id = {module["id"]: module for module in told["modules"]}
    assert set(by_id) >= {"channel_bridge", "mms", "notifications", "object", "parking", "sms"}
    assert by_id["order_paid"] == {
        "id": "order_paid",
        "name": "Order_Paid",
        "description": "",
        "source": "configuration",
        "events": ["order_paid"],
        "bindings": [
            {"exchange": "shop", "routing_key": "order.*.paid"},
            {"exchange": "shop", "routing_key": "order.*.refunded"},
        ],
    }
    assert by_id["sms"]["source"] == "file"
    assert len(by_id["notifications"]["bindings"]) == 39


def test_people_read_a_table(configured):
    listed = callboard("list", "--config", configured(SHOP))
    assert listed.exit_code == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert lines[0] == ["module", "name", "source", "events", "bindings"]
    (row,) = [line for line in lines if "Order_Paid" in line]
    assert row == ["order_paid", "Order_Paid", "configuration", "1", "shop", "order.*.paid"]
    assert "shop order.*.refunded" in listed.stdout
    assert "and 35 more" in listed.stdout


def test_a_problem_is_told_below_and_by_the_exit_code(configured):
    file = configured(SHOP + SHOP.replace("Order_Paid", "sms"))
    listed = callboard("list", "--config", file)
    assert listed.exit_code == 1
    last = listed.stdout.splitlines()[-1]
    assert last == "not loaded: sms (configuration): the id 'sms' is taken by another module"
    assert "Order_Paid" in listed.stdout
    told = json.loads(callboard("list", "--config", file, "--json").stdout)
    reason = "the id 'sms' is taken by another module"
    assert told["problems"] == [{"module": "sms", "source": "configuration", "reason": reason}]


def test_a_wrong_table_is_wrong_usage(configured):
    listed = callboard("list", "--config", configured("[[modules]]\nid = 'x'\n"))
    assert listed.exit_code == 2
    assert "modules table 1: exchange is missing" in listed.stderr


@pytest.mark.slow
def test_a_new_module_passes_its_test_and_is_found_once_installed(tmp_path):
    made = callboard("new", "order_paid", "--into", str(tmp_path))
    assert made.exit_code == 0, made.stderr
    folder = tmp_path / "order_paid"
    assert sorted(file.name for file in folder.iterdir()) == [
        "callboard_order_paid.py",
        "pyproject.toml",
        "test_callboard_order_paid.py",
    ]
    assert f"pip install {folder}" in made.stdout

    tested = run("pytest", "-q", str(folder), cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "3 passed" in tested.stdout

    site = tmp_path / "site"
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--target", str(site))
    installed = run("pip", "install", "--quiet", *offline, str(folder), cwd=folder)
    assert installed.returncode == 0, installed.stderr
    listed = installed_beside(site, "list", "--json")
    assert listed.returncode == 0, listed.stdout
    by_id = {module["id"]: module for module in json.loads(listed.stdout)["modules"]}
    assert by_id["order_paid"]["name"] == "Order Paid"
    assert by_id["order_paid"]["source"] == "entry point"
    assert by_id["order_paid"]["events"] == ["order_paid"]

    again = installed_beside(site, "new", "order_paid", "--into", str(site))
    assert again.returncode == 2
    assert "'order_paid' is taken" in again.stderr


def test_a_new_module_is_a_folder_of_its_name_with_what_to_do_next(tmp_path):
    made = callboard("new", "a" + "1_" * 31 + "z", "--into", str(tmp_path))
    assert made.exit_code == 0, made.stderr
    made = callboard("new", "order", "--into", str(tmp_path))
    assert (made.exit_code, made.stderr) == (0, "")
    names = ["callboard_order.py", "pyproject.toml", "test_callboard_order.py"]
    assert sorted(file.name for file in (tmp_path / "order").iterdir()) == names
    said = made.stdout.splitlines()
    assert said[0].startswith(f"created {tmp_path / 'order'} with ")
    assert sorted(said[0].rpartition(" with ")[2].split(", ")) == names
    assert said[2:5] == [
        "  1. in callboard_order.py, define its exchanges, bindings, account and payload",
        f"  2. python -m pytest {tmp_path / 'order'}",
        f"  3. python -m pip install {tmp_path / 'order'}   (into Callboard's environment)",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["firing", "event", "any", "json"])
def test_no_name_gets_in_the_way_of_the_module_s_own_text(name, tmp_path):
    assert callboard("new", name, "--into", str(tmp_path)).exit_code == 0
    tested = run("pytest", "-q", str(tmp_path / name), cwd=tmp_path / name)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("name", ["", "Order", "1st", "a-b", "a/b", "../up", "a b", "ä", "a" * 65])
def test_bad_names_are_refused(name, tmp_path):
    refused = callboard("new", "--into", str(tmp_path), "--", name)
    assert refused.exit_code == 2
    assert f"{name!r} is no valid module name: use 1 to 64" in refused.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["sms", "channel_bridge", "all", "skel", "order_paid"])
def test_names_that_are_taken_are_refused(name, tmp_path, configured):
    refused = callboard("new", name, "--config", configured(SHOP), "--into", str(tmp_path))
    assert refused.exit_code == 2
    assert f"the name {name!r} is taken" in refused.stderr
    assert not (tmp_path / name).exists()


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "order").mkdir()
    refused = callboard("new", "order", "--into", str(tmp_path))
    assert refused.exit_code == 1
    assert "already exists" in refused.stderr
    assert not list((tmp_path / "order").iterdir())


def test_a_place_that_is_none_is_refused(tmp_path):
    refused = callboard("new", "order", "--into", str(tmp_path / "nowhere"))
    assert refused.exit_code == 2
    assert "there is no directory" in refused.stderr
    (tmp_path / "file").touch()
    refused = callboard("new", "order", "--into", str(tmp_path / "file"))
    assert refused.exit_code == 2


WITH_SCHEMA = (
    SHOP
    + """
schema = { required = ["order"] }
samples = [{ order = 7 }]
"""
)


def test_a_module_is_shown_with_its_schema_and_a_sample(configured):
    file = configured(WITH_SCHEMA)
    shown = callboard("show", "Order_Paid", "--json", CALLBOARD_CONFIG=file)
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout) == {
        "id": "order_paid",
        "name": "Order_Paid",
        "description": "",
        "events": ["order_paid"],
        "bindings": [
            {"exchange": "shop", "routing_key": "order.*.paid"},
            {"exchange": "shop", "routing_key": "order.*.refunded"},
        ],
        "schema": {"required": ["order"]},
        "samples": [{"order": 7}],
    }
    assert callboard("show", "order_paid", CALLBOARD_CONFIG=file).stdout == (
        "id order_paid\nname Order_Paid\ndescription \n"
        "bindings shop order.*.paid, shop order.*.refunded\n"
        'schema\n{\n  "required": [\n    "order"\n  ]\n}\n'
        'sample\n{\n  "order": 7\n}\n'
    )


@pytest.mark.parametrize(("count", "last"), [(4, "shop k3"), (5, "and 1 more"), (7, "and 3 more")])
def test_four_bindings_of_a_module_are_listed(configured, count, last):
    keys = json.dumps([f"k{n}" for n in range(count)])
    text = SHOP.replace('["order.*.paid", "order.*.refunded"]', keys)
    listed = callboard("list", CALLBOARD_CONFIG=configured(text)).stdout.splitlines()
    first = next(n for n, line in enumerate(listed) if line.startswith("order_paid"))
    rest = [line.strip() for line in listed[first + 1 :] if line.startswith(" ")]
    assert [row for row in rest if "shop k" in row or row == last][-1] == last


def test_samples_are_shown_as_they_are_written(configured):
    file = configured(WITH_SCHEMA.replace("order = 7", 'order = "Zoë"'))
    assert '"order": "Zoë"' in callboard("show", "order_paid", CALLBOARD_CONFIG=file).stdout


def test_a_new_module_is_named_throughout(tmp_path):
    assert callboard("new", "order_paid", "--into", str(tmp_path)).exit_code == 0
    folder = tmp_path / "order_paid"
    text = (folder / "callboard_order_paid.py").read_text()
    assert text.startswith('"""Order Paid: an event module of Callboard."""')
    assert "class OrderPaidModule" in text
    assert not re.search(r"\bskel\b|\bSkel\b|Skeleton", text)
    assert "order-paid" in (folder / "pyproject.toml").read_text()


def test_a_module_without_a_schema_says_so(configured):
    text = callboard("show", "order_paid", CALLBOARD_CONFIG=configured(SHOP)).stdout
    assert text.endswith("\nschema none\nsample none\n")


def test_a_module_that_does_not_exist_is_not_shown(configured):
    shown = callboard("show", "teapot", CALLBOARD_CONFIG=configured(SHOP))
    assert shown.exit_code == 2
    assert "there is no module 'teapot'" in shown.stderr


def test_a_module_whose_sample_contradicts_its_schema_is_not_loaded(configured):
    text = WITH_SCHEMA.replace("order = 7", "other = 7")
    listed = callboard("list", CALLBOARD_CONFIG=configured(text))
    assert listed.exit_code == 1
    assert "sample 1 does not match the schema" in listed.stdout
