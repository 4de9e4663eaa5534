"""One stereo recording for each conversation: left the caller, right what was heard of the assistant.

Sound arrives with the events of the conversation, often long before it is played, and is mixed by their times.
A thread for each conversation does that, and writes. What is in the file survives the end of the process.
"""

import logging
import wave
from collections import defaultdict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from io import FileIO
from math import inf
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from msgspec import UNSET

from vivavoce.audio.decode import channels_of
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.audio.resample import resample
from vivavoce.protocol import events as e
from vivavoce.protocol.session import AudioFormat, Pcm, input_settings, output_settings
from vivavoce.session.formats import AudioDecoder, bytes_per_ms
from vivavoce.session.middleware import ObservedEvent
from vivavoce.store.files import local_path, writing

if TYPE_CHECKING:
    import numpy as np
    from av.audio.stream import AudioStream
    from numpy.typing import NDArray

    Stereo = NDArray[np.int16]

log = logging.getLogger(__name__)

Channel = Literal["user", "assistant"]

HOLD_SECONDS, JITTER_SECONDS = 2.0, 0.3
"""Sound is written so long after its time: while the assistant speaks, of which a client may still report what
was played, and otherwise."""
WAITING_BYTES = 1 << 23
"""of sound that may wait to be written"""
_AHEAD_SECONDS = 600
"""of sound may come before its time; more is dropped"""
_HOLD, _JITTER = round(HOLD_SECONDS * OUTPUT_RATE), round(JITTER_SECONDS * OUTPUT_RATE)
_MS = OUTPUT_RATE // 1000
WRITE_SECONDS = 1.0
"""how often what was said is written"""
_BLOCK = OUTPUT_RATE // 5
_SEEK_SECONDS = 0.6
"""So much of Opus before a place makes a decoder give the same samples there as a full decode does, measured;
the 0.08 s of RFC 7845, section 4.6, leave them up to 7 % of full scale apart."""
_MARGIN_SECONDS = 0.01
"""what the resampler needs on both sides"""
_CODECS = {"ogg": "libopus", "flac": "flac"}
# A page for every 0.2 s, written at once: otherwise FFmpeg keeps a quarter of a megabyte back.
_OPTIONS = {"ogg": {"page_duration": "200000", "flush_packets": "1"}, "flac": {"flush_packets": "1"}}


@dataclass(frozen=True)
class SpokenRange:
    """Where an item of the conversation is in the recording; `start` and `end` are samples at `OUTPUT_RATE`."""

    item_id: str
    channel: Channel
    start: int
    end: int


@dataclass(frozen=True)
class Gap:
    """Where sound is missing in the recording, which is silent there, in samples at `OUTPUT_RATE`.

    `not_sent`: the client sent none. `dropped`: more waited to be written, or came before its time,
    than is allowed.
    """

    channel: Channel
    start: int
    end: int
    reason: Literal["not_sent", "dropped"]


@dataclass
class Recorded:
    """What is known of a recording. `problem` says why it is incomplete, or not where it should be."""

    url: str
    samples: int = 0
    spoken: list[SpokenRange] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    problem: str = ""


@dataclass
class _Dropped:
    """Sound of one kind for which there was no room: how many bytes."""

    item_id: str
    response_id: str
    at: float
    size: int = 0


@dataclass
class _Piece:
    """Sound without a break, from a sample of the recording on."""

    item_id: str
    start: int
    sound: bytearray

    @property
    def end(self) -> int:
        return self.start + len(self.sound) // 2


class Mixer:
    """Mixes the sound of a conversation by the times of its events. Pure; samples are at `OUTPUT_RATE`.

    Of a caller who does not listen `in_real_time` (`Caller`), sound has no times: one follows on the other.
    """

    def __init__(self, *, in_real_time: bool = True) -> None:
        self._in_real_time = in_real_time
        self.spoken: dict[tuple[Channel, str], SpokenRange] = {}
        self.gaps: list[Gap] = []
        self.taken = 0
        """samples that `pop` has returned"""
        self._began: float | None = None
        self._now = 0
        self._pieces: dict[Channel, list[_Piece]] = {"user": [], "assistant": []}
        self._ends: dict[Channel, int] = {"user": 0, "assistant": 0}
        self._decoders: dict[str, AudioDecoder] = {}
        self._formats: dict[str, AudioFormat] = {"": Pcm(), "user": Pcm()}
        self._interruptible = True
        self._playing: set[str] = set()
        self._cut: set[str] = set()
        self._heard: defaultdict[str, int] = defaultdict(int)
        """samples of each item that were taken"""
        self._received = self._committed = 0
        """samples of the user's that were received, and committed"""
        self._pause: tuple[int, int] | None = None
        """the last gap in the user's sound, while it may prove to be a delay"""
        self._shifts: list[tuple[int, int]] = [(0, 0)]
        """how many samples later than by counting the user's sound stands, from which sample of it on"""

    def on_event(self, observed: ObservedEvent) -> None:
        """Place the sound of an event; apply what an event says of sound that was placed."""
        event = observed.event
        self.advance(observed.at)
        match event:
            case e.InputAudioBufferAppend(audio=audio):
                self._append_user(self._decode("user", self._formats["user"], audio))
            case e.ResponseOutputAudioDelta(response_id=response_id, item_id=item_id, delta=delta):
                self._append_assistant(item_id, self._decode(item_id, self._format(response_id), delta))
            case e.ResponseOutputAudioDone(item_id=item_id):
                self._playing.discard(item_id)
                self._decoders.pop(item_id, None)
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                turns = input_settings(session).turn_detection
                self._interruptible = not turns or turns.interrupt_response is not False
                self._formats["user"] = input_settings(session).format or self._formats["user"]
                self._formats[""] = output_settings(session).format or self._format("")
            case e.ResponseCreated(response=response):
                output = response.audio.output if response.audio else UNSET
                self._formats[response.id] = (output.format if output else UNSET) or self._format("")
            case e.ResponseDone(response=response):
                self._formats.pop(response.id, None)
            case e.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=ms):
                start = self._place(ms * _MS)
                self.spoken["user", item_id] = SpokenRange(item_id, "user", start, start)
                if self._interruptible:
                    self._interrupt()
            case e.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=ms):
                self._end_user(item_id, self._place(ms * _MS))
            case e.InputAudioBufferCommitted(item_id=item_id):
                if ("user", item_id) not in self.spoken:  # turns without speech detection
                    start = self._place(self._committed)
                    self.spoken["user", item_id] = SpokenRange(item_id, "user", start, self._ends["user"])
                self._committed = self._received
            case e.InputAudioBufferCleared():
                self._committed = self._received
            case e.OutputAudioBufferCleared():
                self._interrupt()
            case e.ConversationItemTruncated(item_id=item_id, audio_end_ms=ms):
                self._truncate(item_id, ms * _MS)

    def on_dropped(self, dropped: _Dropped) -> None:
        """Place silence where sound was dropped, and note the gap."""
        self.advance(dropped.at)
        is_user = not dropped.item_id
        sound_format = self._formats["user"] if is_user else self._format(dropped.response_id)
        samples = dropped.size // bytes_per_ms(sound_format) * _MS
        if is_user:
            self._append_user(bytes(2 * samples))
        else:
            self._append_assistant(dropped.item_id, bytes(2 * samples))
        channel: Channel = "user" if is_user else "assistant"
        self.gaps.append(Gap(channel, self._ends[channel] - samples, self._ends[channel], "dropped"))

    def advance(self, at: float) -> None:
        """Go on to a time in seconds of the events' clock, which never goes back."""
        if not self._in_real_time:
            self._now = max(self._ends.values())
            return
        self._began = at if self._began is None else self._began
        self._now = max(self._now, round((at - self._began) * OUTPUT_RATE))

    @property
    def settled(self) -> int:
        """The samples that will not change any more."""
        speaks = self._ends["assistant"] > max(self._now - _HOLD, self.taken)
        user = self._pause[0] if self._pause else self._ends["user"]
        awaits_user = max(user, self._now - _HOLD)  # what is missing may only be late
        return min(self._now - (_HOLD if speaks else _JITTER), awaits_user if self._received else self._now)

    def pop(self, until: int) -> "Stereo":
        """Return the samples from those taken before to `until`, in two columns: user and assistant."""
        import numpy as np

        mixed: Stereo = np.zeros((max(0, until - self.taken), 2), np.int16)
        for column, pieces in enumerate(self._pieces.values()):
            for piece in pieces:
                count, at = min(until, piece.end) - piece.start, piece.start - self.taken
                if count <= 0:
                    continue
                mixed[at : at + count, column] = np.frombuffer(piece.sound, "<i2", count)
                if column:
                    self._heard[piece.item_id] += count
                del piece.sound[: 2 * count]
                piece.start += count
            pieces[:] = [piece for piece in pieces if piece.sound]
        self.taken += len(mixed)
        return mixed

    @property
    def end(self) -> int:
        """The last sample: of the caller's sound, or now. What the assistant had yet to say was not heard."""
        return max(self._now, self._ends["user"], self.taken)

    def _append_user(self, sound: bytes) -> None:
        begun, samples = self._ends["user"], len(sound) // 2
        start = max(begun, self.taken)
        if not self._in_real_time:
            start = max(start, self._now)
        elif not self._received or self._now - samples - begun > _JITTER:
            start = max(start, self._now - samples)
        if start > begun:
            is_gap = self._in_real_time and self._received > 0
            if is_gap:
                self.gaps.append(Gap("user", begun, start, "not_sent"))
            self._shifts.append((self._received, start - self._received))
            self._pause = (begun, start) if is_gap and self._now - begun <= _HOLD else None
        self._received += samples
        self._add("user", "", start, sound)
        self._close_pause(self._ends["user"] - self._now)

    def _close_pause(self, ahead: int) -> None:
        """Move the user's sound back into the last pause if so much of it came that it was only late."""
        if self._pause and self._now - self._pause[0] > _HOLD:
            self._pause = None
        if self._pause is None or ahead <= 0:
            return
        begun, start = self._pause
        back = min(ahead, start - begun)
        for piece in self._pieces["user"]:
            piece.start -= back if piece.start >= start else 0
        self._ends["user"] -= back
        self._shifts[-1] = self._shifts[-1][0], self._shifts[-1][1] - back
        gap = next(gap for gap in reversed(self.gaps) if gap.channel == "user" and gap.reason == "not_sent")
        self.gaps[self.gaps.index(gap)] = replace(gap, end=gap.end - back)
        if back == start - begun:
            self.gaps = [gap for gap in self.gaps if gap.end > gap.start]
        self._pause = (begun, start - back) if back < start - begun else None

    def _append_assistant(self, item_id: str, sound: bytes) -> None:
        if item_id in self._cut:
            return
        self._playing.add(item_id)
        start = max(self._now, self._ends["assistant"], self.taken)
        self._add("assistant", item_id, start, sound)
        known = self.spoken.get(("assistant", item_id))
        begun = known.start if known else start
        self.spoken["assistant", item_id] = SpokenRange(item_id, "assistant", begun, self._ends["assistant"])

    def _add(self, channel: Channel, item_id: str, start: int, sound: bytes) -> None:
        pieces, end = self._pieces[channel], start + len(sound) // 2
        if end - max(self._now, self.taken) > _AHEAD_SECONDS * OUTPUT_RATE:
            if not self.gaps or self.gaps[-1].start != start:
                self.gaps.append(Gap(channel, start, end, "dropped"))
            return
        if pieces and (pieces[-1].item_id, pieces[-1].end) == (item_id, start):
            pieces[-1].sound += sound
        else:
            pieces.append(_Piece(item_id, start, bytearray(sound)))
        self._ends[channel] = end

    def _interrupt(self) -> None:
        """Drop what was not yet played, and what is still to come of it."""
        pieces = self._pieces["assistant"]
        self._cut |= self._playing | {piece.item_id for piece in pieces if piece.end > self._now}
        self._playing.clear()
        for piece in pieces:
            self._trim(piece, self._now)

    def _truncate(self, item_id: str, samples: int) -> None:
        """Keep only the first samples of an item; the rest was not heard."""
        self._cut.add(item_id)
        left = samples - self._heard[item_id]
        for piece in self._pieces["assistant"]:
            if piece.item_id == item_id:
                length = len(piece.sound) // 2
                self._trim(piece, piece.start + max(0, left))
                left -= length

    def _trim(self, piece: _Piece, end: int) -> None:
        if piece.end <= end:
            return
        del piece.sound[2 * max(0, end - piece.start) :]
        known = self.spoken.pop(("assistant", piece.item_id), None)
        if known and min(known.end, piece.end) > known.start:  # of what was not heard at all there is none
            heard = SpokenRange(piece.item_id, "assistant", known.start, min(known.end, piece.end))
            self.spoken["assistant", piece.item_id] = heard
        self._ends["assistant"] = max((one.end for one in self._pieces["assistant"] if one.sound), default=0)

    def _place(self, sample: int) -> int:
        """Return where a sample of the user's sound stands in the recording."""
        return sample + next(shift for first, shift in reversed(self._shifts) if first <= max(0, sample))

    def _end_user(self, item_id: str, end: int) -> None:
        if known := self.spoken.get(("user", item_id)):
            self.spoken["user", item_id] = SpokenRange(item_id, "user", known.start, end)

    def _format(self, response_id: str) -> AudioFormat:
        return self._formats.get(response_id) or self._formats[""]

    def _decode(self, key: str, sound_format: AudioFormat, audio: bytes) -> bytes:
        if isinstance(sound_format, Pcm):
            return audio[: len(audio) // 2 * 2]
        decoder = self._decoders.get(key)
        if decoder is None or decoder.format != sound_format:
            decoder = self._decoders[key] = AudioDecoder(sound_format, OUTPUT_RATE)
        return decoder.push(audio)


class RecordingWriter:
    """Writes the recording of one conversation, in a thread of its own.

    `url` is a path, or the URL of any store that fsspec knows, where the finished file belongs; that one is
    written in the folder `spool`, from where others put it. It is FLAC if its name ends so, else Ogg Opus.
    `max_bytes` of sound may wait to be written; more is dropped, and noted as a gap. `in_real_time` is the
    caller's. Needs the extra `store`.
    """

    def __init__(
        self, url: str, *, spool: Path, max_bytes: int = WAITING_BYTES, in_real_time: bool = True
    ) -> None:
        self.url = url
        self.path = local_path(url) or spool / Path(url).name
        """the file that is written"""
        self._max_bytes = max_bytes
        self._recorded, self._in_real_time = Recorded(url), in_real_time
        self._queue = deque[ObservedEvent | _Dropped]()
        self._put = self._got = 0  # bytes; each is changed by one thread only
        self._dropped: dict[str, _Dropped] = {}
        self._ended, self._ended_at = Event(), 0.0
        self._finished = Future[Recorded]()
        self._finished.set_running_or_notify_cancel()  # whoever waits for it may be cancelled, and it is not
        Thread(target=self._run, name=f"recording {self.path.name}", daemon=True).start()

    def on_event(self, observed: ObservedEvent) -> None:
        """Record an event. Never blocks."""
        item_id, response_id, size = _sound(observed.event)
        if size and self._put - self._got > self._max_bytes:
            dropped = self._dropped.setdefault(item_id, _Dropped(item_id, response_id, observed.at))
            dropped.size += size
            return
        self._queue.extend(self._dropped.values())
        self._dropped.clear()
        if size or not isinstance(observed.event, e.ClientEvent):
            self._put += size
            self._queue.append(observed)  # without waking the thread, which would cost more than encoding does

    def close(self, at: float) -> "Future[Recorded]":
        """Finish the file at a time of the events' clock; the result comes when that is done. Never blocks."""
        self._queue.extend(self._dropped.values())
        self._ended_at = at
        self._ended.set()
        return self._finished

    def _run(self) -> None:
        try:
            self._record()
        finally:
            self._finished.set_result(self._recorded)

    def _record(self) -> None:
        from av import FFmpegError

        mixer = Mixer(in_real_time=self._in_real_time)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with writing(self.path) as file, _Encoder(file, _container(self.url)) as encoder:
                is_over = False
                while not is_over:
                    is_over = self._ended.wait(WRITE_SECONDS)
                    self._mix(mixer, encoder)
                mixer.advance(self._ended_at)
                encoder.write(mixer.pop(mixer.end))
        except (OSError, FFmpegError) as error:
            self._fail(error)
        self._recorded.samples = mixer.taken
        ends = (replace(one, end=min(one.end, mixer.taken)) for one in mixer.spoken.values())
        heard = [one for one in ends if one.end >= one.start]  # the rest was still to come when all was over
        self._recorded.spoken = sorted(heard, key=lambda one: (one.start, one.channel))
        self._recorded.gaps = mixer.gaps

    def _mix(self, mixer: Mixer, encoder: "_Encoder") -> None:
        """Write what has come so far."""
        size = 0
        while self._queue:
            observed = self._queue.popleft()
            if isinstance(observed, _Dropped):
                mixer.on_dropped(observed)
            else:
                mixer.on_event(observed)
                size += _sound(observed.event)[2]
        if mixer.settled - mixer.taken >= _BLOCK:
            encoder.write(mixer.pop(mixer.settled))
        self._got += size

    def _fail(self, error: Exception) -> None:
        """Say why, and keep nothing more."""
        self._recorded.problem = f"The recording {self.path} is incomplete: {error}"
        log.warning("%s", self._recorded.problem)
        self._max_bytes = -1
        while not self._ended.wait(WRITE_SECONDS):
            self._queue.clear()


class _Encoder:
    def __init__(self, file: FileIO, container: str) -> None:
        import av

        # by its path, FFmpeg would make it again if it was deleted before the first sample
        self._file = av.open(file, "w", format=container, options=_OPTIONS[container])
        self._stream = cast(
            "AudioStream", self._file.add_stream(_CODECS[container], rate=OUTPUT_RATE, layout="stereo")
        )
        if container == "ogg":
            # For the ear (PESQ) as good as complexity 3 at 48 kbit/s in frames of 20 ms, with two thirds of the
            # work. More complexity takes up to twice as long, and 1 is worse than 0, measured. Below 48 kbit/s,
            # one voice leaks into the other.
            self._stream.bit_rate = 56_000
            self._stream.options = {"compression_level": "0", "frame_duration": "60"}
        self._written = 0

    def __enter__(self) -> "_Encoder":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.mux(self._stream.encode(None))
        self._file.close()

    def write(self, samples: "Stereo") -> None:
        import av

        for at in range(0, len(samples), OUTPUT_RATE):
            part = samples[at : at + OUTPUT_RATE]
            frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), format="s16", layout="stereo")
            frame.sample_rate, frame.pts = OUTPUT_RATE, self._written
            self._written += len(part)
            self._file.mux(self._stream.encode(frame))


def _sound(event: e.Event) -> tuple[str, str, int]:
    """Return item, response and bytes of the sound in an event; no item means the user's."""
    match event:
        case e.InputAudioBufferAppend(audio=audio):
            return "", "", len(audio)
        case e.ResponseOutputAudioDelta(item_id=item_id, response_id=response_id, delta=delta):
            return item_id, response_id, len(delta)
    return "", "", 0


def _container(name: str) -> str:
    return "flac" if name.endswith(".flac") else "ogg"


# reading


def read(url: str, start: int = 0, end: int | None = None) -> "Stereo":
    """Return samples of a recording at `OUTPUT_RATE` in two columns, user and assistant; fewer if it ends.

    It need not be finished. Raises `FileNotFoundError`, and `av.FFmpegError` for what is no recording.
    """
    import av
    import numpy as np
    from fsspec.core import open as open_url

    from vivavoce.audio.samples import to_int16

    with open_url(url, "rb") as file, av.open(file, "r", format=_container(url)) as recording:
        stream = recording.streams.audio[0]
        scale = stream.rate // OUTPUT_RATE
        first = max(0, start * scale - round(_MARGIN_SECONDS * stream.rate))
        last = inf if end is None else end * scale + round(_MARGIN_SECONDS * stream.rate)
        if early := max(0, first - round(_SEEK_SECONDS * stream.rate)):
            recording.seek(early, stream=stream)  # it lands on the page before
        parts = [np.zeros((0, 2), np.int16)]
        for frame in recording.decode(stream):
            at = cast("int", frame.pts)
            if at >= last:
                break
            part = to_int16(channels_of(frame).T)[
                max(0, first - at) : max(0, int(min(last - at, frame.samples)))
            ]
            parts.append(part)
    found = np.concatenate(parts)
    skip, count = start - first // scale, None if end is None else end - start
    rate = scale * OUTPUT_RATE
    columns = [np.frombuffer(resample(found[:, n].tobytes(), rate, OUTPUT_RATE), "<i2") for n in (0, 1)]
    return np.stack(columns, axis=1)[skip : None if count is None else skip + count]


def write_wav(url: str, sink: BinaryIO, start: int = 0, end: int | None = None) -> None:
    """Write samples of a recording to a file or stream as WAV, minute by minute. Raises what `read` raises."""
    with wave.open(sink, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(OUTPUT_RATE)
        while end is None or start < end:
            until = start + 60 * OUTPUT_RATE if end is None else min(end, start + 60 * OUTPUT_RATE)
            samples = read(url, start, until)
            wav.writeframes(samples.tobytes())
            if len(samples) < until - start:
                return
            start = until
