import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.transports.playout import Playlist

MS = 48
FRAME = 20 * MS
ONE, TWO, THREE = "resp_1", "resp_2", "resp_3"


def told(playlist: Playlist) -> list[str]:
    """Return what there is to tell, as short as can be, and forget it."""
    lines = []
    while playlist.news:
        match event := playlist.news.popleft():
            case e.ConversationItemTruncate(item_id=item, audio_end_ms=ms):
                lines.append(f"truncate {item} {ms}")
            case e.OutputAudioBufferStarted() | e.OutputAudioBufferStopped() | e.OutputAudioBufferCleared():
                kind = str(event.__struct_config__.tag).rpartition(".")[2]
                lines.append(f"{kind} {event.response_id}")
    return lines


def answering(playlist: Playlist, name: str, ms: int, *, in_conversation: bool = True) -> None:
    playlist.begin(name, in_conversation=in_conversation)
    playlist.say(name, f"item of {name}", b"\1" * ms * MS)


def finish(playlist: Playlist, name: str) -> None:
    playlist.end(name, f"item of {name}")
    playlist.done(name)


def test_an_answer_starts_with_its_first_sample_and_stops_after_its_last() -> None:
    playlist = Playlist(60)
    playlist.begin(ONE, in_conversation=True)
    assert playlist.pull(FRAME) == b""
    assert told(playlist) == []
    playlist.say(ONE, "item", b"\1" * 30 * MS)
    playlist.pull(FRAME)
    assert told(playlist) == [f"started {ONE}"]
    playlist.end(ONE, "item")
    playlist.done(ONE)
    assert told(playlist) == []
    assert playlist.pull(FRAME) == b"\1" * 10 * MS
    assert told(playlist) == [f"stopped {ONE}"]


def test_an_answer_that_has_been_played_stops_when_it_is_done() -> None:
    playlist = Playlist(60)
    answering(playlist, ONE, 20)
    playlist.pull(2 * FRAME)
    assert told(playlist) == [f"started {ONE}"]
    finish(playlist, ONE)
    assert told(playlist) == [f"stopped {ONE}"]


def test_an_answer_without_sound_is_not_played() -> None:
    playlist = Playlist(60)
    playlist.begin(ONE, in_conversation=True)
    playlist.done(ONE)
    playlist.pull(FRAME)
    playlist.clear()
    assert told(playlist) == []


def test_who_is_interrupted_is_truncated_to_what_was_heard() -> None:
    playlist = Playlist(60)
    answering(playlist, ONE, 400)
    finish(playlist, ONE)
    playlist.pull(150 * MS)
    playlist.clear()
    assert told(playlist) == [f"started {ONE}", f"cleared {ONE}", f"truncate item of {ONE} 150"]
    assert playlist.pull(FRAME) == b""
    playlist.clear()
    assert told(playlist) == []


def test_an_answer_interrupted_before_its_first_sample_was_not_heard_at_all() -> None:
    playlist = Playlist(60)
    answering(playlist, ONE, 400)
    playlist.clear()
    assert told(playlist) == [f"truncate item of {ONE} 0"]


def test_the_rest_of_an_answer_that_was_cleared_is_not_played() -> None:
    playlist = Playlist(60)
    answering(playlist, ONE, 40)
    playlist.pull(FRAME)
    playlist.clear()
    playlist.say(ONE, f"item of {ONE}", b"\1" * FRAME)
    assert playlist.pull(FRAME) == b""
    finish(playlist, ONE)
    assert told(playlist) == [f"started {ONE}", f"cleared {ONE}", f"truncate item of {ONE} 20"]


def test_an_answer_out_of_band_leaves_nothing_to_truncate() -> None:
    playlist = Playlist(60)
    answering(playlist, ONE, 40, in_conversation=False)
    playlist.pull(FRAME)
    playlist.clear()
    assert told(playlist) == [f"started {ONE}", f"cleared {ONE}"]


def test_an_item_that_was_deleted_is_not_truncated() -> None:
    playlist = Playlist(60)
    answering(playlist, ONE, 40)
    playlist.pull(FRAME)
    playlist.delete(f"item of {ONE}")
    playlist.clear()
    assert told(playlist) == [f"started {ONE}", f"cleared {ONE}"]


def test_what_was_played_to_its_end_is_not_truncated_when_what_follows_is() -> None:
    playlist = Playlist(60)
    playlist.begin(ONE, in_conversation=True)
    playlist.say(ONE, "first", b"\1" * FRAME)
    playlist.end(ONE, "first")
    playlist.say(ONE, "second", b"\2" * 3 * FRAME)
    playlist.pull(2 * FRAME)
    playlist.clear()
    assert told(playlist) == [f"started {ONE}", f"cleared {ONE}", "truncate second 20"]


def test_one_voice_is_heard_out_before_the_next() -> None:
    playlist = Playlist(60)
    playlist.begin(ONE, in_conversation=True)
    answering(playlist, TWO, 20)
    playlist.pull(FRAME)
    playlist.say(ONE, f"item of {ONE}", b"\3" * FRAME)
    assert playlist.pull(FRAME) == b""
    finish(playlist, TWO)
    assert playlist.pull(FRAME) == b"\3" * FRAME
    assert told(playlist) == [f"started {TWO}", f"stopped {TWO}", f"started {ONE}"]


def test_more_sound_than_may_wait_is_refused_once_and_dropped() -> None:
    playlist = Playlist(0.1)
    answering(playlist, ONE, 80)
    with pytest.raises(ProtocolError, match=r"limits\.playout_seconds"):
        playlist.say(ONE, f"item of {ONE}", b"\1" * 40 * MS)
    playlist.say(ONE, f"item of {ONE}", b"\1" * 20 * MS)
    finish(playlist, ONE)
    assert playlist.pull(100 * MS) == b"\1" * 80 * MS
    assert told(playlist) == [f"started {ONE}", f"stopped {ONE}"]
    answering(playlist, TWO, 100)


names = st.sampled_from([ONE, TWO, THREE])
acts = st.one_of(
    st.tuples(st.just("say"), names, st.integers(1, 90)),
    st.tuples(st.just("done"), names, st.just(0)),
    st.tuples(st.just("take"), names, st.integers(1, 90)),
    st.tuples(st.just("clear"), names, st.just(0)),
)


@given(st.lists(acts, max_size=40))
def test_every_answer_starts_and_ends_once_and_one_at_a_time(script: list[tuple[str, str, int]]) -> None:
    playlist, finished, news = Playlist(60), set[str](), list[str]()
    for name in (ONE, TWO, THREE):
        playlist.begin(name, in_conversation=True)
    for act, name, ms in script:
        if act == "say" and name not in finished:
            playlist.say(name, f"item of {name}", b"\1" * ms * MS)
        elif act == "done" and name not in finished:
            finished.add(name)
            finish(playlist, name)
        elif act == "take":
            playlist.pull(ms * MS)
        elif act == "clear":
            playlist.clear()
        news += told(playlist)
    speaking: str | None = None
    over = set[str]()
    for what, _, name in (line.partition(" ") for line in news if not line.startswith("truncate")):
        assert name not in over
        if what == "started":
            assert speaking is None
            speaking = name
        else:
            assert speaking == name
            assert what == "cleared" or name in finished
            speaking = None
            over.add(name)


@given(st.lists(st.integers(1, 60), max_size=20), st.lists(st.integers(1, 60), max_size=20))
def test_nothing_is_lost_and_what_was_heard_adds_up(says: list[int], takes: list[int]) -> None:
    playlist = Playlist(60)
    playlist.begin(ONE, in_conversation=True)
    for ms in says:
        playlist.say(ONE, "item", b"\1" * ms * MS)
    heard = sum(len(playlist.pull(ms * MS)) for ms in takes)
    assert heard == min(sum(says), sum(takes)) * MS
    playlist.clear()
    truncated = [event.audio_end_ms for event in playlist.news if isinstance(event, e.ConversationItemTruncate)]
    assert truncated == ([heard // MS] if says else [])
