"""Asterisk's chan_websocket: binary messages are audio, text messages are control, in JSON or lines of words.

Asterisk queues what it is sent and plays a frame every 20 ms. Outside START and STOP_MEDIA_BUFFERING each
message is cut into frames, and what is left over is thrown away.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from vivavoce.client.telephone.codecs import FRAME_SECONDS, Codec
from vivavoce.client.telephone.peer import CallOptions, CallRecord, Dial, Later, text_of
from vivavoce.client.telephone.sockets import Json, encode, frames, open_call, read

QUEUE_FRAMES, XOFF_FRAMES, XON_FRAMES = 1_000, 900, 800
COMMAND_BYTES = 128
DRAINED = "QUEUE_DRAINED"
QUIET_COMMANDS = ("ANSWER", "SET_MEDIA_DIRECTION")


def dial_channel(*, as_json: bool) -> Dial:
    """Return the function that calls as `Dial(WebSocket/…/f(json))` does, or without `f(json)`."""

    @asynccontextmanager
    async def dial(url: str, options: CallOptions) -> AsyncIterator[ChanWebSocket]:
        async with open_call(url, options, subprotocols=[Subprotocol("media")]) as socket:
            call = ChanWebSocket(socket, options, as_json=as_json)
            await call.begin()
            yield call

    return dial


def plain(event: Json) -> str:
    """Return an event as a line of words: names with values, but the bare id of what was queued."""
    words = {name: value for name, value in event.items() if name not in ("event", "channel_variables")}
    if "correlation_id" in words:
        return f"{event['event']} {words['correlation_id']}".rstrip()
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in words.items()}
    return " ".join([str(event["event"]), *(f"{name}:{value}" for name, value in values.items())])


def plain_command(line: str) -> Json:
    """Return a command that is a line of words as it would be in JSON."""
    command, _, mark = line.strip().partition(" ")
    return {"command": command, "correlation_id": mark}


class ChanWebSocket:
    """One call by a WebSocket channel."""

    queue_seconds: ClassVar[float] = 2 * QUEUE_FRAMES * FRAME_SECONDS
    """the last message before the queue is full is taken whole; `_receive` counts"""
    keys_pause_audio: ClassVar[bool] = True

    def __init__(self, socket: ClientConnection, options: CallOptions, *, as_json: bool = True) -> None:
        self._socket, self._options, self._as_json = socket, options, as_json
        self._codec: Codec = options.codec
        self._left_over, self._is_buffering, self._is_full = bytearray(), False, False
        self._reports_drained = False
        self._marks: Later[Json] = Later()

    async def begin(self) -> None:
        """Send `MEDIA_START`."""
        start = {
            "connection_id": self._options.call_id,
            "channel": f"WebSocket/vivavoce/{self._options.call_id}",
            "format": self._codec.name,
            "optimal_frame_size": self._codec.frame_bytes,
            "ptime": round(1000 * FRAME_SECONDS),
            "channel_variables": {
                "CALLERID(num)": self._options.from_number,
                "DIALED_NUMBER": self._options.to_number,
            },
        }
        await self._report(self._event("MEDIA_START", **start))

    def _event(self, event: str, **content: object) -> Json:
        return {"event": event, "channel_id": self._options.call_id, **content}

    async def _report(self, message: Json) -> None:
        await self._socket.send(encode(message) if self._as_json else plain(message))

    async def send(self, audio: bytes) -> None:
        """Send audio."""
        await self._socket.send(audio)

    async def press(self, key: str) -> None:
        """Send a key."""
        await self._report(self._event("DTMF_END", digit=key))

    async def hang_up(self) -> None:
        """Close the connection."""
        await self._socket.close()

    async def listen(self, record: CallRecord) -> None:
        """Receive until the server hangs up."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._marks.run, self._report)
            tasks.start_soon(self._watch_queue, record)
            async for frame in frames(self._socket):
                if isinstance(frame, bytes):
                    await self._receive(frame, record)
                elif len(frame.encode()) > COMMAND_BYTES:
                    record.problem(f"A command has more than {COMMAND_BYTES} bytes, and is ignored.")
                elif (message := read(frame, record) if self._as_json else plain_command(frame)) is not None:
                    if text_of(message, "command") == "HANGUP":
                        break
                    await self._obey(message, record)
            tasks.cancel_scope.cancel()

    async def _receive(self, audio: bytes, record: CallRecord) -> None:
        if self._queued(record) >= QUEUE_FRAMES:
            record.problem(f"A message came while {QUEUE_FRAMES} frames were queued, and is ignored.")
            return
        size = self._codec.frame_bytes
        whole = bytes(self._left_over) + audio
        rest = len(whole) % size
        self._left_over = bytearray(whole[len(whole) - rest :] if self._is_buffering else b"")
        if rest and not self._is_buffering:
            record.problem("A message outside of buffering is no multiple of a frame; the rest of it is lost.")
        if frames := whole[: len(whole) - rest]:
            record.audio(self._codec.decode(frames))
        if not self._is_full and self._queued(record) >= XOFF_FRAMES:
            self._is_full = True
            await self._report(self._event("MEDIA_XOFF"))

    def _queued(self, record: CallRecord) -> float:
        return record.queue.waiting(record.now) / FRAME_SECONDS

    async def _watch_queue(self, record: CallRecord) -> None:
        """Report, at each tick of Asterisk's clock, that the queue is no longer full, or is empty."""
        tick = anyio.current_time()
        while True:
            tick += FRAME_SECONDS
            await anyio.sleep_until(tick)
            if self._is_full and self._queued(record) < XON_FRAMES:
                self._is_full = False
                await self._report(self._event("MEDIA_XON"))
            if self._reports_drained and not self._queued(record):
                self._reports_drained = False
                await self._report(self._event(DRAINED))

    async def _obey(self, message: Json, record: CallRecord) -> None:
        command, mark = text_of(message, "command"), text_of(message, "correlation_id")
        match command:
            case "START_MEDIA_BUFFERING":
                self._is_buffering = True
            case "STOP_MEDIA_BUFFERING":
                self._is_buffering = False
                if self._left_over:  # a short frame is filled up with silence
                    rest, self._left_over = bytes(self._left_over), bytearray()
                    silence = bytes(2 * round(self._codec.rate * FRAME_SECONDS))
                    pcm = self._codec.decode(rest)
                    record.audio(pcm + silence[len(pcm) :])
                self._add_mark("MEDIA_BUFFERING_COMPLETED", mark, record)
            case "MARK_MEDIA":
                self._add_mark("MEDIA_MARK_PROCESSED", mark, record)
            case "FLUSH_MEDIA":  # marks are in the queue, and go with it
                record.clear()
                self._marks.take_all()
                self._is_buffering, self._left_over = False, bytearray()
            case "REPORT_QUEUE_DRAINED":
                self._reports_drained = True
            case "GET_STATUS":
                await self._report(self._status(record))
            case "PAUSE_MEDIA" | "CONTINUE_MEDIA":
                record.problem(f"The command {command} is not simulated.")
            case _ if command not in QUIET_COMMANDS:
                record.problem(f"A message has the command {command!r}, which Asterisk does not know.")

    def _add_mark(self, event: str, mark: str, record: CallRecord) -> None:
        self._marks.add(self._event(event, correlation_id=mark), record.queue.waiting(record.now))

    def _status(self, record: CallRecord) -> Json:
        return self._event(
            "STATUS",
            queue_length=round(self._queued(record)),
            xon_level=XON_FRAMES,
            xoff_level=XOFF_FRAMES,
            queue_full=self._is_full,
            bulk_media=self._is_buffering,
            media_paused=False,
        )
