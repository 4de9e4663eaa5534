"""The core of telephone calls: audio and keys from the peer, audio to it, and the end of the call.

To the engine, a telephone is a client that sends PCM, and whose audio the server plays (`Playout`). The line is
opened when the media path is up, so a greeting is not spoken into nothing.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import anyio

from vivavoce.audio.dtmf import tone
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.dates import unix_now
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.items import InputText, Message
from vivavoce.session.call import Caller, Refer
from vivavoce.session.line import Line
from vivavoce.transports.base import Connect, OpenCalls, run_until_first
from vivavoce.transports.playout import Playout
from vivavoce.transports.telephony.leg import KeyPressed, Leg, MarkPlayed
from vivavoce.transports.telephony.playing import OurClock, PeerClock
from vivavoce.transports.telephony.waiting import WaitingTone
from vivavoce.transports.telephony.webhooks import AnnouncedCalls, Observe, ignore

log = logging.getLogger(__name__)

MEDIA_SECONDS = 0.7
"""seconds that a caller's first audio is waited for: some phones send none until they are spoken to"""
BURST_SECONDS = 2.5
"""seconds for which a caller's audio may arrive at twice its speed, after a network stall; no faster"""
PIECE_SECONDS = 0.01
"""seconds of audio at least that are forwarded at once, however small a peer cuts them"""
MISSING_SECONDS = 0.3
"""seconds without audio in mid-speech after which silence is put in, so that the turn ends"""
HOLD_SECONDS = 2
"""seconds without audio after which the caller is perhaps on hold"""
KEYS_SECONDS = 1.5
"""seconds after a key in which another may follow; then the keys are sent to the model, as at once with `#`"""
MOST_KEYS = 64
"""keys that are sent to the model together, without waiting for further ones"""
EARLY_EVENTS = 500
"""events, of 20 ms of audio as a rule, that are kept until there is a line"""
SETTLED_SECONDS = 0.5
"""seconds after which no further answer follows"""
TONE_SECONDS = 0.12
"""seconds of a key's tone, and of the silence after it (ITU-T Q.24 wants 40 ms, real machines more)"""
GOODBYE_SECONDS = 15
"""seconds that the last words before a hang-up or a transfer may take"""


@dataclass(frozen=True)
class TelephoneTransport:
    """Runs a call for each leg that a telephone peer brings."""

    connect: Connect
    limits: Limits = field(default_factory=Limits)
    announced: AnnouncedCalls = field(default_factory=AnnouncedCalls)
    observe: Observe = ignore
    """observes the events of every call"""
    _calls: OpenCalls = field(default_factory=OpenCalls)

    name: ClassVar[str] = "telephone"
    plays_audio: ClassVar[bool] = True

    async def accept(self, connection: Leg) -> None:
        """Run a call; return when it has ended, and the leg is hung up.

        Raises `ProtocolError` if the caller is refused.
        """
        leg = connection
        leg.details = self.announced.complete(leg.details)
        call = _Call(leg, self.limits, self.observe)
        try:
            with self._calls.track():
                await call.run(self.connect, self._calls.closing)
        finally:
            self.observe(leg.details, None)
            with anyio.move_on_after(self.limits.send_seconds, shield=True), suppress(OSError):
                await leg.hang_up(call.refusal)
        if call.refusal:
            raise call.refusal

    async def hang_up(self) -> None:
        """End all calls, and later ones as soon as they are accepted; return when all have ended."""
        await self._calls.hang_up()


class _Call:
    """Forwards events, audio and keys between a line and a leg."""

    def __init__(self, leg: Leg, limits: Limits, observe: Observe) -> None:
        self.refusal: ProtocolError | None = None
        self._leg, self._observe = leg, observe
        self._playout = Playout(limits.playout_seconds, leg.rate)
        clock = PeerClock if leg.has_clock else OurClock
        self._clock: PeerClock | OurClock = clock(leg, self._playout, self._on_played)
        self._resampler = Resampler(leg.rate, OUTPUT_RATE)
        self._line: Line | None = None
        self._early: list[e.Event] = []
        self._is_media_up, self._has_left = anyio.Event(), anyio.Event()
        self._heard_at, self._is_speaking = anyio.current_time(), False
        self._speech_started = anyio.Event()
        self._waiting = WaitingTone(self._play_waiting)
        self._keys, self._keyed = "", anyio.Event()
        self._responses: set[str] = set()
        self._reported, self._progress = anyio.Event(), anyio.Event()
        self._aside = e.new_id("event")
        """id of events whose errors do not matter: they came too late"""

    async def run(self, connect: Connect, closing: anyio.Event) -> None:
        """Answer the call, and forward both ways until one side ends it."""
        broken = await run_until_first(
            self._receive,
            self._clock.run,
            partial(self._converse, connect),
            self._has_left.wait,
            closing.wait,
        )
        if broken:
            log.info("the leg of call %s broke: %s", self._leg.details.id, broken)

    async def _converse(self, connect: Connect) -> None:
        """Open a line as soon as the media path is up."""
        with anyio.move_on_after(MEDIA_SECONDS):
            await self._is_media_up.wait()
        try:
            async with connect(self._caller()) as line:
                await self._leg.answer()
                self._line = line
                for event in self._early:
                    await line.send(event)
                self._early.clear()
                await run_until_first(
                    partial(self._receive_events, line),
                    partial(self._report_playout, line),
                    partial(self._send_keys, line),
                    self._fill_gaps,
                    self._waiting.run,
                )
        except ProtocolError as error:
            self.refusal = error

    def _caller(self) -> Caller:
        details = self._leg.details
        return Caller(
            self._leg.name,
            details.caller or details.address,
            plays_audio=True,
            refer=partial(self._refer, self._leg.refer) if self._leg.refer else None,
            leave=self._leave,
            press=self._press_tones,
            external_id=details.id,
            metadata={**details.metadata, "from": details.caller, "to": details.called},
            id=e.new_id("call"),
        )

    async def _refer(self, refer: Refer, target: str) -> None:
        """Transfer the call, once what was said has been heard. Raises `ProviderError`."""
        await self._finish_speaking()
        await refer(target)

    async def _leave(self) -> None:
        """End the call, once what was said has been heard."""
        await self._finish_speaking()
        self._has_left.set()

    async def _press_tones(self, keys: str) -> None:
        """Play the tones of keys, once what was said has been heard, and return when the last was played."""
        await self._finish_speaking()
        gap = bytes(2 * round(TONE_SECONDS * OUTPUT_RATE))
        audio = b"".join(tone(key, TONE_SECONDS, OUTPUT_RATE) + gap for key in keys)
        self._play(audio)
        await self._finish_speaking()

    def _play_waiting(self, audio: bytes) -> None:
        """Play a tone, unless the caller sends nothing: on hold, nobody listens."""
        if anyio.current_time() - self._heard_at < HOLD_SECONDS:
            self._play(audio)

    def _play(self, audio: bytes) -> None:
        self._playout.play(audio)
        self._clock.wake()

    async def _finish_speaking(self) -> None:
        """Return when no response is in progress, none follows, and all audio was played."""
        with anyio.move_on_after(GOODBYE_SECONDS):
            while self._responses or self._playout.peek(0, 2) or await self._goes_on():
                await self._progress.wait()

    async def _goes_on(self) -> bool:
        """Wait for a moment; return whether anything more is said."""
        await anyio.sleep(SETTLED_SECONDS)
        return bool(self._responses or self._playout.peek(0, 2))

    # from the peer

    async def _receive(self) -> None:
        """Forward what comes from the peer, until the caller hangs up."""
        until, piece = anyio.current_time(), b""
        async for event in self._leg.receive():
            match event:
                case KeyPressed(key=key):
                    await self._press(key)
                case MarkPlayed(name=name):
                    if isinstance(self._clock, PeerClock):
                        self._clock.on_mark(name)
                case bytes():
                    self._is_media_up.set()
                    self._heard_at = anyio.current_time()
                    until = max(until, self._heard_at) + len(event) / (4 * self._leg.rate)
                    if until > self._heard_at + BURST_SECONDS:
                        await anyio.sleep_until(until - BURST_SECONDS)
                    piece += event
                    if len(piece) >= 2 * self._leg.rate * PIECE_SECONDS:
                        await self._append(piece)
                        piece = b""

    async def _append(self, audio: bytes) -> None:
        await self._send(e.InputAudioBufferAppend(audio=self._resampler.push(audio)))

    async def _send(self, event: e.Event) -> None:
        """Send an event to the engine, at first as soon as there is one."""
        if self._line:
            await self._line.send(event)
        elif len(self._early) < EARLY_EVENTS:
            self._early.append(event)

    async def _fill_gaps(self) -> None:
        """Put silence in where audio stops in mid-speech (hold, loss): time goes on, so that the turn ends."""
        while True:
            await self._speech_started.wait()
            self._speech_started = anyio.Event()
            await anyio.sleep(MISSING_SECONDS)
            while self._is_speaking:
                if anyio.current_time() - self._heard_at >= MISSING_SECONDS:
                    await self._append(bytes(2 * round(self._leg.rate * MISSING_SECONDS)))
                await anyio.sleep(MISSING_SECONDS)

    # keys

    async def _press(self, key: str) -> None:
        """Report a key, and interrupt what is being said."""
        await self._send(e.DtmfEventReceived(event=key, received_at=unix_now()))
        await self._update_playout(e.OutputAudioBufferClear())
        for response_id in tuple(self._responses):
            await self._send(e.ResponseCancel(event_id=self._aside, response_id=response_id))
        self._keys += key
        self._keyed.set()

    async def _send_keys(self, line: Line) -> None:
        """Send keys to the model as a message of the caller, when no more follow."""
        while True:
            await self._keyed.wait()
            while self._keyed.is_set() and not self._keys.endswith("#") and len(self._keys) < MOST_KEYS:
                self._keyed = anyio.Event()
                with anyio.move_on_after(KEYS_SECONDS):
                    await self._keyed.wait()
            keys, self._keys, self._keyed = self._keys[:MOST_KEYS], "", anyio.Event()
            text = InputText(text=f"[The caller has pressed {' '.join(keys)} on the telephone.]")
            await line.send(e.ConversationItemCreate(item=Message(role="user", content=(text,))))
            while self._responses:
                await self._progress.wait()
            request = e.ResponseCreate()
            self._waiting.on_event(request)
            await line.send(request)

    # from the engine

    async def _receive_events(self, line: Line) -> None:
        """Process the engine's events until the line ends."""
        async for event in line:
            self._waiting.on_event(event)
            self._observe(self._leg.details, event)
            match event:
                case e.ResponseOutputAudioDelta():
                    try:
                        self._playout.handle(event)
                    except ProtocolError as error:
                        log.warning("call %s: %s", self._leg.details.id, error)
                        await self._leg.on_event(error_event(error))
                    self._clock.wake()
                    continue
                case e.InputAudioBufferSpeechStarted():
                    self._is_speaking = True
                    self._speech_started.set()
                case e.InputAudioBufferSpeechStopped():
                    self._is_speaking = False
                case e.ResponseCreated(response=response):
                    self._responses.add(response.id)
                case e.ResponseDone(response=response):
                    self._responses.discard(response.id)
                case _:
                    pass
            await self._update_playout(event)
            if not (isinstance(event, e.ErrorEvent) and event.error.event_id == self._aside):
                await self._leg.on_event(event)

    async def _update_playout(self, event: e.Event) -> None:
        may_clear = isinstance(event, e.InputAudioBufferSpeechStarted | e.OutputAudioBufferClear)
        if may_clear:
            self._clock.settle()
        self._playout.handle(event)
        if may_clear and not self._playout.peek(0, 2):
            await self._clock.clear()
        self._reported.set()

    def _on_played(self) -> None:
        if self._playout.events or not self._playout.peek(0, 2):
            self._reported.set()

    async def _report_playout(self, line: Line) -> None:
        """Send playback events to the line, and tell who waits for the end of what is said."""
        while True:
            await self._reported.wait()
            self._reported = anyio.Event()
            while self._playout.events:
                await line.send(self._playout.events.popleft())
            self._progress.set()
            self._progress = anyio.Event()
