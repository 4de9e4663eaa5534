"""What the way in costs: the same sound through a bare WebSocket server, and through ours with a mute engine.

Each server runs in a process of its own, takes a frame of 20 ms from every caller fifty times a second, and for
each fifth gives 100 ms back. The bare one reads nothing and sends one prepared text; ours reads every event,
carries it down a line to an engine without models, and writes what comes back.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from time import process_time

import anyio
import uvicorn
from starlette.types import Receive, Scope, Send

from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.config.loading import load
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import encode
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT
from vivavoce.providers.base import FRAME_BYTES
from vivavoce.runtime import Runtime
from vivavoce.session.line import Line
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from vivavoce_bench.clips import FRAME_SECONDS, HUSHED
from vivavoce_bench.server import Called, Setup, called, listeners, started
from vivavoce_bench.wires import Wire

__all__ = ["BARE", "Way", "hearing_alone", "main", "measure"]

BARE = "bare uvicorn"
FRAMES_PER_ANSWER = 5
SOUND = bytes(2 * OUTPUT_RATE // 10)
SETTLING_SECONDS = 1.0

_DELTA = e.ResponseOutputAudioDelta(
    response_id="resp_0", item_id="item_0", output_index=0, content_index=0, delta=SOUND
)


@dataclass(frozen=True)
class Way:
    """What one way costs: CPU milliseconds of the server for each second of sound of one caller.

    `lag` is the latest, in seconds, that any frame was sent.
    """

    name: str
    conversations: int
    cpu_ms: float | None
    lag: float


Tell = Callable[[str], None]


async def measure(conversations: Sequence[int], seconds: float, tell: Tell) -> list[Way]:
    """Measure the ways one after another, each with so many callers at once for so many seconds."""
    scripted = Setup(preset="scripted")
    servers: list[tuple[str, Callable[[], AbstractAsyncContextManager[Called]]]] = [
        (BARE, partial(started, _command("bare"))),
        ("our transport", partial(started, _command("mute"))),
        ("viva serve", partial(called, scripted)),
    ]
    found = []
    for name, start in servers:
        async with start() as server:
            for callers in conversations:
                tell(f"{name}, {callers} at once")
                found.append(await _way(name, server, callers, seconds))
    return found


async def hearing_alone(seconds: float) -> float:
    """Return what resampling and voice activity detection alone take: CPU milliseconds a second of sound."""
    vad, _, _ = await listeners(Setup(preset="scripted"))
    detector, resampler, heard = vad.detector(), Resampler(OUTPUT_RATE, INPUT_RATE), b""
    frames = round(seconds / FRAME_SECONDS)
    began = process_time()
    for tick in range(frames):
        heard += resampler.push(HUSHED[tick % len(HUSHED)])
        while len(heard) >= FRAME_BYTES:
            detector.probability(heard[:FRAME_BYTES])
            heard = heard[FRAME_BYTES:]
    return (process_time() - began) * 1000 / seconds


def _command(server: str) -> list[str]:
    return [sys.executable, "-c", f"from vivavoce_bench.transport import main; main({server!r})"]


async def _way(name: str, server: Called, callers: int, seconds: float) -> Way:
    lags: list[float] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(_call, server, SETTLING_SECONDS + seconds, lags)
        await anyio.sleep(SETTLING_SECONDS)
        before, began = server.cost(), anyio.current_time()
        await anyio.sleep(seconds - SETTLING_SECONDS)
        after, spent = server.cost(), anyio.current_time() - began
    used = (after.cpu_seconds - before.cpu_seconds) * 1000 if before and after else None
    return Way(name, callers, None if used is None else used / spent / callers, max(lags))


async def _call(server: Called, seconds: float, lags: list[float]) -> None:
    async with server.dial() as wire, anyio.create_task_group() as tasks:
        tasks.start_soon(_ignore, wire)
        began, lag = anyio.current_time(), 0.0
        for tick in range(round(seconds / FRAME_SECONDS)):
            due = began + tick * FRAME_SECONDS
            await anyio.sleep_until(due)
            lag = max(lag, anyio.current_time() - due)
            await wire.say(HUSHED[tick % len(HUSHED)])
        lags.append(lag)
        tasks.cancel_scope.cancel()


async def _ignore(wire: Wire) -> None:
    async for _ in wire.notes():
        pass


# the servers, in their own processes


class _Mute:
    """An engine without models: silence for sound."""

    async def converse(self, line: Line, session: Session | TranscriptionSession | None = None) -> None:
        await line.send(e.SessionCreated(session=session or DEFAULT))
        heard = 0
        async for _ in line:
            heard += 1
            if heard % FRAMES_PER_ANSWER == 0:
                await line.send(_DELTA)


async def _bare(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    prepared = encode(_DELTA)
    await receive()
    await send({"type": "websocket.accept"})
    heard = 0
    while (await receive())["type"] == "websocket.receive":
        heard += 1
        if heard % FRAMES_PER_ANSWER == 0:
            await send({"type": "websocket.send", "text": prepared})


async def _serve_bare(port: int) -> None:
    config = uvicorn.Config(
        _bare,
        port=port,
        lifespan="off",
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )
    await uvicorn.Server(config).serve()


async def _serve_mute(port: int) -> None:
    runtime = Runtime(load(flags={"preset": "scripted", "limits": {"conversations": 1000}}).config)
    runtime.use_engine(_Mute())
    async with serving(Web(runtime), listen("127.0.0.1", port)):
        await anyio.sleep_forever()


def main(server: str) -> None:
    """Serve until killed, at the port that the last argument names."""
    serve = {"bare": _serve_bare, "mute": _serve_mute}[server]
    anyio.run(serve, int(sys.argv[-1]), backend_options={"use_uvloop": True})
