"""The samples of the page about recordings do what it says."""

from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest
from playwright.async_api import async_playwright

from samples.audio_socket import converse
from samples.voice_chat import ask
from web.browser import CHROMIUM, microphone
from web.connecting import Site
from web.test_voice_chat import SPOKEN, answering, hearing, seconds_of

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SAMPLE = (Path(__file__).parents[1] / "samples/voice_chat.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("sample", [ask, converse])
async def test_recorded_questions_are_asked_from_python(
    site: Site, sample: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = [tmp_path / "first.wav", tmp_path / "second.wav"]
    for recording in recordings:
        recording.write_bytes(SPOKEN)
    async with site(answering("Hello, Ada.", "You are Ada.")) as url:
        address = url if sample is ask else url.replace("http", "ws")
        await anyio.to_thread.run_sync(partial(sample, recordings, address))  # type: ignore[arg-type]
    assert [line.startswith("You: Is it late?") for line in capsys.readouterr().out.splitlines()] == [
        True,
        True,
    ]
    assert all(seconds_of(one.with_suffix(".answer.mp3").read_bytes()) > 0.5 for one in recordings)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
async def test_a_page_records_asks_and_plays(site: Site, tmp_path: Path) -> None:
    flags = microphone(tmp_path / "mic.wav", "brooklyn")
    async with site(hearing("How old is it?")) as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = await browser.new_context(bypass_csp=True, permissions=["microphone"])
        page = await context.new_page()
        await page.goto(url)
        await page.add_script_tag(content=SAMPLE)
        found = await page.evaluate(
            """async () => {
                const { recording, stop } = await record();
                setTimeout(stop, 2000);
                const file = await recording;
                const answer = await ask(file);
                await show(answer);
                const again = await ask(file);
                return { type: file.type, question: answer.question, bytes: answer.sound.size,
                         played: document.querySelector('audio').duration > 0, again: again.answer };
            }"""
        )
        cookies = await context.cookies()
        await browser.close()
    assert found["type"].startswith("audio/webm")
    assert (found["question"], found["played"]) == ("How old is it?", True)
    assert found["bytes"] > 1000
    assert [(one["name"], one["httpOnly"], one["sameSite"]) for one in cookies] == [
        ("viva_conversation", True, "Strict")
    ]
