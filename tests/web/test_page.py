"""The page in a real browser: a recording is its microphone, a real server the other end."""

import re
from pathlib import Path

import anyio
import pytest
from playwright.async_api import WebSocketRoute, expect

from clients.serving import doomed, reserved_port
from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime
from vivavoce.tools.function import tool
from vivavoce.tools.types import Assistant, Card
from web.browser import (
    PATIENCE,
    Open,
    a_runtime,
    browsing,
    in_state,
    interrupt_by_voice,
    microphone,
    said,
    seen,
    talk,
    truncated,
    write,
)

TRUNCATE = "conversation.item.truncate"
SLOW_TO_CLEAR = """() => {
    const post = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (message, ...rest) {
        setTimeout(() => post.call(this, message, ...rest), message.clear ? 300 : 0);
    };
}"""

PAUSE = """async () => {
    const context = new AudioContext(), heard = [], wait = (ms) => new Promise((done) => setTimeout(done, ms));
    await context.audioWorklet.addModule(new URL("static/worklet.js", document.baseURI));
    const node = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [2] });
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    node.connect(capture);
    capture.port.onmessage = ({ data }) => heard.push(...new Int16Array(data.frame));
    node.port.postMessage({ item: "a", samples: new Int16Array(24_000).fill(16_384) });
    node.port.postMessage({ finish: "a" });
    await wait(400);
    node.port.postMessage({ hold: true });
    await wait(600);
    node.port.postMessage({ hold: false });
    await wait(1200);
    const sounds = heard.map((sample) => Math.abs(sample) > 100);
    const within = sounds.slice(sounds.indexOf(true), sounds.lastIndexOf(true) + 1);
    return [within.filter(Boolean).length / 24, within.filter((sound) => !sound).length / 24];
}"""
SLOW_MICROPHONE = """() => {
    const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
    const allowed = new Promise((resolve) => (window.allow = resolve));
    media.getUserMedia = async (wish) => (await allowed, (window.stream = await open(wish)));
}"""
IMPATIENT = "() => { const wait = window.setTimeout; window.setTimeout = (done, ms) => wait(done, ms / 100); }"
COLOUR = "getComputedStyle(document.body).getPropertyValue('--hue')"
CLOSED = "window.stream?.getTracks().every((track) => track.readyState === 'ended')"

WITHOUT_LIVE_SOUND = "() => Object.defineProperty(BaseAudioContext.prototype, 'audioWorklet', { value: null })"

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]


@tool
def order_status(order_id: str) -> tuple[str, Card]:
    """Say where an order is: "where is my order?"."""
    table = f"| order | state |\n| --- | --- |\n| {order_id} | on its way |"
    card = Card(title="Your order", markdown=f"{table}\n\n<script>window.harm = 1</script>")
    return "It is on its way.", card


def a_desk() -> Runtime:
    workshop = Assistant("You repair things.", name="the workshop", greeting="The workshop, good morning.")
    desk = Assistant(
        "You answer for a shop.", tools=[order_status], greeting="Good morning.", hand_over=[workshop]
    )
    return Runtime(Config.model_validate(PRESETS["scripted"]), assistant=desk)


async def test_a_question_is_heard_and_answered_aloud_with_captions_of_both_sides(opened: Open) -> None:
    async with opened(1.5, "weather", 20.0) as page:
        status = page.get_by_role("status")
        await talk(page)
        await in_state(page, "listening")
        await expect(status).to_have_text("Listening")
        await expect(status).to_have_attribute("aria-live", "polite")
        await in_state(page, "speaking")
        await expect(status).to_have_text("Speaking")
        await expect(status).to_have_attribute("aria-live", "off")  # it does not speak over a voice
        await expect(said(page, "user")).to_have_text("Answer in ten words.")
        await in_state(page, "listening")
        await expect(said(page, "assistant")).to_have_text(re.compile(r"(\S+ ){9}\S+"))
        told = await seen(page)
        assert told["playedMs"] > 100
        assert told["peak"] > 0.01
        assert told["truncations"] == []


async def test_an_interruption_stops_the_voice_and_strikes_out_what_was_not_heard(opened: Open) -> None:
    async with opened(1.5, "brooklyn", 4.0, "weather", 20.0) as page:
        await interrupt_by_voice(page)


async def test_a_pause_until_it_is_clear_whether_somebody_interrupts_loses_nothing(opened: Open) -> None:
    async with opened(60.0) as page:
        await page.locator("body").click()  # a browser plays nothing before
        sounding, silent = await page.evaluate(PAUSE)
        assert sounding == pytest.approx(1000, abs=30), "all of the second is heard"
        assert silent > 400, "with a pause in it"


async def test_the_server_is_told_what_was_heard(opened: Open) -> None:
    async with opened(1.5, "brooklyn", 20.0) as page:
        sent: list[str] = []
        async with page.expect_websocket() as dialled:
            await talk(page)
        line = await dialled.value
        line.on("framesent", lambda frame: sent.append(str(frame)))
        await in_state(page, "speaking")
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        async with line.expect_event("framesent", lambda frame: TRUNCATE in str(frame)):
            await page.keyboard.press("Escape")
        await in_state(page, "listening")
        truncation = await truncated(page)
        (truncate,) = [frame for frame in sent if TRUNCATE in frame]
        assert f'"audio_end_ms":{truncation["ms"]}' in truncate
        assert any("response.cancel" in frame for frame in sent)


async def test_a_voice_that_is_slow_to_fall_silent_is_not_taken_for_speaking(opened: Open) -> None:
    async with opened(1.5, "brooklyn", 20.0) as page:
        await page.evaluate(SLOW_TO_CLEAR)
        await talk(page)
        await in_state(page, "speaking")
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        await page.keyboard.press("Escape")
        await in_state(page, "listening")
        while not (await seen(page))["truncations"]:
            await in_state(page, "listening")
        await in_state(page, "listening")


async def test_whoever_has_no_microphone_is_told_so_and_writes(opened: Open) -> None:
    async with opened(refused=True) as page:
        await talk(page)
        await in_state(page, "error")
        await expect(page.get_by_role("alert")).to_contain_text("microphone")
        await write(page, "Say exactly good morning.")
        await expect(said(page, "user")).to_have_text("Say exactly good morning.")
        await in_state(page, "speaking")
        await expect(page.locator("#hint")).to_have_text("Press the square, or Esc, to stop.")
        await in_state(page, "ready")
        await expect(said(page, "assistant")).to_have_text(re.compile("good morning", re.IGNORECASE))
        assert (await seen(page))["playedMs"] > 500


async def test_who_has_a_browser_without_live_sound_reads_the_answer(opened: Open) -> None:
    async with opened(30.0) as page:
        await page.evaluate(WITHOUT_LIVE_SOUND)
        await write(page, "Say exactly good morning.")
        await expect(said(page, "assistant")).to_have_text(re.compile("good morning", re.IGNORECASE))
        await in_state(page, "ready")
        await expect(page.get_by_role("alert")).to_contain_text("over https")


async def test_writing_while_the_voice_sounds_stops_it_and_is_answered(opened: Open) -> None:
    async with opened(30.0) as page:
        await write(page, "Tell me a story.")
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        await write(page, "Say exactly enough.")
        await expect(said(page, "assistant", 1)).to_have_text(re.compile("enough", re.IGNORECASE))
        assert len((await seen(page))["truncations"]) == 1


async def test_what_is_written_while_the_voice_is_slow_to_fall_silent_is_answered(opened: Open) -> None:
    async with opened(30.0) as page:
        await page.evaluate(SLOW_TO_CLEAR)
        await write(page, "Tell me a story.")
        await expect(said(page, "assistant")).to_contain_text("lighthouse")
        await write(page, "Say exactly enough.")
        await expect(said(page, "assistant", 1)).to_have_text(re.compile("enough", re.IGNORECASE))


async def test_a_muted_microphone_is_not_heard(opened: Open) -> None:
    async with opened(4.0, "brooklyn", 20.0) as page:
        await talk(page)
        await in_state(page, "listening")
        await page.keyboard.press("Tab")
        await page.get_by_role("button", name="Mute", exact=True).click()
        await in_state(page, "muted")
        mute = page.get_by_role("button", name="Unmute", exact=True)
        await expect(mute).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_role("status")).to_have_text("Muted")
        frames = (await seen(page))["framesSent"]
        while (await seen(page))["framesSent"] < frames + 350:  # seven seconds, in which the question is asked
            await in_state(page, "muted")
        await expect(said(page, "user")).to_have_count(0)


async def test_the_keys_work_after_the_circle_was_pressed(opened: Open) -> None:
    async with opened(30.0) as page:
        await talk(page)
        await in_state(page, "listening")
        for expected in ("muted", "listening"):
            await page.keyboard.press("Space")
            await in_state(page, expected)
        await page.get_by_role("button", name="Mute", exact=True).click()
        await page.keyboard.press("/")
        await expect(page.get_by_label("Write instead of speaking")).to_be_focused()
        await page.keyboard.type("a / b")
        await expect(page.get_by_label("Write instead of speaking")).to_have_value("a / b")
        await in_state(page, "muted")


async def test_the_words_of_the_caller_show_while_they_are_spoken(opened: Open) -> None:
    transcriber = {"provider": "scripted", "text": "And so, my fellow Americans, ask not."}
    # his pauses end no turn: before the first one a slow machine has no time for the two partial transcripts
    # that have to agree, and between two looks of this test at the page a turn may be over
    session = {"turn_detection": {"type": "server_vad", "silence_duration_ms": 5000}}
    tables = {**PRESETS["scripted"], "transcriber": transcriber, "session": session}
    runtime = Runtime(Config.model_validate(tables))
    await runtime.open()
    async with opened(1.0, "jfk", 20.0, runtime=runtime) as page:
        await talk(page)
        await in_state(page, "hearing")
        await expect(said(page, "user")).to_have_text(re.compile("…|And so"))
        await expect(page.locator("[data-state=hearing] li.user:last-child")).to_contain_text("And so")


async def test_what_was_said_outlasts_a_server_that_is_lost_and_a_reload(opened: Open) -> None:
    async with opened(60.0) as page:
        lines: list[WebSocketRoute] = []

        async def listen_in(line: WebSocketRoute) -> None:
            lines.append(line)
            if len(lines) == 1:
                line.connect_to_server()
            else:
                await line.close(code=1011)

        await page.route_web_socket("**/v1/realtime?*", listen_in)
        await write(page, "My code word is marmalade.")
        await in_state(page, "speaking")
        await in_state(page, "ready")
        healthy = await page.evaluate(COLOUR)
        await page.evaluate(IMPATIENT)
        await lines[0].close(code=1001)
        await in_state(page, "error")
        assert await page.evaluate(COLOUR) != healthy
        await expect(said(page, "user")).to_have_text("My code word is marmalade.")
        lines.clear()
        await write(page, "What is my code word?")
        await expect(said(page, "assistant", 1)).to_have_text(re.compile("marmalade"))
        await in_state(page, "ready")
        lines.clear()
        await page.reload()
        await expect(page.locator("#state")).to_have_text("Press and go on")
        await expect(page.locator("#turns li")).to_have_count(4)
        await write(page, "What is my code word?")
        await expect(said(page, "assistant", 2)).to_have_text(re.compile("marmalade"))
        await page.get_by_role("button", name="End", exact=True).click()
        await in_state(page, "idle")
        await page.reload()
        await expect(page.locator("#state")).to_have_text("Press and speak")
        await expect(page.locator("#turns li")).to_have_count(0)


async def test_a_line_that_drops_is_called_again_and_told_what_was_said(opened: Open) -> None:
    async with opened(60.0) as page:
        lines: list[WebSocketRoute] = []

        async def listen_in(line: WebSocketRoute) -> None:
            lines.append(line)
            line.connect_to_server()

        await page.route_web_socket("**/v1/realtime?*", listen_in)
        await write(page, "My code word is marmalade.")
        await in_state(page, "speaking")
        await in_state(page, "ready")
        await write(page, "Tell me a story.")
        await in_state(page, "speaking")
        for times, line in enumerate(("first", "second"), 1):
            await lines[-1].close(code=3000, reason=f"the {line} line dropped")
            await expect(page.get_by_text("The line is back.")).to_have_count(times)
            await in_state(page, "ready")
        await write(page, "What is my code word?")
        await expect(page.locator("#turns li.assistant .words").last).to_have_text(re.compile("marmalade"))
        assert len(lines) == 3


async def test_the_page_says_who_answers_and_ends_when_told(opened: Open) -> None:
    async with opened(30.0) as page:
        await expect(page.locator("#about")).to_contain_text("You talk with a script")
        await talk(page)
        await in_state(page, "listening")
        await page.get_by_role("button", name="End", exact=True).click()
        await in_state(page, "idle")
        await talk(page)
        await in_state(page, "listening")


async def test_whoever_ends_before_the_microphone_is_open_is_not_heard(opened: Open) -> None:
    async with opened(30.0) as page:
        await page.evaluate(SLOW_MICROPHONE)
        await talk(page)
        await in_state(page, "asking")
        await page.get_by_role("button", name="End", exact=True).click()
        await in_state(page, "idle")
        await page.evaluate("window.allow()")
        with anyio.fail_after(PATIENCE):
            while not await page.evaluate(CLOSED):
                await in_state(page, "idle")
        await in_state(page, "idle")


async def test_whoever_comes_while_the_models_load_waits_for_them(opened: Open) -> None:
    runtime = a_runtime()
    async with opened(60.0, runtime=runtime) as page:
        await talk(page)
        await expect(page.locator("#state")).to_have_text("The models are loading")
        await runtime.open()
        await in_state(page, "listening")


@pytest.mark.models
async def test_a_real_question_is_answered_by_the_offline_models(offline: str, tmp_path: Path) -> None:
    flags = microphone(tmp_path / "mic.wav", 1.5, "brooklyn", 40.0)
    async with browsing(offline.removesuffix("/v1"), flags) as page:
        await talk(page)
        await in_state(page, "speaking")
        await expect(said(page, "user")).to_have_text(re.compile("bridge", re.IGNORECASE))
        await in_state(page, "listening")
        await expect(said(page, "assistant")).to_have_text(re.compile("[a-z]{3}"))
        assert (await seen(page))["peak"] > 0.01


# tools, and whoever answers


async def test_a_tool_shows_a_card_while_the_voice_speaks(opened: Open) -> None:
    runtime = a_desk()
    await runtime.open()
    async with opened(60.0, runtime=runtime) as page:
        await write(page, "Order status: where is my order 1042?")
        card = page.locator("#turns li.card")
        await expect(card.locator("h2")).to_have_text("Your order")
        await expect(card.get_by_role("cell")).to_have_text(["1042", "on its way"])
        await expect(said(page, "assistant")).to_contain_text("It is on its way.")
        await expect(card).to_contain_text("<script>")
        assert await page.evaluate("window.harm") is None, "what could do harm is words"
        await in_state(page, "ready")


async def test_the_caller_is_greeted_and_sees_who_takes_over(opened: Open) -> None:
    runtime = a_desk()
    await runtime.open()
    async with opened(60.0, runtime=runtime) as page:
        await talk(page)
        await expect(said(page, "assistant")).to_have_text("Good morning.")
        await in_state(page, "listening")
        await write(page, "Transfer me to the workshop.")
        await expect(page.locator("#turns li.note")).to_have_text("You now talk with the workshop.")
        await expect(said(page, "assistant", 1)).to_have_text("The workshop, good morning.")


# a server that is killed


async def test_a_conversation_goes_on_after_its_server_was_killed_and_came_back(tmp_path: Path) -> None:
    options = ("--preset", "scripted")
    with reserved_port() as port, doomed(*options, folder=tmp_path, port=port) as (url, server):
        async with browsing(url.removesuffix("/v1"), []) as page:
            dialled: list[str] = []
            page.on("websocket", lambda line: dialled.append(line.url))
            await write(page, "My code word is marmalade.")
            await in_state(page, "speaking")
            await in_state(page, "ready")
            server.kill()
            await in_state(page, "reconnecting")
            with doomed(*options, folder=tmp_path, port=port):
                await expect(page.get_by_text("The line is back.")).to_have_count(1)
                await write(page, "What is my code word?")
                await expect(page.locator("#turns li.assistant .words").last).to_have_text(
                    re.compile("marmalade")
                )
                await expect(page.locator("#turns li.user")).to_have_count(2)
                assert "conversation=sess_" in dialled[-1]
