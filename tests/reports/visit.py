"""A page opened in Chromium, with what it asked for and what it complained of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page

DRAWN = "() => [...document.querySelectorAll('.chart')].every((place) => place.querySelector('svg'))"
# Whatever may be wider than the page scrolls in a box of its own.
BEYOND = """() => {
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll("body *")].filter((item) => {
    const box = item.getBoundingClientRect();
    const seen = box.width > 0 && (box.right > width + 1 || box.left < -1);
    return seen && !item.closest(".scroll, pre, .skip");
  }).map((item) => `${item.tagName} in ${item.closest("[id]")?.id}: ${item.textContent.slice(0, 40)}`);
}"""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """An open page."""

    page: Page
    requests: list[str]
    """Addresses asked for, the file itself and data: addresses apart."""
    complaints: list[str]
    """Messages on the console, and errors."""

    @classmethod
    def to(cls, path: Path, browser: Browser) -> Visit:
        """Open a file as a reader would, and wait until its charts are drawn."""
        page = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True).new_page()
        opened = cls(page=page, requests=[], complaints=[])
        own = path.resolve().as_uri()
        page.on("request", lambda request: None if request.url.startswith(("data:", own)) else opened.requests.append(request.url))
        page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.goto(own)
        page.wait_for_function(DRAWN)
        return opened

    def look(self, *, width: int, scheme: Literal["light", "dark"] = "light", media: Literal["screen", "print"] = "screen") -> None:
        """The page as wide as this, in this theme, and all charts drawn again for it."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme, media=media)
        # A chart follows its container a frame after the container has changed.
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def beyond_the_edge(self) -> list[str]:
        """What reaches over the left or right edge of the page."""
        found: list[str] = self.page.evaluate(BEYOND)
        return found

    def ask(self, script: str) -> Any:
        """What a JavaScript function returns."""
        return self.page.evaluate(script)
