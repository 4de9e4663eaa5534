"""The caller's own sound that a client keeps: whose it is, and how much of it."""

import pytest

from vivavoce.client.microphone import Microphone
from vivavoce.protocol.session import Pcm, Pcmu
from vivavoce.session.item_audio import ItemAudio

MS = 48


def of(ms: int, value: int = 1) -> bytes:
    return bytes([value]) * (ms * MS)


def test_nothing_is_kept_with_a_limit_of_zero() -> None:
    sounds, microphone = ItemAudio(0, keep_beginning=True), Microphone(0)
    sounds.open("a", Pcm())
    sounds.append("a", b"0123")
    microphone.append(b"0123", Pcm())
    assert microphone.has_uncommitted
    assert (sounds.stored("a"), microphone.pop_item("a")) == (b"", b"")


def test_a_turn_is_cut_out_by_the_servers_times() -> None:
    microphone = Microphone(1000 * MS)
    for value in range(10):
        microphone.append(of(100, value), Pcm())
    microphone.speech_started("a", 200)
    microphone.speech_stopped("a", 400)
    assert microphone.pop_item("a") == of(100, 2) + of(100, 3)
    assert not microphone.has_uncommitted


def test_only_the_latest_audio_is_kept() -> None:
    microphone = Microphone(300 * MS)
    for value in range(10):
        microphone.append(of(100, value), Pcm())
    microphone.speech_started("a", 600)
    microphone.speech_stopped("a", 800)
    assert microphone.pop_item("a") == of(100, 7)


def test_time_goes_on_in_another_format() -> None:
    microphone = Microphone(1000 * MS)
    microphone.append(of(100), Pcm())
    microphone.append(bytes([7]) * 8 * 100, Pcmu())
    microphone.speech_started("a", 150)
    microphone.speech_stopped("a", 200)
    assert microphone.pop_item("a") == bytes([7]) * 8 * 50


def test_what_the_client_commits_becomes_an_item_in_its_turn() -> None:
    microphone = Microphone(1000 * MS)
    for value in (1, 2):
        microphone.append(of(10, value), Pcm())
        microphone.commit()
    assert not microphone.has_uncommitted
    microphone.append(of(10, 3), Pcm())
    assert [microphone.pop_item("a"), microphone.pop_item("b")] == [of(10, 1), of(10, 2)]
    assert microphone.has_uncommitted
    microphone.clear()
    assert not microphone.has_uncommitted


def test_a_commit_that_is_refused_becomes_none() -> None:
    microphone = Microphone(1000 * MS)
    microphone.commit()
    microphone.commit_rejected()
    microphone.append(of(10), Pcm())
    microphone.commit()
    assert microphone.pop_item("a") == of(10)


@pytest.mark.parametrize("end", [None, 900])
def test_a_turn_without_an_end_has_all_there_is(end: int | None) -> None:
    microphone = Microphone(1000 * MS)
    microphone.append(of(300), Pcm())
    microphone.speech_started("a", 100)
    if end:
        microphone.speech_stopped("a", end)
    assert microphone.pop_item("a") == of(200)
