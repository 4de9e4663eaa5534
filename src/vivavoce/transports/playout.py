"""Buffers of output audio for transports that play it themselves, which count what was played."""

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

from msgspec import UNSET

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.session import AudioFormat, Pcm, input_settings, output_settings
from vivavoce.session.formats import AudioDecoder


class PlayoutBuffer:
    """A queue of 16-bit mono PCM, appended by one thread and read by another, which counts the audio per item.

    No method blocks: the lock is only held while bytes are copied.
    """

    def __init__(self, rate: int = OUTPUT_RATE) -> None:
        """`rate` is in Hz."""
        self._bytes_per_ms = 2 * rate // 1000
        self._lock = Lock()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._played: dict[str, int] = {}
        self._finished: set[str] = set()

    @property
    def has_audio(self) -> bool:
        """Whether there is audio left to play."""
        return bool(self._queue)

    @property
    def size(self) -> int:
        """The bytes that are left to play."""
        with self._lock:
            return sum(len(chunk) for _, chunk in self._queue)

    def append(self, item_id: str, audio: bytes) -> None:
        """Append audio of an item."""
        with self._lock:
            self._played.setdefault(item_id, 0)
            self._queue.append((item_id, audio))

    def finish(self, item_id: str) -> None:
        """Record that all audio of this item was appended: once played, it can no longer be truncated."""
        with self._lock:
            self._finished.add(item_id)
            self._forget_played()

    def read(self, size: int) -> bytes:
        """Return the next bytes to play: `size` of them, or as many as there are."""
        audio = bytearray()
        with self._lock:
            while self._queue and len(audio) < size:
                item_id, chunk = self._queue.popleft()
                part, rest = chunk[: size - len(audio)], chunk[size - len(audio) :]
                audio += part
                self._played[item_id] += len(part)
                if rest:
                    self._queue.appendleft((item_id, rest))
            self._forget_played()
        return bytes(audio)

    def peek(self, at: int, size: int) -> bytes:
        """Return up to `size` bytes, `at` bytes behind the next one, without counting them as played."""
        audio = bytearray()
        with self._lock:
            for _, chunk in self._queue:
                audio += chunk[at : at + size - len(audio)]
                at = max(0, at - len(chunk))
        return bytes(audio)

    def read_padded(self, size: int) -> bytes:
        """Return the next `size` bytes to play, with silence where there is nothing."""
        return self.read(size).ljust(size, b"\0")

    def clear(self, latency_ms: float = 0) -> dict[str, int]:
        """Drop what was not played; return the milliseconds that were played of each unfinished item.

        `latency_ms` is the delay between `read` and the loudspeaker.
        """
        with self._lock:
            played = {
                item_id: max(0, int(size / self._bytes_per_ms - latency_ms))
                for item_id, size in self._played.items()
            }
            self._queue.clear()
            self._played.clear()
            self._finished.clear()
        return played

    def _forget_played(self) -> None:
        for item_id in self._finished - {item_id for item_id, _ in self._queue}:
            self._finished.discard(item_id)
            self._played.pop(item_id, None)


@dataclass
class _Response:
    """A response whose audio is being played or waits to be played."""

    decoder: AudioDecoder
    buffer: PlayoutBuffer
    in_conversation: bool = True
    """False for an out-of-band response, whose items cannot be truncated"""
    deleted: set[str] = field(default_factory=set)
    started: bool = False
    done: bool = False
    muted: bool = False
    """further audio of it is dropped"""
    cleared: bool = False


class Playout:
    """The audio of responses, one response at a time, for a transport that plays it to the caller.

    The transport passes every server event to `handle`, and reads the audio in real time: reads of 20 ms are
    the clock. When the caller starts to speak, and `interrupt_response` is not false, the queue is cleared. The
    transport sends `events` to the line: `output_audio_buffer.*`, and `conversation.item.truncate` for items
    that were cut short. No method blocks.
    """

    def __init__(self, seconds: float, rate: int = OUTPUT_RATE) -> None:
        """`seconds` is the most audio that may wait; `rate` is the rate of the PCM that is read, in Hz."""
        self.events: deque[e.Event] = deque()
        self._rate = rate
        self._capacity = self._free = round(seconds * rate) * 2
        self._responses: dict[str, _Response] = {}
        self._playing: str | None = None
        self._format: AudioFormat = Pcm()
        self._interruptible = True

    def handle(self, event: e.Event) -> None:
        """Process a server event. Raises `ProtocolError` for audio beyond `limits.playout_seconds`."""
        match event:
            case e.ResponseOutputAudioDelta():
                self._append(event)
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                turn_detection = input_settings(session).turn_detection
                self._interruptible = not turn_detection or turn_detection.interrupt_response is not False
                self._format = output_settings(session).format or self._format
            case e.InputAudioBufferSpeechStarted() if self._interruptible:
                self.clear()
            case e.OutputAudioBufferClear():
                self.clear()
            case e.ResponseCreated(response=response):
                output = response.audio.output if response.audio else UNSET
                wanted = output.format if output else UNSET
                started = self._new(wanted or self._format, in_conversation=bool(response.conversation_id))
                self._responses[response.id] = started
            case e.ResponseOutputAudioDone(response_id=response_id, item_id=item_id):
                if response_id in self._responses:
                    self._responses[response_id].buffer.finish(item_id)
            case e.ConversationItemDeleted(item_id=item_id):
                for playing in self._responses.values():
                    playing.deleted.add(item_id)
            case e.ResponseDone(response=response) if response.id in self._responses:
                self._responses[response.id].done = True
                self._forget_played(response.id)
            case _:
                pass

    def read(self, size: int) -> bytes:
        """Return the next bytes to play: `size` of them, or as many as there are."""
        audio = b""
        while len(audio) < size and (response_id := self._next()) is not None:
            response = self._responses[response_id]
            part = response.buffer.read(size - len(audio))
            self._free += len(part)
            audio += part
            if part and not response.started:
                response.started = True
                self.events.append(e.OutputAudioBufferStarted(response_id=response_id))
            self._forget_played(response_id)
            if response_id in self._responses:  # more of its audio will arrive: do not play the next response
                break
        return audio

    def peek(self, at: int, size: int) -> bytes:
        """Return up to `size` bytes, `at` bytes behind the next one, without counting them as played."""
        playing = self._next()
        others = (response for name, response in self._responses.items() if name != playing)
        for response in (*([self._responses[playing]] if playing else []), *others):
            if at < response.buffer.size:
                return response.buffer.peek(at, size)
            at -= response.buffer.size
            if not response.done:
                break
        return b""

    def play(self, audio: bytes) -> None:
        """Play PCM at `OUTPUT_RATE` that no response has made, and of which no event tells."""
        sound = self._new(Pcm(), in_conversation=False)
        sound.started = sound.cleared = sound.done = True
        audio = sound.decoder.push(audio)
        self._free -= len(audio)
        sound.buffer.append("", audio)
        self._responses[e.new_id("sound")] = sound

    def clear(self) -> None:
        """Drop what was not played; add events that report how much of each response was played."""
        self._free = self._capacity
        for response_id, response in list(self._responses.items()):
            played = response.buffer.clear()
            if response.started and not response.cleared:
                response.cleared = True
                self.events.append(e.OutputAudioBufferCleared(response_id=response_id))
            if response.in_conversation:
                self.events.extend(
                    e.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=ms)
                    for item_id, ms in played.items()
                    if item_id not in response.deleted
                )
            response.muted = response.muted or response.started or bool(played)
            self._forget_played(response_id)

    def _new(self, format: AudioFormat, *, in_conversation: bool = True) -> _Response:
        return _Response(AudioDecoder(format, self._rate), PlayoutBuffer(self._rate), in_conversation)

    def _append(self, event: e.ResponseOutputAudioDelta) -> None:
        if event.response_id not in self._responses:
            self._responses[event.response_id] = self._new(self._format)
        response = self._responses[event.response_id]
        if response.muted or not (audio := response.decoder.push(event.delta)):
            return
        if len(audio) > self._free:
            response.muted = True
            problem = "More audio of this response waits to be played than limits.playout_seconds allows; "
            raise ProtocolError(f"{problem}the rest of it is dropped.", code="output_audio_buffer_full")
        self._free -= len(audio)
        response.buffer.append(event.item_id, audio)

    def _next(self) -> str | None:
        """Return the id of the response to play: a started one is played to its end before the next."""
        if self._playing not in self._responses:
            waiting = (name for name, response in self._responses.items() if response.buffer.has_audio)
            self._playing = next(waiting, None)
        return self._playing

    def _forget_played(self, response_id: str) -> None:
        response = self._responses[response_id]
        if not response.done or response.buffer.has_audio:
            return
        if response.started and not response.cleared:
            self.events.append(e.OutputAudioBufferStopped(response_id=response_id))
        del self._responses[response_id]
