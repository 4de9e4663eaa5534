"""Recordings come from strangers: any kind is read, nothing hostile gets far."""

import io
import struct
import wave
from array import array
from pathlib import Path

import av
import numpy as np
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


def test_opus_is_written_as_it_is_encoded() -> None:
    writer = encoder("opus", 24_000)
    sizes = [len(writer.push(noise(4800))) for _ in range(5)]  # of 100 ms
    assert min(sizes[1:]) > sum(sizes[1:]) / 8


def test_plain_sound_has_no_head() -> None:
    writer = encoder("pcm", 24_000)
    assert (writer.push(b"\x01\x02"), writer.finish()) == (b"\x01\x02", b"")


def test_a_recording_without_sound_is_silent() -> None:
    assert decode(wav(b""), rate=16_000, max_seconds=1) == b""
    assert decode(b"", rate=16_000, max_seconds=1) == b""


def test_a_recording_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = decode(BROOKLYN, rate=16_000, max_seconds=60)
    half = decode(BROOKLYN[: len(BROOKLYN) // 2], rate=16_000, max_seconds=60)
    assert len(half) > len(whole) * 0.4
    assert whole.startswith(half)


@pytest.mark.parametrize(
    "data",
    [
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


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
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


# as people have them


def packed(container: str, codec: str, sound: bytes, rate: int, layout: str = "mono", **options: str) -> bytes:
    """Return 16 kHz PCM in another format."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as writer:
        stream = writer.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        writer.start_encoding()
        if sound:
            samples = np.frombuffer(sound, "<i2")[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = 16_000
            for one in av.AudioResampler(format=stream.format.name, layout=layout, rate=rate).resample(frame):
                one.pts = None
                writer.mux(stream.encode(one))
        writer.mux(stream.encode(None))
    return file.getvalue()


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
KINDS: dict[str, tuple[str, str, int, dict[str, str]]] = {
    "mp3": ("mp3", "libmp3lame", 44_100, {}),
    "aac": ("adts", "aac", 44_100, {}),
    "m4a": ("ipod", "aac", 44_100, {}),
    "m4a in fragments": ("mp4", "aac", 44_100, FRAGMENTED),
    "ts": ("mpegts", "aac", 44_100, {}),
    "webm": ("webm", "libopus", 48_000, {}),
    "ogg": ("ogg", "libopus", 48_000, {}),
    "mkv": ("matroska", "aac", 44_100, {}),
    "3gp": ("3gp", "libopencore_amrnb", 8000, {}),
    "amr": ("amr", "libopencore_amrnb", 8000, {}),
    "flac": ("flac", "flac", 44_100, {}),
    "caf": ("caf", "pcm_s16le", 44_100, {}),
    "aiff": ("aiff", "pcm_s16be", 44_100, {}),
    "wav, µ-law": ("wav", "pcm_mulaw", 8000, {}),
    "wav, 24 bits": ("wav", "pcm_s24le", 48_000, {}),
    "wav, float": ("wav", "pcm_f32le", 48_000, {}),
    "w64": ("w64", "pcm_s16le", 16_000, {}),
    "au": ("au", "pcm_mulaw", 8000, {}),
    "flv": ("flv", "aac", 44_100, {}),
}
JFK = frames("jfk.wav")[: 2 * 16_000 * 10]


def recorded(kind: str, sound: bytes) -> bytes:
    container, codec, rate, options = KINDS[kind]
    return packed(container, codec, sound, rate, **options)


def seconds(file: bytes) -> float:
    return len(decode(file, rate=16_000, max_seconds=60)) / 32_000


def noise(length: int) -> bytes:
    return np.random.default_rng(0).bytes(length)


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_were_joined_are_read_one_after_the_other(kind: str) -> None:
    file = recorded(kind, JFK[:32_000])
    assert seconds(file) == pytest.approx(1, abs=0.06)
    assert seconds(file + file) == pytest.approx(2 * seconds(file), abs=0.08)


def test_joined_files_may_differ() -> None:
    mono = packed("ogg", "libopus", JFK[:32_000], 16_000)
    stereo = packed("ogg", "libopus", JFK[:32_000], 48_000, "stereo")
    assert seconds(mono + stereo) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    "junk", [b"\xef\xbb\xbf", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n']
)
def test_what_stands_before_a_file_is_skipped(junk: bytes) -> None:
    assert decode(junk + BROOKLYN, rate=16_000, max_seconds=60) == frames("brooklyn.wav")


@pytest.mark.parametrize("kind", ["mp3", "aac", "flac"])
def test_a_large_picture_in_a_tag_is_skipped(kind: str) -> None:
    size = 3_000_000
    tag = b"ID3\3\0\0" + bytes(size >> 7 * place & 127 for place in (3, 2, 1, 0)) + b"\x55" * size
    assert seconds(tag + recorded(kind, JFK[:32_000])) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("kind", ["mp3", "aac", "m4a", "m4a in fragments", "ts", "3gp", "amr", "flac"])
def test_damage_costs_no_more_than_what_is_damaged(kind: str) -> None:
    file = bytearray(recorded(kind, JFK))
    at, length = len(file) * 3 // 10, len(file) // 100
    file[at : at + length] = noise(length)
    assert seconds(bytes(file)) > 9.7


@pytest.mark.parametrize("kind", ["mp3", "aac", "ts", "ogg", "webm", "mkv", "amr", "flac", "m4a in fragments"])
def test_the_beginning_of_a_recording_that_breaks_off_is_read(kind: str) -> None:
    file = recorded(kind, JFK)
    assert seconds(file[: len(file) * 6 // 10]) == pytest.approx(6.3, abs=0.5)


def test_a_recording_that_lost_its_index_says_so() -> None:
    file = recorded("m4a", JFK[:32_000])
    with pytest.raises(NotAudio, match="its end is missing"):
        decode(file[: len(file) // 2], rate=16_000, max_seconds=60)


@pytest.mark.parametrize(("broken", "read"), [(1500, 2.0), (2500, 1.0)])
def test_endless_damage_is_given_up(broken: int, read: float) -> None:
    file = recorded("flv", JFK[:64_000])
    tag = b"\x08\0\0\x06" + bytes(7) + b"\xaf\x01" + b"\xff" * 4 + struct.pack(">I", 17)
    middle = _tag_after(file, len(file) // 2)
    assert seconds(file[:middle] + tag * broken + file[middle:]) == pytest.approx(read, abs=0.2)


def test_a_recording_in_tiny_pieces_is_given_up() -> None:
    pieces = b"".join(_sample_tag() for _ in range(4000))
    file = b"FLV\x01\x04\0\0\0\x09\0\0\0\0" + pieces
    assert 0 < seconds(file) < 0.1


def _sample_tag() -> bytes:
    """Return an FLV tag with one sample of 16 bits at 44.1 kHz."""
    return b"\x08\0\0\x03" + bytes(7) + b"\x3e\0\1" + struct.pack(">I", 14)


def _tag_after(file: bytes, least: int) -> int:
    """Return where a tag of an FLV file begins."""
    at = 13
    while at < least:
        at += 15 + int.from_bytes(file[at + 1 : at + 4], "big")
    return at


def riff(
    tag: int, data: bytes, *, rate: int, block: int, bits: int, extra: bytes = b"", length: int = -1
) -> bytes:
    form = struct.pack("<HHIIHH", tag, 1, rate, rate * block, block, bits) + extra
    head = struct.pack("<4s4sI", b"WAVE", b"fmt ", len(form)) + form
    chunk = struct.pack("<4sI", b"data", len(data) if length < 0 else length) + data
    return struct.pack("<4sI", b"RIFF", len(head + chunk)) + head + chunk


def test_nothing_is_lost_at_the_end_of_a_gsm_file() -> None:
    blocks = noise(25 * 65)  # of 320 samples at 8 kHz; GSM decodes any bits
    assert seconds(riff(0x31, blocks, rate=8000, block=65, bits=0, extra=b"\2\0\x40\1")) == 1.0


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_does_not_know_its_length_is_read_to_its_end(length: int) -> None:
    file = riff(1, JFK[:32_000], rate=16_000, block=2, bits=16, length=length)
    assert decode(file, rate=16_000, max_seconds=60) == JFK[:32_000]


@pytest.mark.parametrize("scale", [1 / 32768, 1.0])
def test_floats_may_be_fractions_or_whole_samples(scale: float) -> None:
    sound = np.frombuffer(JFK[:32_000], "<i2").astype("<f4") * np.float32(scale)
    sound[::1000] = np.nan
    sound[1] = 1e30
    file = riff(3, sound.tobytes(), rate=16_000, block=4, bits=32)
    read = np.frombuffer(decode(file, rate=16_000, max_seconds=60), "<i2")
    likeness = np.corrcoef(read[2:], np.frombuffer(JFK[:32_000], "<i2")[2:])[0, 1]
    assert likeness > 0.99


def test_channels_that_cancel_each_other_are_not_mixed() -> None:
    sound = np.frombuffer(JFK[:32_000], "<i2").astype(np.int32)
    both = np.stack((-sound // 5, sound), axis=1).astype("<i2")
    assert (
        decode(wav(both.tobytes(), channels=2), rate=16_000, max_seconds=60) != JFK[:32_000]
    )  # quieter: mixed
    both = np.stack((np.maximum(-sound, -32768) * 9 // 10, sound), axis=1).astype("<i2")
    assert decode(wav(both.tobytes(), channels=2), rate=16_000, max_seconds=60) == JFK[:32_000]


TAPPED = bytes.fromhex(
    "1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853806701ffffffffffffff1549a966"
    "992ad7b1830f42404d80864368726f6d655741864368726f6d65"
)
"""What Chromium's MediaRecorder writes before it knows of any track."""


@pytest.mark.parametrize("length", [len(TAPPED), 36])
def test_a_browser_that_recorded_nothing_sent_an_empty_recording(length: int) -> None:
    assert decode(TAPPED[:length], rate=16_000, max_seconds=60) == b""


@pytest.mark.parametrize("kind", ["webm", "ogg", "m4a", "m4a in fragments", "caf", "wav, float"])
def test_a_recording_of_nothing_is_empty(kind: str) -> None:
    assert decode(recorded(kind, b""), rate=16_000, max_seconds=60) == b""
