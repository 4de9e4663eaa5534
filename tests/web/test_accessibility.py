"""axe finds nothing to complain about in any state of the page, in light and in dark."""

import re

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


async def test_push_to_talk_is_the_first_thing_that_a_screen_reader_meets(opened: Open) -> None:
    async with opened(1.0, "jfk", 30.0) as page:
        status = page.get_by_role("status")
        await expect(status).to_have_text(re.compile("Press and speak. With a screen reader, use push-to-talk"))
        await page.keyboard.press("Tab")
        offer = page.get_by_role("button", name="Use push-to-talk")
        await expect(offer).to_be_focused()
        await page.set_viewport_size({"width": 390, "height": 844})
        await expect(offer).to_be_in_viewport(ratio=1)
        assert await violations(page) == []
        await page.keyboard.press("Enter")
        orb = page.get_by_role("button", name="Talk", exact=True)
        await expect(orb).to_be_focused()
        await expect(orb).to_have_accessible_description(re.compile("click it twice: before and after"))
        await expect(status).to_have_text("Hold to talk")
        await expect(offer).to_have_count(0)
        await page.keyboard.press("Enter")
        await in_state(page, "hearing")
        await expect(status).to_have_attribute("aria-live", "off")  # the microphone would hear it
        await page.get_by_role("button", name="Send what you said").press("Enter")
        await expect(said(page, "user")).to_have_count(1)


async def test_what_a_screen_reader_is_advised_is_said_once(opened: Open) -> None:
    async with opened() as page:
        status = page.get_by_role("status")
        await expect(status).to_contain_text("With a screen reader")
        await page.reload()
        await expect(status).to_have_text("Press and speak")
        await expect(page.get_by_role("button", name="Use push-to-talk")).to_have_count(1)
        await page.get_by_role("button", name="Talk options").click()
        await page.get_by_text("It listens all the time").click()
        await page.get_by_text("It listens while you hold").click()
        await page.get_by_text("It listens all the time").click()
        await page.get_by_role("button", name="Done").click()
        await expect(page.get_by_role("button", name="Use push-to-talk")).to_have_count(0)


async def test_who_is_heard_or_waits_meets_no_barrier(opened: Open) -> None:
    async with opened(1.0, "jfk", 30.0, chosen={"talking": "hold"}) as page:
        await page.locator("#orb").click()
        await check(page, "hearing")
        await page.evaluate("document.body.dataset.state = 'thinking'")  # which is over too soon
        assert await violations(page) == []
