"""What hooks and accounts may permit of their endpoints, and when Kazoo's behaviour applies."""

import json

import pytest

from callboard.config.settings import ENDPOINT_OPTIONS
from callboard.webhooks.deliveries.delivery import delivery_of
from callboard.webhooks.hooks.hook import Hook, edited, new_hook, parse_hook
from callboard.webhooks.hooks.options import CHECKED, NO_OPTIONS, InvalidOption, parse_options
from callboard.webhooks.retries.policy import with_choices
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json
from callboard.webhooks.values.endpoint_options import (
    AS_KAZOO,
    LOOSENING,
    NO_GRANTS,
    EndpointOptions,
    Grants,
    parse_endpoint_options,
)

ALL_MEMBERS = {
    "tls_verify": False,
    "ca_bundle": "ours.pem",
    "url_credentials": True,
    "follow_redirects": 3,
    "ports": [25, "8000-8010"],
    "allow_networks": ["10.1.0.0/16"],
}
EVERYTHING = frozenset(LOOSENING)


def settled(grants, own=None, account=None, checked=True):
    own = None if own is None else parse_endpoint_options(own)
    return grants.settled(own, account or {}, checked=checked)


def test_the_settings_name_the_same_options():
    assert ENDPOINT_OPTIONS == LOOSENING


def test_all_members_are_read_and_kept_in_a_message_of_the_retry_queue():
    options = parse_options(ALL_MEMBERS).endpoint
    assert options == EndpointOptions(
        tls_verify=False,
        ca_bundle="ours.pem",
        url_credentials=True,
        follow_redirects=3,
        ports=((25, 25), (8000, 8010)),
        allow_networks=("10.1.0.0/16",),
    )
    hook = Hook("h", "a", "http://e.example/", "all", options=parse_options(ALL_MEMBERS))
    delivery = delivery_of(hook, "application/json", b"{}", id="d", event_id="e")
    retry = RetryMessage(delivery, 0, 5)
    assert from_json(as_json(retry)) == retry


@pytest.mark.parametrize(
    "members",
    [
        {"tls_verify": "no"},
        {"ca_bundle": "../key.pem"},
        {"url_credentials": 1},
        {"follow_redirects": 11},
        {"follow_redirects": -1},
        {"follow_redirects": True},
        {"ports": 25},
        {"ports": [0]},
        {"ports": ["65535-65536"]},
        {"ports": ["9-8"]},
        {"ports": [True]},
        {"ports": [1] * 51},
        {"allow_networks": ["10.0.0.1/8"]},
        {"allow_networks": [10]},
        {"allow_networks": ["10.0.0.0/8"] * 51},
    ],
)
def test_an_invalid_member_is_named(members):
    (name,) = members
    with pytest.raises(InvalidOption, match=name):
        parse_options(members)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"ports": 25}, "ports is no list of at most 50 ports"),
        ({"ports": [8.0]}, 'ports has 8.0: use ports from 1 to 65535, or ranges as "8000-8010"'),
        ({"allow_networks": "x"}, "allow_networks is no list of at most 50 networks"),
        ({"allow_networks": [10]}, 'allow_networks has 10: use networks such as "10.1.0.0/16"'),
        ({"follow_redirects": 11}, "follow_redirects 11 is no whole number from 0 to 10"),
    ],
)
def test_what_is_allowed_instead_is_named(members, reason):
    with pytest.raises(InvalidOption) as refused:
        parse_options(members)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("member", "value", "read"),
    [
        ("tls_verify", True, True),
        ("follow_redirects", 0, 0),
        ("follow_redirects", 10, 10),
        ("ports", [1, "65535", "7-7"], ((1, 1), (65535, 65535), (7, 7))),
        ("ports", [1] * 50, ((1, 1),) * 50),
        ("ports", [], ()),
        ("allow_networks", ["::1", "10.0.0.0/8"], ("::1/128", "10.0.0.0/8")),
        ("ca_bundle", "_a.b-C", "_a.b-C"),
    ],
)
def test_what_is_just_permitted(member, value, read):
    options = parse_endpoint_options({member: value})
    assert options == EndpointOptions(**{member: read})
    assert parse_endpoint_options(json.loads(json.dumps(options.as_json()))) == options


def test_by_default_nothing_is_granted_but_a_file_of_the_operator():
    assert settled(NO_GRANTS, ALL_MEMBERS) == EndpointOptions(ca_bundle="ours.pem")
    assert settled(NO_GRANTS, account=ALL_MEMBERS) == EndpointOptions(ca_bundle="ours.pem")
    assert settled(NO_GRANTS, {"tls_verify": False}) is None


@pytest.mark.parametrize("name", LOOSENING)
def test_each_is_granted_alone_and_to_hooks_or_accounts(name):
    only = parse_endpoint_options({name: ALL_MEMBERS[name]})
    without_file = {k: v for k, v in ALL_MEMBERS.items() if k != "ca_bundle"}
    assert settled(Grants(hooks=frozenset({name})), without_file) == only
    assert settled(Grants(accounts=frozenset({name})), without_file) is None
    assert settled(Grants(accounts=frozenset({name})), account=without_file) == only
    assert settled(Grants(hooks=frozenset({name})), account=without_file) is None


def test_a_hook_may_be_stricter_than_its_account_without_a_grant():
    accounts = Grants(accounts=EVERYTHING)
    strict = {"tls_verify": True, "follow_redirects": 0}
    found = settled(accounts, strict, ALL_MEMBERS)
    assert (found.tls_verify, found.follow_redirects) == (True, 0)
    assert found.url_credentials is True


def test_invalid_members_of_an_account_count_as_none():
    accounts = Grants(accounts=EVERYTHING)
    account = {"tls_verify": "no", "ports": [25], "quotas": {"hooks": 1}}
    assert settled(accounts, account=account) == EndpointOptions(ports=((25, 25),))


def test_kazoo_s_behaviour_is_for_hooks_that_callboard_has_not_saved():
    kazoo = Grants(kazoo=True)
    assert settled(kazoo, checked=False) == EndpointOptions(
        tls_verify=False,
        url_credentials=True,
        follow_redirects=5,  # httpc:request/4, autoredirect
        ports=((1, 65535),),
        allow_networks=("0.0.0.0/0", "::/0"),
    )
    assert settled(kazoo, checked=True) is None
    assert settled(NO_GRANTS, checked=False) is None
    assert settled(kazoo, {"tls_verify": True}, checked=False).tls_verify is True


def test_a_new_hook_is_marked_and_another_uri_marks_a_hook_of_kazoo():
    public = {"hook": "all", "name": "n", "uri": "http://e.example/", "pvt_account_id": "a"}
    assert parse_hook(new_hook(public, 0, "h", "node"), ()).options.checked
    stored = {"_id": "h", "pvt_account_id": "a", **public}
    assert parse_hook(stored, ()).options is NO_OPTIONS
    assert CHECKED not in edited(stored, {"name": "other", "uri": public["uri"]})
    assert edited(stored, {"uri": "http://10.0.0.1/"})[CHECKED] is True


def test_every_delivery_gets_the_options_in_effect():
    plain = Hook("h", "a", "http://e.example/", "all")
    own = Hook("h", "a", "http://e.example/", "all", options=parse_options({"tls_verify": False}))

    def chosen(hook, grants, account):
        delivery = delivery_of(hook, "application/json", b"{}", id="d", event_id="e")
        return with_choices(delivery, account, "kazoo", grants=grants).options.endpoint

    assert chosen(plain, NO_GRANTS, {}) is None
    assert chosen(own, NO_GRANTS, {}) is None
    assert chosen(own, Grants(hooks=EVERYTHING), {}) == EndpointOptions(tls_verify=False)
    account = Grants(accounts=EVERYTHING)
    assert chosen(plain, account, {"follow_redirects": 2}) == EndpointOptions(follow_redirects=2)
    assert chosen(plain, Grants(kazoo=True), {}) == AS_KAZOO
