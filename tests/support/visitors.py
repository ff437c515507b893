"""People who use the console: each in a real browser, which looks at every page that it opens as a screen reader would.

    async with visitor(platform.url, token) as somebody:
        await somebody.open("/console/models")

Whatever a page's policy kept from it, and each error of a script, ends the test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

from playwright.async_api import ConsoleMessage, Page, async_playwright, expect

from tests.support.browser import devtools

WIDE, NARROW = 1280, 390
WITHIN = 90_000
"""Milliseconds: a bound for hangs."""
_AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
expect.set_options(timeout=WITHIN)
_MOST_TABS = 200
_FOCUSED = """() => {
  const at = document.activeElement;
  if (at === document.body) return ["", false];
  const said = at.getAttribute("aria-label") || at.labels?.[0]?.textContent || at.textContent || "";
  const style = getComputedStyle(at);
  const isSeen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return [said.trim().replace(/\\s+/g, " "), isSeen];
}"""
_GRAVE = ("serious", "critical")
_LOST = "Failed to load resource"
"""What a browser says of an answer that is an error, which a page may be."""


class Visitor:
    """`page` is Playwright's; `says` what the browser complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.says: list[str] = []
        self._url = url
        page.set_default_timeout(WITHIN)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.says.append(str(error)))

    async def sign_in(self, token: str) -> None:
        await self.open("/console/sign-in")
        await self.page.get_by_label("Token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url("**/console/models")

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self._url}{path}")
        await self.must_be_usable()

    async def must_be_usable(self) -> None:
        """By everybody: nothing grave is said of it by axe, nothing is cut, and no policy was broken."""
        # Playwright evaluates in the page's world, where the page's policy does not hold for what it brings.
        await self.page.evaluate(_AXE)
        found = await self.page.evaluate(
            "axe.run({resultTypes: ['violations']}).then((found) => found.violations)"
        )
        grave = [
            f"{each['id']}: {node['html']}"
            for each in found
            if each["impact"] in _GRAVE
            for node in each["nodes"]
        ]
        assert grave == [], f"{self.page.url} {grave}"
        width = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{self.page.url} is {width} pixels too wide"
        assert self.says == [], f"{self.page.url} {self.says}"

    async def tab_to(self, name: str) -> None:
        """By the Tab key alone, to what has that name; and one sees that it was reached."""
        passed: list[str] = []
        while True:
            await self.page.keyboard.press("Tab")
            at, is_seen = await self.page.evaluate(_FOCUSED)
            if at == name:
                assert is_seen, f"{self.page.url} does not show that {name!r} has the focus"
                return
            passed.append(at)
            # The body twice: once around.
            is_around = passed.count("") > 1 or len(passed) > _MOST_TABS
            assert not is_around, f"{self.page.url} does not lead to {name!r}, only to {passed}"

    async def press(self, name: str) -> None:
        """Go there, and do it."""
        await self.tab_to(name)
        await self.page.keyboard.press("Enter")

    async def text(self) -> str:
        return await self.page.inner_text("body")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_LOST):
            self.says.append(message.text)


@asynccontextmanager
async def visitor(
    url: str, token: str | None = None, *, theme: str = "light", width: int = WIDE, scripts: bool = True
) -> AsyncIterator[Visitor]:
    """Somebody with cookies and windows of their own, signed in with `token`. Skips the test where there is no
    Chromium."""
    address = await devtools()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(address, timeout=WITHIN)
        context = await browser.new_context(
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": 900},
            java_script_enabled=scripts,
        )
        somebody = Visitor(await context.new_page(), url)
        if token is not None:
            await somebody.sign_in(token)
        try:
            yield somebody
        finally:
            await context.close()
            await browser.close()  # who drives it, and not the browser
