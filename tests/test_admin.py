"""The public messages keep their promises: frozen, documented, and at home in other versions."""

import pickle
import pickletools

import attrs
import pytest

from callboard import admin
from callboard.actors import messages


def kinds():
    return [
        kind
        for kind in vars(admin).values()
        if isinstance(kind, type) and attrs.has(kind) and kind.__module__ == admin.__name__
    ]


def requests():
    return [kind for kind in kinds() if issubclass(kind, admin.AdminRequest)]


def made(kind):
    """One with something in every field that has no default."""
    required = [f for f in attrs.fields(kind) if f.default is attrs.NOTHING]
    return kind(**{f.name: () if "tuple" in str(f.type) else "x" for f in required})


def test_there_is_a_request_for_every_maintenance_command():
    names = {kind.__name__ for kind in requests()}
    assert names >= {
        "HooksConfigured",
        "FailureStatus",
        "SetFailureExpiry",
        "SetDisableThreshold",
        "EnableAccountHooks",
        "EnableDescendantHooks",
        "FlushAccountFailures",
        "FlushHookFailures",
        "RegisterViews",
        "ResetHookDefinitions",
        "ResetHookDefinition",
        "CleanUpOrphans",
    }


def test_there_is_a_request_for_every_command_that_sends_once_more():
    names = {kind.__name__ for kind in requests() if issubclass(kind, admin.RedeliveryRequest)}
    assert names >= {
        "ListDeadLetters",
        "ShowDeadLetter",
        "RetryDeadLetters",
        "PurgeDeadLetters",
        "ListAttempts",
        "ShowAttempt",
        "ReplayAttempts",
        "ListWaiting",
        "RetryWaiting",
        "TestHook",
    }


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_message_is_frozen_documented_and_pickles(kind):
    message = made(kind)
    assert kind.__doc__
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        message.version = 7
    assert pickle.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize("kind", requests(), ids=lambda kind: kind.__name__)
def test_every_request_names_its_answer_and_carries_version_and_reference(kind):
    if kind not in (admin.AdminRequest, admin.RedeliveryRequest):
        answer = kind.__doc__.split("-> `")[1].split("`")[0]
        assert issubclass(getattr(admin, answer), admin.AdminAnswer)
    message = attrs.evolve(made(kind), ref="mine")
    assert (message.version, message.ref) == (admin.VERSION, "mine")


def unpickled(kind, values):
    """A message from another version, whose pickle holds these values."""
    rebuild, (found, _own) = made(kind).__reduce__()
    assert found is kind
    return rebuild(kind, values)


def test_a_message_of_an_older_version_takes_the_defaults_for_what_it_lacks():
    older = unpickled(admin.HooksConfigured, {"account": "a"})
    assert older == admin.HooksConfigured("a")


def test_what_a_newer_version_added_is_dropped():
    values = {"account": "a", "version": 2, "colour": "red"}
    newer = unpickled(admin.EnableAccountHooks, values)
    assert newer == admin.EnableAccountHooks("a", version=2)


def test_a_pickle_names_nothing_but_the_module_and_builtins():
    pickled = pickle.dumps(admin.HooksConfigured("a"))
    strings = [arg for _op, arg, _pos in pickletools.genops(pickled) if isinstance(arg, str)]
    assert {s for s in strings if "." in s} == {"callboard.admin"}


def test_refused_is_one_class_inside_and_outside():
    assert messages.Refused is admin.Refused
