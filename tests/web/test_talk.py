"""What people do on the page: push-to-talk, ways to interrupt, recordings, answers that are played again."""

import io
import re
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime
from web.browser import RECORDINGS, Open, in_state, said, seen, talk, truncated, write

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]

HOLD = {"talking": "hold"}
DROP = """async ([name, bytes]) => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(bytes)], name));
    const how = { dataTransfer: files, bubbles: true, cancelable: true };
    const view = document.querySelector("talk-view");
    for (const type of ["dragover", "drop"]) view.dispatchEvent(new DragEvent(type, how));
}"""
SHIFTS = """() => {
    window.shifts = [];
    const outside = (node) => node && !(node.closest ? node : node.parentElement)?.closest("caption-list");
    const note = (list) => window.shifts.push(...list.getEntries().flatMap(({ value, sources }) =>
        sources.filter(({ node }) => outside(node)).map(({ node }) => `${value} ${node.id || node.nodeName}`)));
    new PerformanceObserver(note).observe({ type: "layout-shift", buffered: false });
}"""


PRESIDENT = "And so, my fellow Americans, ask not."


async def a_president() -> Runtime:
    """A server that always hears the same words."""
    transcriber = {"provider": "scripted", "text": PRESIDENT}
    runtime = Runtime(Config.model_validate({**PRESETS["scripted"], "transcriber": transcriber}))
    await runtime.open()
    return runtime


async def press(page: Page) -> None:
    """Press the circle, and keep it pressed."""
    await page.locator("#orb").hover()
    await page.mouse.down()


async def answered(page: Page, nth: int = 0) -> None:
    """Wait until an answer was played to its end."""
    await expect(page.get_by_role("button", name="Play again").nth(nth)).to_be_visible()


async def states(page: Page) -> AsyncIterator[tuple[str, int]]:
    """Yield the state and the number of frames that were sent, until nothing sounds."""
    state = "speaking"
    while state == "speaking":
        state, frames = await page.evaluate("[document.body.dataset.state, window.vivavoce.framesSent]")
        yield state, frames


def silence(seconds: float) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(round(seconds * 32_000)))
    return buffer.getvalue()


# push-to-talk


async def test_who_holds_the_circle_is_heard_until_letting_go(opened: Open) -> None:
    async with opened(1.5, "jfk", 30.0, runtime=await a_president(), chosen=HOLD) as page:
        await expect(page.locator("#state")).to_have_text("Hold to talk")
        await press(page)
        await in_state(page, "listening")
        await in_state(page, "hearing")
        await expect(page.locator("[data-state=hearing] li.user")).to_contain_text("And so")
        await in_state(page, "hearing")  # his pauses end no turn
        await page.mouse.up()
        await in_state(page, "speaking")
        frames = (await seen(page))["framesSent"]
        await in_state(page, "ready")
        assert (await seen(page))["framesSent"] == frames, "nobody holds it"
        await expect(said(page, "user")).to_have_text(PRESIDENT)


async def test_a_click_begins_and_the_next_one_sends(opened: Open) -> None:
    async with opened(1.5, "jfk", 30.0, runtime=await a_president(), chosen=HOLD) as page:
        await page.locator("#orb").click()
        await in_state(page, "hearing")
        await expect(page.locator("#hint")).to_have_text("Press again to send.")
        await page.keyboard.press("Space")
        await in_state(page, "speaking")
        await expect(said(page, "user")).to_have_text(PRESIDENT)


async def test_who_slides_away_before_letting_go_has_said_nothing(opened: Open) -> None:
    async with opened(1.5, "brooklyn", 30.0, chosen=HOLD) as page:
        await press(page)
        await in_state(page, "hearing")
        await page.mouse.move(5, 5)
        await page.mouse.up()
        await in_state(page, "ready")
        await expect(said(page, "user")).to_have_count(0)
        await expect(page.get_by_role("alert")).to_have_count(0)


async def test_who_says_nothing_is_told_that_nothing_was_heard(opened: Open) -> None:
    async with opened(30.0, chosen=HOLD) as page:
        await press(page)
        await in_state(page, "listening")
        await page.mouse.up()
        await press(page)
        await in_state(page, "listening")
        await page.wait_for_timeout(400)  # longer than a click
        await page.mouse.up()
        await expect(page.get_by_role("alert")).to_have_text("I heard nothing. Speak while you hold.")
        await in_state(page, "ready")


# hands-free


async def test_who_waits_long_for_an_answer_is_told_that_it_is_still_coming(opened: Open) -> None:
    slow = {**PRESETS["scripted"], "chat": {"provider": "scripted", "first_token_ms": 7000}}
    runtime = Runtime(Config.model_validate(slow))
    await runtime.open()
    async with opened(runtime=runtime) as page:
        await write(page, "Hello.")
        await in_state(page, "thinking")
        await expect(page.locator("#state")).to_have_text("Still thinking")
        await in_state(page, "speaking")


async def test_who_asks_too_often_is_told_when_to_ask_again_and_does_not_wait(opened: Open) -> None:
    limited = {**PRESETS["scripted"], "limits": {"responses_per_minute": 1}}
    runtime = Runtime(Config.model_validate(limited))
    await runtime.open()
    async with opened(runtime=runtime) as page:
        await write(page, "Say exactly good morning.")
        await answered(page)
        await write(page, "Say exactly good evening.")
        await expect(page.get_by_role("alert")).to_contain_text("Rate limit reached")
        await in_state(page, "ready")


async def test_who_has_a_microphone_without_any_sound_is_told_so(opened: Open) -> None:
    async with opened(30.0) as page:
        await talk(page)
        await in_state(page, "listening")
        await expect(page.locator("#hint")).to_have_text(
            "No sound comes from your microphone. Is it switched off?"
        )


async def test_who_presses_the_circle_while_speaking_is_answered_at_once(opened: Open) -> None:
    async with opened(1.5, "jfk", 30.0) as page:
        await talk(page)
        await in_state(page, "hearing")
        await page.wait_for_timeout(500)
        await page.get_by_role("button", name="Answer now").click()
        await expect(page.locator("#turns li.user")).not_to_have_count(0)
        await expect(page.locator("#turns li.assistant")).not_to_have_count(0)


async def test_where_touch_interrupts_the_microphone_is_not_heard_over_an_answer(opened: Open) -> None:
    async with opened(1.5, "brooklyn", 4.0, "weather", 60.0, chosen={"interrupting": "touch"}) as page:
        await talk(page)
        await in_state(page, "speaking")
        await expect(page.locator("#hint")).to_contain_text("It does not hear you while it speaks.")
        await expect(said(page, "assistant")).to_contain_text("tea", timeout=40_000)
        await page.get_by_role("button", name="Stop the voice").click()
        await in_state(page, "listening")
        await expect(page.locator("#turns li.user")).to_have_count(1)
        await expect(page.locator("del")).to_have_count(1)


async def test_where_nothing_interrupts_what_was_said_meanwhile_is_answered_next(opened: Open) -> None:
    async with opened(1.5, "weather", 1.2, "weather", 60.0, chosen={"interrupting": "off"}) as page:
        await talk(page)
        await in_state(page, "speaking")
        await expect(page.locator("#turns li.user")).to_have_count(2)
        await answered(page, 1)
        await expect(page.locator("del")).to_have_count(0)
        assert (await seen(page))["truncations"] == []


async def test_captions_that_come_as_spoken_are_not_ahead_of_the_voice(opened: Open) -> None:
    async with opened(30.0, chosen={"captions": "spoken"}) as page:
        await write(page, "Tell me a story.")
        await expect(page.locator(".ahead")).to_have_count(1)
        await expect(page.locator(".ahead")).to_be_hidden()
        await expect(said(page, "assistant")).to_contain_text("lighthouse")


async def test_nothing_moves_but_the_words_while_people_talk(opened: Open) -> None:
    async with opened(1.5, "weather", 30.0) as page:
        before = await page.locator("#orb").bounding_box()
        await talk(page)
        await in_state(page, "listening")
        await page.evaluate(SHIFTS)
        await answered(page)
        assert await page.locator("#orb").bounding_box() == pytest.approx(before, abs=0.5)
        assert await page.evaluate("window.shifts") == []


@pytest.mark.parametrize("width", [320, 390])
async def test_on_a_phone_all_views_are_in_reach_and_a_problem_is_as_wide_as_the_page(
    opened: Open, width: int
) -> None:
    async with opened(refused=True) as page:
        await page.set_viewport_size({"width": width, "height": 780})
        for name in ("Talk", "History", "Settings", "Dashboard"):
            view = await page.get_by_role("link", name=name).bounding_box()
            assert view
            assert view["x"] >= 0
            assert view["x"] + view["width"] <= width
        await talk(page)
        await in_state(page, "error")
        problem = await page.get_by_role("alert").bounding_box()
        assert problem
        assert problem["width"] > 0.85 * width
        circle, welcome = (
            await page.locator("#orb").bounding_box(),
            await page.locator("#welcome").bounding_box(),
        )
        assert circle
        assert welcome
        assert welcome["y"] + welcome["height"] <= circle["y"], "the circle covers nothing"


# recordings


async def test_a_recording_that_is_dropped_on_the_page_is_answered(opened: Open) -> None:
    async with opened(30.0) as page:
        await page.evaluate(DROP, ["question.wav", list((RECORDINGS / "weather.wav").read_bytes())])
        await expect(page.locator(".file")).to_contain_text("question.wav")
        await expect(said(page, "user")).to_have_text("Answer in ten words.")
        await in_state(page, "speaking")
        await in_state(page, "ready")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("notes.txt", b"hello", "“notes.txt” is no recording."),
        ("empty.wav", b"", "“empty.wav” is empty."),
        ("broken.mp3", b"ID3\4\0" + bytes(range(256)) * 20, "This file cannot be used"),
        ("quiet.wav", silence(2), "There is no speech in this recording."),
    ],
)
async def test_a_file_that_cannot_be_answered_is_refused_in_words(
    opened: Open, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    async with opened(30.0) as page:
        await write(page, "Say exactly good morning.")
        await answered(page)
        await page.locator("#file").set_input_files(tmp_path / name)
        await expect(page.get_by_role("alert")).to_contain_text(problem)
        await expect(page.locator("#turns li.user")).to_have_count(1)
        await in_state(page, "ready")


# answers


async def test_an_answer_can_be_played_again_and_nothing_else_is_heard_meanwhile(opened: Open) -> None:
    async with opened(1.5, "weather", 60.0) as page:
        await talk(page)
        await answered(page)
        await in_state(page, "listening")
        await page.get_by_role("button", name="Play again").click()
        await in_state(page, "speaking")
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
        sent = [frames async for state, frames in states(page) if state == "speaking"]
        assert len(set(sent)) == 1
        await in_state(page, "listening")
        await page.get_by_role("button", name="Speed 1").click()
        await expect(page.get_by_role("button", name="Speed 1.25")).to_have_text("1.25×")
        await page.locator("#file").set_input_files(
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hi"}
        )
        await expect(page.get_by_role("alert")).to_have_text("“notes.txt” is no recording.")
        await page.get_by_role("button", name="Play again").click()
        await in_state(page, "speaking")
        await expect(page.get_by_role("alert")).to_have_count(0)
        await page.keyboard.press("Escape")
        await in_state(page, "listening")


async def test_an_answer_can_be_downloaded_and_copied_as_far_as_it_was_heard(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(30.0) as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await write(page, "Tell me a story.")
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        await page.keyboard.press("Escape")
        truncation = await truncated(page)
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name="Download").click()
        download = await downloading.value
        assert re.fullmatch(r"vivavoce [-0-9 ]+\.wav", download.suggested_filename)
        await download.save_as(tmp_path / "answer.wav")
        with wave.open(str(tmp_path / "answer.wav")) as file:
            assert file.getframerate() == 24_000
            assert file.getnframes() == pytest.approx(24 * truncation["ms"], abs=1)
        await page.get_by_role("button", name="Copy").click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        shown = await said(page, "assistant").evaluate("(words) => words.firstChild.textContent")
        assert copied == shown != ""


# options


async def test_the_options_are_kept_for_the_next_time(opened: Open) -> None:
    async with opened(60.0) as page:
        await talk(page)
        await in_state(page, "listening")
        await page.get_by_role("button", name="Talk options").click()
        dialog = page.get_by_role("dialog", name="Talk options")
        await expect(dialog.get_by_label("Microphone", exact=True).locator("option")).not_to_have_count(1)
        await dialog.get_by_text("Hold to talk").click()
        await dialog.get_by_label("Volume of the voice").fill("0.5")
        await dialog.get_by_role("button", name="Done").click()
        await in_state(page, "ready")
        await page.reload()
        await expect(page.locator("#state")).to_have_text("Hold to talk")
        await page.get_by_role("button", name="Talk options").click()
        await expect(dialog.get_by_label("Volume of the voice")).to_have_value("0.5")


async def test_what_an_older_page_has_kept_breaks_nothing(opened: Open) -> None:
    chosen = {"talking": "shouting", "volume": "loud", "captions": "full", "unknown": 1}
    async with opened(30.0, chosen=chosen) as page:
        await expect(page.locator("#state")).to_have_text("Press and speak")
        await write(page, "Say exactly good morning.")
        await expect(page.locator("[data-mode=full]")).to_have_count(1)
        await answered(page)
