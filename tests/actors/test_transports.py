"""To how many endpoints connections are kept."""

import resource

import pytest

from callboard.actors.delivery.transports import _made, check_hook, endpoint_of, kept_endpoints
from callboard.adapters.http.descriptors import allow
from callboard.config.settings import DeliverySettings, Settings
from callboard.webhooks.hooks.hook import Hook, InvalidHook
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.values.endpoint_options import EndpointOptions


@pytest.fixture
def limited(monkeypatch):
    """Let a process have so many descriptors, whatever it asks for."""

    def limit(soft, hard):
        now = {"soft": soft}
        monkeypatch.setattr(resource, "getrlimit", lambda _what: (now["soft"], hard))
        monkeypatch.setattr(resource, "setrlimit", lambda _what, both: now.update(soft=both[0]))
        return now

    return limit


@pytest.mark.parametrize(
    ("hard", "kept"),
    [
        (524_288, 1000),
        (resource.RLIM_INFINITY, 1000),
        (32 + 40 + 16 * 50, 50),
        (32 + 40 + 16 * 50 - 1, 49),
        (64, 1),
    ],
)
def test_no_more_than_descriptors_may_be_had_for(limited, hard, kept):
    limited(64, hard)
    assert kept_endpoints(DeliverySettings(in_flight_per_endpoint=16), 32) == kept


def test_the_limit_is_raised_as_far_as_that_may_be(limited):
    now = limited(1024, 4096)
    assert allow(2000) == 2000 == now["soft"]
    assert allow(1000) == 1000
    assert allow(10_000) == 4096 == now["soft"]


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1/", "; delivery.allow_networks may allow it"),
        ("http://x.example:22/", "; delivery.ports may allow it"),
        ("http://u:p@x.example/", "; delivery.url_credentials may allow it"),
        ("ftp://x.example/", "is refused: scheme: only http:// and https:// are called"),
    ],
)
def test_a_refused_url_names_the_setting_that_may_allow_it(uri, reason):
    with pytest.raises(InvalidHook) as refused:
        check_hook(Hook("h", "a", uri, "object"), Settings())
    assert refused.value.reason.endswith(reason)


def test_a_bundle_of_authorities_is_for_https_alone():
    own = Options(endpoint=EndpointOptions(ca_bundle="ca.pem"))
    with pytest.raises(InvalidHook, match=r"ca_bundle 'ca\.pem' needs a uri of https"):
        check_hook(Hook("h", "a", "http://x.example/", "object", options=own), Settings())


def test_a_hook_has_the_endpoint_options_that_the_node_permits_to_hooks():
    own = EndpointOptions(tls_verify=False)
    hook = Hook("h", "a", "https://x.example/", "all", options=Options(endpoint=own))
    permitted = Settings(delivery=DeliverySettings(hook_options=("tls_verify",)))
    assert endpoint_of(hook, permitted, {}) == own
    assert endpoint_of(hook, Settings(), {}) is None


@pytest.mark.parametrize(("connect_ms", "connect_s"), [(1500, 1.5), (0, 10.0)])
def test_a_transport_is_made_as_the_settings_say(connect_ms, connect_s):
    delivery = DeliverySettings(
        connect_timeout_ms=connect_ms,
        request_timeout_ms=2500,
        proxy="http://proxy:3128",
        ports=(443,),
        follow_redirects=3,
        max_payload=99,
    )
    made = _made(dict, delivery, 7)
    assert (made["connect_timeout_s"], made["request_timeout_s"]) == (connect_s, 2.5)
    assert (made["max_response_bytes"], made["proxy"]) == (7, "http://proxy:3128")
    assert (made["ports"], made["follow_redirects"], made["max_payload"]) == ((443,), 3, 99)
    assert made["ca_bundle"] is None
