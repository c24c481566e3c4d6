"""`callboard hooks` from a hook's first day to its last, as a person types it."""

import json

import pytest

from support.running import ACCOUNT, RunningSystem, call_event

pytestmark = pytest.mark.multiprocess

NONE = "0" * 32


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    system = RunningSystem(tmp_path_factory.mktemp("cli-hooks") / "data", kazoo__modules="*")
    yield system
    system.close()


@pytest.fixture
def run(system):
    """run(*arguments) -> what `callboard hooks …` printed; it must succeed."""

    def run(*arguments):
        ran = system.run("hooks", *arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.fixture
def refused(system):
    """refused(*arguments) -> (exit code, standard error)."""

    def refused(*arguments):
        ran = system.run("hooks", *arguments)
        assert ran.returncode != 0, ran.stdout
        return ran.returncode, ran.stderr

    return refused


def add(run, uri, *arguments, account=ACCOUNT):
    return json.loads(run("add", uri, "--account", account, "--json", *arguments))


def shown(run, hook_id):
    return json.loads(run("show", hook_id, "--json"))


def test_a_hook_can_be_added_with_everything(run, receiver):
    added = add(
        run,
        f"{receiver.url}/all",
        *("--event", "channel_create", "--name", "Sales", "--group", "crm", "--verb", "put"),
        *("--format", "form-data", "--retries", "3", "--retry-policy", "standard", "--ordered"),
        *("--rate-limit", "2.5", "--header", "X-Team: sales", "--header", "X-Empty-Not:1"),
        *("--custom-data", '{"team": "sales"}', "--modifiers", '{"call_direction": "inbound"}'),
        *("--include-subaccounts", "--no-internal-legs", "--disabled"),
        *("--retry-steps", "5, 60.5", "--success", "200-299, 304", "--give-up", "404"),
        *("--signature", '{"name": "github"}'),
    )
    wanted = {
        "uri": f"{receiver.url}/all",
        "hook": "channel_create",
        "name": "Sales",
        "group": "crm",
        "http_verb": "put",
        "format": "form-data",
        "retries": 3,
        "retry_policy": "standard",
        "ordered": True,
        "rate_limit": 2.5,
        "headers": {"X-Team": "sales", "X-Empty-Not": "1"},
        "custom_data": {"team": "sales"},
        "modifiers": {"call_direction": "inbound"},
        "include_subaccounts": True,
        "include_internal_legs": False,
        "enabled": False,
        "retry_steps_s": [5, 60.5],
        "success": ["200-299", 304],
        "give_up": [404],
        "signature": {"name": "github"},
        "pvt_account_id": ACCOUNT,
    }
    assert wanted.items() <= added.items()
    assert shown(run, added["_id"]) == added
    assert "X-Team" in run("show", added["_id"])


def test_edits_change_what_is_given_and_take_effect(system, run, receiver):
    hook = add(run, f"{receiver.url}/old", "--event", "channel_create", "--group", "g")["_id"]
    run("edit", hook, "--uri", f"{receiver.url}/new", "--header", "X-New: 1", "--unset", "group")
    document = shown(run, hook)
    assert document["hook"] == "channel_create"
    assert document["headers"] == {"X-New": "1"}
    assert "group" not in document
    system.publish([call_event("edited")])
    (request,) = receiver.wait_for(1)
    assert (request.path, request.headers["x-new"]) == ("/new", "1")
    run("rm", hook)


def test_a_disabled_hook_is_silent_until_it_is_enabled(system, run, refused, receiver):
    ids = [
        add(run, f"{receiver.url}/{n}", "--event", "channel_answer", account="b" * 32)["_id"]
        for n in "ab"
    ]
    run("disable", *ids)
    run("enable", ids[1])
    system.publish([call_event("quiet", "CHANNEL_ANSWER", "b" * 32)])
    assert [r.path for r in receiver.wait_for(1)] == ["/b"]
    told = system.run("hooks", "disable", "--json", ids[1], NONE)
    assert told.returncode == 1
    answer = json.loads(told.stdout)
    assert [d["_id"] for d in answer["hooks"]] == [ids[1]]
    assert [failed["hook_id"] for failed in answer["failed"]] == [NONE]
    assert "removed hook" in run("delete", *ids)
    code, errors = refused("show", ids[0])
    assert code == 1
    assert "there is no hook" in errors


def test_listings_are_filtered_and_go_on_where_they_were_cut(system, run):
    account = "c" * 32
    for n in range(5):
        event = "channel_create" if n % 2 else "sms"
        add(run, f"http://e.example/{n}", "--event", event, "--name", f"N{n}", account=account)

    def listed(*arguments):
        ran = system.run("hooks", "list", "--account", account, "--json", *arguments)
        assert ran.returncode == 0, ran.stderr
        return [d["_id"] for d in json.loads(ran.stdout)], ran.stderr

    everything, note = listed()
    assert (len(everything), note) == (5, "")
    first, note = listed("--limit", "2")
    assert f"--after {account}/{first[-1]}" in note
    rest, note = listed("--limit", "3", "--after", f"{account}/{first[-1]}")
    assert (first + rest, note) == (everything, "")
    assert len(listed("--event", "SMS")[0]) == 3
    assert len(listed("--event", "Channel_Create")[0]) == 2
    assert len(listed("--uri", "/4")[0]) == 1
    assert len(listed("--name", "n3")[0]) == 1
    run("disable", everything[0])
    assert listed("--state", "disabled")[0] == everything[:1]
    assert listed("--state", "auto-disabled")[0] == []
    run("pause", everything[1])
    assert listed("--state", "paused")[0] == [everything[1]]
    assert "yes, paused" in run("list", "--account", account)
    assert "no hooks" in run("list", "--account", "nobody")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["edit", NONE], 2, "give the fields to change"),
        (["edit", NONE, "--name", "x"], 1, "there is no hook"),
        (["edit", NONE, "--unset", "uri"], 2, "every hook requires it"),
        (["edit", NONE, "--unset", "colour"], 2, "use one of"),
        (["list", "--after", "x"], 2, "ACCOUNT/HOOK"),
        (["enable"], 2, "HOOK_ID"),
        (["add", "http://e.example/", "--account", "a", "--header", "X"], 2, "NAME:VALUE"),
        (["add", "http://e.example/", "--account", "a", "--header", "Host: x"], 1, "Host"),
        (["add", "http://e.example/", "--account", "a", "--modifiers", "{"], 2, "not JSON"),
        (["add", "http://e.example/", "--account", "a", "--rate-limit", "0"], 2, "--rate-limit"),
        (
            ["add", "https://e.example/", "--account", "a", "--client-certificate", "c.pem"],
            1,
            "delivery.client_certificates",
        ),
        (["add", "http://e.example/", "--account", "a", "--retry-steps", "x"], 2, "write seconds"),
        (
            ["add", "http://e.example/", "--account", "a", "--success", "2xx"],
            1,
            "no list of 1 to 20",
        ),
        (["add", "http://e.example/ ", "--account", "a"], 1, "a blank at its end"),
        (["secret", "new", NONE, "--expires-in", "soon"], 2, "is no time from 1s to 366d"),
        (["shwo", NONE], 2, "show"),
    ],
)
def test_bad_arguments_say_what_to_do(refused, arguments, code, says):
    got, errors = refused(*arguments)
    assert got == code
    assert says in errors


def test_an_edit_that_no_hook_could_fire_with_changes_nothing(run, refused):
    hook = add(run, "http://e.example/", account="d" * 32)
    code, errors = refused("edit", hook["_id"], "--event", "nope")
    assert code == 1
    assert "'nope'" in errors
    assert shown(run, hook["_id"]) == hook


def test_hooks_are_applied_from_a_file_and_exported(system, run, tmp_path, monkeypatch):
    file = tmp_path / "hooks.toml"
    text = (
        "# Hooks as `callboard export` wrote them; `callboard apply` makes them so.\n"
        f'\n[[hooks]]\nid = "declared"\naccount = "{NONE}"\nhook = "channel_create"\n'
        'name = "calls"\nuri = "https://hooks.example.com/calls"\n'
    )
    file.write_text(text)
    dry = system.run("apply", str(file), "--dry-run")
    assert (dry.returncode, dry.stdout.splitlines()[-1]) == (
        3,
        "1 to add, 0 to change, 0 to remove, 0 unchanged",
    )
    asked = system.run("apply", str(file))
    assert (asked.returncode, "give --yes" in asked.stderr) == (3, True)
    done = system.run("apply", str(file), "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "done")
    assert system.run("apply", str(file), "--dry-run").returncode == 0
    assert system.run("export", "--account", NONE).stdout == text
    file.write_text(text.replace("channel_create", "nonsense"))
    refused = system.run("apply", str(file), "--yes")
    assert refused.returncode == 1
    assert "declared" in refused.stderr
    file.write_text("[[hook]]")
    assert system.run("apply", str(file)).returncode == 2
    run("rm", "declared")
