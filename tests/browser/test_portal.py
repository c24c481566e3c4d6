"""The dashboard as customers use it, in a real browser before the API without a system."""

import re
import time

import pytest
from playwright.sync_api import expect

from callboard import admin
from callboard.actors.messages import HookSecrets, ListSecrets
from callboard.adapters.portal.links import MANAGE, READ, PortalLink
from callboard.adapters.store.views import MODB
from callboard.config.settings import PortalSettings, Settings
from callboard.webhooks.hooks.secrets import StoredSecret
from callboard.webhooks.values.kazoo_names import gregorian_s, modb
from support.api import FINGERPRINT, PARENT, Api, served, whole_system
from support.pages import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    portal = PortalSettings(name="Shop", colour="#7a1fa2", colour_dark="#cba6ff")
    api = Api(tmp_path_factory.mktemp("portal"), Settings(portal=portal))
    api.backend.answers |= whole_system()
    with served(api):
        yield api
    api.store.close()


@pytest.fixture
def portal(chromium, api):
    """portal(rights, **options) -> Page, entered by a link."""
    opened = []

    def portal(rights=MANAGE, lasts_s=600, **options):
        opened.append(Page(chromium, api.url, **options))
        link = PortalLink(PARENT, rights, int(time.time()) + lasts_s)
        token = api.backend.links.token(link, time.time())
        opened[-1].page.goto(f"{api.url}/#/link/{token}")
        views = opened[-1].page.get_by_role("navigation", name="Views")
        named = ["Hooks", "Deliveries", "Dead letters", "Events"]
        expect(views.get_by_role("link")).to_have_text(named)
        assert token not in opened[-1].page.url
        return opened[-1]

    yield portal
    for one in opened:
        one.close()


def save_attempt(api, hook, n, age_s=60, **fields):
    now = time.time() - age_s
    database = modb(PARENT, now)
    if api.store.ensure_database(database):
        api.store.ensure_views(database, MODB)
    document = {
        "_id": f"{hook}-{n}",
        "pvt_type": "webhook_attempt",
        "pvt_account_id": PARENT,
        "pvt_created": gregorian_s(now),
        "pvt_duration_ms": 42 + n,
        "hook_id": hook,
        "hook_event": "channel_create",
        "event_id": f"event-{n}",
        "method": "post",
        "uri": "https://hooks.example.com/a",
        "req_headers": {"content-type": "application/json", "x-note": "it's"},
        "req_body": '{"call_id": "c1"}',
        "resp_status_code": "200",
        "resp_headers": {"server": "x"},
        "resp_body": "ok",
        "result": "success",
    }
    api.store.save(database, document | fields)
    return f"{database[-6:]}/{hook}-{n}"


def test_a_customer_makes_changes_and_deletes_a_hook(portal, api):
    page = portal().page
    page.get_by_role("button", name="New hook").click()
    page.get_by_label("Name").fill("Calls")
    page.get_by_label("Event", exact=True).select_option("notifications")
    page.get_by_label("type", exact=True).select_option("voicemail_saved")
    page.get_by_label("URL").fill("http://127.0.0.1/")
    page.get_by_label("Headers").fill("X-Shop: one\nX-Other: a:b")
    page.get_by_role("button", name="Create hook").click()
    fault = page.locator("#uri-fault")
    expect(fault).to_be_visible()
    expect(page.get_by_label("URL")).to_have_attribute("aria-describedby", "uri-fault")
    page.get_by_label("URL").fill("https://hooks.example.com/calls")
    page.get_by_role("button", name="Create hook").click()
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    id = page.url.rsplit("/", 1)[1]
    stored = api.store.get("webhooks", id)
    assert stored["custom_data"] == {"type": "voicemail_saved"}
    assert stored["headers"] == {"X-Shop": "one", "X-Other": "a:b"}
    assert (stored["http_verb"], stored["format"]) == ("post", "json")
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Headers")).to_have_value("X-Shop: one\nX-Other: a:b")
    page.get_by_label("Name").fill("All calls")
    page.get_by_label("Event", exact=True).select_option("channel_create")
    page.get_by_label("Headers").fill("")
    page.get_by_label("Requests a second").fill("5")
    page.get_by_label("In order").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="All calls")).to_be_visible()
    stored = api.store.get("webhooks", id)
    assert "headers" not in stored
    assert "custom_data" not in stored
    assert (stored["hook"], stored["rate_limit"], stored["ordered"]) == ("channel_create", 5, True)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("All calls is deleted.")).to_be_visible()
    expect(page.locator(f'tr[data-hook="{id}"]')).to_have_count(0)
    assert api.store.get("webhooks", id)["pvt_deleted"] is True


def begin_hook(page, name):
    """Fill in what each new hook needs, for calls that begin."""
    page.get_by_role("button", name="New hook").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("URL").fill(f"https://hooks.example.com/{name.lower()}")
    page.get_by_label("Event", exact=True).select_option("channel_create")


def test_a_hook_is_saved_before_the_catalogue_has_come(portal, api):
    page = portal().page
    begin_hook(page, "Early")
    page.get_by_role("button", name="Create hook").click()
    expect(page.get_by_role("heading", name="Early")).to_be_visible()
    id = page.url.rsplit("/", 1)[1]
    page.route(re.compile(r"/v2/webhooks\?"), lambda _route: None)
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("Late")
    expect(page.get_by_label("Event", exact=True)).to_have_value("channel_create")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Late is saved.")).to_be_visible()
    assert (stored := api.store.get("webhooks", id))["name"] == "Late"
    assert stored["hook"] == "channel_create"


def test_a_customer_sees_what_a_filter_and_a_transform_do(portal, api):
    page = portal().page
    begin_hook(page, "Texts")
    preview = page.get_by_role("region", name="Preview")
    payload = preview.get_by_label("Try it on this event")
    expect(payload).to_have_value(re.compile('"call_direction": "'))
    payload.fill('{"call_id": "c-1", "call_direction": "inbound"}')
    page.get_by_label("Filter").fill("call_direction == 'outbound'")
    expect(preview).to_contain_text("not sent")
    page.get_by_label("Filter").fill("call_direction ==")
    expect(preview.get_by_role("alert")).to_contain_text("hook.filter")
    page.get_by_label("Filter").fill("call_direction == 'inbound'")
    page.get_by_label("Transform").fill("{text: join(' ', ['Call', call_id])}")
    expect(preview.locator("pre")).to_have_text('{\n  "text": "Call c-1"\n}')
    expect(preview).not_to_contain_text("not sent")
    payload.fill("{")
    expect(preview.get_by_role("alert")).to_have_text("The event is no JSON.")
    page.get_by_role("button", name="Create hook").click()
    expect(page.get_by_role("heading", name="Texts")).to_be_visible()
    stored = api.store.get("webhooks", page.url.rsplit("/", 1)[1])
    assert stored["filter"] == "call_direction == 'inbound'"
    assert stored["transform"] == "{text: join(' ', ['Call', call_id])}"
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Texts")).to_be_visible()
    assert "filter" not in api.store.get("webhooks", stored["_id"])


def test_what_a_form_does_not_show_stays(portal, api):
    chosen = {"own": "x", "type": "voicemail_saved"}
    hook = api.add_hook(
        name="Kept", retries=3, success=["200-299"], hook="notifications", custom_data=chosen
    )
    page = portal().page
    page.locator(f'tr[data-hook="{hook["id"]}"]').click()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("Kept still")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Kept still")).to_be_visible()
    now = api.data("GET", f"/v2/accounts/{PARENT}/webhooks/{hook['id']}")
    assert now == hook | {"name": "Kept still", "http_verb": "post", "format": "form-data"}
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Event", exact=True).select_option("channel_create")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Kept still")).to_be_visible()
    assert api.store.get("webhooks", hook["id"])["custom_data"] == {"own": "x"}


def test_a_new_secret_is_shown_once(portal, api):
    hook = api.add_hook(name="Signed")["id"]
    api.backend.answers[ListSecrets] = HookSecrets("h", ())
    page = portal().page
    page.locator(f'tr[data-hook="{hook}"]').click()
    secrets = page.get_by_role("region", name="Secrets")
    expect(secrets).to_contain_text("Deliveries are not signed.")
    secrets.get_by_role("button", name="Sign deliveries").click()
    kept = HookSecrets("h", (StoredSecret(FINGERPRINT, "hmac-sha256", 63_000_000_000, "x"),))
    api.backend.answers[ListSecrets] = kept
    page.get_by_role("button", name="Make a secret").click()
    shown = page.get_by_role("dialog", name="The new secret")
    expect(shown.locator("pre")).to_have_text(re.compile("^whsec_"))
    shown.get_by_role("button", name="Done").click()
    expect(secrets).to_contain_text(FINGERPRINT)
    assert page.get_by_text("whsec_").count() == 0
    secrets.get_by_role("button", name="Rotate").click()
    page.get_by_label("The secrets of now end").select_option("in an hour")
    page.get_by_role("button", name="Make a secret").click()
    page.get_by_role("dialog", name="The new secret").get_by_role("button", name="Done").click()
    added = [
        message for _path, message in api.backend.asked if type(message).__name__ == "AddSecret"
    ]
    assert [message.others_end_in_s for message in added] == [None, 3600]
    secrets.get_by_role("button", name="Retire").click()
    page.get_by_role("dialog").get_by_role("button", name="Retire").click()
    expect(page.get_by_text(f"{FINGERPRINT} is retired.")).to_be_visible()


def test_an_attempt_has_a_link_and_is_a_command(portal, api):
    hook = api.add_hook(name="Tried")["id"]
    id = save_attempt(api, hook, 1)
    save_attempt(api, hook, 2, result="failure", resp_status_code="500", age_s=30)
    board = portal()
    page = board.page
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator(f'tr[data-hook="{hook}"]').click()
    statistics = page.get_by_role("region", name="Statistics")
    expect(statistics).to_contain_text("50.0 %")
    expect(statistics.get_by_role("img", name=re.compile("Attempts, over 24 h"))).to_be_visible()
    row = page.locator(f'tr[data-attempt="{id}"]')
    expect(row).to_contain_text("43 ms")
    row.click()
    attempt = page.get_by_role("dialog", name="Attempt")
    expect(attempt).to_contain_text("43 ms")
    attempt.get_by_role("button", name="Copy as curl").click()
    expect(attempt.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("window.copied") == (
        "curl -i -X 'POST' 'https://hooks.example.com/a' \\\n"
        "  -H 'content-type: application/json' \\\n"
        "  -H 'x-note: it'\\''s' \\\n"
        '  --data-raw \'{"call_id": "c1"}\''
    )
    url = page.url
    assert url.endswith(f"#/hooks/{PARENT}/{hook}/attempts/{id}")
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{api.url}/#/hooks/{PARENT}/{hook}")
    page.goto(url)
    expect(page.get_by_role("dialog", name="Attempt")).to_contain_text("event-1")


def test_what_became_of_an_order_is_found(portal, api):
    hook = api.add_hook(name="Orders")["id"]
    for n in (7, 8):
        save_attempt(api, hook, n, event_id=f"order-event-{n}", req_body=f'{{"order": "no-{n}"}}')
    board = portal()
    board.go("Deliveries")
    attempts = board.page.locator(f'tr[data-attempt*="{hook}"]')
    expect(attempts).to_have_count(2)
    waits = admin.WaitingDelivery(
        "w", "order-event-6", "order", PARENT, hook, "u", 2, time.time() + 600, "status 503", 8
    )
    api.backend.answers[admin.ListWaiting] = lambda request: admin.WaitingListed(
        (waits,) if request.text in ("", waits.event_id) else (), 1
    )
    board.page.get_by_label("Event").fill(waits.event_id)
    waiting = board.page.get_by_role("region", name="Waiting deliveries")
    expect(waiting).to_contain_text("status 503")
    expect(waiting).to_contain_text("3 of 8")
    expect(attempts).to_have_count(0)
    for text in ("no-7", "order-event-7"):
        board.page.get_by_label("Event").fill(text)
        expect(attempts).to_have_count(1)
    attempts.click()
    dialog = board.page.get_by_role("dialog", name="Attempt")
    expect(dialog.get_by_role("region", name="Request")).to_contain_text("no-7")
    expect(board.page.get_by_role("heading", name="Orders")).to_be_visible()


def test_the_catalogue_shows_what_events_hold(portal):
    board = portal()
    board.go("Events")
    board.page.get_by_label("Search").fill("channel_cre")
    kinds = board.page.locator("li[data-kind]")
    expect(kinds).to_have_count(1)
    kinds.get_by_text("Payload").click()
    expect(kinds.locator("pre")).to_contain_text('"hook_event": "channel_create"')
    assert board.faults() == []
    kinds.get_by_role("link", name="New hook").click()
    expect(board.page.get_by_label("Event", exact=True)).to_have_value("channel_create")


def test_a_link_to_look_offers_nothing_to_press(portal, api):
    hook = api.add_hook(name="Seen")["id"]
    id = save_attempt(api, hook, 1)
    api.add_letter("seen", hook_id=hook)
    page = portal(READ).page
    row = page.locator(f'tr[data-hook="{hook}"]')
    expect(row).to_be_visible()
    pressed = page.locator("main").get_by_role("button")
    beyond_paging = re.compile("^(?!← Newer|Older|Refresh|Copy)")
    expect(pressed.filter(has_text=beyond_paging)).to_have_count(0)
    row.click()
    expect(page.locator(f'tr[data-attempt="{id}"]')).to_be_visible()
    expect(pressed.filter(has_text=beyond_paging)).to_have_count(0)
    page.locator(f'tr[data-attempt="{id}"]').click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Replay")).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Dead letters").click()
    expect(page.locator('tr[data-letter="seen"]')).to_be_visible()
    expect(pressed.filter(has_text=beyond_paging)).to_have_count(0)


def test_a_link_that_ends_ends_the_page(portal):
    page = portal(lasts_s=3).page
    expect(page.get_by_text("The link has ended.")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_customers_read_their_operators_name_and_nothing_of_his_files(portal, api):
    page = portal().page
    assert page.title() == "Shop"
    expect(page.locator(".brand")).to_have_text("Shop")
    page.get_by_role("button", name="Sign out").click()
    text = page.locator("body").inner_text()
    assert "Shop" in text
    assert not re.search("api.token|director|administrator|callboard", text, re.IGNORECASE)


def test_dead_letters_of_the_account_are_retried(portal, api):
    api.add_letter("mine")
    api.add_letter("theirs", account="3" * 32)
    board = portal()
    board.go("Dead letters")
    page = board.page
    expect(page.locator('tr[data-letter="theirs"]')).to_have_count(0)
    page.locator('tr[data-letter="mine"]').get_by_label("Choose").check()
    page.get_by_role("button", name="Retry 1").click()
    expect(page.get_by_text("1 on the way again.")).to_be_visible()
    retried = [m for _path, m in api.backend.asked if isinstance(m, admin.RetryDeadLetters)]
    assert [message.ids for message in retried] == [("mine",)]


def test_everybody_can_use_it(portal, api, artifacts):
    hook = api.add_hook(name="For everybody")["id"]
    for n in range(3):
        save_attempt(api, hook, n, result="failure" if n == 1 else "success", age_s=600 * n)
    api.add_letter("everybody", hook_id=hook)
    board = portal()
    page = board.page

    def check(name):
        board.serves_everybody(artifacts / f"portal-{name}")

    expect(page.locator(f'tr[data-hook="{hook}"]')).to_be_visible()
    check("hooks")
    page.locator(f'tr[data-hook="{hook}"]').click()
    expect(page.locator("tr[data-attempt]")).to_have_count(3)
    expect(page.get_by_role("img", name=re.compile("Durations"))).to_be_visible()
    check("hook")
    page.locator("tr[data-attempt]").first.click()
    expect(page.get_by_role("dialog", name="Attempt")).to_be_visible()
    check("attempt")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Name")).to_have_value("For everybody")
    check("form")
    board.go("Dead letters")
    expect(page.locator("tr[data-letter]").first).to_be_visible()
    check("dead-letters")
    board.go("Deliveries")
    expect(page.locator("tr[data-attempt]").first).to_be_visible()
    check("deliveries")
    board.go("Events")
    expect(page.locator('li[data-kind="channel_create"]')).to_be_visible()
    check("events")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    check("sign-in")
