"""Deliverers on other machines, which have joined a node; here machines are loopback addresses."""

import base64
import json
from collections import Counter
from importlib.metadata import version

import pytest
from standardwebhooks import Webhook

from callboard.adapters.receiver.server import Answer
from support.members import Member
from support.patience import patient
from support.running import call_event, kill_all

pytestmark = pytest.mark.multiprocess

KEY = "the same on all machines, and kept from others"
SECRETS_KEY = base64.b64encode(bytes(32)).decode()
EVENTS = 300


@pytest.fixture
def node(start):
    return start(
        actors__convention="true",
        actors__key=KEY,
        secrets__key=SECRETS_KEY,
        delivery__workers=1,
    )


@pytest.fixture
def join(node, tmp_path):
    members = []

    def join(**options):
        number = len(members)
        name = options.pop("name", f"other{number}")
        members.append(
            Member(node, tmp_path / name, name=name, bind=f"127.0.0.{2 + number}", **options)
        )
        return members[-1]

    yield join
    for member in members:
        member.close()


def status_and_pid(node, path):
    try:
        found = node.node(path)
    except LookupError:
        return "absent", None
    return found.status, found.pid


def status(node, path):
    return status_and_pid(node, path)[0]


def there(node, member, deliverers=1):
    path = f"deliveries/elsewhere/{member.name}/deliverer-{deliverers}"
    node.wait(lambda: status(node, path) == "running", timeout_s=30, what=path)
    return path


def health(node):
    return json.loads(node.run("health", "--json").stdout)


def gone(node, member):
    path = f"deliveries/elsewhere/{member.name}"
    node.wait(
        lambda: status(node, path) in ("ended", "down", "absent"), timeout_s=30, what=f"no {path}"
    )


def calls(requests):
    return Counter(json.loads(request.body)["call_id"] for request in requests)


def all_calls(events=EVENTS):
    return {f"call-{n}@switch" for n in range(events)}


def test_deliverers_of_another_machine_take_their_share(node, join, receiver):
    path = there(node, join(workers=2), 2)
    node.add_hook(f"{receiver.url}/hook", format="json")
    node.publish(map(call_event, range(EVENTS)))
    receiver.wait_for(lambda got: all_calls() <= calls(got).keys(), timeout_s=60)
    node.wait_settled(EVENTS)
    assert calls(receiver.requests) == dict.fromkeys(all_calls(), 1)
    for each in (path, "deliveries/deliverer-1"):
        node.wait(lambda each=each: node.node(each).stats.get("delivered"), what=f"share of {each}")


@pytest.mark.faults
def test_what_a_killed_machine_had_in_hand_is_delivered_and_it_may_come_back(node, join, receiver):
    member = join()
    there(node, member)
    killed = receiver.hold("/hook", Answer(delay_s=0.1), after=20)
    node.add_hook(f"{receiver.url}/hook", format="json")
    node.publish(map(call_event, range(EVENTS)))
    receiver.wait_for(20)
    bridge = node.node("event_bridge").pid
    member.kill()
    assert receiver.count < EVENTS // 2, "it was killed too late to have much in hand"
    killed.set()
    receiver.wait_for(lambda got: all_calls() <= calls(got).keys(), timeout_s=90)
    gone(node, member)
    node.wait(lambda: node.node("event_bridge").stats.get("in_hand") == 0, timeout_s=30)
    assert node.node("event_bridge").pid == bridge, "the node went on"
    found = node.wait(lambda: (seen := health(node))["degraded"] and seen, timeout_s=30)
    assert (found["ready"], found["problems"]) == (True, [])
    assert [each["what"] for each in found["degraded"]] == [f"the machine {member.name} is lost"]
    ids = {request.headers["webhook-id"] for request in receiver.requests}
    assert len(ids) == EVENTS, "a repeat must carry the same identity"

    member.start()
    path = there(node, member)
    node.publish(map(call_event, range(EVENTS, EVENTS + 50)))
    receiver.wait_for(lambda got: all_calls(EVENTS + 50) <= calls(got).keys(), timeout_s=60)
    node.wait(lambda: node.node(path).stats.get("delivered"))
    node.wait(lambda: health(node)["degraded"] == [])


OLD = """
from callboard.actors.system import member, orphan_guard, worker_capabilities
for module in member, orphan_guard, worker_capabilities:
    module.version = lambda _name: "0.0.1"
from callboard.run_system import main
main()
"""


@pytest.mark.faults
def test_a_machine_of_another_version_is_refused_and_says_so(node, join, monkeypatch):
    monkeypatch.setattr(Member, "program", ("-c", OLD))
    member = join()
    member.wait_for("refused_by_node")
    assert f"version={version('callboard')} own=0.0.1" in member.log.read_text()
    node.wait(lambda: "machine_refused" in node.tail())
    assert status(node, f"deliveries/elsewhere/{member.name}") == "absent"


@pytest.mark.faults
def test_a_killed_deliverer_elsewhere_is_replaced_there(node, join):
    member = join()
    path = there(node, member)
    before = node.node(path).pid
    next(process for process in member.family() if process.pid == before).kill()

    def is_replaced():
        status, pid = status_and_pid(node, path)
        return status == "running" and pid != before

    node.wait(is_replaced, what="its successor")


@pytest.mark.faults
def test_without_its_node_a_machine_stops_to_deliver_and_joins_again(node, join, receiver):
    member = join()
    deliverer = node.node(there(node, member)).pid
    node.add_hook(f"{receiver.url}/hook", format="json")
    kill_all(node.family())
    node.process.wait(timeout=patient(10))
    node.wait(
        lambda: deliverer not in {process.pid for process in member.family()},
        timeout_s=30,
        what="the end of a deliverer without a node",
    )
    node.process.stdout.close()
    node.start()
    path = there(node, member)
    node.publish(map(call_event, range(EVENTS)))
    receiver.wait_for(lambda got: all_calls() <= calls(got).keys(), timeout_s=60)
    node.wait(lambda: node.node(path).stats.get("delivered"))


def test_a_machine_signs_with_the_keys_that_it_has_itself(node, join, receiver):
    hook = node.add_hook(f"{receiver.url}/hook", format="json")
    made = node.run("hooks", "secret", "new", hook, "--json")
    secret = json.loads(made.stdout)["secret"]
    path = there(node, join(**{"secrets.key": node.settings.secrets.key}))
    node.publish(map(call_event, range(EVENTS)))
    receiver.wait_for(lambda got: all_calls() <= calls(got).keys(), timeout_s=60)
    for request in receiver.requests:
        Webhook(secret).verify(request.body, dict(request.headers), json_parse=False)
    node.wait(lambda: node.node(path).stats.get("delivered"), what=f"share of {path}")


def test_a_machine_with_another_key_is_left_outside(node, join, receiver):
    stranger = join(**{"actors.key": "another key, of the same length as that one...."})
    friend = join()
    there(node, friend)
    assert status(node, f"deliveries/elsewhere/{stranger.name}") == "absent"
    stranger.close()


@pytest.mark.faults
def test_a_machine_whose_owner_is_killed_ends(node, join):
    member = join()
    there(node, member)
    member.process.kill()
    member.process.wait(timeout=patient(10))
    member.process.stdout.close()
    node.wait(lambda: not member.family(), timeout_s=20, what="the end of all of it")
    gone(node, member)
