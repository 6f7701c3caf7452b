"""Headless Chromium: a page that tells what it complained of, and whatever it asked of another server than its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed (Debian: chromium)"),
]
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
# The smallest contrast of text with what is behind it, of all that is shown, and that text.
_CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parsed = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const box = each.matches("g.node") ? each.querySelector(".box") : null;
      const color = box ? getComputedStyle(box).fill : getComputedStyle(each).backgroundColor;
      const [r, g, b, alpha = 1] = parsed(color);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  let least = [21, ""];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((each) => each.nodeType === 3).map((each) => each.data.trim()).join("");
    if (!text || !node.getClientRects().length || node.closest(".unseen, .skip, title")) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(parsed(node.namespaceURI.endsWith("svg") ? style.fill : style.color)), light(behind(node))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < least[0]) least = [contrast, text];
  }
  return least;
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def quiet_page(browser: Browser, *origins: str, allowed: str = "401", **options: Any) -> Iterator[Page]:
    """A page in a context of its own; at its end nothing may have been asked of other origins, nor complained of on its console.

    Complaints that hold `allowed` are let pass.
    """
    context = browser.new_context(**options)
    complaints: list[str] = []
    abroad: list[str] = []
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda sent: None if sent.url.startswith(("data:", "about:", "blob:", *origins)) else abroad.append(sent.url),
    )
    yield page
    context.close()
    assert abroad == []
    assert [line for line in complaints if allowed not in line] == []


def least_contrast(page: Page) -> tuple[float, str]:
    """The smallest contrast ratio of a text that is shown (WCAG 2.2, AA wants 4.5), and that text."""
    contrast, text = page.evaluate(_CONTRAST)
    return contrast, text
