"""docs/tutorial_customers.md, followed word by word: in terminals, and by a customer in a browser.

The screenshots are in build/artifacts/tutorial.
"""

import os
import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from services import free_port
from support.pages import Page
from support.tutorials import Reader, with_free_ports

pytestmark = [pytest.mark.browser, pytest.mark.multiprocess, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "tutorial_customers.md"


@pytest.fixture
def reader(tmp_path):
    """Who has done the steps of installation."""
    environment = {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CALLBOARD_CONFIG": "callboard.toml",
        "CALLBOARD_ACTORS_ADMIN_PORT": str(free_port()),
    }
    text = with_free_ports(PAGE.read_text(), "5000", "8000")
    environment["CALLBOARD_API_PORT"] = re.search(r'url = "http://127.0.0.1:(\d+)"', text)[1]
    folder = tmp_path / "tutorial"
    folder.mkdir()
    reader = Reader(folder, environment, text)
    yield reader
    reader.close()


class Customer:
    """Who does in a page what the text says: each name that it prints in bold, and only these."""

    def __init__(self, page, text, folder):
        self._board, self.page = page, page.page
        self._text, self._folder = text, folder
        self._named, self._steps = set(re.findall(r"\*\*(.+?)\*\*", text)), 0
        self._left = set(self._named)

    def name(self, name):
        assert name in self._named, f"the page does not say {name}"
        self._left.discard(name)
        return name

    def goes(self, view):
        self._board.go(self.name(view))

    def presses(self, name, role="button"):
        self.page.get_by_role(role, name=self.name(name), exact=True).click()

    def fills(self, label, value):
        assert value in self._text, f"the page does not say {value}"
        self.page.get_by_label(self.name(label), exact=True).fill(value)

    def chooses(self, label, option):
        assert f"*{option}*" in self._text, f"the page does not say {option}"
        select = self.page.get_by_label(self.name(label), exact=True)
        value = select.locator("option").filter(has_text=re.compile(f"^{option}")).first
        select.select_option(value.get_attribute("value"))

    def looks(self):
        """Takes the page in all sizes and colours; nothing in it shuts anybody out."""
        self._steps += 1
        self._board.serves_everybody(self._folder / str(self._steps))

    def has_done_all(self):
        assert not self._left


def test_a_customer_follows_the_tutorial(reader, chromium, artifacts):
    folder = artifacts / "tutorial"
    folder.mkdir(exist_ok=True)
    print(f"screenshots: {folder}")
    assert reader.kinds == {"console", "text", "toml", "python"}
    made = reader.follow(end="1. **Events**")
    url = re.search(r"^http\S+/#/link/\S+$", made, re.MULTILINE)[0]
    board = Page(chromium, url.partition("/#")[0])
    page = board.page
    customer = Customer(board, reader.text, folder)

    page.goto(url)
    customer.goes("Events")
    kind = page.locator('li[data-kind="order_paid"]')
    kind.get_by_text(customer.name("Payload")).click()
    expect(kind.locator("pre")).to_contain_text('"total": 420')
    customer.looks()
    kind.get_by_role("link", name=customer.name("New hook")).click()

    customer.fills("Name", "Large orders")
    customer.fills("URL", re.search(r"`(http://\S+/orders)`", reader.text)[1])
    customer.fills("Filter", "total > `100`")
    customer.fills("Transform", "{text: join('', ['Order ', to_string(order), ' is paid'])}")
    preview = page.get_by_role("region", name=customer.name("Preview"))
    expect(preview).to_contain_text("Order 7 is paid")
    page.get_by_label("Try it on this event").fill('{"order": 7, "total": 42}')
    expect(preview).to_contain_text("the filter is not true")
    page.get_by_label("Try it on this event").fill('{"order": 7, "total": 142}')
    expect(preview).to_contain_text("Order 7 is paid")
    customer.chooses("Retries", "kazoo")
    customer.looks()
    customer.presses("Create hook")
    expect(page.get_by_role("heading", name="Large orders")).to_be_visible()

    customer.presses("Sign deliveries")
    customer.presses("Make a secret")
    secret = page.get_by_role("dialog").locator("pre")
    expect(secret).to_have_text(re.compile("^whsec_"))
    (reader.folder / "secret.txt").write_text(secret.inner_text())
    expect(page.get_by_role("button", name=customer.name("Copy"), exact=True)).to_be_visible()
    customer.presses("Done")

    customer.goes("Hooks")
    customer.presses("New hook")
    customer.fills("Name", "Alerts")
    customer.chooses("Event", "Operational event")
    customer.fills("URL", re.search(r"`(http://\S+/alerts)`", reader.text)[1])
    customer.fills("Filter", "type == 'delivery.exhausted'")
    customer.presses("Create hook")
    expect(page.get_by_role("heading", name="Alerts")).to_be_visible()
    customer.goes("Hooks")
    expect(page.locator("tr[data-hook]")).to_have_count(2)
    customer.looks()

    reader.follow("## An order arrives", "6. **Deliveries**")
    customer.goes("Deliveries")
    page.locator("tr[data-attempt]").first.click()
    attempt = page.get_by_role("dialog", name=customer.name("Attempt"))
    expect(attempt.get_by_role("region", name="Request")).to_contain_text("webhook-signature")
    expect(attempt.get_by_role("region", name="Request")).to_contain_text("Order 8 is paid")
    expect(attempt.get_by_role("region", name="Response")).to_contain_text("thank you")
    customer.looks()
    page.keyboard.press("Escape")

    reader.follow("## It breaks", "7. **Dead letters**")
    customer.goes("Dead letters")
    letter = page.locator("tr[data-letter]")
    expect(letter).to_have_count(1)
    letter.get_by_label(customer.name("Choose")).check()
    customer.looks()
    customer.presses("Retry 1")
    reader.follow("7. **Dead letters**", "```console publisher\n$ callboard stop")
    customer.goes("Deliveries")
    expect(page.locator("tr[data-attempt]").filter(has_text="success").first).to_be_visible()
    customer.looks()
    customer.has_done_all()
    board.close()
    reader.follow("```console publisher\n$ callboard stop")
    reader.terminal(None).ended()
