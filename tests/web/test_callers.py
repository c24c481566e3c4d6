"""The caller of a request: by its token, wherever that comes from, and what a link is not for."""

import time

import pytest

from callboard.adapters.portal.links import MANAGE, READ, PortalLink
from callboard.adapters.repositories.tokens import add_token
from support.api import ADMIN, CHILD, PARENT, WITH_EVENTS, Api

HOOKS = f"/v2/accounts/{PARENT}/webhooks"
HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
EVENT = {"name": "order.paid", "payload": {}}


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path, WITH_EVENTS)
    yield api
    api.store.close()


@pytest.fixture
def token(api):
    return add_token(api.store, PARENT, "n", 0).text


def link(api, rights):
    now = time.time()
    return api.backend.links.token(PortalLink(PARENT, rights, int(now) + 600), now)


def test_whose_token_was_valid_is_known_to_the_admission_of_requests(api, token):
    admission = api.app.state.admission
    for valid in (False, True):
        assert admission.tokens.account_of(token) == (PARENT if valid else None)
        assert admission.quotas.is_fresh(PARENT) is valid
        assert api.call("GET", HOOKS, token=token).status_code == 200


def test_a_right_token_ends_the_count_of_wrong_ones_like_it(api):
    for _again in range(2):
        wrong = [api.call("GET", HOOKS, token=f"{ADMIN[:8]}-{n}").status_code for n in range(4)]
        assert wrong == [401] * 4
        assert api.call("GET", HOOKS).status_code == 200


@pytest.mark.parametrize(("rights", "status"), [(READ, 403), (MANAGE, 201)])
def test_a_link_permits_what_its_rights_are(api, rights, status):
    made = link(api, rights)
    assert api.call("GET", HOOKS, token=made).status_code == 200
    assert api.call("PUT", HOOKS, HOOK, token=made).status_code == status
    assert api.call("GET", f"/v2/accounts/{CHILD}/webhooks", token=made).status_code == 403
    assert api.call("POST", "/v2/events", EVENT, token=made).status_code == 403
    assert api.backend.published == []


@pytest.mark.parametrize(
    ("place", "echoed"),
    [
        ({"headers": {"X-Auth-Token": "TOKEN"}}, False),
        ({"headers": {"Authorization": "Bearer TOKEN"}}, False),
        ({"headers": {"Authorization": "bearer  TOKEN "}}, False),
        ({"params": {"auth_token": "TOKEN"}}, True),
        ({"json": {"data": EVENT, "auth_token": "TOKEN"}}, True),
    ],
)
def test_a_token_is_repeated_unless_it_came_in_a_header(api, token, place, echoed):
    given = {
        key: {k: v.replace("TOKEN", token) if isinstance(v, str) else v for k, v in at.items()}
        for key, at in place.items()
    }
    for _again in range(2):  # Then the token is known.
        answer = api.client.post("/v2/events", **({"json": {"data": EVENT}} | given))
        assert answer.status_code == 202
        assert answer.json().get("auth_token") == (token if echoed else None)
    if "json" not in place:
        answer = api.client.get(HOOKS, **given)
        assert answer.json().get("auth_token") == (token if echoed else None)


def test_a_page_of_another_site_posts_nothing_with_a_token_that_is_known(api, token):
    assert api.call("POST", "/v2/events", EVENT, token=token).status_code == 202
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    answer = api.call("POST", "/v2/events", EVENT, token=token, headers=headers)
    assert answer.status_code == 403
    assert len(api.backend.published) == 1
