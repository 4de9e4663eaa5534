"""The Realtime protocol over WebRTC: sound in Opus on a track, events as JSON on a data channel.

The server plays the sound here, so it tells when (`output_audio_buffer.*`), and when the caller interrupts it
drops what was not played and truncates the answer itself. No sound goes over the data channel. Whatever format
a session asks for, the track stays Opus: G.711 is spoken between us and the engine only.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from msgspec import UNSET

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.session import (
    AudioFormat,
    InputSettings,
    OutputSettings,
    Pcm,
    Session,
    TranscriptionSession,
)
from vivavoce.providers.base import OUTPUT_RATE
from vivavoce.session.formats import Listened, Spoken
from vivavoce.session.line import HungUp, Line
from vivavoce.transports.playout import Playlist
from vivavoce.transports.webrtc.data_channel import written
from vivavoce.transports.webrtc.pacer import FRAME_SECONDS, Pacer
from vivavoce.transports.webrtc.sdp import Ice, check_offer
from vivavoce.transports.websocket.handshake import Handshake

if TYPE_CHECKING:
    from vivavoce.transports.webrtc.peer import Peer

__all__ = ["Ice", "WebRtcTransport", "check_offer"]

log = logging.getLogger(__name__)

FRAME_BYTES = 960
"""20 ms of mono PCM16 at 24 kHz"""
_BURST_SECONDS = 2.5
"""a caller's sound may come at twice its speed for so long, as after a network that hung, and no faster"""


@dataclass(frozen=True)
class WebRtcTransport:
    """Answers offers, and holds a conversation for each, until `hang_up` is called."""

    ice: Ice = field(default_factory=Ice)
    limits: Limits = field(default_factory=Limits)
    _going_away: anyio.Event = field(default_factory=anyio.Event)
    _calls: set[anyio.Event] = field(default_factory=set)

    async def hang_up(self) -> None:
        """End every call, new ones as soon as they begin; return when all are over."""
        self._going_away.set()
        for over in tuple(self._calls):
            await over.wait()

    async def hold(
        self, line: Line, offer: str, handshake: Handshake, *, answered: Callable[[str], Awaitable[None]]
    ) -> None:
        """Answer an offer and hold the conversation. Returns when it is over.

        `answered` is told the answer. Raises `ProtocolError` before that if the offer cannot be taken.
        """
        from vivavoce.transports.webrtc.peer import Peer

        over = anyio.Event()
        self._calls.add(over)
        try:
            async with Peer(self.ice, self.limits) as peer:
                await answered(await self._answer(peer, offer))
                await _Call(line, peer, handshake, self.limits).hold(self._going_away)
        finally:
            self._calls.discard(over)
            over.set()

    async def _answer(self, peer: "Peer", offer: str) -> str:
        try:
            with anyio.fail_after(self.limits.connect_seconds):
                return await peer.answer(offer)
        except TimeoutError as error:
            message = "No way to answer this offer was found in time (limits.connect_seconds)."
            raise ProtocolError(message, code="invalid_offer", param="sdp") from error


@dataclass
class _Call:
    """A line and a peer, joined."""

    line: Line
    peer: "Peer"
    handshake: Handshake
    limits: Limits
    _playlist: Playlist = field(init=False)
    _news: anyio.Event = field(default_factory=anyio.Event)
    _sound: anyio.Event = field(default_factory=anyio.Event)
    _heard_as: Spoken = field(default_factory=lambda: Spoken(Pcm()))
    _spoken_as: AudioFormat = field(default_factory=Pcm)
    _spoken: dict[str, Listened] = field(default_factory=dict)
    _interruptible: bool = True

    def __post_init__(self) -> None:
        self._playlist = Playlist(self.limits.playout_seconds)

    async def hold(self, going_away: anyio.Event) -> None:
        """Carry sound and events both ways until either end leaves, or the server does."""
        parts = (self._connect, self._hear, self._listen, self._speak, self._play, self._tell, self._notice)
        async with anyio.create_task_group() as tasks:
            for part in (*parts, going_away.wait):
                tasks.start_soon(self._until_over, part, tasks.cancel_scope)

    async def _until_over(self, part: Callable[[], Awaitable[object]], call: anyio.CancelScope) -> None:
        try:
            await part()
        except HungUp:  # what the engine said last is still on its way to the client
            return
        except TimeoutError:
            log.info("a WebRTC caller did not connect or read in time (limits.connect_seconds, send_seconds)")
        except OSError:  # the caller has left in the middle of a sentence
            pass
        call.cancel()

    async def _connect(self) -> None:
        with anyio.fail_after(self.limits.connect_seconds):
            await self.peer.opened.wait()
        await self.peer.gone.wait()

    async def _notice(self) -> None:
        await self.peer.opened.wait()
        await self.peer.lost()
        log.info("nothing came from a WebRTC caller for limits.lost_seconds; their call is over")

    # from the caller to the engine

    async def _hear(self) -> None:
        """Hear the caller's events."""
        second, heard = anyio.current_time(), 0
        async for message in self.peer.messages():
            heard += 1
            if heard > self.limits.events_per_second:
                await anyio.sleep_until(second + 1)
                second, heard = anyio.current_time(), 0
            await self._obey(self._read(message))

    def _read(self, message: str | bytes) -> e.Event:
        """Return the event in a message, or the error for it: the line brings that back in its turn."""
        limits = self.limits
        try:
            if isinstance(message, bytes):
                problem = "Events are JSON in text; this message was binary."
                raise ProtocolError(problem, code="invalid_event")
            return self.handshake.dialect.decode_client(
                message, append_bytes=limits.append_bytes, text_chars=limits.text_chars, values=limits.values
            )
        except ProtocolError as error:
            return error_event(error)

    async def _obey(self, event: e.Event) -> None:
        if isinstance(event, e.OutputAudioBufferClear):
            self._fall_silent()
        else:
            await self.line.send(event)

    async def _listen(self) -> None:
        """Hear the caller's sound."""
        await self.peer.opened.wait()
        worth = anyio.current_time()
        async for frame in self.peer.ear.frames():
            worth = max(worth, anyio.current_time()) + FRAME_SECONDS / 2
            if worth > anyio.current_time() + _BURST_SECONDS:
                await anyio.sleep_until(worth - _BURST_SECONDS)
            await self.line.send(e.InputAudioBufferAppend(audio=self._heard_as.push(frame)))

    # from the engine to the caller

    async def _speak(self) -> None:
        """Say what the engine says, until it leaves: sound by the track, all else by the channel."""
        async for event in self.line:
            match event:
                case e.ResponseOutputAudioDelta():
                    await self._queue(event)
                    continue
                case e.OutputAudioBufferClear():  # somebody who has joined the call wants it
                    self._fall_silent()
                    continue
                case _:
                    await self._say(self.handshake.named(event))
            self._follow(event)

    def _follow(self, event: e.Event) -> None:
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self._adapt(session)
            case e.InputAudioBufferSpeechStarted() if self._interruptible:
                self._fall_silent()
            case e.ResponseCreated(response=response):
                wish = response.audio.output if response.audio else UNSET
                sound = (wish.format if wish else UNSET) or self._spoken_as
                self._spoken[response.id] = Listened(sound, OUTPUT_RATE)
                self._playlist.begin(response.id, in_conversation=bool(response.conversation_id))
            case e.ResponseOutputAudioDone(response_id=response_id, item_id=item_id):
                self._playlist.end(response_id, item_id)
            case e.ConversationItemDeleted(item_id=item_id):
                self._playlist.delete(item_id)
            case e.ResponseDone(response=response):
                self._spoken.pop(response.id, None)
                self._playlist.done(response.id)
                self._tell_news()
            case _:
                pass

    def _adapt(self, session: Session | TranscriptionSession) -> None:
        audio = session.audio or UNSET
        heard = (audio.input if audio else UNSET) or InputSettings()
        if heard.format and heard.format != self._heard_as.format:
            self._heard_as = Spoken(heard.format)
        turns = heard.turn_detection
        self._interruptible = not turns or turns.interrupt_response is not False
        if isinstance(session, Session):
            spoken = (session.audio.output if session.audio else UNSET) or OutputSettings()
            self._spoken_as = spoken.format or self._spoken_as

    async def _queue(self, event: e.ResponseOutputAudioDelta) -> None:
        spoken = self._spoken.setdefault(event.response_id, Listened(self._spoken_as, OUTPUT_RATE))
        try:
            self._playlist.say(event.response_id, event.item_id, spoken.push(event.delta))
            self._sound.set()
        except ProtocolError as error:
            await self._say(error_event(error))

    async def _say(self, event: e.Event) -> None:
        text = written(event, self.handshake.dialect, self.peer.largest_message)
        if text is not None:
            with anyio.fail_after(self.limits.send_seconds):
                await self.peer.say(text)

    # what is played

    async def _play(self) -> None:
        """Play 20 ms every 20 ms: this is the clock by which we know what was heard."""
        await self.peer.opened.wait()
        beat = Pacer(anyio.current_time())
        while True:
            missed = beat.missed(anyio.current_time())
            sound = self._playlist.pull(FRAME_BYTES)
            self.peer.voice.say(sound.ljust(FRAME_BYTES, b"\0"), missed=missed)
            self._tell_news()
            beat.go_on(silent=not sound)
            if not sound:
                await self._wait_for_sound(beat)
            await anyio.sleep_until(beat.due)

    async def _wait_for_sound(self, beat: Pacer) -> None:
        self._sound = anyio.Event()
        with anyio.CancelScope(deadline=beat.due):
            await self._sound.wait()
            beat.hurry(anyio.current_time())

    def _fall_silent(self) -> None:
        self._playlist.clear()
        self._tell_news()

    def _tell_news(self) -> None:
        if self._playlist.news:
            self._news.set()

    async def _tell(self) -> None:
        """Tell the line what was played: it is for all who listen to know."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            while self._playlist.news:
                await self.line.send(self._playlist.news.popleft())
