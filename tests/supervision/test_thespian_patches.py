"""The patches of Thespian do what they are for, and fit the version that is installed."""

import ast
import hashlib
import importlib
import importlib.metadata
import inspect
import multiprocessing
import os
import signal
import sys
from datetime import timedelta
from functools import cache
from types import SimpleNamespace

import pytest
from thespian.actors import ActorAddress, ChildActorExited
from thespian.system import multiprocCommon, utilis
from thespian.system.actorManager import ActorManager
from thespian.system.admin import convention
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.multiprocCommon import ChildInfo, MultiProcAdmin, MultiProcReplicator
from thespian.system.transport import ReceiveEnvelope

from callboard.adapters.local import sealed_transport
from callboard.adapters.local.stream_transport import StreamTransport
from callboard.supervision import SupervisedActor
from callboard.supervision.last_words import LastWords, inherited
from callboard.supervision.roomy_stack import roomy
from callboard.supervision.thespian_patches import (
    INTERNALS,
    MADE_FOR,
    child_processes,
    log_to,
    register_every,
)
from support.patience import patient
from support.workers import Worker

assert SupervisedActor.__module__ == "callboard.supervision.actor"  # It patches Thespian.

TO_DO = """
Thespian {found} is installed, and callboard.supervision.thespian_patches is made for {MADE_FOR}.

1. Read what has changed at these names, and in what they call:
   {changed}
2. Check that each patch is needed still (docs/adr/0004-crash-and-owner.md, 0026-a-roomy-stack.md),
   that the seal lets nothing pass unchecked (adapters/local/sealed_transport.py: what reads, what
   answers, what listens), and that a wakeup's payload is neither copied nor pickled
   (supervision/actor.py: after).
3. Run tests/supervision, tests/adapters/test_sealed_transport.py, tests/embedding, tests/faults and
   tests/e2e with it.
4. Then write the version and the new digests into supervision/thespian_patches.py.
"""


def test_thespian_is_as_the_patches_were_made_for():
    found = importlib.metadata.version("thespian")
    digests = {name: digest_of(name) for name in INTERNALS}
    changed = [f"{name}: {new}" for name, new in digests.items() if new != INTERNALS[name]]
    instructions = TO_DO.format(found=found, MADE_FOR=MADE_FOR, changed="\n   ".join(changed))
    assert not changed and found == MADE_FOR, instructions


def test_all_that_the_seal_replaces_or_overrides_is_among_the_internals():
    overridden = {
        _overridden(StreamTransport, name)
        for name, value in vars(StreamTransport).items()
        if inspect.isfunction(value)
    } - {None}
    assert len(overridden) == 11
    try:
        sealed_transport.seal(b"k" * 32)
        replaced = {
            f"{getattr(place, '__module__', place.__name__)}:{_prefix(place)}{name}"
            for place, name, _value in sealed_transport._replaced
            if place is not StreamTransport
        }
    finally:
        sealed_transport.unseal()
    assert len(replaced) == 3
    touched = {name.removeprefix("thespian.") for name in overridden | replaced}
    # A class that is listed is listed with its methods.
    assert not {n for n in touched if not {n, n.rpartition(".")[0]} & INTERNALS.keys()}


def _overridden(sealed, name):
    """What a method of this name overrides in Thespian, if anything."""
    for base in sealed.__mro__[1:-1]:
        if name in vars(base):
            return f"{base.__module__}:{base.__name__}.{name}"
    return None


def _prefix(place):
    return f"{place.__name__}." if inspect.isclass(place) else ""


def digest_of(name):
    """Of the source of `module:name`, wherever that is defined; not of what replaces it now."""
    return hashlib.sha256(source_of(name).encode()).hexdigest()[:16]


def source_of(name):
    module, _, path = name.partition(":")
    module = f"thespian.{module.removeprefix('thespian.')}"
    first, *rest = path.split(".")
    text, tree = _parsed(module)
    node = _defined(tree, first)
    if isinstance(node, ast.ImportFrom):
        return source_of(f"{node.module}:{path}")
    for part in rest:
        node = _defined(node, part)
    begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return "\n".join(text.splitlines()[begin - 1 : node.end_lineno])


@cache
def _parsed(module):
    text = inspect.getsource(importlib.import_module(module))
    return text, ast.parse(text)


def _defined(scope, name):
    """The statement that defines the name last; conditions are looked into."""
    for node in reversed(scope.body):
        match node:
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found) if found == name:
                return node
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return node
            case ast.ImportFrom() | ast.Import() if name in [alias.name for alias in node.names]:
                return node
            case ast.If() | ast.Try() if any(_names(part, name) for part in ast.walk(node)):
                return node
    raise LookupError(f"{name} is gone")


def _names(node, name):
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)


class Parent(MultiProcReplicator):
    """What Thespian knows of children, with real processes; a transport that keeps what is sent."""

    def __init__(self, children):
        self.myAddress = "me"
        self.told = []
        self.transport = self
        self._child_procs = [
            ChildInfo(name, Worker, process, number)
            for number, (name, process) in enumerate(children.items())
        ]

    def scheduleTransmit(self, _manager, intent):
        self.told.append(intent.message)


@pytest.fixture
def children():
    """Two processes that have ended, and one that has not."""
    fork = multiprocessing.get_context("fork")
    children = {name: fork.Process(target=signal.pause) for name in ("a", "b", "alive")}
    for process in children.values():
        process.start()
    for name in ("a", "b"):
        children[name].kill()
        children[name].join()
    yield children
    children["alive"].kill()
    children["alive"].join()


def test_a_child_that_ended_while_another_was_heard_of_is_told_of(children):
    parent = Parent(children)
    parent._childExited("a")
    parent.childDied()
    assert [(type(m), m.childAddress) for m in parent.told] == [(ChildActorExited, "b")]
    assert [child.childAddr for child in parent._child_procs] == ["alive"]


def test_a_child_is_forgotten_by_the_address_that_it_got_later(children):
    """It is made with a local one, and has the real one once it has connected."""
    parent = Parent(children)
    parent._child_procs[0].childRealAddr = "real"
    parent._childExited("real")
    assert [child.childAddr for child in parent._child_procs] == ["b", "alive"]


@pytest.mark.parametrize(
    "start", [multiprocCommon.startChild, MultiProcReplicator._startChildActor]
)
def test_what_prevents_a_child_is_left_to_its_supervisor(start):
    words = LastWords()
    with inherited(words), pytest.raises(TypeError):
        start("no child")
    assert words.read().startswith("TypeError: ")


def test_one_that_says_that_it_ends_is_not_forgotten_before_it_has(children):
    parent = Parent(children)
    parent._childExited("alive")
    children["alive"].kill()
    children["alive"].join(patient(10))
    parent.childDied()
    assert [m.childAddress for m in parent.told] == ["a", "b", "alive"]


class Admin(MultiProcAdmin):
    """Of Thespian's admin: what its base classes set that it needs to start another logger."""

    def __init__(self, **known):
        vars(self).update(known)


def test_the_admin_finds_the_definitions_for_another_logger():
    """Under the name by which its `childDied` asks for them."""
    assert Admin(logdefs={"version": 1}).logDefs == {"version": 1}


def test_the_admin_hears_of_its_logger_s_end_before_that_has_connected(children):
    parent = Parent(children)
    known = {"_child_procs": parent._child_procs, "transport": parent, "myAddress": "me"}
    admin = Admin(asLogger=None, _pre_init_msgs=[], **known)
    envelope = ReceiveEnvelope(ActorAddress("a"), ChildMayHaveDied())
    assert admin._handleReplicatorMessages(envelope) == (True, True)
    assert [message.childAddress for message in parent.told] == ["a", "b"]
    other = ReceiveEnvelope(ActorAddress("a"), "another message")
    assert admin._handleReplicatorMessages(other) == (True, True)
    assert admin._pre_init_msgs == [other]


def test_the_loop_of_an_actor_has_room_on_the_stack():
    def run(_handler):
        frame = sys._getframe()
        while frame := frame.f_back:
            below.append(frame.f_code)

    below = []
    actor = SimpleNamespace(
        actorInst="an actor",
        transport=SimpleNamespace(run=run),
        handleMessages=None,
        drainTransmits=lambda: below.append("drained"),
        _actorClass=Worker,
    )
    ActorManager.run(actor)
    assert roomy.__code__ in below
    assert below[-1] == "drained"


def test_the_log_of_thespian_is_in_a_folder_for_its_user_only(tmp_path, monkeypatch):
    for name in ("_thesplog_file", "_thesplog_old_file"):
        monkeypatch.setattr(utilis, name, "")
    monkeypatch.setenv("THESPLOG_FILE", "")
    path = tmp_path / "a" / "b" / "thespian.log"
    log_to(path)
    log_to(path)  # the folder is there already
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (utilis._thesplog_file, utilis._thesplog_old_file) == (str(path), f"{path}.old")
    assert os.environ["THESPLOG_FILE"] == str(path)


def test_registrations_of_machines_come_as_often_as_is_said(monkeypatch):
    names = ("REREGISTRATION_PERIOD", "RESTART_PERIOD", "REGISTRATION_MISS_MAX")
    for name in names:
        monkeypatch.setattr(convention, f"CONVENTION_{name}", None)
    register_every(1.5, 4)
    found = [getattr(convention, f"CONVENTION_{name}") for name in names]
    assert found == [timedelta(seconds=1.5), timedelta(seconds=1.5), 4]


def test_an_actor_s_children_come_with_their_processes():
    infos = [ChildInfo(ActorAddress(n), Worker, f"process {n}", n) for n in (1, 2)]
    actor = SimpleNamespace(_myRef=SimpleNamespace(_child_procs=infos))
    assert list(child_processes(actor)) == [
        (ActorAddress(1), "process 1"),
        (ActorAddress(2), "process 2"),
    ]
    assert list(child_processes(SimpleNamespace(_myRef=object()))) == []
