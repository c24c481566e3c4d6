"""What the tests of commands share."""

import os
from collections import defaultdict, deque

import pytest
from attrs import evolve
from click.testing import CliRunner

from callboard.actors.system.actor_system import Client
from callboard.admin import AdminAnswer
from callboard.cli import main
from callboard.cli.system import attached
from callboard.config.loader import load
from callboard.supervision import Located, Peer
from callboard.supervision.messages import Locate
from services import free_port


@pytest.fixture
def unused_port():
    return free_port()


@pytest.fixture
def settings(tmp_path):
    def settings(**given):
        overrides = {key.replace("__", "."): str(value) for key, value in given.items()}
        overrides = {"data.dir": str(tmp_path / "data")} | overrides
        return load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings

    return settings


class Running:
    """A system that answers each request with the next of the answers to its class.

    A client tells it messages and listens to it as to Thespian's ActorSystem.
    """

    def __init__(self, folder):
        self.environment = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(folder)}
        self.asked = []  # (path, request)
        self._answers, self._said = defaultdict(deque), deque()

    def answer(self, kind, *answers):
        """Answer the next requests of this class so."""
        self._answers[kind].extend(answers)

    def tell(self, address, message):
        if isinstance(message, Locate):
            peer = Peer(message.path, 1, message.path, 1)
            self._said.append(Located(message.path, peer))
            return
        self.asked.append((address, message))
        said = self._answers[type(message)].popleft()
        ref = getattr(message, "ref", "")
        self._said.append(evolve(said, ref=ref) if isinstance(said, AdminAnswer) else said)

    def listen(self, _timeout):
        return self._said.popleft()

    def run(self, *arguments, input=None, **variables):
        """A command's result."""
        environment = self.environment | variables
        ran = CliRunner().invoke(main, arguments, input, environment, terminal_width=200)
        assert not isinstance(ran.exception, (AssertionError, LookupError)), ran.exc_info
        return ran

    def left(self):
        """The answers that were not asked for."""
        return [answer for answers in self._answers.values() for answer in answers]


@pytest.fixture
def running(tmp_path, monkeypatch):
    running = Running(tmp_path)
    monkeypatch.setattr(attached, "attach", lambda _settings: Client(running, "top"))
    yield running
    assert running.left() == []
