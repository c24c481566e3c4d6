"""The top supervisor before it has begun."""

import importlib
import pkgutil
from datetime import timedelta
from pathlib import Path

import pytest
from thespian.actors import ActorSystem

from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.messages import GetSettings, Refused
from callboard.actors.system.tree import WebhooksSupervisor
from callboard.supervision import GetTree, Stop, SupervisedActor

PROJECT = Path(__file__).parents[2]


def actor_classes(of=SupervisedActor):
    for actor_class in of.__subclasses__():
        if actor_class.__module__.startswith("callboard."):
            yield actor_class
            yield from actor_classes(actor_class)


def room_of(actor_class):
    return actor_class.__module__.rpartition(".")[0]


def test_no_actor_replaces_a_private_method_of_another_room():
    for package in ("actors", "supervision"):
        for module in pkgutil.walk_packages([str(PROJECT / package)], f"callboard.{package}."):
            importlib.import_module(module.name)
    found = set(actor_classes())
    assert RetryQueue in found
    replaced = [
        f"{actor_class.__name__}.{name}"
        for actor_class in found
        for name in vars(actor_class)
        if name.startswith("_") and not name.startswith("__")
        if any(
            name in vars(base) and room_of(base) != room_of(actor_class)
            for base in found.intersection(actor_class.__mro__[1:])
        )
    ]
    assert replaced == []


@pytest.fixture
def system():
    system = ActorSystem("simpleSystemBase", transientUnique=True)
    yield system
    system.shutdown()


def test_a_top_that_was_never_started_answers_and_ends(system, caplog):
    top = system.createActor(WebhooksSupervisor)
    patience = timedelta(seconds=5)
    assert system.ask(top, GetTree(), patience).children == ()
    assert isinstance(system.ask(top, GetSettings(), patience), Refused)
    system.tell(top, Stop())
    assert "actor_crashed" not in caplog.text
