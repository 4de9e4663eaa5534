"""The page by WebRTC: it hears, shows captions, answers aloud and is interrupted as by WebSocket."""

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, WebSocket, expect

from clients.serving import doomed, reserved_port
from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime
from web.accessibility import violations
from web.browser import Open, browsing, in_state, interrupt_by_voice, said, seen, talk, truncated, write

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]

BY_WEBRTC = {"transport": "webrtc"}
CHOOSE = "localStorage.setItem('vivavoce settings', JSON.stringify({ transport: 'webrtc' }))"


def lines(page: Page) -> list[WebSocket]:
    found: list[WebSocket] = []
    page.on("websocket", lambda socket: found.append(socket))
    return found


async def test_a_question_is_heard_and_answered_aloud_with_captions_of_both_sides(opened: Open) -> None:
    async with opened(2.5, "weather", 20.0, chosen=BY_WEBRTC) as page:
        sockets = lines(page)
        await talk(page)
        await in_state(page, "listening")
        await in_state(page, "speaking")
        await expect(said(page, "user")).to_have_text("Answer in ten words.")
        await in_state(page, "listening")
        await expect(said(page, "assistant")).to_have_text(re.compile(r"(\S+ ){9}\S+"))
        await expect(page.locator(".ahead")).to_have_count(0)
        told = await seen(page)
        assert told["playedMs"] > 100
        assert told["peak"] > 0.01
        assert told["truncations"] == []
        assert sockets == []
        await page.get_by_role("button", name="Play again").click()
        await in_state(page, "speaking")


async def test_captions_are_not_ahead_of_the_voice(opened: Open) -> None:
    async with opened(30.0, chosen=BY_WEBRTC) as page:
        await write(page, "Tell me a story.")
        await expect(page.locator(".ahead")).to_have_count(1)
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        await expect(page.locator(".ahead")).to_have_count(1)


async def test_an_interruption_stops_the_voice_and_strikes_out_what_was_not_heard(opened: Open) -> None:
    async with opened(2.5, "brooklyn", 4.0, "weather", 20.0, chosen=BY_WEBRTC) as page:
        await interrupt_by_voice(page)


async def test_whoever_has_no_microphone_writes_and_stops_the_answer_by_a_key(opened: Open) -> None:
    async with opened(refused=True, chosen=BY_WEBRTC) as page:
        await talk(page)
        await in_state(page, "error")
        await write(page, "Tell me a story.")
        await in_state(page, "speaking")
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await in_state(page, "ready")
        assert (await truncated(page))["ms"] > 0
        await expect(page.locator("del")).to_have_count(1)


async def test_who_lets_go_while_speaking_is_heard_until_then(opened: Open) -> None:
    transcriber = {"provider": "scripted", "text": "And so, my fellow Americans, answer in thirty words."}
    runtime = Runtime(Config.model_validate({**PRESETS["scripted"], "transcriber": transcriber}))
    await runtime.open()
    async with opened(2.5, "jfk", 30.0, runtime=runtime, chosen={**BY_WEBRTC, "talking": "hold"}) as page:
        await page.locator("#orb").click()
        await in_state(page, "hearing")
        await expect(page.locator("[data-state=hearing] li.user")).to_contain_text("And so")
        await page.locator("#orb").click()
        await in_state(page, "speaking")
        await in_state(page, "ready")
        await expect(said(page, "user")).to_have_count(1)


async def test_a_conversation_goes_on_after_its_server_was_killed_and_came_back(tmp_path: Path) -> None:
    options = ("--preset", "scripted")
    with reserved_port() as port, doomed(*options, folder=tmp_path, port=port) as (url, server):
        async with browsing(url.removesuffix("/v1"), []) as page:
            await page.evaluate(CHOOSE)
            await page.reload()
            await write(page, "My code word is marmalade.")
            await in_state(page, "speaking")
            await in_state(page, "ready")
            server.kill()
            await in_state(page, "reconnecting")
            with doomed(*options, folder=tmp_path, port=port):
                await expect(page.get_by_text("The line is back.")).to_have_count(1)
                await write(page, "What is my code word?")
                answer = page.locator("#turns li.assistant .words").last
                await expect(answer).to_have_text(re.compile("marmalade"))


async def test_who_sends_too_large_a_recording_is_told_what_to_do(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(b"RIFF" + bytes(900_000))
    async with opened(30.0, chosen=BY_WEBRTC) as page:
        await page.locator("#file").set_input_files(tmp_path / "long.wav")
        await expect(page.get_by_role("alert")).to_contain_text("Choose WebSocket as the connection")
        await expect(page.locator("#turns li")).to_have_count(0)


@pytest.mark.parametrize("has_webrtc", [True, False])
async def test_webrtc_is_offered_where_the_server_has_it(opened: Open, *, has_webrtc: bool) -> None:
    async def change(route: Route) -> None:
        response = await route.fetch()
        await route.fulfill(body=json.dumps({**await response.json(), "webrtc": has_webrtc}))

    async with opened() as page:
        await page.route("**/v1/status", change)
        await page.reload()
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_role("group", name="Theme").wait_for()
        offered = page.get_by_role("group", name="Connection").get_by_label("WebRTC")
        await expect(offered).to_have_count(int(has_webrtc))
        if has_webrtc:
            await offered.check()
            await page.reload()
            await expect(offered).to_be_checked()
