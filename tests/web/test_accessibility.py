"""axe finds nothing to complain about in any state of the page, in light and in dark."""

import pytest
from playwright.async_api import Page, expect

from web.accessibility import violations
from web.browser import Open, in_state, said, talk, write

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]


async def check(page: Page, state: str) -> None:
    """Check the page in this state, in both themes."""
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await in_state(page, state)
        assert await violations(page) == [], (state, theme)


async def test_who_talks_meets_no_barrier(opened: Open) -> None:
    async with opened(2.0, "brooklyn", 60.0) as page:
        await check(page, "idle")
        await talk(page)
        await in_state(page, "speaking")
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        await check(page, "speaking")
        await page.keyboard.press("Escape")
        await expect(page.locator("del")).to_have_count(1)
        await check(page, "listening")
        await page.keyboard.press("m")
        await check(page, "muted")
        await page.get_by_role("button", name="Talk options").click()
        assert await violations(page) == []


async def test_who_has_no_microphone_meets_no_barrier(opened: Open) -> None:
    async with opened(refused=True) as page:
        await talk(page)
        await expect(page.get_by_role("alert")).to_contain_text("microphone")
        await check(page, "error")
        await write(page, "Say exactly good morning.")
        await check(page, "ready")


async def test_who_is_heard_or_waits_meets_no_barrier(opened: Open) -> None:
    async with opened(1.0, "jfk", 30.0, chosen={"talking": "hold"}) as page:
        await page.locator("#orb").click()
        await check(page, "hearing")
        await page.evaluate("document.body.dataset.state = 'thinking'")  # which is over too soon
        assert await violations(page) == []
