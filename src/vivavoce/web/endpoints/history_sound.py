"""The sound of stored conversations by HTTP: whole recordings and turns, in parts as players ask for them."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vivavoce.audio.encode import Encoder, encoder, wav_header
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.limits import Limits
from vivavoce.store.pages import recordings_of
from vivavoce.store.playback import RecordingFile, find_file, pieces, read_bytes, read_sound, spoken_range
from vivavoce.store.queries import Record
from vivavoce.store.recordings import Channel
from vivavoce.tools.worker_threads import WorkerThreads
from vivavoce.web.conditional import etag_of, not_modified
from vivavoce.web.endpoints.history_schema import SoundQuery
from vivavoce.web.errors import HttpError, invalid_request
from vivavoce.web.ranges import byte_range
from vivavoce.web.requests import respond_while_connected, send_chunk
from vivavoce.web.store_access import StoreAccess

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 18
"""bytes of a file that are read and sent at once"""
THREADS = 2
"""that read and decode recordings"""

T = TypeVar("T")


Parts = Iterator[Callable[[], bytes]]
"""the parts of a body, in order, each to be made in a thread"""


@dataclass(frozen=True)
class Sound:
    """What can be sent: `parts` takes the first byte and the one after the last, unless there is no `size`."""

    name: str
    media_type: str
    etag: str
    size: int | None
    parts: Callable[[int, int], Parts]


class HistorySoundEndpoint:
    """`GET /v1/history/{id}/audio`. Sound is read in threads, a piece at a time, and never as a whole."""

    def __init__(self, store: StoreAccess) -> None:
        self._store, self._threads = store, WorkerThreads("sound of stored conversations", THREADS)

    async def audio(self, request: Request, query: SoundQuery) -> Response:
        """Answer with the file of a recording, or with the sound of an item."""
        if query.format and not query.item:
            message = "'format' is that of an item's sound; the whole as WAV is at export?format=wav."
            raise invalid_request("format", message)
        conversation_id = await self._store.requested_id(request)
        recording, name = await self.recording(conversation_id), file_name(conversation_id)
        file = await self.in_thread(partial(find_file, recording["url"]))
        if query.item is None:
            return self.respond(request, whole_file(file, name))
        place = spoken_range(recording, query.item)
        if place is None:
            message = (
                "Of this item there is no sound: it was written, or not heard; or its place in the recording "
                "is not known, as long as the conversation goes on, and if the server was killed."
            )
            raise HttpError(404, message, code="recording_not_found", param="item")
        turn = ogg_turn if query.format == "ogg" else wav_turn
        return self.respond(request, turn(file, f"{name}-{file_name(query.item)}", *place))

    async def recording(self, conversation_id: str) -> Record:
        """Return what is stored of a conversation's recording. Raises `HttpError` (404) if there is none.

        Its `url` is that of the spool as long as the file waits there.
        """
        found = await self._store.ask(partial(recordings_of, ids=[conversation_id]))
        if not found:
            message = "This conversation was not recorded ([store] recordings, in the server's settings)."
            raise HttpError(404, message, code="recording_not_found")
        waiting = self._store.recorder.spool / Path(found[0]["url"]).name
        return {**found[0], "url": str(waiting)} if await anyio.Path(waiting).exists() else found[0]

    def respond(self, request: Request, sound: Sound, disposition: str = "inline") -> Response:
        """Return the response with a sound, or with the part that is asked for. Raises `HttpError`."""
        if unchanged := not_modified(request, sound.etag):
            return unchanged
        headers = {
            "etag": sound.etag,
            "content-type": sound.media_type,
            "content-disposition": f'{disposition}; filename="{sound.name}"',
            "accept-ranges": "none" if sound.size is None else "bytes",
        }
        start, end, status = 0, sound.size or 0, 200
        if sound.size is not None:
            if part := byte_range(request.headers, sound.size, sound.etag):
                (start, end), status = part, 206
                headers["content-range"] = f"bytes {start}-{end - 1}/{sound.size}"
            headers["content-length"] = str(end - start)
        return _Streamed(self, sound.parts(start, end), status, headers)

    async def in_thread(self, read: Callable[[], T]) -> T:
        """Return what is read, in one of a few threads. Raises `HttpError`."""
        seconds = self.limits.history_seconds
        try:
            # Shielded, so that a player that leaves waits for its piece: only a store that hangs is abandoned.
            with anyio.fail_after(seconds, shield=True):
                return await self._threads.run(read)
        except TimeoutError as error:
            late = f"The recording could not be read within {seconds:g} seconds (limits.history_seconds)"
            message = f"{late}; try again in a moment."
            raise HttpError(503, message, code="recording_unavailable", retry=True) from error
        except FileNotFoundError as error:
            message = "The recording is not there: it comes when the conversation is over, or it was removed."
            raise HttpError(404, message, code="recording_not_found") from error
        except OSError as error:
            log.warning("a recording cannot be read: %s", error)
            message = "The recording cannot be read at the moment; the server's log says why."
            raise HttpError(503, message, code="recording_unavailable", retry=True) from error

    @property
    def limits(self) -> Limits:
        return self._store.limits


class _Streamed(Response):
    """Sends parts as they are read, as long as the client reads them in time."""

    def __init__(
        self, endpoint: HistorySoundEndpoint, parts: Parts, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status_code=status)
        self._endpoint, self._parts = endpoint, parts
        self.raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"
        first = b"" if is_head else await self._read_next()  # while a failure can still be answered as such
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if is_head:
            await send_chunk(send, b"", more=False)
            return
        await respond_while_connected(receive, send, self._endpoint.limits, partial(self._send_parts, first))

    async def _send_parts(self, part: bytes | None, send: Send) -> None:
        try:
            while part is not None:
                await send_chunk(send, part)
                part = await self._read_next()
        except HttpError as error:  # the client sees a response that breaks off
            log.warning("a recording was not sent to its end: %s", error.message)
            return
        await send_chunk(send, b"", more=False)

    async def _read_next(self) -> bytes | None:
        part = next(self._parts, None)
        return None if part is None else await self._endpoint.in_thread(part)


def file_name(text: str) -> str:
    """Return a text as part of a file's name, which every system accepts."""
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII)[:64]


# sounds


def whole_file(file: RecordingFile, name: str) -> Sound:
    """Return a recording as it is stored."""

    def parts(start: int, end: int) -> Parts:
        return (partial(read_bytes, file.url, *one) for one in pieces(start, end, CHUNK_BYTES))

    ending = "flac" if file.content_type == "audio/flac" else "ogg"
    return Sound(f"{name}.{ending}", file.content_type, f'"{file.version}"', file.size, parts)


def wav_turn(file: RecordingFile, name: str, channel: Channel | None, first: int, last: int) -> Sound:
    """Return samples of one channel, or of both, as WAV, of which any part can be asked for."""
    frame = 4 if channel is None else 2
    size = (last - first) * frame
    header = wav_header(OUTPUT_RATE, frame // 2, size)

    def parts(start: int, end: int) -> Parts:
        head = header[start:end]
        begin, stop = max(0, start - len(header)), max(0, end - len(header))
        for at, until in pieces(begin // frame, -(-stop // frame)):
            cut = slice(max(0, begin - at * frame), max(0, stop - at * frame))
            yield partial(_joined, head, partial(read_sound, file.url, first + at, first + until, channel), cut)
            head = b""
        if head:
            yield lambda: head

    etag = etag_of(f"{file.version} wav {channel} {first} {last}".encode())
    return Sound(f"{name}.wav", "audio/wav", etag, len(header) + size, parts)


def ogg_turn(file: RecordingFile, name: str, channel: Channel, first: int, last: int) -> Sound:
    """Return samples of one channel as Ogg Opus, which is encoded while it is sent."""

    def parts(_: int, __: int) -> Parts:
        encoding: list[Encoder] = []

        def push(at: int, until: int) -> bytes:
            sound = read_sound(file.url, at, until, channel)
            if not encoding:
                encoding.append(encoder("opus", OUTPUT_RATE))
            return encoding[0].push(sound)

        yield from (partial(push, *one) for one in pieces(first, last))
        yield lambda: encoding[0].finish()

    etag = etag_of(f"{file.version} ogg {channel} {first} {last}".encode())
    return Sound(f"{name}.ogg", "audio/ogg; codecs=opus", etag, None, parts)


def _joined(head: bytes, read: Callable[[], bytes], cut: slice) -> bytes:
    return head + read()[cut]
