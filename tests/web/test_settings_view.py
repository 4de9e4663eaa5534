"""The settings on the page, in a real browser: what people choose there is asked of the session."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from web.accessibility import violations
from web.browser import browsing, in_state, write

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]

FLAGS = ["--autoplay-policy=no-user-gesture-required"]


@asynccontextmanager
async def settings() -> AsyncIterator[Page]:
    runtime = Runtime(Config.model_validate({**PRESETS["scripted"], "session": {"instructions": "Be kind."}}))
    await runtime.open()
    async with (
        serving(Web(runtime), listen("127.0.0.1", 0)) as url,
        browsing(f"{url}#/settings", FLAGS) as page,
    ):
        await page.get_by_role("heading", name="Settings", exact=True).wait_for()
        yield page
    await runtime.close()


async def updates_of_a_new_conversation(page: Page) -> list[dict[str, Any]]:
    """Write something in Talk, and return the sessions that the page asks for."""
    sent: list[dict[str, Any]] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(json.loads(frame))))
    await page.get_by_role("link", name="Talk").click()
    await write(page, "Hello.")
    await in_state(page, "speaking")
    return [event["session"] for event in sent if event["type"] == "session.update"]


async def test_what_is_left_to_the_server_is_not_asked_for() -> None:
    async with settings() as page:
        assert await updates_of_a_new_conversation(page) == []


async def test_the_session_is_asked_for_what_was_chosen_also_after_a_reload() -> None:
    async with settings() as page:
        await page.get_by_label("Personality").select_option("My own words")
        await page.get_by_label("Its instructions").fill("You are a whale.")
        await page.get_by_label("Pace of the voice").fill("1.2")
        await page.get_by_label("The language you speak").select_option("de")
        await page.get_by_label("Patient").check()
        await page.reload()
        await expect(page.get_by_label("Its instructions")).to_have_value("You are a whale.")
        detection, *rest = await updates_of_a_new_conversation(page)
        asked = detection["audio"]["input"]["turn_detection"]
        assert asked.get("eagerness") == "low" or asked["silence_duration_ms"] > 500
        assert {"type": "realtime", "audio": {"output": {"speed": 1.2}}} in rest
        assert {"type": "realtime", "instructions": "Be kind.\n\nYou are a whale."} in rest
        [transcription] = [
            one["audio"]["input"]["transcription"] for one in rest if "input" in one.get("audio", {})
        ]
        assert transcription["language"] == "de"


async def test_a_voice_is_heard_before_it_is_chosen() -> None:
    async with settings() as page:
        await page.get_by_role("button", name="Hear it").click()
        await expect(page.locator("settings-view audio")).to_have_js_property("paused", value=False)


async def test_the_theme_is_the_one_that_was_chosen() -> None:
    async with settings() as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(colour)
        await page.get_by_role("radio", name="Dark", exact=True).check()
        assert await page.evaluate(colour) != light
        await page.reload()
        await page.get_by_role("radio", name="Dark", exact=True).wait_for()
        assert await page.evaluate(colour) != light


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_wrong_with_the_settings(scheme: Literal["light", "dark"]) -> None:
    async with settings() as page:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await violations(page) == []
