"""Documents of the store of any shape: no handler that reads them raises."""

import json
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.hooks.parser import HookParser
from callboard.actors.operations.redelivery import event_again, summary
from callboard.adapters.repositories.dead_letters import DeadLetterStore, Window
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.repositories.maintenance import enable_account, enable_descendants
from callboard.adapters.repositories.master_account import oldest_account
from callboard.adapters.repositories.system_config import set_account_setting
from callboard.adapters.store import views
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.protocol import StoreError
from callboard.webhooks.deliveries.delivery import deliveries
from callboard.webhooks.events.event import Event
from callboard.webhooks.history.dead_letters import NotRepeatable
from callboard.webhooks.history.resending import of_letter
from callboard.webhooks.hooks.failure_window import Limits, counting_pause_s
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import HookIndex, candidates
from callboard.webhooks.modules.kazoo.channel_create import MODULE as CHANNEL_CREATE
from callboard.webhooks.modules.kazoo.object import MODULE as OBJECT
from callboard.webhooks.retries.policy import chosen
from callboard.webhooks.values.kazoo_names import account_database
from support.fuzz import ACCOUNT, changed, fuzzed, values

OTHER = "2c" * 16
HOOK = {
    "_id": "h1",
    "pvt_type": "webhook",
    "pvt_account_id": ACCOUNT,
    "pvt_account_db": f"account%2F{ACCOUNT[:2]}%2F{ACCOUNT[2:4]}%2F{ACCOUNT[4:]}",
    "pvt_disabled_message": "too many failed attempts",
    "pvt_deleted": False,
    "enabled": True,
    "uri": "http://hooks.example/",
    "hook": "inbound_fax",
    "http_verb": "post",
    "retries": 2,
    "name": "n",
    "custom_data": {"type": "t"},
}
ACCOUNT_DOCUMENT = {
    "_id": ACCOUNT,
    "pvt_type": "account",
    "pvt_account_id": ACCOUNT,
    "pvt_tree": [OTHER],
    "pvt_created": 63_000_000_000,
}
SERVICES = {"_id": ACCOUNT, "pvt_reseller_id": OTHER}
NUMBER = {"_id": "+15556783945", "pvt_assigned_to": ACCOUNT}
OWN = {
    "_id": "configs_webhooks",
    "attempt_failure_count": 6,
    "attempt_failure_expiry_ms": 60_000,
    "retry_policy": "standard",
}
SETTINGS = {
    "webhooks": {
        "attempt_failure_count": 6,
        "attempt_failure_expiry_ms": 60_000,
        "log_successful_attempts": False,
        "object_types": ["account"],
    },
    "accounts": {"master_account_id": ACCOUNT},
    "cluster": {"cluster_id": "c"},
    "call_command": {"reserved_ccv_keys": ["Account-ID"]},
    "stepswitch": {"assume_inbound_e164": False, "inbound_user_field": "To"},
    "number_manager": {"e164_converters": {"^1": {"prefix": "+"}}},
}
LETTER = {
    "_id": "l1",
    "pvt_type": "dead_letter",
    "pvt_created": 63_000_000_000,
    "pvt_account_id": ACCOUNT,
    "kind": "event",
    "reason": "r",
    "hook_id": "h1",
    "uri": "http://hooks.example/",
    "tries": 1,
    "exchange": "callevt",
    "routing_key": "k",
    "content_type": "application/json",
    "headers": {"a": 1},
    "body": "{}",
    "delivery_id": "d",
    "webhook_id": "w",
    "event_id": "e",
}
CALL = {
    "Event-Category": "call_event",
    "Event-Name": "CHANNEL_CREATE",
    "App-Name": "freeswitch",
    "App-Version": "1.0",
    "Msg-ID": "1",
    "Call-ID": "leg-a",
    "Call-Direction": "inbound",
    "Timestamp": 63867000000,
    "Custom-Channel-Vars": {},
    "To": "15556783945@acme",
    "Request": "15556783945@acme",
}


def with_id(document, id):
    """A store knows documents by id, and the rest may be anything."""
    return {k: v for k, v in document.items() if not k.startswith("_")} | {"_id": id}


def of(sample):
    return st.one_of(
        changed(sample),
        st.dictionaries(st.sampled_from(sorted(sample)), values),
    ).map(lambda document: with_id(document, sample["_id"]))


@contextmanager
def stored(**by_database):
    """A store with these documents; those that no store accepts are left out."""
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder) / "store.sqlite3", views=views.ALL)
        for name, its in (
            ("webhooks", views.WEBHOOKS),
            ("accounts", views.ACCOUNTS),
            ("callboard_dead_letters", views.DEAD_LETTERS),
        ):
            store.ensure_database(name)
            store.ensure_views(name, its)
        for name in ("services", "system_config", "numbers/+1555", account_database(ACCOUNT)):
            store.ensure_database(name)
        for name, document in by_database.values():
            with suppress(StoreError, ValueError):
                store.save(name, document)
        yield store
        store.close()


@fuzzed(3)
@given(of(HOOK), values)
def test_hooks(document, event):
    with stored(hook=("webhooks", document), good=("webhooks", HOOK | {"_id": "h2"})) as store:
        parser = HookParser({"channel_create", "object"}, structlog.get_logger())
        hooks = HookStore(store)
        index = HookIndex()
        for page in hooks.pages(1):
            for one in page.documents:
                if (hook := parser.stored(one)) is not None:
                    assert isinstance(hook, Hook)
                    index.put(hook)
        hooks.get("h1")
        hooks.listed(None, 10)
        hooks.listed(ACCOUNT, 10)
        hooks.after("", 10)
        for step in enable_account(store, ACCOUNT, 1):
            json.dumps([change.document for change in step.changes])


@fuzzed(3)
@given(
    of(ACCOUNT_DOCUMENT), of(SERVICES), of(OWN), of(NUMBER), st.sampled_from([*SETTINGS]), st.data()
)
def test_accounts_and_configuration(account, services, own, number, category, data):
    section = data.draw(changed(SETTINGS[category]) | values)
    config = with_id(data.draw(changed({"default": section})), category)
    with stored(
        account=("accounts", account),
        services=("services", services),
        own=(account_database(ACCOUNT), own),
        number=("numbers/+1555", number),
        config=("system_config", config),
    ) as store:
        directory = StoreDirectory(store, "node", "zone")
        found = directory.account(ACCOUNT)
        if found is not None:
            assert all(isinstance(id, str) for id in found.tree)
            list(candidates(HookIndex(), found, "all"))
        for id in (
            directory.reseller_id(ACCOUNT),
            directory.account_by_number("15556783945"),
            directory.cluster_id(),
            directory.master_account_id(),
        ):
            assert id is None or isinstance(id, str)
        for limits in directory.failure_limits([ACCOUNT, "none"]).values():
            assert isinstance(limits, Limits)
        expiry = directory.setting("webhooks", "attempt_failure_expiry_ms", 60_000)
        assert counting_pause_s(expiry) >= 1
        assert chosen(None, directory.choices_of(ACCOUNT).get("retry_policy"), "kazoo") in (
            "kazoo",
            "standard",
        )
        OBJECT.modifiers(directory)
        hook = Hook("h", ACCOUNT, "http://hooks.example/", "CHANNEL_CREATE", format="json")
        index = HookIndex()
        index.put(hook)
        event = Event(CALL, "callevt", "k")
        for delivery in deliveries(event, CHANNEL_CREATE, index, directory, directory.cluster_id()):
            json.loads(delivery.body)
        list(oldest_account(store))
        for step in enable_descendants(store, ACCOUNT, 1):
            json.dumps([change.document for change in step.changes])
        set_account_setting(store, directory, ACCOUNT, "retry_policy", "kazoo")


@fuzzed(3)
@given(of(LETTER))
def test_dead_letters(letter):
    with stored(letter=("callboard_dead_letters", letter)) as store:
        dead_letters = DeadLetterStore(store)
        for window in (Window(), Window(account_id=ACCOUNT), Window(hook_id="h1")):
            rows, _more = dead_letters.page(window, None, 10)
            for row in rows:
                assert summary(row)
        dead_letters.older_than(63_000_000_001, 10)
        for document in dead_letters.get(["l1"]).values():
            for make in (event_again, of_letter):
                try:
                    assert make(document)
                except NotRepeatable as problem:
                    assert str(problem)
