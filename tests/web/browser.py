"""The page in a real browser, with a recording as its microphone and a real server at the other end."""

import re
import shutil
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
from playwright.async_api import Locator, Page, async_playwright, expect

from vivavoce.audio.resample import resample
from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RECORDINGS = Path(__file__).parent.parent / "recordings"
PATIENCE = 60
"""Seconds, for machines with much else to do; only a test that fails takes so long."""
QUESTION = "How old is the Brooklyn Bridge?"
TRANSCRIPTS = {"1.6": f"{QUESTION} Answer at length.", "1.0": "Answer in ten words."}
TRANSCRIBER = {"provider": "scripted", "transcripts": TRANSCRIPTS}


class Open(Protocol):
    """Opens the page, with a microphone that hears these silences (seconds) and recordings."""

    def __call__(
        self,
        *heard: float | str,
        runtime: Runtime | None = None,
        refused: bool = False,
        chosen: Mapping[str, object] | None = None,
    ) -> AbstractAsyncContextManager[Page]: ...


def a_runtime() -> Runtime:
    return Runtime(Config.model_validate({**PRESETS["scripted"], "transcriber": TRANSCRIBER}))


@asynccontextmanager
async def browsing(url: str, flags: list[str], *, harmless: str = "503") -> AsyncIterator[Page]:
    """Open the page of a server in a browser with these flags; nothing may go wrong, but for one status.

    A server that is killed may be missed as well.
    """
    expect.set_options(timeout=1000 * PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = await browser.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        await page.goto(url)
        yield page
        await browser.close()
    expected = re.compile(f"(a status of|response code:) {harmless}|ERR_CONNECTION_(REFUSED|RESET)")
    assert [line for line in wrong if not expected.search(line)] == []


def microphone(path: Path, *heard: float | str) -> list[str]:
    """Write what the microphone hears, at 48 kHz, and return the flags for a browser that hears it once."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        for part in heard:
            file.writeframes(_recording(part) if isinstance(part, str) else bytes(2 * round(part * 48_000)))
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}%noloop",
    ]


def _recording(name: str) -> bytes:
    with wave.open(str(RECORDINGS / f"{name}.wav")) as file:
        return resample(file.readframes(file.getnframes()), file.getframerate(), 48_000)


async def talk(page: Page) -> None:
    await page.get_by_role("button", name="Talk", exact=True).click()


async def write(page: Page, text: str) -> None:
    box = page.get_by_label("Write instead of speaking")
    await box.fill(text)
    await box.press("Enter")


async def in_state(page: Page, state: str) -> None:
    await page.locator(f"body[data-state={state}]").wait_for()


async def seen(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate("window.vivavoce")
    return found


async def truncated(page: Page) -> dict[str, Any]:
    """Return the one truncation that the page has reported, once its worklet has told what was played."""
    with anyio.fail_after(PATIENCE):
        while not (truncations := (await seen(page))["truncations"]):
            await page.wait_for_timeout(20)
    (truncation,) = truncations
    return dict(truncation)


def said(page: Page, who: str, nth: int = 0) -> Locator:
    return page.locator(f"#turns li.{who} .words").nth(nth)


async def interrupt_by_voice(page: Page) -> None:
    """Talk with a microphone that hears a question and, over its answer, another; see what becomes of both."""
    await talk(page)
    await in_state(page, "speaking")
    await expect(said(page, "user", 1)).to_have_text("Answer in ten words.")
    truncation = await truncated(page)
    assert 500 < truncation["ms"] < 6000
    first = said(page, "assistant", 0)
    await expect(first).to_contain_text("There was once a lighthouse")
    await expect(first.locator("del")).to_have_count(1)
    await expect(said(page, "assistant", 1)).to_have_text(re.compile(r"\w+"))
