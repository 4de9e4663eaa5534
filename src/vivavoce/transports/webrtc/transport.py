"""The Realtime protocol over WebRTC: Opus audio on a track, events as JSON on a data channel.

The server plays the audio here: it reports that (`output_audio_buffer.*`), and when the caller interrupts, it
drops unplayed audio and truncates the response itself. No audio is sent on the data channel. The track always
uses Opus; a session's audio format, such as G.711, only applies between the transport and the engine.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import anyio
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.dialects import Dialect
from vivavoce.protocol.items import InputAudio, Item, Message, OutputAudio
from vivavoce.protocol.session import Pcm, input_settings
from vivavoce.session.formats import AudioEncoder
from vivavoce.session.line import Line
from vivavoce.transports.base import Connect, EventRate, Handshake, OpenCalls, decode_event, run_until_first
from vivavoce.transports.playout import Playout
from vivavoce.transports.webrtc.pacer import FRAME_SECONDS, Pacer
from vivavoce.transports.webrtc.sdp import Ice

if TYPE_CHECKING:
    from vivavoce.transports.webrtc.peer import Peer

log = logging.getLogger(__name__)

FRAME_BYTES = 960
"""20 ms of mono PCM16 at 24 kHz"""
_BURST_SECONDS = 2.5
"""seconds for which a caller's audio may arrive at twice its speed, after a network stall; no faster"""


@dataclass(frozen=True)
class Offer:
    """A caller's SDP offer. `send_answer` is called with the call's id and the SDP answer."""

    sdp: str
    handshake: Handshake
    send_answer: Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True)
class WebRtcTransport:
    """Answers offers, and runs a call for each."""

    connect: Connect
    limits: Limits = field(default_factory=Limits)
    ice: Ice = field(default_factory=Ice)
    _calls: OpenCalls = field(default_factory=OpenCalls)

    name: ClassVar[str] = "webrtc"
    plays_audio: ClassVar[bool] = True

    async def accept(self, connection: Offer) -> None:
        """Answer an offer and run the call; return when it has ended.

        Raises `ProtocolError`, before there is an answer, if the caller is refused or the offer is invalid.
        """
        from vivavoce.transports.webrtc.peer import Peer

        handshake = connection.handshake
        caller = handshake.caller(self.name, plays_audio=self.plays_audio, id_prefix="rtc")
        refusal: ProtocolError | None = None
        async with self.connect(caller) as line:
            try:
                with self._calls.track():
                    async with Peer(self.ice, self.limits) as peer:
                        await connection.send_answer(caller.id, await self._answer(peer, connection.sdp))
                        await _Call(line, peer, handshake, self.limits).run(self._calls.closing)
            except ProtocolError as error:
                refusal = error  # raised here, it would be wrapped into a group by the line's task group
        if refusal:
            raise refusal

    async def hang_up(self) -> None:
        """End all calls, and later ones as soon as they are accepted; return when all have ended."""
        await self._calls.hang_up()

    async def _answer(self, peer: "Peer", sdp: str) -> str:
        try:
            with anyio.fail_after(self.limits.webrtc_connect_seconds):
                return await peer.answer(sdp)
        except TimeoutError as error:
            message = "This offer could not be answered in time (limits.webrtc_connect_seconds)."
            raise ProtocolError(message, code="invalid_offer", param="sdp") from error


class _Call:
    """Forwards events and audio between a line and a peer connection."""

    def __init__(self, line: Line, peer: "Peer", handshake: Handshake, limits: Limits) -> None:
        self._line, self._peer, self._handshake, self._limits = line, peer, handshake, limits
        self._playout = Playout(limits.playout_seconds)
        self._reported, self._audio_queued = anyio.Event(), anyio.Event()
        self._input = AudioEncoder(Pcm())

    async def run(self, closing: anyio.Event) -> None:
        """Forward audio and events both ways until one side ends the call."""
        broken = await run_until_first(
            self._wait_until_closed,
            self._watch_packets,
            self._receive_events,
            self._receive_audio,
            self._send_events,
            self._play,
            self._report_playout,
            closing.wait,
        )
        if isinstance(broken, TimeoutError):
            names = "limits.webrtc_connect_seconds, send_seconds"
            log.info("a WebRTC client did not connect or read in time (%s)", names)

    async def _wait_until_closed(self) -> None:
        with anyio.fail_after(self._limits.webrtc_connect_seconds):
            await self._peer.opened.wait()
        await self._peer.closed.wait()

    async def _watch_packets(self) -> None:
        await self._peer.opened.wait()
        await self._peer.wait_until_lost()
        log.info("no packet came from a WebRTC client for limits.webrtc_silence_seconds; its call is ended")

    # from the client to the engine

    async def _receive_events(self) -> None:
        rate = EventRate(self._limits.events_per_second)
        async for message in self._peer.messages():
            await rate.count()
            text = message if isinstance(message, str) else None
            event = decode_event(text, self._handshake.dialect, self._limits)
            if isinstance(event, e.OutputAudioBufferClear):
                self._update_playout(event)
            else:
                await self._line.send(event)

    async def _receive_audio(self) -> None:
        await self._peer.opened.wait()
        until = anyio.current_time()
        async for frame in self._peer.decoder.frames():
            until = max(until, anyio.current_time()) + FRAME_SECONDS / 2
            if until > anyio.current_time() + _BURST_SECONDS:
                await anyio.sleep_until(until - _BURST_SECONDS)
            await self._line.send(e.InputAudioBufferAppend(audio=self._input.push(frame)))

    # from the engine to the client

    async def _send_events(self) -> None:
        """Send the engine's events until the line ends: audio on the track, all others on the data channel."""
        async for event in self._line:
            match event:
                case e.ResponseOutputAudioDelta():
                    try:
                        self._playout.handle(event)
                        self._audio_queued.set()
                    except ProtocolError as error:
                        await self._send(error_event(error))
                    continue
                case e.OutputAudioBufferClear():  # sent by a sideband
                    pass
                case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                    await self._send(self._handshake.with_model(event))
                    input_format = input_settings(session).format
                    if input_format and input_format != self._input.format:
                        self._input = AudioEncoder(input_format)
                case _:
                    await self._send(event)
            self._update_playout(event)

    async def _send(self, event: e.Event) -> None:
        text = encode_message(event, self._handshake.dialect, self._peer.max_message_size)
        if text is not None:
            with anyio.fail_after(self._limits.send_seconds):
                await self._peer.send(text)

    # playback

    async def _play(self) -> None:
        """Send 20 ms every 20 ms: this is the clock by which the server counts what was played."""
        await self._peer.opened.wait()
        pacer = Pacer(anyio.current_time())
        while True:
            skipped = pacer.skip_late(anyio.current_time())
            audio = self._playout.read(FRAME_BYTES)
            self._peer.encoder.write(audio.ljust(FRAME_BYTES, b"\0"), skipped=skipped)
            self._wake_report()
            pacer.sent(silent=not audio)
            if not audio:
                self._audio_queued = anyio.Event()
                with anyio.CancelScope(deadline=pacer.due):
                    await self._audio_queued.wait()
                    pacer.start_early(anyio.current_time())
            await anyio.sleep_until(pacer.due)

    def _update_playout(self, event: e.Event) -> None:
        self._playout.handle(event)
        self._wake_report()

    def _wake_report(self) -> None:
        if self._playout.events:
            self._reported.set()

    async def _report_playout(self) -> None:
        """Send playback events to the line, so that sidebands receive them too."""
        while True:
            await self._reported.wait()
            self._reported = anyio.Event()
            while self._playout.events:
                await self._line.send(self._playout.events.popleft())


def encode_message(event: e.Event, dialect: Dialect, max_size: int) -> str | None:
    """Encode an event in at most `max_size` bytes (0: unlimited); None if the dialect does not have it.

    A retrieved item that is too large is sent without its audio, which was on the track. Any other event that
    is too large is replaced by an `error`.
    """
    text = dialect.encode(event)
    if text is None or not 0 < max_size < len(text.encode()):
        return text
    if isinstance(event, e.ConversationItemRetrieved) and (item := _without_audio(event.item)) != event.item:
        return encode_message(replace(event, item=item), dialect, max_size)
    name = event.__struct_config__.tag
    problem = f"{name} is too large for this client's data channel: a message has at most {max_size} bytes."
    return dialect.encode(error_event(ProtocolError(problem, code="event_too_large")))


def _without_audio(item: Item) -> Item:
    if not isinstance(item, Message):
        return item
    content = tuple(
        replace(part, audio=UNSET) if isinstance(part, InputAudio | OutputAudio) else part
        for part in item.content
    )
    return replace(item, content=content)
