"""Measures the page in Chromium, with a recording as its microphone and a scripted server: `make measure-page`.

Prints what the page adds to the time of the server, how soon it is silent when it is interrupted, its frames
per second, and by how much its memory grows; each beside its limit. The exit code is 1 if a limit is exceeded.
Other work on the machine makes the figures worse: the load is printed first.
"""

import argparse
import itertools
import os
import sys
import tempfile
from array import array
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from playwright.async_api import CDPSession, Page, expect

from vivavoce.config.schema import PRESETS, Config
from vivavoce.protocol import events as e
from vivavoce.runtime import Runtime
from vivavoce.session.call import Caller
from vivavoce.session.middleware import Listener, ObservedEvent
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from web.browser import TRANSCRIBER, browsing, in_state, microphone, said, talk, write

ADDED_MS, SILENT_MS, SMOOTH_FPS, GROWN_MB = 120, 250, 60, 20
"""the limits"""
LOUD, AUDIBLE = 0.01, 0.002
"""levels (RMS of 20 ms, full scale is 1) of somebody who speaks, and of a voice that is heard"""
TURN_SECONDS = 12
"""of a question and its answer: so an hour has 300 turns"""
PATIENCE = 120

WATCH = """(audible) => {
    const heard = (window.heard = { input: [], output: [], frames: [], latency: 0 });
    const Node = window.AudioWorkletNode, connect = AudioNode.prototype.connect;
    const now = () => performance.timeOrigin + performance.now();
    let last, microphone;
    AudioNode.prototype.connect = function (target, ...rest) {
        if (target instanceof AudioDestinationNode) last = this;
        return connect.call(this, target, ...rest);
    };
    const listen = (node, list) => node.port.addEventListener("message", ({ data: { frame, level } }) => {
        const samples = [...new Int16Array(frame)];
        const first = samples.findIndex((sample) => Math.abs(sample) > 32768 * audible);
        const final = samples.findLastIndex((sample) => Math.abs(sample) > 32768 * audible);
        const at = now() - samples.length / 24;
        list.push([at, level, at + first / 24, at + final / 24]);
        heard.latency = node.context.outputLatency * 1000;
    });
    window.AudioWorkletNode = class extends Node {
        constructor(context, name, options) {
            super(context, name, options);
            if (name === "capture" && !microphone) listen((microphone = this), heard.input);
            if (name !== "playback") return;
            const ear = new Node(context, "capture", { numberOfOutputs: 0 });
            listen(ear, heard.output);
            ear.port.start();
            last.connect(ear);
        }
    };
    const tick = (time) => (heard.frames.push(performance.timeOrigin + time), requestAnimationFrame(tick));
    requestAnimationFrame(tick);
}"""

WATCH_STATES = """() => {
    window.turned = [];
    const note = () => turned.push([document.body.dataset.state, performance.timeOrigin + performance.now()]);
    new MutationObserver(note).observe(document.body, { attributes: true, attributeFilter: ["data-state"] });
}"""


@dataclass
class ServerTimes:
    """The server's own figures: milliseconds from the last loud input to the first loud output."""

    figures: list[float] = field(default_factory=list)

    def listen(self, caller: Caller) -> Listener:
        """Called once per conversation; what it returns is called with every event of it."""
        spoke: float | None = None

        def on_event(observed: ObservedEvent) -> None:
            nonlocal spoke
            match observed.event:
                case e.InputAudioBufferAppend(audio=audio) if level(audio) > LOUD:
                    spoke = observed.at
                case e.ResponseOutputAudioDelta(delta=audio) if spoke is not None and level(audio) > AUDIBLE:
                    self.figures.append(1000 * (observed.at - spoke))
                    spoke = None

        return on_event


def level(audio: bytes) -> float:
    """Return the RMS of PCM16, of which full scale is 1."""
    samples = array("h", audio)
    return float((sum(sample * sample for sample in samples) / max(1, len(samples))) ** 0.5 / 32768)


@dataclass
class Report:
    """What is printed, and whether all of it is within its limits."""

    good: bool = True

    def row(self, what: str, value: float, unit: str, limit: float, *, least: bool = False) -> None:
        """Print a figure beside its limit, which is the least or the most that it may be."""
        good = value >= limit if least else value <= limit
        self.good &= good
        word = "at least" if least else "at most"
        print(f"{what:<58}{value:8.1f} {unit:<4} ({word} {limit:g}){'' if good else '  EXCEEDED'}", flush=True)


@asynccontextmanager
async def opened(
    heard: Iterable[float | str], chosen: dict[str, str], times: ServerTimes, **tables: object
) -> AsyncIterator[Page]:
    """Open the page with these choices, at a server whose answers are scripted."""
    config = Config.model_validate({**PRESETS["scripted"], "transcriber": TRANSCRIBER, **tables})
    runtime = Runtime(config, listeners=[times.listen])
    await runtime.open()
    with tempfile.TemporaryDirectory() as folder:
        flags = microphone(Path(folder) / "mic.wav", *heard)
        async with serving(Web(runtime), listen("127.0.0.1", 0)) as url, browsing(url, flags) as page:
            kept = "([name, value]) => localStorage.setItem(name, JSON.stringify(value))"
            await page.evaluate(kept, ["vivavoce settings", chosen])
            await page.reload()
            await page.evaluate(WATCH, AUDIBLE)
            yield page
    await runtime.close()


async def until_answered(page: Page, turns: int) -> None:
    """Wait until this many answers were played or cut off."""
    await expect(page.get_by_role("button", name="Play again")).to_have_count(turns, timeout=1000 * PATIENCE)
    await in_state(page, "listening")


async def measure_response(report: Report, chosen: dict[str, str], turns: int = 5) -> None:
    """Ask several times; compare when the page sounds with when the server has answered."""
    times = ServerTimes()
    heard = [2.0, *itertools.chain.from_iterable(["weather", 7.0] for _ in range(turns)), 60.0]
    async with opened(heard, chosen, times) as page:
        await talk(page)
        await until_answered(page, turns)
        found = await page.evaluate("window.heard")
    page_ms = []
    for started, _, first, _ in starts(found["output"]):
        spoke = max(at + 20 for at, loud, *_ in found["input"] if loud > LOUD and at < started)
        page_ms.append(first - spoke)
    if len(page_ms) != turns or len(times.figures) != turns:
        raise SystemExit(f"{turns} questions had {len(page_ms)} answers, {len(times.figures)} of the server")
    added = [heard - server for heard, server in zip(page_ms, times.figures, strict=True)]
    print(f"end of speech to the first audible sample: {median(page_ms):.0f} ms, in the page", end="; ")
    print(f"the device's output adds {found['latency']:.0f} ms")
    print(f"the server's own figure: {median(times.figures):.0f} ms; added: {[round(ms) for ms in added]}")
    report.row("the page adds, median", median(added), "ms", ADDED_MS)


def starts(output: list[list[float]]) -> list[list[float]]:
    """Return the frames in which the voice begins, after half a second without it."""
    audible = [frame for frame in output if frame[1] > AUDIBLE]
    return [frame for before, frame in itertools.pairwise([[0.0], *audible]) if frame[0] - before[0] > 500]


async def measure_interruption(report: Report, chosen: dict[str, str], turns: int = 4) -> None:
    """Speak over the answer several times; see when it is quieter, and when it is silent.

    Until the server is sure of it, by words or by 352 ms of sound, the voice pauses, as a cough is to stop
    nothing; by WebRTC, where what was sent cannot be held back, it is only quieter.
    """
    heard = [2.0, *itertools.chain.from_iterable(["weather", 5.0] for _ in range(turns + 1)), 60.0]
    words = {"provider": "scripted", "text": "Answer at length."}
    async with opened(heard, chosen, ServerTimes(), transcriber=words) as page:
        await page.evaluate(WATCH_STATES)
        await talk(page)
        await expect(page.locator("del")).to_have_count(turns, timeout=1000 * PATIENCE)
        found, turned = await page.evaluate("[window.heard, window.turned]")
    quieter, silent, after = [], [], []
    for (before, _), (state, at) in itertools.pairwise(turned):
        if (before, state) == ("speaking", "hearing"):
            spoke = min(frame[0] for frame in found["input"] if frame[1] > LOUD and at - 1000 < frame[0] < at)
            voice = [frame for frame in found["output"] if frame[1] > AUDIBLE and frame[0] < at + 700]
            usual = median(loud for began, loud, *_ in voice if spoke - 1500 < began < spoke)
            quieter.append(max(began for began, loud, *_ in voice if loud > 0.4 * usual) + 20 - spoke)
            silent.append(voice[-1][3] - spoke)
            after.append(voice[-1][3] - at)
    if len(silent) != turns:
        raise SystemExit(f"{turns} interruptions were {len(silent)}")
    print("from speech over the answer until the voice is quieter:", [round(ms) for ms in quieter], end=", ")
    print("silent:", [round(ms) for ms in silent])
    if chosen.get("transport") == "webrtc":
        report.row("quieter when somebody speaks over it, median", median(quieter), "ms", SILENT_MS)
    else:
        report.row("silent when somebody speaks over it, the worst", max(silent), "ms", SILENT_MS)
    report.row("silent after the server is sure, the worst", max(after), "ms", SILENT_MS)


async def measure_frames(report: Report, chosen: dict[str, str]) -> None:
    """Count the frames of the page while both sides sound."""
    both = {**chosen, "interrupting": "off"}
    async with opened([2.0, "brooklyn", 1.5, "jfk", 60.0], both, ServerTimes()) as page:
        await talk(page)
        await in_state(page, "speaking")
        await page.locator("body:not([data-state=speaking])").wait_for(timeout=1000 * PATIENCE)
        found = await page.evaluate("window.heard")
    report.row(
        "frames per second while both sides sound", frames_per_second(found), "", SMOOTH_FPS - 1, least=True
    )


def frames_per_second(found: dict[str, Any]) -> float:
    """Return the frames per second between the first and the last moment at which both sides sound."""
    spoke = [at for at, loud, *_ in found["input"] if loud > LOUD]
    sounded = [at for at, loud, *_ in found["output"] if loud > AUDIBLE]
    over = [at for at in spoke if min(sounded) < at < max(sounded)]
    frames = [at for at in found["frames"] if min(over) <= at <= max(over)]
    return 1000 * (len(frames) - 1) / (frames[-1] - frames[0])


async def measure_memory(report: Report, chosen: dict[str, str], turns: int) -> None:
    """Write and interrupt many times, with answers of ten seconds that come at once; see what stays."""
    fast = {
        "limits": {"audio_ahead_seconds": 60, "responses_per_minute": 10_000},
        "chat": {"provider": "scripted", "first_token_ms": 0, "tokens_per_second": 0},
        "synthesizer": {"provider": "scripted", "delay_ms": 0},
    }
    async with opened([600.0], chosen, ServerTimes(), **fast) as page:
        cdp = await page.context.new_cdp_session(page)
        await talk(page)
        await in_state(page, "listening")
        sizes: list[tuple[float, float]] = []
        for turn in range(turns + 20):
            if turn in (20, 20 + turns // 2):
                sizes.append(await memory(page, cdp))
            await write(page, f"Answer in thirty words. {turn}")
            await expect(said(page, "user", turn)).to_be_attached()
            await expect(page.locator("#turns li.assistant:last-child .words")).to_contain_text("You said")
            await in_state(page, "speaking")  # an answer of which nothing was heard would be deleted
        sizes.append(await memory(page, cdp))
        await in_state(page, "speaking")
        before = len(await page.evaluate("window.heard.frames"))
        began = anyio.current_time()
        await page.wait_for_timeout(3000)
        drawn = len(await page.evaluate("window.heard.frames")) - before
        smooth = drawn / (anyio.current_time() - began)
    hours = turns * TURN_SECONDS / 3600
    print(
        f"JS heap and buffers in MB, of {turns} turns: "
        + "; ".join(f"{js:.1f} + {raw:.1f}" for js, raw in sizes)
    )
    (js_first, raw_first), *_, (js_last, raw_last) = sizes
    report.row("growth of the JS heap in an hour", (js_last - js_first) / hours, "MB", GROWN_MB)
    report.row(
        "growth of JS heap and buffers in an hour",
        (js_last + raw_last - js_first - raw_first) / hours,
        "MB",
        GROWN_MB,
    )
    report.row(f"frames per second after {turns} turns", smooth, "", SMOOTH_FPS - 1, least=True)


async def memory(page: Page, cdp: CDPSession) -> tuple[float, float]:
    """Return the megabytes of the JS heap and of buffers beside it, without what can be freed."""
    await page.evaluate("for (const list of [heard.input, heard.output, heard.frames]) list.length = 0")  # ours
    for _ in range(3):
        await cdp.send("HeapProfiler.collectGarbage")
    usage = await cdp.send("Runtime.getHeapUsage")
    return usage["usedSize"] / 1e6, usage.get("backingStorageSize", 0) / 1e6


async def measure(transport: str, turns: int) -> bool:
    """Measure all; return whether all is within its limits."""
    report, chosen = Report(), {"transport": transport}
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {transport}", flush=True)
    await measure_response(report, chosen)
    await measure_interruption(report, chosen)
    await measure_frames(report, chosen)
    if turns:
        await measure_memory(report, chosen, turns)
    return report.good


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--transport", choices=["websocket", "webrtc"], default="websocket")
    options.add_argument("--turns", type=int, default=300, help="of the long conversation; 0 leaves it out")
    chosen = options.parse_args()
    sys.exit(not anyio.run(measure, chosen.transport, chosen.turns))


if __name__ == "__main__":
    main()
