"""The operator's pages in a real browser, before the API without a system."""

import re

import pytest
from playwright.sync_api import expect

from callboard import admin
from support.api import ADMIN, CHILD, PARENT, Api, served, whole_system
from support.pages import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

GREGORIAN_2026 = 63_951_000_000


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """What an operator finds at three in the morning."""
    api = Api(tmp_path_factory.mktemp("operator"))
    api.backend.answers |= whole_system()
    with served(api):
        uri = "https://a.example/in"
        api.broken = api.add_hook(CHILD, name="Broken", uri=uri, enabled=False)["id"]
        for n in range(60):
            api.add_hook(PARENT, name=f"Hook {n:02}", uri=f"https://b.example/{n}", hook="sms")
            api.add_letter(
                f"l{n:02}",
                created=GREGORIAN_2026 + n,
                reason="status 503" if n % 2 else "timeout",
                hook_id=api.broken,
                uri=uri,
            )
        yield api
    api.store.close()


@pytest.fixture
def operator(chromium, api):
    """operator(**options) -> Page, signed in."""
    opened = []

    def operator(**options):
        opened.append(Page(chromium, api.url, **options))
        page = opened[-1].page
        page.goto(f"{api.url}/")
        page.get_by_label("Token").fill(ADMIN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Trouble")).to_contain_text("disabled")
        return opened[-1]

    yield operator
    for one in opened:
        one.close()


def test_trouble_comes_first_and_the_tree_is_folded_while_it_is_well(operator, api):
    board = operator()
    page = board.page
    trouble = page.get_by_role("region", name="Trouble")
    for text in ("api is restarting", "1 endpoint is not available", "1 hook is disabled"):
        expect(trouble).to_contain_text(text)
    expect(trouble).to_contain_text("60 dead letters")
    tree = page.get_by_role("region", name="Supervision tree")
    expect(tree).to_contain_text("4 run")
    expect(tree.get_by_role("table")).to_have_count(0)
    tree.get_by_role("button", name="Show processes").click()
    expect(tree.get_by_role("table")).to_be_visible()
    trouble.get_by_role("link", name="1 hook is disabled").click()
    rows = page.locator("tr[data-hook]")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Broken")
    board.go("Overview")
    trouble.get_by_role("link", name="https://a.example").click()
    expect(rows).to_have_count(1)
    rows.click()
    expect(page.get_by_role("heading", name="Broken")).to_be_visible()


def test_the_circuit_of_an_endpoint_is_closed(operator, api):
    board = operator()
    board.go("Endpoints")
    row = board.page.locator("tr[data-endpoint]")
    for text in ("https://a.example", "open", "timeout", "40 s"):
        expect(row).to_contain_text(text)
    with board.page.expect_response("**/v2/callboard/endpoints/close") as closed:
        row.get_by_role("button", name="Close the circuit of https://a.example").click()
    assert closed.value.json()["data"] == {"endpoint": "https://a.example", "closed": 2}
    row.get_by_role("link", name="Hooks of").click()
    expect(board.page.locator("tr[data-hook]")).to_have_count(1)


def test_hooks_are_searched_sorted_and_counted(operator, api):
    board = operator()
    page = board.page
    board.go("Hooks")
    rows = page.locator("tr[data-hook]")
    heading = page.locator("header", has=page.get_by_role("heading", name="Hooks", exact=True))
    expect(heading).to_contain_text("61")
    page.get_by_role("button", name="name", exact=True).click()
    expect(rows.first).to_contain_text("Broken")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("name")
    page.get_by_role("button", name=re.compile("^name")).click()
    expect(rows.first).to_contain_text("Hook 59")
    page.get_by_label("Search").fill("SMS")
    expect(heading).to_contain_text("60")
    page.get_by_label("Search").fill("hook 07")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(re.compile(r"\d\d:\d\d:\d\d"))  # Of the last change.
    page.route("**/v2/callboard/hooks*", lambda route: route.abort())
    page.get_by_label("Search").fill("nowhere")
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    expect(page.get_by_text("No such hook.")).to_have_count(0)
    page.unroute("**/v2/callboard/hooks*")


def test_all_dead_letters_that_match_are_chosen_and_one_is_retried(operator, api):
    board = operator()
    page = board.page
    board.go("Dead letters")
    page.get_by_label("Search").fill("timeout")
    rows = page.locator("tr[data-letter]")
    expect(rows).to_have_count(30)
    page.get_by_label("Search").fill("a.example")
    expect(rows).to_have_count(50)
    page.get_by_label("Choose all on this page").check()
    expect(page.get_by_role("button", name="Retry 50")).to_be_enabled()
    page.get_by_role("button", name="Choose all that match").click()
    page.get_by_role("button", name="Retry 60").click()
    expect(page.get_by_text("60 on the way again.")).to_be_visible()
    retried = [m for _path, m in api.backend.asked if isinstance(m, admin.RetryDeadLetters)]
    assert sum(len(message.ids) for message in retried) == 60
    rows.first.click()
    dialog = page.get_by_role("dialog", name="Dead letter")
    expect(dialog.get_by_role("link", name="Its hook")).to_be_visible()
    dialog.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 on the way again.")).to_be_visible()
    assert [m for _path, m in api.backend.asked if isinstance(m, admin.RetryDeadLetters)][
        -1
    ].ids == ("l59",)


def test_everybody_can_use_it(operator, artifacts):
    board = operator()
    page = board.page
    page.get_by_role("button", name="Show processes").click()
    for view in ("Overview", "Hooks", "Endpoints", "Dead letters"):
        board.go(view)
        if view in ("Hooks", "Dead letters"):
            expect(page.locator("tr[data-row]").first).to_be_visible()
        board.serves_everybody(artifacts / f"operator-{view.lower().replace(' ', '-')}")
    page.locator("tr[data-letter]").first.click()
    expect(page.get_by_role("dialog", name="Dead letter")).to_be_visible()
    board.serves_everybody(artifacts / "operator-dead-letter")
