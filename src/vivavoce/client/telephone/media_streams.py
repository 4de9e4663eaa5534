"""Twilio's Media Streams, and the dialects of it that other carriers speak: JSON, with audio in base64.

The carrier queues what it is sent, plays it by its own clock, and returns a mark when the audio before it has
been played.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import ClassVar
from urllib.parse import urlsplit

import anyio
from websockets.asyncio.client import ClientConnection

from vivavoce.client.telephone.codecs import FRAME_SECONDS, SLIN, SLIN16, ULAW, Codec
from vivavoce.client.telephone.peer import (
    QUEUE_SECONDS,
    CallOptions,
    CallRecord,
    Dial,
    Later,
    base64_audio,
    text_of,
    whole_samples,
)
from vivavoce.client.telephone.sockets import Json, encode, messages, open_call

ACCOUNT = "AC" + 32 * "0"


def twilio_signature(token: str, url: str) -> str:
    """Return `X-Twilio-Signature` of the request that opens a WebSocket at this URL."""
    return b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()


class TwilioStream:
    """One call by Twilio. The subclasses say what is different in the dialects of others."""

    queue_seconds: ClassVar[float] = QUEUE_SECONDS
    keys_pause_audio: ClassVar[bool] = False
    frames_per_message: ClassVar[int] = 1
    clear_event: ClassVar[str] = "clear"
    mark_event: ClassVar[str] = "mark"
    media_event: ClassVar[str] = "media"
    names_stream: ClassVar[bool] = True
    """whether the server must say to which stream a message belongs"""

    def __init__(self, socket: ClientConnection, options: CallOptions) -> None:
        self._socket, self._options = socket, options
        self._codec = options.codec
        call = options.call_id.replace("-", "")
        self.call_id, self.stream_id = f"CA{call}", f"MZ{call}"
        self._sent, self._chunks, self._waiting = 0, 0, bytearray()
        self._marks, self._carry = Later[str](), bytearray()

    # to the server

    @property
    def number(self) -> str | int:
        """The number of the next message."""
        self._sent += 1
        return str(self._sent)

    def hello(self) -> Iterator[Json]:
        """The messages with which a call begins."""
        yield {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        numbers = {"from": self._options.from_number, "to": self._options.to_number}
        start = {
            "accountSid": ACCOUNT,
            "streamSid": self.stream_id,
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": self._codec.rate, "channels": 1},
            "customParameters": numbers,
        }
        yield self.message("start", start=start)

    def message(self, event: str, **content: object) -> Json:
        """Return a message about the stream."""
        return {"event": event, "sequenceNumber": self.number, "streamSid": self.stream_id, **content}

    def media(self, payload: str, chunk: int, milliseconds: int) -> Json:
        """Return a message with audio that begins so many milliseconds after the stream did."""
        content = {"track": "inbound", "chunk": str(chunk), "timestamp": str(milliseconds), "payload": payload}
        return self.message("media", media=content)

    def key(self, key: str) -> Json:
        """Return the message that a key was pressed."""
        return self.message("dtmf", dtmf={"track": "inbound_track", "digit": key})

    def played(self, name: str) -> Json:
        """Return the message that the audio before a mark was played, or dropped."""
        return self.message("mark", mark={"name": name})

    def goodbye(self) -> Iterator[Json]:
        """The messages with which a call ends."""
        yield self.message("stop", stop={"accountSid": ACCOUNT, "callSid": self.call_id})

    async def begin(self) -> None:
        """Say who calls."""
        for message in self.hello():
            await self._send(message)

    async def send(self, audio: bytes) -> None:
        """Send audio, as soon as there is enough for a message."""
        self._waiting += audio
        if len(self._waiting) < self.frames_per_message * self._codec.frame_bytes:
            return
        payload, self._waiting = b64encode(self._waiting).decode(), bytearray()
        start = self._chunks * self.frames_per_message * FRAME_SECONDS
        self._chunks += 1
        await self._send(self.media(payload, self._chunks, round(1000 * start)))

    async def press(self, key: str) -> None:
        """Send a key."""
        await self._send(self.key(key))

    async def hang_up(self) -> None:
        """Say that the call is over, and close the connection."""
        for message in self.goodbye():
            await self._send(message)
        await self._socket.close()

    async def _send(self, message: Json) -> None:
        await self._socket.send(encode(message))

    # from the server

    async def listen(self, record: CallRecord) -> None:
        """Receive until the server hangs up."""

        async def report(name: str) -> None:
            await self._send(self.played(name))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._marks.run, report)
            async for message in messages(self._socket, record):
                if self.names_stream and text_of(message, "streamSid") != self.stream_id:
                    record.problem("A message does not name the stream, and is ignored.")
                    continue
                await self._receive(message, record)
            tasks.cancel_scope.cancel()

    async def _receive(self, message: Json, record: CallRecord) -> None:
        event = text_of(message, "event")
        if event == self.media_event:
            record.audio(self.pcm_of(message, record))
        elif event == self.mark_event:
            self._marks.add(self.name_of(message), record.queue.waiting(record.now))
        elif event == self.clear_event:
            record.clear()
            self._carry.clear()
            for name in self._marks.take_all():
                await self._send(self.played(name))
            for answer in self.cleared():
                await self._send(answer)
        else:
            record.problem(f"A message has the event {event!r}, which this carrier does not know.")

    def pcm_of(self, message: Json, record: CallRecord, codec: Codec | None = None) -> bytes:
        """Return the whole samples of a message with audio; without `codec`, in the one of the call."""
        codec = codec or self._codec
        audio = base64_audio(text_of(message, "media", "payload"), record)
        return codec.decode(audio) if codec.law else whole_samples(self._carry, audio)

    def name_of(self, message: Json) -> str:
        """Return the name of a mark."""
        return text_of(message, "mark", "name")

    def cleared(self) -> Iterator[Json]:
        """The messages that confirm that the queue was emptied."""
        yield from ()


class TelnyxStream(TwilioStream):
    """Telnyx: names in snake_case; the server need not name the stream."""

    names_stream = False
    ENCODINGS: ClassVar = {"ulaw": "PCMU", "alaw": "PCMA"}

    def hello(self) -> Iterator[Json]:
        yield {"event": "connected", "version": "1.0.0"}
        encoding = self.ENCODINGS.get(self._codec.name, "L16")
        start = {
            "call_control_id": self.call_id,
            "media_format": {"encoding": encoding, "sample_rate": self._codec.rate, "channels": 1},
            "custom_parameters": {},
            "from": self._options.from_number,
            "to": self._options.to_number,
        }
        yield self.message("start", start=start)

    def message(self, event: str, **content: object) -> Json:
        return {"event": event, "sequence_number": self.number, "stream_id": self.stream_id, **content}

    def key(self, key: str) -> Json:
        return self.message("dtmf", dtmf={"digit": key})

    def goodbye(self) -> Iterator[Json]:
        yield self.message("stop", stop={"call_control_id": self.call_id})


class PlivoStream(TwilioStream):
    """Plivo: checkpoints instead of marks, and an answer when the queue was cleared."""

    names_stream = False  # only a checkpoint does so
    clear_event, mark_event, media_event = "clearAudio", "checkpoint", "playAudio"
    CODECS: ClassVar = {
        "audio/x-mulaw;rate=8000": ULAW,
        "audio/x-l16;rate=8000": SLIN,
        "audio/x-l16;rate=16000": SLIN16,
    }

    @property
    def number(self) -> int:
        self._sent += 1
        return self._sent

    def hello(self) -> Iterator[Json]:
        encoding = "audio/x-mulaw" if self._codec.law else "audio/x-l16"
        start = {
            "callId": self._options.call_id,
            "streamId": self.stream_id,
            "accountId": "MA" + 18 * "X",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": encoding, "sampleRate": self._codec.rate},
        }
        yield {"event": "start", "sequenceNumber": self.number, "start": start, "extra_headers": ""}

    def message(self, event: str, **content: object) -> Json:
        return {"event": event, "sequenceNumber": self.number, "streamId": self.stream_id, **content}

    def media(self, payload: str, chunk: int, milliseconds: int) -> Json:
        content = {"track": "inbound", "chunk": chunk, "timestamp": str(milliseconds), "payload": payload}
        return self.message("media", media=content, extra_headers="")

    def key(self, key: str) -> Json:
        return self.message("dtmf", dtmf={"track": "inbound", "digit": key})

    def played(self, name: str) -> Json:
        return self.message("playedStream", name=name)

    def cleared(self) -> Iterator[Json]:
        yield self.message("clearedAudio")

    def goodbye(self) -> Iterator[Json]:
        yield from ()

    def pcm_of(self, message: Json, record: CallRecord, codec: Codec | None = None) -> bytes:
        media = message.get("media")
        rate = media.get("sampleRate") if isinstance(media, dict) else None
        kind = text_of(message, "media", "contentType")
        codec = self.CODECS.get(f"{kind};rate={rate}")
        if codec is None or codec.rate != self._codec.rate:
            record.problem(f"Audio came as {kind or 'no contentType'} at {rate} Hz.")
        return super().pcm_of(message, record, codec)

    def name_of(self, message: Json) -> str:
        return text_of(message, "name")


class ExotelStream(TwilioStream):
    """Exotel: PCM in messages of 100 ms; it plays whole multiples of 320 bytes."""

    frames_per_message = 5
    names_stream = False
    UNIT, LEAST, MOST = 320, 3_200, 100_000

    def hello(self) -> Iterator[Json]:
        yield {"event": "connected"}
        encoding = "audio/x-mulaw" if self._codec.law else "base64"
        start = {
            "stream_sid": self.stream_id,
            "call_sid": self.call_id,
            "account_sid": ACCOUNT,
            "from": self._options.from_number,
            "to": self._options.to_number,
            "custom_parameters": {},
            "media_format": {"encoding": encoding, "sample_rate": str(self._codec.rate), "bit_rate": "128kbps"},
        }
        yield self.message("start", start=start)

    def message(self, event: str, **content: object) -> Json:
        return {"event": event, "sequence_number": self.number, "stream_sid": self.stream_id, **content}

    def media(self, payload: str, chunk: int, milliseconds: int) -> Json:
        return self.message(
            "media", media={"chunk": str(chunk), "timestamp": str(milliseconds), "payload": payload}
        )

    def key(self, key: str) -> Json:
        return self.message("dtmf", dtmf={"digit": key, "duration": "100"})

    def goodbye(self) -> Iterator[Json]:
        stop = {"call_sid": self.call_id, "account_sid": ACCOUNT, "reason": "callended"}
        yield self.message("stop", stop=stop)

    def pcm_of(self, message: Json, record: CallRecord, codec: Codec | None = None) -> bytes:
        pcm = super().pcm_of(message, record, codec)
        if len(pcm) % self.UNIT or not self.LEAST <= len(pcm) <= self.MOST:
            sizes = f"a multiple of {self.UNIT}, and {self.LEAST:,} to {self.MOST:,}"
            record.problem(f"A message has {len(pcm):,} bytes of audio, which must be {sizes}.")
        return pcm


def dial_stream(kind: type[TwilioStream], *, signed: bool = False) -> Dial:
    """Return the function that calls as a carrier; `signed` is whether the key signs the request."""

    @asynccontextmanager
    async def dial(url: str, options: CallOptions) -> AsyncIterator[TwilioStream]:
        headers = None
        if signed and options.key:
            address = options.signed_url or urlsplit(url)._replace(fragment="").geturl()
            headers = {"X-Twilio-Signature": twilio_signature(options.key, address)}
        async with open_call(url, options, headers=headers) as socket:
            call = kind(socket, options)
            await call.begin()
            yield call

    return dial
