"""The backend of the API without its actor: requests go into an inbox, which the test empties."""

import json
import os
import threading

import pytest

from callboard.actors.api.asking import Asked
from callboard.actors.api.backend import ActorBackend, Changed, Posted
from callboard.actors.api.inbox import Inbox
from callboard.actors.api.thread import write_place
from callboard.actors.messages import (
    ApplyHooks,
    HooksApplied,
    NoAnswer,
    RefusedByActor,
)
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.repositories.maintenance import Change
from callboard.config.settings import CouchdbSettings, Settings
from callboard.webhooks.hooks.hook import InvalidHook
from support.hooks import hooks_with
from support.patience import patient
from support.world import Store

DOCUMENT = {"_id": "h1", "pvt_account_id": "a1", "pvt_type": "webhook"}
SAVED = Change("doc_edited", "webhooks", DOCUMENT)


class Answering(threading.Thread):
    """Takes what threads ask, and responds with what the test says; an exception is raised."""

    def __init__(self, inbox, response):
        super().__init__(daemon=True)
        self.inbox, self.response, self.taken = inbox, response, []
        self.start()

    def run(self):
        end = threading.Event()
        while not end.wait(0.001):
            for item in self.inbox.taken():
                self.taken.append(item)
                if isinstance(item, Asked):
                    if isinstance(self.response, Exception):
                        item.future.set_exception(self.response)
                    else:
                        item.future.set_result(self.response)
                    end.set()


@pytest.fixture
def inbox():
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def backend(inbox):
    return ActorBackend(Settings(), Store(), "token", inbox, dict, str)


@pytest.mark.parametrize("response", [HooksApplied(), NoAnswer("down"), RefusedByActor("no")])
def test_a_saved_hook_is_published_and_in_effect_before_the_response(backend, inbox, response):
    actor = Answering(inbox, response)
    backend.hook_saved(SAVED)
    actor.join(patient(10))
    changed, asked = actor.taken
    assert changed == Changed((SAVED,))
    assert (asked.path, asked.message, asked.kind) == (
        *(HOOK_LISTENER, ApplyHooks((("a1", "h1"),)), HooksApplied),
    )


def test_events_go_to_the_actor_that_publishes_them(backend, inbox):
    events = [("shop", "order.paid", b"{}", "application/json")]
    future = backend.publish(events)
    [posted] = inbox.taken()
    assert (posted, posted.future) == (Posted(events), future)


def test_no_response_in_time_is_no_answer(backend, inbox):
    with pytest.raises(NoAnswer, match=r"^here did not answer within 0\.01 s$"):
        backend.ask("here", "?", str, 0.01)
    (asked,) = inbox.taken()
    assert asked.future.cancelled()


def test_a_doubtful_address_is_named_and_others_are_not(backend):
    rules = EndpointRules(AddressGuard(()))
    doubt = backend.doubt("http://127.0.0.1/", rules)
    assert doubt is not None
    assert doubt.startswith("127.0.0.1 is ")
    assert backend.doubt("http://192.0.43.8/", rules) is None


def test_what_the_api_knows_of_its_node(inbox):
    told = {"uptime_s": 2.5}
    for url, embedded in (("sqlite://", True), ("http://h:5984", False)):
        settings = Settings(couchdb=CouchdbSettings(url=url))
        backend = ActorBackend(settings, Store(), "token", inbox, lambda: told, lambda: "why")
        assert backend.node.embedded_store is embedded
    assert (backend.stats(), backend.posts_refused()) == (told, "why")
    assert {"channel_create", "object"} <= backend.node.known_events


@pytest.mark.parametrize(
    ("bind", "url"), [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")]
)
def test_the_place_of_the_api_is_a_file(tmp_path, bind, url):
    """Commands look for the API there; a file that is half written never has its name."""
    file = tmp_path / "api.json"
    file.write_text("of before")
    write_place(file, bind, 80)
    place = {"url": url, "bind": bind, "port": 80, "pid": os.getpid()}
    assert json.loads(file.read_text()) == place
    assert list(tmp_path.iterdir()) == [file]


def test_a_hook_that_the_settings_do_not_permit_is_refused(backend):
    hook = hooks_with(uri="http://127.0.0.1/")
    with pytest.raises(InvalidHook, match=r"delivery\.allow_networks may allow it"):
        backend.check_hook(hook())
    backend.check_hook(hook(uri="http://192.0.43.8/"))


def test_a_refusal_need_not_have_a_cause_or_a_setting():
    refused = RefusedByActor("no")
    assert (str(refused), refused.cause, refused.setting) == ("no", "", "")
