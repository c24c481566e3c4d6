import pytest

from callboard.actors.base.event_modules import event_modules
from callboard.config.settings import ApiSettings, KazooSettings, ModuleSettings, Settings
from callboard.webhooks.hooks.hook import defaults_of

SHOP = ModuleSettings(id="Order_Paid", exchange="shop", bindings=("order.#",), account="customer")
USUAL = {"format": "json", "retry_policy": "standard"}


def defaults(hook, *, account=None, **parts):
    settings = Settings(modules=(SHOP,), api=ApiSettings(events=True), **parts)
    usual = event_modules(settings).usual_events
    return defaults_of({"hook": hook}, usual, lambda: account or {})


@pytest.mark.parametrize("hook", ["order_paid", "Order_Paid", "event"])
def test_hooks_on_other_buses_do_what_is_usual(hook):
    assert defaults(hook) == USUAL


@pytest.mark.parametrize(
    "hook", ["object", "channel_create", "CHANNEL_CREATE", "all", "x", None, 7]
)
def test_hooks_on_events_of_kazoo_or_of_no_module_keep_kazoo_s_defaults(hook):
    assert defaults(hook) == {}


def test_without_kazoo_a_hook_on_all_does_what_is_usual():
    assert defaults("all", kazoo=KazooSettings(modules=())) == USUAL


def test_the_policy_of_the_account_has_priority():
    assert defaults("order_paid", account={"retry_policy": "kazoo"}) == {"format": "json"}
