"""Streams of PCM that are cut within samples."""

from hypothesis import given
from hypothesis import strategies as st

from vivavoce.audio.sample_aligner import SampleAligner


@given(st.lists(st.binary(max_size=5)))
def test_however_audio_is_cut_its_samples_are_whole_and_the_same(pieces: list[bytes]) -> None:
    aligner, audio = SampleAligner(), b"".join(pieces)
    found = [aligner.push(piece) for piece in pieces]
    assert all(len(piece) % 2 == 0 for piece in found)
    assert b"".join(found) == audio[: len(audio) // 2 * 2]


def test_one_odd_message_makes_no_noise_of_those_that_follow() -> None:
    aligner = SampleAligner()
    assert aligner.push_message(b"a") == b""
    assert [aligner.push_message(b"bcde"), aligner.push_message(b"fg")] == [b"bcde", b"fg"]
    assert [aligner.push_message(b"hij"), aligner.push_message(b"k")] == [b"hi", b"jk"]
