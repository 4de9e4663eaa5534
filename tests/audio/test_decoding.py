"""Recordings come from strangers: any kind is read, nothing hostile gets far."""

import io
import wave
from array import array
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.encode import CONTENT_TYPES, encoder

RECORDINGS = Path(__file__).parents[1] / "recordings"
BROOKLYN = (RECORDINGS / "brooklyn.wav").read_bytes()


def wav(frames: bytes, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, width, rate, 0, "NONE", ""))
        writer.writeframes(frames)
    return file.getvalue()


def frames(name: str) -> bytes:
    with wave.open(str(RECORDINGS / name)) as file:
        sound: bytes = file.readframes(file.getnframes())
    return sound


def test_a_recording_at_its_own_rate_is_its_own_samples() -> None:
    assert decode(BROOKLYN, rate=16_000, max_seconds=60) == frames("brooklyn.wav")


def test_a_recording_is_read_at_the_rate_that_is_asked_for() -> None:
    seconds = len(frames("brooklyn.wav")) / 32_000
    assert len(decode(BROOKLYN, rate=24_000, max_seconds=60)) / 48_000 == pytest.approx(seconds, abs=0.01)


def test_all_channels_become_one() -> None:
    both = array("h", [8000, 0] * 1600).tobytes()
    mixed = array("h", decode(wav(both, channels=2), rate=16_000, max_seconds=1))
    assert len(mixed) == 1600
    assert set(mixed[100:-100]) <= {3999, 4000, 4001}


@pytest.mark.parametrize("name", sorted(set(CONTENT_TYPES) - {"pcm"}))
def test_what_we_write_we_can_read(name: str) -> None:
    sound, writer = frames("short-hello.wav"), encoder(name, 16_000)
    file = b"".join([writer.push(sound[at : at + 6400]) for at in range(0, len(sound), 6400)]) + writer.finish()
    heard = decode(file, rate=16_000, max_seconds=10)
    assert len(heard) / 32_000 == pytest.approx(len(sound) / 32_000, abs=0.15)
    assert max(array("h", heard)) > max(array("h", sound)) / 2


def test_nothing_said_adds_nothing_to_a_file() -> None:
    with_pause, without = encoder("flac", 16_000), encoder("flac", 16_000)
    paused = with_pause.push(b"") + with_pause.push(bytes(6400)) + with_pause.finish()
    assert paused == without.push(bytes(6400)) + without.finish()


def test_plain_sound_has_no_head() -> None:
    writer = encoder("pcm", 24_000)
    assert (writer.push(b"\x01\x02"), writer.finish()) == (b"\x01\x02", b"")


def test_a_recording_without_sound_is_silent() -> None:
    assert decode(wav(b""), rate=16_000, max_seconds=1) == b""


def test_a_recording_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = decode(BROOKLYN, rate=16_000, max_seconds=60)
    half = decode(BROOKLYN[: len(BROOKLYN) // 2], rate=16_000, max_seconds=60)
    assert len(half) > len(whole) * 0.4
    assert whole.startswith(half)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<html></html>",
        b"\x00" * 5000,
        b"RIFF\xff\xff\xff\xffWAVEfmt ",
        b"\x89PNG\r\n\x1a\n" + bytes(99),
    ],
)
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(NotAudio, match="it "):
        decode(data, rate=16_000, max_seconds=60)


def test_a_film_without_sound_is_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as writer:
        stream = writer.add_stream("mjpeg", rate=10, width=16, height=16, pix_fmt="yuvj420p")
        writer.mux(stream.encode(av.VideoFrame(16, 16, "yuvj420p")))
        writer.mux(stream.encode(None))
    with pytest.raises(NotAudio, match="no sound track"):
        decode(file.getvalue(), rate=16_000, max_seconds=60)


def test_too_long_a_recording_is_refused_as_soon_as_that_is_known() -> None:
    with pytest.raises(TooLong, match="longer than 1 seconds"):
        decode(BROOKLYN, rate=16_000, max_seconds=1)


def test_hours_of_silence_in_a_small_file_are_refused() -> None:
    writer = encoder("flac", 8_000)
    small = b"".join([writer.push(bytes(16_000 * 60)) for _ in range(20)]) + writer.finish()
    assert len(small) < 300_000
    with pytest.raises(TooLong):
        decode(small, rate=16_000, max_seconds=60)


@pytest.mark.parametrize("rate", [1, 50, 400_000])
def test_an_absurd_sampling_rate_is_refused(rate: int) -> None:
    with pytest.raises(NotAudio, match=f"sampling rate is {rate} Hz"):
        decode(wav(bytes(20_000), rate=rate), rate=16_000, max_seconds=600)


def test_a_file_that_names_another_does_not_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.wav").write_bytes(BROOKLYN)
    monkeypatch.chdir(tmp_path)
    for playlist in (
        b"ffconcat version 1.0\nfile secret.wav\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nsecret.wav\n#EXT-X-ENDLIST\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ):
        with pytest.raises(NotAudio):
            decode(playlist, rate=16_000, max_seconds=60)


def test_a_track_may_change_its_form_on_the_way() -> None:
    changing = b"".join(_packed("aac", rate) for rate in (16_000, 24_000))
    assert len(decode(changing, rate=16_000, max_seconds=10)) / 32_000 == pytest.approx(1.2, abs=0.4)


def _packed(name: str, rate: int) -> bytes:
    writer = encoder(name, rate)
    return writer.push(bytes(rate)) + writer.finish()


FILES = [BROOKLYN[:8000], *(_packed(name, 24_000) for name in ("mp3", "opus", "flac", "aac"))]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 7999), st.integers(0, 255)), max_size=20),
    st.integers(0, 8000),
)
@example(FILES[0], [(24, 0), (25, 0), (26, 0), (27, 0)], 8000)
def test_nothing_but_its_own_refusals_comes_of_a_broken_file(
    file: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    broken = bytearray(file)
    for at, value in changes:
        broken[at % len(broken)] = value
    try:
        sound = decode(bytes(broken[:length]), rate=16_000, max_seconds=5)
    except (NotAudio, TooLong):
        return
    assert len(sound) <= 5 * 32_000
