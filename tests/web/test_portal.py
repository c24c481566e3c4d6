"""Links into the dashboard: whom they let in, where, for how long, and what customers see of it."""

import json
import time

import pytest

from callboard.adapters.portal.links import MANAGE, READ, PortalLink, PortalLinks
from callboard.adapters.repositories.tokens import add_token, beginning
from callboard.config.settings import ApiSettings, PortalSettings, Settings
from callboard.web.access.tokens import link_permits
from support.api import ADMIN, CHILD, OTHER, PARENT, WITH_EVENTS, Api, whole_system

LINKS = f"/v2/accounts/{PARENT}/portal/links"
HOOKS = f"/v2/accounts/{PARENT}/webhooks"
HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}


def link(api, rights=MANAGE, account=PARENT, until=None, made=None):
    now = time.time() if made is None else made
    until = int(time.time()) + 600 if until is None else until
    return api.backend.links.token(PortalLink(account, rights, until), now)


def test_a_link_is_made_for_an_account(api):
    made = api.data("PUT", LINKS, {"expires_in": 90, "rights": "read"})
    assert made["url"] == f"http://testserver/#/link/{made['token']}"
    assert (made["account_id"], made["rights"]) == (PARENT, "read")
    left = made["until"] - 62_167_219_200 - time.time()
    assert 80 < left <= 90
    told = api.data("GET", "/v2/callboard/token", token=made["token"])
    assert told == {
        "account_id": PARENT,
        "rights": "read",
        "until": made["until"] - 62_167_219_200,
    }


def test_a_link_lasts_an_hour_and_manages_unless_said_otherwise(api):
    made = api.data("PUT", LINKS, {})
    assert made["rights"] == "manage"
    assert 3590 < made["until"] - 62_167_219_200 - time.time() <= 3600


def test_a_link_leads_to_the_address_of_the_settings(tmp_path):
    api = Api(tmp_path, Settings(portal=PortalSettings(url="https://shop.example/hooks/")))
    made = api.data("PUT", LINKS, {})
    assert made["url"] == f"https://shop.example/hooks/#/link/{made['token']}"


@pytest.mark.parametrize(
    ("data", "member"),
    [
        ({"expires_in": 59}, "expires_in"),
        ({"expires_in": 604_801}, "expires_in"),
        ({"expires_in": "1h"}, "expires_in"),
        ({"rights": "all"}, "rights"),
        ({"right": "read"}, "right"),
    ],
)
def test_a_link_that_breaks_a_rule_is_not_made(api, data, member):
    answer = api.call("PUT", LINKS, data)
    assert (answer.status_code, list(answer.json()["data"])) == (400, [member])
    for edge in (60, 604_800):
        assert api.call("PUT", LINKS, {"expires_in": edge}).status_code == 201


def test_an_account_makes_links_for_itself_and_those_below(api):
    token = add_token(api.store, PARENT, "shop", 0).text
    for account, status in ((PARENT, 201), (CHILD, 201), (OTHER, 403)):
        path = f"/v2/accounts/{account}/portal/links"
        assert api.call("PUT", path, {}, token=token).status_code == status
        expected = 200 if status == 201 else 403
        assert api.call("DELETE", path, token=token).status_code == expected


MANAGED = [
    ("PUT", "webhooks", HOOK, 201),
    ("PATCH", "webhooks", {"re-enable": True}, 200),
    ("PATCH", "webhooks/{hook}", {"paused": True}, 200),
    ("POST", "webhooks/{hook}", HOOK, 200),
    ("PUT", "webhooks/{hook}/secrets", {}, 201),
    ("PUT", "webhooks/{hook}/test", {}, 200),
    ("DELETE", "webhooks/{hook}", None, 200),
]
SEEN = ["webhooks", "webhooks/{hook}", "webhooks/attempts", "webhooks/dead_letters"]


@pytest.mark.parametrize(("method", "path", "data", "done"), MANAGED)
def test_a_link_to_look_changes_nothing(api, method, path, data, done):
    api.backend.answers |= whole_system()
    for rights, status in ((READ, 403), (MANAGE, done)):
        hook = api.add_hook()["id"]
        before = api.store.get("webhooks", hook)
        full = f"/v2/accounts/{PARENT}/{path.format(hook=hook)}"
        answer = api.call(method, full, data, token=link(api, rights))
        assert answer.status_code == status, (rights, answer.text)
        if status == 403:
            assert api.store.get("webhooks", hook) == before


@pytest.mark.parametrize("rights", [READ, MANAGE])
@pytest.mark.parametrize("path", SEEN)
def test_a_link_shows_its_account(api, rights, path):
    full = f"/v2/accounts/{PARENT}/{path.format(hook=api.add_hook()['id'])}"
    for method in ("GET", "HEAD"):
        assert api.call(method, full, token=link(api, rights)).status_code == 200


@pytest.mark.parametrize("rights", [READ, MANAGE])
@pytest.mark.parametrize("path", ["/v2/webhooks", "/v2/webhooks/samples", "/v2/callboard/token"])
def test_a_link_reads_the_types_of_events_and_what_it_may(api, rights, path):
    token = link(api, rights)
    for method in ("GET", "HEAD"):
        assert api.call(method, path, token=token).status_code == 200
        assert link_permits(PortalLink(PARENT, rights, 0), method, path)
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        assert not link_permits(PortalLink(PARENT, rights, 0), method, path)


@pytest.mark.parametrize(
    "path",
    [
        f"/v2/accounts/{PARENT}",
        f"/v2/accounts/{PARENT}/portal",
        f"/v1/accounts/{PARENT}/webhooks",
        f"/x/v2/accounts/{PARENT}/webhooks",
        f"v2/accounts/{PARENT}/webhooks",
        "/v1/webhooks",
        "v2/webhooks",
        "v2/callboard/token",
        "/v2/callboard/token/x",
        "/v2/callboard",
        "/v1/callboard/token",
        "/v2/x/token",
        "/",
    ],
)
def test_a_link_permits_no_other_path(path):
    permitted = PortalLink(PARENT, MANAGE, 0)
    assert not any(link_permits(permitted, m, path) for m in ("GET", "HEAD", "PUT"))


def test_a_method_in_the_envelope_is_the_one_that_counts(api):
    hook = api.add_hook()["id"]
    body = {"verb": "DELETE", "data": {}}
    answer = api.client.post(
        f"{HOOKS}/{hook}", json=body, headers={"X-Auth-Token": link(api, READ)}
    )
    assert answer.status_code == 403
    assert "pvt_deleted" not in api.store.get("webhooks", hook)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v2/accounts/{CHILD}/webhooks"),
        ("GET", f"/v2/accounts/{OTHER}/webhooks"),
        ("PATCH", f"/v2/accounts/{PARENT}/descendants/webhooks"),
        ("PUT", LINKS),
        ("DELETE", LINKS),
        ("POST", "/v2/events"),
        ("PUT", "/v2/webhooks"),
        ("GET", "/v2/callboard/tree"),
        ("GET", "/v2/callboard/hooks"),
        ("GET", "/v2/callboard/live"),
        ("GET", "/v2/callboard/settings"),
        ("GET", "/metrics"),
        ("PUT", "/v2/callboard/tokens"),
    ],
)
def test_a_link_is_for_the_hooks_of_its_account_and_nothing_else(tmp_path, method, path):
    api = Api(tmp_path, WITH_EVENTS)
    api.backend.answers |= whole_system()
    # Not even if its account sees everything.
    account = api.store.get("accounts", PARENT)
    api.store.save("accounts", account | {"pvt_superduper_admin": True})
    data = None if method == "GET" else {"re-enable": True, "name": "x", "payload": {}}
    token = link(api)
    for _again in range(2):
        answer = api.call(method, path, data, token=token)
        assert answer.status_code == 403, answer.text
        # Now the token is known, and its caller may be remembered.
        assert api.call("GET", HOOKS, token=token).status_code == 200
    assert api.backend.asked == api.backend.published == []


def test_a_link_ends(api):
    now = int(time.time())
    assert api.call("GET", HOOKS, token=link(api, until=now + 60)).status_code == 200
    assert api.call("GET", HOOKS, token=link(api, until=now)).status_code == 401
    opened = api.backend.links.opened
    token = link(api, until=1000, made=500.0)
    assert opened(token, 999.9).account_id == PARENT
    assert opened(token, 1000.0) is None


def test_the_links_up_to_now_are_revoked(api):
    token, other = link(api), link(api, account=OTHER)
    api.data("DELETE", LINKS)
    assert api.call("GET", HOOKS, token=token).status_code == 401
    theirs = f"/v2/accounts/{OTHER}/webhooks"
    assert api.call("GET", theirs, token=other).status_code == 200
    later = link(api, made=time.time() + 0.01)
    assert api.call("GET", HOOKS, token=later).status_code == 200
    api.data("DELETE", LINKS)
    api.backend.links.revoke(PARENT, 0)  # By a clock that is late: nothing is allowed again.
    assert api.call("GET", HOOKS, token=token).status_code == 401


def test_a_revocation_is_no_token(api):
    api.data("DELETE", LINKS)
    assert api.data("GET", "/v2/callboard/tokens") == []


def test_a_link_cannot_be_made_changed_or_read_without_the_key(api, tmp_path):
    token = link(api)
    assert PARENT not in token
    wrong = [
        *(token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in (40, -20)),
        "cbp_",
        "cbp_" + "0" * 8 + ".x",
        token.removeprefix("cbp_"),
    ]
    for one in wrong:
        assert api.call("GET", HOOKS, token=one).status_code == 401, one
    # What the same key has encrypted for a hook is no link.
    facts = json.dumps({"account_id": PARENT, "rights": MANAGE, "until": 2**40, "made_ms": 2**50})
    sealed = api.backend.links._box.sealed(facts, "hook")
    assert api.call("GET", HOOKS, token=f"cbp_{sealed}").status_code == 401


def test_a_wrong_link_does_not_lock_out_right_ones(api):
    token = link(api)
    wrong = token[:-4] + "AAA="
    statuses = [api.call("GET", HOOKS, token=wrong).status_code for _again in range(6)]
    assert statuses == [401] * 5 + [429]
    assert api.call("GET", HOOKS, token=token).status_code == 200
    assert token[:12] not in beginning(token)


def test_a_node_without_a_usable_key_makes_no_link(api):
    class NoKey:
        def sealed(self, *_given):
            from callboard.adapters.keys.secret_box import SecretBoxError

            raise SecretBoxError("secrets.key cannot be read")

    api.backend.links = PortalLinks(NoKey(), api.store)
    answer = api.call("PUT", LINKS, {})
    assert answer.status_code == 500
    assert answer.json()["data"]["cause"] == "secrets.key cannot be read"


# What customers see


def test_the_portal_has_the_name_colours_and_logo_of_its_operator(tmp_path):
    logo = tmp_path / "logo.png"
    logo.write_bytes(b"\x89PNG")
    portal = PortalSettings(name="Shop & Söhne", colour="#7A1FA2", colour_dark="#cba6ff", logo=logo)
    api = Api(tmp_path / "api", Settings(portal=portal))
    brand = api.call("GET", "/dashboard/brand.json", token=None)
    assert (brand.json(), brand.headers["content-type"]) == (
        {"name": "Shop & Söhne"},
        "application/json",
    )
    shown = api.call("GET", "/dashboard/logo", token=None)
    assert (shown.content, shown.headers["content-type"]) == (b"\x89PNG", "image/png")
    colours = api.call("GET", "/dashboard/brand.css", token=None).text
    assert colours.count("#7a1fa2") == 1
    assert colours.count("#cba6ff") == 2


def test_a_portal_without_settings_is_callboards(api):
    assert api.call("GET", "/dashboard/brand.json", token=None).json() == {"name": "Callboard"}
    assert api.call("GET", "/dashboard/brand.css", token=None).text == ""
    icon = api.call("GET", "/dashboard/icon.svg", token=None)
    logo = api.call("GET", "/dashboard/logo", token=None)
    assert (logo.content, logo.headers["etag"]) == (icon.content, icon.headers["etag"])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.svg", None, "No such file"),
        ("logo.gif", b"GIF", "must be a file .svg or .png"),
        ("large.svg", b"x" * (256 * 1024 + 1), "at most 262144 bytes"),
    ],
)
def test_a_logo_that_cannot_be_shown_is_logged(tmp_path, capsys, name, content, reason):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    api = Api(tmp_path / "api", Settings(portal=PortalSettings(logo=file)))
    assert api.call("GET", "/dashboard/logo", token=None).headers["content-type"] == "image/svg+xml"
    out = capsys.readouterr().out
    assert "portal_logo_not_shown" in out
    assert reason in out


def test_pages_that_the_settings_name_may_frame_the_dashboard(tmp_path):
    ancestors = ApiSettings(frame_ancestors="https://Shop.example, https://b.example:8443/")
    assert ancestors.frame_ancestors == ("https://shop.example", "https://b.example:8443")
    api = Api(tmp_path, frame_ancestors=ancestors.frame_ancestors)
    for path in ("/", "/dashboard/app.js"):
        headers = api.call("GET", path, token=None).headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors https://shop.example https://b.example:8443;" in policy
        assert "x-frame-options" not in headers


@pytest.mark.parametrize("colour", ["#ffffff", "#777777", "red", "#12345", "#12345g", "#0f766e;"])
def test_a_colour_that_nobody_could_read_is_refused(colour):
    with pytest.raises(ValueError, match=r"contrast of 4\.5 to #f4f4f2"):
        PortalSettings(colour=colour)


def test_colours_of_sufficient_contrast_are_taken():
    # WCAG 2.2, 1.4.3: on #f4f4f2 a luminance of at most 0.1607, on #20242a of at least 0.255.
    assert PortalSettings(colour="#6c6c6c").colour == "#6c6c6c"
    with pytest.raises(ValueError, match="contrast"):
        PortalSettings(colour="#707070")
    assert PortalSettings(colour_dark="#8a8a8a").colour_dark == "#8a8a8a"
    with pytest.raises(ValueError, match="contrast"):
        PortalSettings(colour_dark="#848484")


@pytest.mark.parametrize("url", ["ftp://a", "https://a/?x", "https://a/#b", "https://u@a/", "a.b"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="must be empty or a URL"):
        PortalSettings(url=url)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 61])
def test_a_name_that_cannot_be_shown_is_refused(name):
    with pytest.raises(ValueError, match="1 to 60"):
        PortalSettings(name=name)
    assert PortalSettings(name="x" * 60).name == "x" * 60


def test_the_admin_has_no_link(api):
    assert api.data("GET", "/v2/callboard/token", token=ADMIN) == {}
