"""The dashboard in a browser, as an operator uses it."""

import json

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

from support.patience import patient

PATIENCE_MS = patient(20_000)
"""How long an element may take to appear."""

expect.set_options(timeout=PATIENCE_MS)


RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # To describe what is right takes most of the time.
}
OF_COLOURS = RULES | {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
}
"""Those that other colours may break."""


SIZES = {"wide": (1280, 800), "phone": (390, 844)}


class Page:
    """The dashboard at an address, in a page. Every error in it fails the test."""

    def __init__(self, browser, url, *, size=SIZES["wide"], colours="light"):
        self.url = url
        width, height = size
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=colours
        )
        self._context.set_default_timeout(PATIENCE_MS)
        self.page = self._context.new_page()
        self.wrong = []
        self.hosts = set()
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.on("console", self._console)

    def go(self, view):
        self.page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()

    def fits(self):
        """Whether the page is no wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def faults(self, rules=RULES):
        """What axe-core finds wrong for people who see or use the page otherwise."""
        if self.page.evaluate("typeof axe === 'undefined'"):
            self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate("options => axe.run(options)", rules)["violations"]
        return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"]]

    def serves_everybody(self, file):
        """Check the page in both sizes and colours; `file`: what its pictures are named after."""
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            for colours, rules in (("light", RULES), ("dark", OF_COLOURS)):
                self.page.emulate_media(color_scheme=colours)
                self.page.evaluate("scrollTo(0, 0)")  # The bar covers no link then.
                assert self.faults(rules) == [], (file.name, size, colours)
                assert self.fits(), (file.name, size, colours)
                picture = file.with_name(f"{file.name}-{size}-{colours}.png")
                self.page.screenshot(path=picture, full_page=True)
        width, height = SIZES["wide"]
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme="light")

    def close(self):
        self._context.close()
        assert not self.wrong
        assert self.hosts == {self.url.removeprefix("http://")}

    def _dialog(self, dialog):
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message):
        # A server's refusal is shown to the operator; the browser logs it, too.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.wrong.append(f"console: {message.text}")


class Dashboard(Page):
    """The dashboard of a running system."""

    def __init__(self, browser, system, *, token=None, **options):
        system.wait(system.settings.api_place_file.exists, what="the API")
        url = json.loads(system.settings.api_place_file.read_text())["url"]
        super().__init__(browser, url, **options)
        self.token = token or system.settings.api_token_file.read_text().strip()

    def open(self, view=""):
        self.page.goto(f"{self.url}/#/{view}")
        self.page.get_by_label("Token").fill(self.token)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("navigation", name="Views")).to_be_visible()
        return self

    def actor(self, path):
        """The row of an actor in the tree."""
        return self.page.locator(f'tr[data-path="{path}"]')

    def endpoint(self, address):
        return self.page.locator(f'tr[data-endpoint="{address}"]')

    def hook(self, id):
        return self.page.locator(f'tr[data-hook="{id}"]')

    @property
    def attempts(self):
        return self.page.locator("tr[data-attempt]")
