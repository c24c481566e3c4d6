"""The top supervisor before it has begun."""

from datetime import timedelta

import pytest
from thespian.actors import ActorSystem

from callboard.actors.messages import GetSettings, Refused
from callboard.actors.system.tree import WebhooksSupervisor
from callboard.supervision import GetTree, Stop


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
