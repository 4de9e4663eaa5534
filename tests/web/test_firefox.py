"""The page in Firefox, driven by WebDriver BiDi: what it plays is played, and what it hears is a recording."""

import json
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.streams.text import TextReceiveStream
from websockets.asyncio.client import ClientConnection, connect

from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime
from vivavoce.web.app import Web
from vivavoce.web.security.tls import open_tls
from vivavoce.web.server import listen, serving

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
RECORDINGS = Path(__file__).parent.parent / "recordings"
SECONDS = 90
"""patience, for machines with much else to do"""
PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "media.cubeb.force_mock_context": True,  # without a loudspeaker Firefox would wait for one
    "media.cubeb.sandbox": False,
    "toolkit.telemetry.enabled": False,
}
MICROPHONE = """() => {
    if (!navigator.mediaDevices) return; // of the empty page before ours
    navigator.mediaDevices.getUserMedia = async () => {
        const context = new AudioContext(), bytes = Uint8Array.from(atob("%s"), (one) => one.charCodeAt(0));
        const buffer = await context.decodeAudioData(bytes.buffer);
        const heard = new AudioBufferSourceNode(context, { buffer });
        const microphone = context.createMediaStreamDestination();
        heard.connect(microphone);
        heard.start(context.currentTime + 1.5);
        return microphone.stream;
    };
}"""
UNTIL = """new Promise((done) => {
    const look = () => (%s) && done(true);
    const all = { attributes: true, characterData: true, childList: true, subtree: true };
    new MutationObserver(look).observe(document, all);
    look();
})"""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real_time,
    pytest.mark.browser,
    pytest.mark.skipif(FIREFOX is None, reason="Firefox is not installed: apt-get install firefox-esr"),
]


@dataclass
class FirefoxPage:
    """A tab, by WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/)."""

    socket: ClientConnection
    context: str = ""
    errors: list[str] = field(default_factory=list)
    _ids: "count[int]" = field(default_factory=count)

    async def command(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._ids)
        await self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := json.loads(await self.socket.recv())).get("id") != number:
            if message.get("params", {}).get("level") == "error":
                self.errors.append(str(message["params"]["text"]))
        assert message["type"] == "success", message
        result: dict[str, Any] = message["result"]
        return result

    async def evaluate(self, expression: str) -> Any:
        """Evaluate as if somebody had pressed something just now, and wait for a promise."""
        result = await self.command(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then(JSON.stringify)",
            target={"context": self.context},
            awaitPromise=True,
            userActivation=True,
        )
        assert result["type"] == "success", result
        return json.loads(result["result"].get("value", "null"))

    async def until(self, condition: str) -> None:
        """Wait until an expression is true of the document."""
        with anyio.fail_after(SECONDS):
            await self.evaluate(UNTIL % condition)

    async def in_state(self, state: str) -> None:
        await self.until(f"document.body.dataset.state === '{state}'")

    async def press(self, selector: str) -> None:
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


@asynccontextmanager
async def firefox(url: str, recording: str = "weather") -> AsyncIterator[FirefoxPage]:
    """Open a page in Firefox, which takes any certificate; nothing may go wrong in it."""
    wav = b64encode((RECORDINGS / f"{recording}.wav").read_bytes()).decode()
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        await anyio.Path(profile, "user.js").write_text("\n".join(lines))
        options = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        async with await anyio.open_process([str(FIREFOX), *options], stdout=subprocess.DEVNULL) as browser:
            assert browser.stderr
            printed = ""
            with anyio.fail_after(SECONDS):
                async for text in TextReceiveStream(browser.stderr, errors="replace"):
                    printed += text
                    if found := re.search(r"BiDi listening on (ws://\S+)\n", printed):
                        break
            assert found, printed
            async with connect(f"{found[1]}/session", max_size=None) as socket:
                page = FirefoxPage(socket)
                await page.command("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
                await page.command("session.subscribe", events=["log.entryAdded"])
                await page.command("script.addPreloadScript", functionDeclaration=MICROPHONE % wav)
                page.context = (await page.command("browsingContext.getTree"))["contexts"][0]["context"]
                await page.command("browsingContext.navigate", context=page.context, url=url, wait="complete")
                yield page
                await page.command("browser.close")
        assert page.errors == []


@asynccontextmanager
async def a_site(**settings: object) -> AsyncIterator[tuple[str, Web]]:
    runtime = Runtime(Config.model_validate({**PRESETS["scripted"], **settings}))
    await runtime.open()
    tls = await anyio.to_thread.run_sync(open_tls, runtime.config.server)
    web = Web(runtime, tls=tls)
    async with serving(web, listen("127.0.0.1", 0)) as url:
        yield url, web
    await runtime.close()


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
async def test_firefox_hears_a_question_and_answers_aloud_with_captions_of_both_sides(transport: str) -> None:
    async with a_site() as (url, _), firefox(url) as page:
        chosen = json.dumps(json.dumps({"transport": transport}))
        await page.evaluate(f"localStorage.setItem('vivavoce settings', {chosen})")
        await page.command("browsingContext.reload", context=page.context, wait="complete")
        await page.until("document.querySelector('#about').textContent.includes('You talk with a script')")
        await page.press("#orb")
        await page.in_state("listening")
        await page.until("document.querySelector('#turns li.user')?.textContent.includes('I said something')")
        await page.until("document.querySelector('#turns li.assistant')?.textContent.length > 20")
        await page.in_state("speaking")
        await page.until("window.vivavoce.peak > 0.01")
        await page.press("#orb")  # which stops the voice
        await page.in_state("listening")
        stats = await page.evaluate("window.vivavoce")
        assert stats["playedMs"] > 0
        assert stats["peak"] > 0.01
        assert stats["framesSent"] > 50


async def test_firefox_signs_in_over_https_by_the_code_in_its_address(tmp_path: Path) -> None:
    server = {"https": True, "data": tmp_path}
    async with a_site(keys="sesame", server=server) as (url, web):
        port = int(url.rpartition(":")[2])
        code = (await web.sign_in.issue(port)).code
        async with firefox(f"{url}/#code={code}") as page:
            await page.until("document.querySelector('#about').textContent.includes('You talk with a script')")
            assert await page.evaluate("[isSecureContext, location.hash, document.cookie]") == [True, "", ""]
            await page.press("#orb")
            await page.in_state("listening")
