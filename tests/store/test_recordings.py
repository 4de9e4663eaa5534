"""What is heard of a conversation is in its recording, at its place, and nothing else."""

import io
import signal
import subprocess
import sys
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.simulations import MANUAL, STORY, truncated, with_input
from store.voices import Samples, seen, speech, write
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Pcmu
from vivavoce.session.middleware import ObservedEvent
from vivavoce.store.files import delete
from vivavoce.store.recordings import Gap, Mixer, Recorded, RecordingWriter, read, write_wav
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

MS = OUTPUT_RATE // 1000


def user(at: float, value: int, ms: int = 20) -> ObservedEvent:
    """The user's sound, which ends now, as it arrives in real time."""
    return seen(at, e.InputAudioBufferAppend(audio=np.full(ms * MS, value, "<i2").tobytes()))


def assistant(at: float, value: int, ms: int, item_id: str = "item_1") -> ObservedEvent:
    sound = np.full(ms * MS, value, "<i2").tobytes()
    place = e.PartPlace(response_id="resp_1", item_id=item_id, output_index=0, content_index=0)
    return seen(at, e.ResponseOutputAudioDelta(**place, delta=sound))


def mixed(*observed: ObservedEvent, until: float, in_real_time: bool = True) -> tuple[Samples, Mixer]:
    """What a conversation sounds like; it is taken as it is while it goes on."""
    mixer, blocks = Mixer(in_real_time=in_real_time), []
    for one in observed:
        mixer.on_event(one)
        blocks.append(mixer.pop(mixer.settled))
    mixer.advance(until)
    blocks.append(mixer.pop(mixer.end))
    return np.concatenate(blocks), mixer


def spans(channel: Samples) -> list[tuple[int, int, int]]:
    """Value, first and last millisecond of all that is not silence."""
    edges = [0, *(np.flatnonzero(np.diff(channel)) + 1), len(channel)]
    return [(int(channel[a]), a // MS, b // MS) for a, b in pairwise(edges) if b > a and channel[a]]


def record(path: str, timeline: Timeline, until: float) -> Recorded:
    writer = RecordingWriter(path, spool=Path())
    for entry in timeline.entries:
        writer.on_event(entry)
    return writer.close(timeline.started_at + until).result()


# what is heard, and when


def test_sound_that_comes_at_once_is_heard_one_after_the_other() -> None:
    sound, mixer = mixed(user(0, 0), assistant(1, 100, 500), assistant(1.1, 200, 500), until=5)
    assert spans(sound[:, 1]) == [(100, 1000, 1500), (200, 1500, 2000)]
    assert [(one.start // MS, one.end // MS) for one in mixer.spoken.values()] == [(1000, 2000)]


def test_recordings_that_are_sent_whole_and_their_answers_follow_one_another() -> None:
    sound, mixer = mixed(
        user(0, 100, 1000),
        user(0.01, 100, 1500),
        seen(0.02, e.InputAudioBufferCommitted(item_id="item_0")),
        assistant(0.5, 200, 4000),
        assistant(0.6, 200, 2000),
        user(60, 300, 2000),
        seen(60.1, e.InputAudioBufferCommitted(item_id="item_2")),
        assistant(61, 400, 1000, "item_3"),
        until=61.1,
        in_real_time=False,
    )
    assert spans(sound[:, 0]) == [(100, 0, 2500), (300, 8500, 10_500)]
    assert spans(sound[:, 1]) == [(200, 2500, 8500), (400, 10_500, 11_500)]
    places = [(one.item_id, one.start // MS, one.end // MS) for one in mixer.spoken.values()]
    assert places == [
        ("item_0", 0, 2500),
        ("item_1", 2500, 8500),
        ("item_2", 8500, 10_500),
        ("item_3", 10_500, 11_500),
    ]
    assert not mixer.gaps


def test_what_was_not_heard_of_an_interrupted_answer_is_not_in_it() -> None:
    sound, mixer = mixed(
        user(0, 0),
        assistant(1, 100, 60_000),
        seen(3, e.InputAudioBufferSpeechStarted(item_id="item_2", audio_start_ms=2900)),
        assistant(3.1, 100, 1000),
        seen(3.2, e.ConversationItemTruncated(item_id="item_1", content_index=0, audio_end_ms=1800)),
        assistant(4, 300, 500, "item_3"),
        until=6,
    )
    assert spans(sound[:, 1]) == [(100, 1000, 2800), (300, 4000, 4500)]
    assert mixer.spoken["assistant", "item_1"].end == 2800 * MS


def test_a_truncation_counts_what_was_played_and_not_the_pauses_between() -> None:
    sound, _ = mixed(
        user(0, 0),
        assistant(1, 100, 200),
        assistant(1.5, 100, 400),
        seen(2, e.ConversationItemTruncated(item_id="item_1", content_index=0, audio_end_ms=300)),
        until=3,
    )
    assert spans(sound[:, 1]) == [(100, 1000, 1200), (100, 1500, 1600)]


def test_a_client_that_sends_nothing_leaves_silence_and_a_gap() -> None:
    frames = [user(at / 50, 100) for at in [*range(50), *range(150, 200)]]
    sound, mixer = mixed(*frames, until=4)
    assert spans(sound[:, 0]) == [(100, 0, 1000), (100, 2980, 3980)]
    assert mixer.gaps == [Gap("user", 1000 * MS, 2980 * MS, "not_sent")]


def test_a_late_frame_moves_nothing() -> None:
    sound, mixer = mixed(*[user(at, 100) for at in (0.02, 0.04, 0.2, 0.2, 0.2)], until=0.2)
    assert (spans(sound[:, 0]), mixer.gaps) == ([(100, 0, 100)], [])


STEPS = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "interrupts", "next"]), st.integers(0, 700)), max_size=30
)


@settings(max_examples=40)
@given(STEPS)
def test_it_does_not_matter_when_it_is_written(steps: list[tuple[str, int]]) -> None:
    """Each step takes some ms; a voice says a sample's value once."""
    at, item, observed = 0.0, 0, []
    for number, (step, ms) in enumerate(steps, 1):
        at += ms / 1000
        match step:
            case "user":
                observed.append(user(at, number, max(20, ms)))
            case "assistant":
                observed.append(assistant(at, number, 1 + ms * 3, f"item_{item}"))
            case "interrupts":
                observed.append(seen(at, e.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)))
            case _:
                item += 1
    written, _ = mixed(*observed, until=at)
    mixer = Mixer()
    for one in observed:
        mixer.on_event(one)
    mixer.advance(at)
    at_once = mixer.pop(mixer.end)
    assert written.shape == at_once.shape
    assert (written == at_once).all()
    spoken = [one for one in mixer.spoken.values() if one.channel == "assistant"]
    assert all(one.start <= other.start for one, other in pairwise(spoken))


def test_sound_far_before_its_time_is_dropped_and_takes_no_memory() -> None:
    frames = [user(0, 100, 60_000) for _ in range(15)]
    sound, mixer = mixed(*frames, until=1)
    assert len(sound) == 600 * OUTPUT_RATE
    assert [(gap.channel, gap.start, gap.reason) for gap in mixer.gaps] == [
        ("user", 600 * OUTPUT_RATE, "dropped")
    ]


def test_sound_that_the_network_held_back_is_where_it_was_spoken() -> None:
    late = [user(2, 200 if frame == 0 else 100) for frame in range(50)]
    frames = [user(at / 50, 100) for at in range(1, 51)] + late + [user(at / 50, 100) for at in range(101, 151)]
    sound, mixer = mixed(seen(0, e.InputAudioBufferCleared()), *frames, until=3)
    assert (spans(sound[:, 0]), mixer.gaps) == ([(100, 0, 1000), (200, 1000, 1020), (100, 1020, 3000)], [])


def test_a_turn_is_where_it_was_spoken_though_sound_was_missing_before() -> None:
    frames = [user(at / 50, 100) for at in [*range(1, 51), *range(150, 251)]]
    started = seen(4, e.InputAudioBufferSpeechStarted(item_id="item_1", audio_start_ms=1500))
    stopped = seen(5, e.InputAudioBufferSpeechStopped(item_id="item_1", audio_end_ms=2000))
    _, mixer = mixed(seen(0, e.InputAudioBufferCleared()), *frames, started, stopped, until=5)
    assert [(one.start // MS, one.end // MS) for one in mixer.spoken.values()] == [(3480, 3980)]


@pytest.mark.anyio
async def test_a_conversation_is_recorded_as_it_was_heard(tmp_path: Path) -> None:
    timeline = await Simulation([STORY]).run(
        CallerSays(0.5, "Tell me a story."),
        CallerSays(4, "Stop, that is enough."),
        ClientSends(4.4, lambda timeline: truncated(timeline.answer_id, 1500)),
        until=5.5,
    )
    recorded = record(str(tmp_path / "a.flac"), timeline, 5.5)
    sound = read(recorded.url)
    assert (len(sound), recorded.samples, recorded.problem) == (5.5 * OUTPUT_RATE, 5.5 * OUTPUT_RATE, "")
    first = round(timeline.at(e.ResponseOutputAudioDelta) * 1000)
    assert spans(sound[:, 0]) == [(1000, 500, 1460), (2000, 4000, 5260)]
    assert spans(sound[:, 1])[0] == (1000, first, first + 1500)
    assert [one.channel for one in recorded.spoken][:2] == ["user", "assistant"]


@pytest.mark.anyio
async def test_turns_without_speech_detection_have_their_place_too(tmp_path: Path) -> None:
    timeline = await Simulation(session=MANUAL).run(
        CallerSays(0.5, "One"),
        ClientSends(1, e.InputAudioBufferCommit()),
        ClientSends(2, e.InputAudioBufferCommit()),
        until=3,
    )
    recorded = record(str(tmp_path / "a.flac"), timeline, 3)
    assert [(one.start // MS, one.end // MS) for one in recorded.spoken] == [(0, 1000), (1000, 2000)]


# the file


@pytest.mark.parametrize("format", ["ogg", "flac"])
def test_every_sample_is_at_its_place_wherever_reading_begins(tmp_path: Path, format: str) -> None:
    left = speech(6)[: 6 * OUTPUT_RATE - 77]
    right = np.roll(left, OUTPUT_RATE)
    recorded = write(str(tmp_path / f"a.{format}"), left, right)
    whole = read(recorded.url)
    assert whole.shape == (recorded.samples, 2) == (len(left), 2)
    for column, sound in enumerate((left, right)):
        if format == "flac":
            assert (whole[:, column] == sound).all()
        else:
            spectrum = np.fft.rfft(whole[:, column]) * np.conj(np.fft.rfft(sound.astype(float)))
            assert np.argmax(np.fft.irfft(spectrum)) == 0, "no lag"
    for start, end in [
        (0, 999),
        (12_345, 50_000),
        (4800 * 10, 4800 * 11),
        (100_001, len(left)),
        (64_007, 64_107),
    ]:
        assert np.abs(read(recorded.url, start, end).astype(int) - whole[start:end]).max() <= 1
    assert len(read(recorded.url, len(left) - 10, len(left) + 500)) == 10


def test_an_hour_of_two_voices_takes_less_than_30_megabytes(tmp_path: Path) -> None:
    left = speech(60)
    recorded = write(str(tmp_path / "a.ogg"), left, np.roll(left, 5 * OUTPUT_RATE))
    assert 10e6 < Path(recorded.url).stat().st_size * 60 < 30e6


def test_the_wav_has_the_same_sound(tmp_path: Path) -> None:
    left = speech(2)
    recorded = write(str(tmp_path / "a.flac"), left, left)
    sink = io.BytesIO()
    write_wav(recorded.url, sink, 1000, 40_000)
    with wave.open(io.BytesIO(sink.getvalue())) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, OUTPUT_RATE, 39_000)
        assert file.readframes(39_000) == np.stack([left, left], axis=1)[1000:40_000].tobytes()


def test_telephone_sound_is_recorded_too(tmp_path: Path) -> None:
    writer = RecordingWriter(str(tmp_path / "a.flac"), spool=tmp_path)
    writer.on_event(seen(0, e.SessionCreated(session=with_input(format=Pcmu()))))
    for at in range(50):
        writer.on_event(seen(at / 50, e.InputAudioBufferAppend(audio=b"\x80" * 160)))
    sound = read(writer.close(1).result().url)
    assert len(sound) == OUTPUT_RATE
    assert int(np.median(sound[:, 0])) > 30_000


def test_when_too_much_waits_sound_is_dropped_and_nothing_moves(tmp_path: Path) -> None:
    left = np.full(3 * OUTPUT_RATE, 1000, np.int16)
    recorded = write(str(tmp_path / "a.flac"), left, left, max_bytes=-1)
    assert len(read(recorded.url)) == recorded.samples == 3 * OUTPUT_RATE
    assert {(gap.channel, gap.reason) for gap in recorded.gaps} == {
        ("user", "dropped"),
        ("assistant", "dropped"),
    }
    assert sum(gap.end - gap.start for gap in recorded.gaps if gap.channel == "user") == 3 * OUTPUT_RATE


def test_a_folder_that_cannot_be_written_is_told_and_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recorded = write(str(tmp_path / "file" / "a.ogg"), speech(1), speech(1))
    assert "a.ogg is incomplete" in recorded.problem
    assert recorded.samples == 0


def test_a_full_disk_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").symlink_to("/dev/full")
    recorded = write(str(tmp_path / "a.ogg"), speech(3), speech(3))
    assert "No space left on device" in recorded.problem


def test_a_recording_is_deleted_once_and_again(tmp_path: Path) -> None:
    recorded = write(str(tmp_path / "a.flac"), speech(1), speech(1))
    delete(recorded.url)
    delete(recorded.url)
    with pytest.raises(FileNotFoundError):
        read(recorded.url)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from threading import Event
from pathlib import Path
from store.voices import RecordingWriter, e, seen, speech
writer, sound = RecordingWriter({path!r}, spool=Path()), speech(10).tobytes()
for at in range(500):
    writer.on_event(seen(at / 50, e.InputAudioBufferAppend(audio=sound[at * 960 : at * 960 + 960])))
while writer._got < writer._put:
    Event().wait(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.real_time
def test_a_killed_process_leaves_all_but_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    script = KILLED.format(tests=str(Path(__file__).parents[1]), path=str(path))
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    left = read(str(path))[:, 0]
    assert 9 * OUTPUT_RATE < len(left) <= 10 * OUTPUT_RATE
    assert np.corrcoef(left, speech(10)[: len(left)])[0, 1] > 0.95
