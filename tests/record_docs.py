"""Records the picture of the page and the output of commands in the documentation again: `make recordings`.

The offline models answer, a real `viva serve` serves the page, Chromium shows it. In the pages, the commands of
each block below `<!-- recorded -->` are run, and what they print takes the place of what they printed before.
"""

import os
import re
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import anyio
import httpx
from playwright.async_api import expect

from clients.serving import running
from refresh_samples import ROOT
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.audio.resample import resample
from web.browser import browsing, in_state, microphone, said, talk

QUESTION, ANSWER = "What is the capital of France?", "Paris"
PICTURE = ROOT / "docs/images/page.png"
SIZE = {"width": 1120, "height": 620}
BLOCK = re.compile(r"(<!-- recorded -->\n```console\n)(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)


def write(path: Path, *parts: bytes | float) -> None:
    """Write a recording: audio, and silences in seconds."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, OUTPUT_RATE, 0, "NONE", ""))
        for part in parts:
            file.writeframes(part if isinstance(part, bytes) else bytes(2 * round(part * OUTPUT_RATE)))


def spoken(url: str) -> bytes:
    request = {"model": "any", "voice": "any", "input": QUESTION, "response_format": "pcm"}
    return httpx.post(f"{url}/audio/speech", json=request, timeout=60).raise_for_status().content


def recorded(name: str) -> bytes:
    with wave.open(str(ROOT / f"tests/recordings/{name}.wav")) as file:
        return resample(file.readframes(file.getnframes()), file.getframerate(), OUTPUT_RATE)


async def take_picture(url: str, folder: Path) -> None:
    """Show the page in the middle of its second answer."""
    heard = microphone(folder / "mic.wav", 1.5, str(folder / "question"), 6.0, "weather", 30.0)
    async with browsing(url.removesuffix("/v1"), heard) as page:
        await page.set_viewport_size(SIZE)
        await talk(page)
        await expect(said(page, "assistant")).to_contain_text(ANSWER)
        await expect(said(page, "assistant", 1)).to_contain_text("weather")
        await in_state(page, "speaking")
        await expect(page.locator(".ahead")).to_have_text(re.compile("^(?!.*weather)"))  # that was played
        await page.screenshot(path=PICTURE)


def run(command: str, folder: Path) -> str:
    """Return what a command prints on a terminal."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "120"}
    done = subprocess.run(
        ["sh", "-c", command],  # the page's own command
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def main() -> None:
    os.environ["VIVAVOCE_DENOISER__PROVIDER"] = "none"  # as `make run` installs it
    os.environ["VIVAVOCE_SERVER__PORT"] = "1"  # where no server answers in place of these commands
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for link in ("tests", "README.md"):
            (folder / link).symlink_to(ROOT / link)
        with running(folder=folder) as url:
            question = spoken(url)
            write(folder / "question.wav", question)
            anyio.run(take_picture, url, folder)
        write(folder / "questions.wav", 1.0, question, 6.0, recorded("weather"), 1.0)
        write(folder / "twice.wav", 1.0, recorded("brooklyn"), 3.5, recorded("brooklyn"), 1.0)
        for page in sorted((ROOT / "docs").glob("*.md")):
            text = page.read_text(encoding="utf-8")
            for start, block in BLOCK.findall(text):
                commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
                shown = "".join(f"$ {command}\n{run(command, folder)}" for command in commands)
                assert ANSWER in shown or "question" not in block, (
                    f"a wrong answer is no advertisement:\n{shown}"
                )
                text = text.replace(start + block, start + shown)
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
