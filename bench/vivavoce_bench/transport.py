"""What transport costs: the same audio through a bare WebSocket server, and through ours with a mute engine.

Each server runs in a process of its own, receives a frame of 20 ms from every caller fifty times a second, and
sends 100 ms back for each fifth. The bare one parses nothing and sends one prepared text; ours decodes every
event, carries it over a line to an engine without models, and encodes what comes back.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from time import process_time

import anyio
import uvicorn
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.client.microphone_feed import FRAME_SECONDS
from vivavoce.config.loading import load
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import encode
from vivavoce.protocol.session import AnySession
from vivavoce.protocol.settings import DEFAULT
from vivavoce.providers.base import FRAME_BYTES
from vivavoce.runtime import Runtime
from vivavoce.session.line import Line
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from vivavoce_bench.clips import ROOM_TONE
from vivavoce_bench.measures import audio_delta
from vivavoce_bench.server import VIVA, MeasuredServer, Setup, key, open_providers, started

BARE = "bare uvicorn"
FRAMES_PER_ANSWER = 5
SETTLING_SECONDS = 1.0
DELTA = audio_delta("resp_0", "item_0", bytes(2 * OUTPUT_RATE // 10))


@dataclass(frozen=True)
class TransportCost:
    """What one server costs: milliseconds of its CPU for each second of one caller's audio.

    `lag` is the latest, in seconds, that any frame was sent.
    """

    name: str
    conversations: int
    cpu_ms: float | None
    lag: float


async def measure(
    conversations: Sequence[int], seconds: float, on_status: Callable[[str], None]
) -> list[TransportCost]:
    """Measure the servers one after another, with each number of callers at once for so many seconds."""
    serve = [*VIVA, "serve", *Setup("scripted").arguments, "--host", "127.0.0.1", "--port"]
    found = []
    for name, command in ((BARE, _command("bare")), ("our transport", _command("mute")), ("viva serve", serve)):
        async with started(command) as server:
            for callers in conversations:
                on_status(f"{name}, {callers} at once")
                found.append(await _measure(name, server, callers, seconds))
    return found


async def measure_input(seconds: float) -> float:
    """Return what resampling and voice activity detection alone cost: milliseconds of CPU a second of audio."""
    (vad,) = await open_providers(Setup("scripted"), "vad")
    detector, resampler, pending = vad.detector(), Resampler(OUTPUT_RATE, INPUT_RATE), b""
    began = process_time()
    for frame in range(round(seconds / FRAME_SECONDS)):
        pending += resampler.push(ROOM_TONE[frame % len(ROOM_TONE)])
        while len(pending) >= FRAME_BYTES:
            detector.probability(pending[:FRAME_BYTES])
            pending = pending[FRAME_BYTES:]
    return (process_time() - began) * 1000 / seconds


def _command(server: str) -> list[str]:
    return [sys.executable, "-c", f"from vivavoce_bench.transport import main; main({server!r})"]


async def _measure(name: str, server: MeasuredServer, callers: int, seconds: float) -> TransportCost:
    lags: list[float] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(_call, server.address, SETTLING_SECONDS + seconds, lags)
        await anyio.sleep(SETTLING_SECONDS)
        before, began = server.cost(), anyio.current_time()
        await anyio.sleep(seconds - SETTLING_SECONDS)
        after, spent = server.cost(), anyio.current_time() - began
    used = (after.cpu_seconds - before.cpu_seconds) * 1000 if before and after else None
    return TransportCost(name, callers, None if used is None else used / spent / callers, max(lags))


@lru_cache(maxsize=len(ROOM_TONE))
def _append(frame: bytes) -> str:
    return encode(e.InputAudioBufferAppend(audio=frame))


async def _call(url: str, seconds: float, lags: list[float]) -> None:
    """Send frames in real time, by a bare WebSocket: fifty `RealtimeClient`s would slow down the server."""
    headers = {"Authorization": f"Bearer {key()}"} if key() else {}
    address = f"{url.replace('http', 'ws', 1)}/v1/realtime"
    async with (
        connect(address, additional_headers=headers, max_size=None, compression=None, proxy=None) as socket,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_drain, socket)
        began, lag = anyio.current_time(), 0.0
        for frame in range(round(seconds / FRAME_SECONDS)):
            due = began + frame * FRAME_SECONDS
            await anyio.sleep_until(due)
            lag = max(lag, anyio.current_time() - due)
            await socket.send(_append(ROOM_TONE[frame % len(ROOM_TONE)]))
        lags.append(lag)
        tasks.cancel_scope.cancel()


async def _drain(socket: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv(decode=False)


# the servers, in their own processes


class _Mute:
    """An engine without models: silence for audio."""

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        await line.send(e.SessionCreated(session=session or DEFAULT))
        received = 0
        async for _ in line:
            received += 1
            if received % FRAMES_PER_ANSWER == 0:
                await line.send(DELTA)


async def _bare(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    prepared = encode(DELTA)
    await receive()
    await send({"type": "websocket.accept"})
    received = 0
    while (await receive())["type"] == "websocket.receive":
        received += 1
        if received % FRAMES_PER_ANSWER == 0:
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
