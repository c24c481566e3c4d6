"""The dashboard of a real system in a real browser: it shows what happens, and lets one act."""

import os
import re
import signal
import time

import pytest
import requests
from playwright.sync_api import expect

from callboard.adapters.receiver.server import Answer
from callboard.adapters.repositories.tokens import add_token
from services import free_port
from support.hooks import prepared_store
from support.pages import Dashboard
from support.patience import patient
from support.running import ACCOUNT, RunningSystem, call_event

pytestmark = [pytest.mark.browser, pytest.mark.multiprocess, pytest.mark.timeout(300)]

OTHER = "ffffffffffffffffffffffffffffffff"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data directory; successful attempts are kept, too."""
    folder = tmp_path_factory.mktemp("dashboard") / "data"
    store = prepared_store("sqlite://", folder)
    store.save("system_config", {"_id": "webhooks", "default": {"log_successful_attempts": True}})
    store.close()
    return folder


@pytest.fixture(scope="module")
def system(folder):
    """One system for all of these, which are told apart by their hooks and tokens."""
    system = RunningSystem(
        folder,
        api__enabled="true",
        api__port=free_port(),
        delivery__circuit_failures=3,
        disabler__enabled="false",
    )
    yield system
    system.close()


@pytest.fixture
def dashboard(chromium, system):
    """dashboard(**options) -> Dashboard, opened and signed in."""
    opened = []

    def dashboard(view="", **options):
        opened.append(Dashboard(chromium, system, **options))
        return opened[-1].open(view)

    yield dashboard
    for one in opened:
        one.close()


@pytest.fixture
def account_token(system, folder):
    """A token of ACCOUNT."""
    store = prepared_store("sqlite://", folder)
    token = add_token(store, ACCOUNT, "a page", time.time()).text
    store.close()
    return token


def api(board, method, path, data=None):
    answer = requests.request(
        method,
        board.url + path,
        json=None if data is None else {"data": data},
        headers={"X-Auth-Token": board.token},
        timeout=patient(20),
    )
    assert answer.ok, answer.text
    return answer.json()["data"]


def add_hook(board, uri, account=ACCOUNT, **fields):
    hook = {"name": "New calls", "uri": uri, "hook": "channel_create", "format": "json"} | fields
    return api(board, "PUT", f"/v2/accounts/{account}/webhooks", hook)["id"]


def test_an_operator_sees_what_happens_without_reloading(system, receiver, dashboard, artifacts):
    board = dashboard()
    page = board.page
    bridge = board.actor("event_bridge")
    page.get_by_role("button", name="Show processes").click()
    expect(bridge).to_contain_text(str(system.node("event_bridge").pid))

    board.go("Hooks")
    hook = add_hook(board, f"{receiver.url}/calls")
    expect(board.hook(hook)).to_contain_text(f"{receiver.url}/calls")
    board.hook(hook).click()
    expect(page.get_by_role("heading", name="New calls")).to_be_visible()
    expect(board.attempts).to_have_count(0)

    page.get_by_role("button", name="Send a test").click()
    receiver.wait_for(1)
    tested = page.get_by_role("dialog", name="Test delivery")
    expect(tested.get_by_role("region", name="Response")).to_contain_text("HTTP 200")
    page.keyboard.press("Escape")

    system.publish([call_event(1)])
    receiver.wait_for(2)
    expect(board.attempts).to_have_count(1)
    board.attempts.first.click()
    attempt = page.get_by_role("dialog", name="Attempt")
    expect(attempt.get_by_role("region", name="Request")).to_contain_text("call-1@switch")
    expect(attempt.get_by_role("region", name="Response")).to_contain_text("HTTP 200")

    attempt.get_by_role("button", name="Replay").click()
    receiver.wait_for(3)
    _test, first, again = receiver.requests
    assert first.body == again.body
    page.keyboard.press("Escape")
    expect(board.attempts).to_have_count(2)

    down = f"http://127.0.0.1:{free_port()}"
    add_hook(board, f"{down}/", name="Nobody there")
    system.publish(call_event(n) for n in range(2, 8))
    board.go("Overview")
    expect(board.endpoint(down)).to_contain_text("open")
    expect(page.get_by_role("log")).to_contain_text("circuit open")
    expect(page.get_by_role("region", name="Trouble")).to_contain_text(
        "1 endpoint is not available"
    )
    page.get_by_role("button", name="Show processes").click()

    before = system.node("event_bridge").pid
    os.kill(before, signal.SIGKILL)
    expect(bridge).to_have_class(re.compile("flash"))
    after = system.wait(lambda: (p := system.node("event_bridge").pid) != before and p)
    expect(bridge).to_contain_text(str(after))
    expect(bridge.locator("td").nth(2)).to_have_text("1")
    expect(page.get_by_role("log")).to_contain_text(f"event_bridge {before} → {after}")
    page.screenshot(path=artifacts / "dashboard.png")


HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"


def test_texts_of_others_never_become_markup(system, receiver, dashboard, account_token):
    def answer(_request):
        body = b"<script>alert(3)</script>"
        return Answer(500, body, {"X-Hostile": "<img src=x onerror=alert(4)>"})

    receiver.answer("/", answer)
    board = dashboard("hooks", token=account_token)
    page = board.page
    hook = add_hook(board, f"{receiver.url}/?q=%3Cscript%3Ealert(5)%3C/script%3E", name=HOSTILE)
    expect(board.hook(hook)).to_contain_text(HOSTILE)
    event = call_event(1) | {"Caller-ID-Name": HOSTILE}
    system.publish([event])
    board.hook(hook).click()
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    board.attempts.first.click()
    attempt = page.get_by_role("dialog", name="Attempt")
    expect(attempt).to_contain_text("<img src=x onerror=alert(4)>")
    expect(attempt).to_contain_text("<script>alert(3)</script>")
    assert page.locator("main img, main script, dialog img, dialog script").count() == 0
    # And were it to become markup all the same, the policy would not let it run.
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(6)>')")
    # Its own wait_for_function calls eval, which our policy refuses unless the first look is true.
    expect(page.locator("img[src=x]").first).to_have_js_property("complete", True)
    refusals = [text for text in board.wrong if "Content Security Policy" in text]
    assert refusals == board.wrong != []
    board.wrong.clear()


def test_an_account_sees_its_own_hooks_and_no_more(system, receiver, dashboard, account_token):
    board = dashboard("", token=account_token)
    mine = add_hook(board, f"{receiver.url}/mine", name="Mine")
    admin = system.settings.api_token_file.read_text().strip()
    board.token = admin
    other = add_hook(board, f"{receiver.url}/other", account=OTHER, name="Not mine")
    expect(board.hook(mine)).to_be_visible()
    expect(board.hook(other)).to_have_count(0)
    views = board.page.get_by_role("navigation", name="Views").get_by_role("link")
    expect(views).to_have_text(["Hooks", "Deliveries", "Dead letters", "Events"])
    toggle = board.hook(mine).get_by_role("button")
    toggle.click()
    asked = board.page.get_by_role("dialog", name="Disable Mine?")
    asked.get_by_role("button", name="Cancel").click()
    expect(board.hook(mine)).to_contain_text("enabled")
    toggle.click()
    asked.get_by_role("button", name="Disable").click()
    expect(board.hook(mine)).to_contain_text("disabled")
    toggle.click()
    expect(board.hook(mine)).to_contain_text("enabled")


def test_a_customer_who_has_a_link_helps_himself(system, receiver, chromium, artifacts):
    """From a link to an event that arrives, breaks, is exhausted, and is sent again."""
    account = "ab" * 16
    board = Dashboard(chromium, system)
    made = api(board, "PUT", f"/v2/accounts/{account}/portal/links", {"expires_in": 600})
    page = board.page
    page.goto(made["url"])
    page.get_by_role("button", name="New hook").click()
    page.get_by_label("Name").fill("My calls")
    page.get_by_label("Event", exact=True).select_option("channel_create")
    page.get_by_label("URL").fill(f"{receiver.url}/mine")
    page.get_by_label("Retries").select_option("kazoo")
    page.get_by_role("button", name="Create hook").click()
    expect(page.get_by_role("heading", name="My calls")).to_be_visible()
    page.get_by_role("region", name="Secrets").get_by_role("button", name="Sign").click()
    page.get_by_role("button", name="Make a secret").click()
    expect(page.get_by_role("dialog").locator("pre")).to_have_text(re.compile("^whsec_"))
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("dialog", name="Test delivery")).to_contain_text("HTTP 200")
    page.keyboard.press("Escape")
    system.publish([call_event(800, account=account)])
    expect(board.attempts).to_have_count(1)
    expect(board.attempts.first).to_contain_text("success")
    assert "webhook-signature" in receiver.wait_for(2)[1].headers
    wants = [Answer(500)]
    receiver.answer("/mine", lambda _request: wants[0])
    system.publish([call_event(801, account=account)])
    expect(board.attempts).to_have_count(2)
    expect(page.get_by_role("region", name="Statistics")).to_contain_text("50.0 %")
    page.screenshot(path=artifacts / "portal-system.png", full_page=True)
    board.go("Dead letters")
    letter = page.locator("tr[data-letter]")
    expect(letter).to_have_count(1)
    wants[0] = Answer(200)
    letter.get_by_label("Choose").check()
    page.get_by_role("button", name="Retry 1").click()
    assert receiver.wait_for(4)[3].body == receiver.requests[2].body
    board.close()


def test_waiting_deliveries_are_seen_and_sent(system, receiver, dashboard):
    board = dashboard()
    wants = [Answer(503, headers={"Retry-After": "600"})]
    receiver.answer("/waits", lambda _request: wants[0])
    board.go("Hooks")
    hook = add_hook(board, f"{receiver.url}/waits", name="Waits", retry_policy="standard")
    board.hook(hook).click()
    system.publish(call_event(number) for number in range(700, 703))
    waiting = board.page.get_by_role("region", name="Waiting deliveries")
    expect(waiting.get_by_role("cell", name="status 503")).to_have_count(3)
    wants[0] = Answer(200)
    waiting.get_by_role("button", name="Send now").click()
    expect(board.page.get_by_text("3 are sent now.")).to_be_visible()
    receiver.wait_for(6)
    expect(waiting).to_have_count(0)


def test_a_hook_is_paused_and_resumed(system, receiver, dashboard):
    board = dashboard()
    receiver.answer("/pauses", Answer(200))
    board.go("Hooks")
    hook = add_hook(board, f"{receiver.url}/pauses", name="Pauses")
    board.hook(hook).click()
    detail = board.page.get_by_role("region", name="Hook", exact=True)
    detail.get_by_role("button", name="Pause").click()
    expect(detail.get_by_text("paused", exact=True)).to_be_visible()
    waiting = lambda: system.node("deliveries/retry_queue").stats["in_order"]  # noqa: E731
    system.publish([call_event(710)])
    system.wait(lambda: waiting() == 1, what="the delivery that is kept")
    assert receiver.count == 0
    detail.get_by_role("button", name="Resume").click()
    expect(detail.get_by_text("enabled", exact=True)).to_be_visible()
    assert receiver.wait_for(1)[0].path == "/pauses"


def test_the_keyboard_is_enough(system, receiver, dashboard):
    board = dashboard()
    page = board.page
    add_hook(board, f"{receiver.url}/keys", name="By keys")
    for key, title in [("2", "Hooks"), ("3", "Endpoints"), ("4", "Dead letters")]:
        page.keyboard.press(key)
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    page.keyboard.press("2")
    expect(page.get_by_text("By keys")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("no such")
    expect(page.get_by_text("No such hook.")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("/KEYS")
    expect(page.locator("tr[data-hook]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-hook]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By keys")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_token_that_is_not_known_leads_nowhere(system, dashboard, chromium):
    board = dashboard()
    board.page.get_by_role("button", name="Sign out").click()
    board.page.get_by_label("Token").fill("not a token of anybody")
    board.page.keyboard.press("Enter")
    expect(board.page.get_by_role("alert")).to_have_text("That token is not known here.")
    assert board.page.evaluate("sessionStorage.length + localStorage.length") == 0
    assert board.page.context.cookies() == []


def test_it_fits_a_phone(system, dashboard, artifacts):
    board = dashboard(size=(390, 844), colours="dark")
    board.page.get_by_role("button", name="Show processes").click()
    expect(board.actor("event_bridge")).to_be_visible()
    for view in ("Overview", "Hooks", "Endpoints", "Dead letters"):
        board.go(view)
        width = board.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, view
    board.go("Overview")
    board.page.screenshot(path=artifacts / "dashboard-phone.png", full_page=True)


def test_dead_letters_are_looked_at_retried_and_purged(system, dashboard):
    board = dashboard()
    page = board.page
    system.send(("callevt", "call.CHANNEL_CREATE.bad", ["no", "event"]))
    board.go("Dead letters")
    letters = page.locator("tr[data-letter]").filter(has_text="call.CHANNEL_CREATE.bad")
    expect(letters).to_have_count(1)
    letters.click()
    expect(page.get_by_role("dialog", name="Dead letter")).to_contain_text('"event"')
    page.keyboard.press("Escape")
    letters.get_by_label("Choose").check()
    page.get_by_role("button", name="Purge 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Purge", exact=True).click()
    expect(letters).to_have_count(0)
