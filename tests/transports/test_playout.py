import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import Response
from vivavoce.protocol.session import InputSettings, OutputSettings, Pcmu, ServerVad, Session, SessionAudio
from vivavoce.transports.playout import Playout

MS = 48
FRAME = 20 * MS
ONE, TWO, THREE = "resp_1", "resp_2", "resp_3"


def reported(playout: Playout) -> list[str]:
    """Return what there is to report, as short as can be, and forget it."""
    lines = []
    while playout.events:
        match event := playout.events.popleft():
            case e.ConversationItemTruncate(item_id=item, audio_end_ms=ms):
                lines.append(f"truncate {item} {ms}")
            case e.OutputAudioBufferStarted() | e.OutputAudioBufferStopped() | e.OutputAudioBufferCleared():
                kind = str(event.__struct_config__.tag).rpartition(".")[2]
                lines.append(f"{kind} {event.response_id}")
    return lines


def created(playout: Playout, name: str, *, in_conversation: bool = True) -> None:
    conversation_id = "conv" if in_conversation else None
    response = Response(id=name, status="in_progress", output=(), conversation_id=conversation_id)
    playout.handle(e.ResponseCreated(response=response))


def append(playout: Playout, name: str, item_id: str, audio: bytes) -> None:
    playout.handle(
        e.ResponseOutputAudioDelta(
            response_id=name, item_id=item_id, output_index=0, content_index=0, delta=audio
        )
    )


def audio_done(playout: Playout, name: str, item_id: str) -> None:
    playout.handle(
        e.ResponseOutputAudioDone(response_id=name, item_id=item_id, output_index=0, content_index=0)
    )


def done(playout: Playout, name: str) -> None:
    response = Response(id=name, status="completed", output=(), conversation_id="conv")
    playout.handle(e.ResponseDone(response=response))


def answering(playout: Playout, name: str, ms: int, *, in_conversation: bool = True) -> None:
    created(playout, name, in_conversation=in_conversation)
    append(playout, name, f"item of {name}", b"\1" * ms * MS)


def finish(playout: Playout, name: str) -> None:
    audio_done(playout, name, f"item of {name}")
    done(playout, name)


def test_a_response_starts_with_its_first_sample_and_stops_after_its_last() -> None:
    playout = Playout(60)
    created(playout, ONE)
    assert playout.read(FRAME) == b""
    assert reported(playout) == []
    append(playout, ONE, "item", b"\1" * 30 * MS)
    playout.read(FRAME)
    assert reported(playout) == [f"started {ONE}"]
    audio_done(playout, ONE, "item")
    done(playout, ONE)
    assert reported(playout) == []
    assert playout.read(FRAME) == b"\1" * 10 * MS
    assert reported(playout) == [f"stopped {ONE}"]


def test_a_response_that_has_been_played_stops_when_it_is_done() -> None:
    playout = Playout(60)
    answering(playout, ONE, 20)
    playout.read(2 * FRAME)
    assert reported(playout) == [f"started {ONE}"]
    finish(playout, ONE)
    assert reported(playout) == [f"stopped {ONE}"]


def test_a_response_without_sound_is_not_played() -> None:
    playout = Playout(60)
    created(playout, ONE)
    done(playout, ONE)
    playout.read(FRAME)
    playout.clear()
    assert reported(playout) == []


def test_a_response_that_is_cleared_is_truncated_to_what_was_played() -> None:
    playout = Playout(60)
    answering(playout, ONE, 400)
    finish(playout, ONE)
    playout.read(150 * MS)
    playout.clear()
    assert reported(playout) == [f"started {ONE}", f"cleared {ONE}", f"truncate item of {ONE} 150"]
    assert playout.read(FRAME) == b""
    playout.clear()
    assert reported(playout) == []


def test_a_response_cleared_before_its_first_sample_was_not_played_at_all() -> None:
    playout = Playout(60)
    answering(playout, ONE, 400)
    playout.clear()
    assert reported(playout) == [f"truncate item of {ONE} 0"]


def test_the_rest_of_a_response_that_was_cleared_is_not_played() -> None:
    playout = Playout(60)
    answering(playout, ONE, 40)
    playout.read(FRAME)
    playout.clear()
    append(playout, ONE, f"item of {ONE}", b"\1" * FRAME)
    assert playout.read(FRAME) == b""
    finish(playout, ONE)
    assert reported(playout) == [f"started {ONE}", f"cleared {ONE}", f"truncate item of {ONE} 20"]


def test_a_response_out_of_band_leaves_nothing_to_truncate() -> None:
    playout = Playout(60)
    answering(playout, ONE, 40, in_conversation=False)
    playout.read(FRAME)
    playout.clear()
    assert reported(playout) == [f"started {ONE}", f"cleared {ONE}"]


def test_an_item_that_was_deleted_is_not_truncated() -> None:
    playout = Playout(60)
    answering(playout, ONE, 40)
    playout.read(FRAME)
    playout.handle(e.ConversationItemDeleted(item_id=f"item of {ONE}"))
    playout.clear()
    assert reported(playout) == [f"started {ONE}", f"cleared {ONE}"]


def test_what_was_played_to_its_end_is_not_truncated_when_what_follows_is() -> None:
    playout = Playout(60)
    created(playout, ONE)
    append(playout, ONE, "first", b"\1" * FRAME)
    audio_done(playout, ONE, "first")
    append(playout, ONE, "second", b"\2" * 3 * FRAME)
    playout.read(2 * FRAME)
    playout.clear()
    assert reported(playout) == [f"started {ONE}", f"cleared {ONE}", "truncate second 20"]


def test_one_response_is_played_to_its_end_before_the_next() -> None:
    playout = Playout(60)
    created(playout, ONE)
    answering(playout, TWO, 20)
    playout.read(FRAME)
    append(playout, ONE, f"item of {ONE}", b"\3" * FRAME)
    assert playout.read(FRAME) == b""
    finish(playout, TWO)
    assert playout.read(FRAME) == b"\3" * FRAME
    assert reported(playout) == [f"started {TWO}", f"stopped {TWO}", f"started {ONE}"]


def test_more_audio_than_may_wait_is_refused_once_and_dropped() -> None:
    playout = Playout(0.1)
    answering(playout, ONE, 80)
    with pytest.raises(ProtocolError, match=r"limits\.playout_seconds"):
        append(playout, ONE, f"item of {ONE}", b"\1" * 40 * MS)
    append(playout, ONE, f"item of {ONE}", b"\1" * 20 * MS)
    finish(playout, ONE)
    assert playout.read(100 * MS) == b"\1" * 80 * MS
    assert reported(playout) == [f"started {ONE}", f"stopped {ONE}"]
    answering(playout, TWO, 100)


@pytest.mark.parametrize("interrupt", [None, True, False])
def test_speech_clears_what_is_played_unless_it_may_not_interrupt(interrupt: bool | None) -> None:
    playout = Playout(60)
    detection = ServerVad() if interrupt is None else ServerVad(interrupt_response=interrupt)
    settings = InputSettings(turn_detection=detection)
    playout.handle(e.SessionUpdated(session=Session(audio=SessionAudio(input=settings))))
    answering(playout, ONE, 100)
    playout.read(FRAME)
    playout.handle(e.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="speech"))
    assert (f"cleared {ONE}" in reported(playout)) is (interrupt is not False)


def test_audio_is_decoded_from_the_sessions_format_to_the_rate_of_the_transport() -> None:
    playout = Playout(60, rate=8000)
    playout.handle(e.SessionUpdated(session=Session(audio=SessionAudio(output=OutputSettings(format=Pcmu())))))
    created(playout, ONE)
    append(playout, ONE, "item", b"\x80" * 800)  # the loudest sample, for 100 ms
    assert playout.read(1600) == (32124).to_bytes(2, "little") * 800
    playout.clear()
    assert "truncate item 100" in reported(playout)


names = st.sampled_from([ONE, TWO, THREE])
acts = st.one_of(
    st.tuples(st.just("append"), names, st.integers(1, 90)),
    st.tuples(st.just("done"), names, st.just(0)),
    st.tuples(st.just("read"), names, st.integers(1, 90)),
    st.tuples(st.just("clear"), names, st.just(0)),
)


@given(st.lists(acts, max_size=40))
def test_every_answer_starts_and_ends_once_and_one_at_a_time(script: list[tuple[str, str, int]]) -> None:
    playout, finished, reports = Playout(60), set[str](), list[str]()
    for name in (ONE, TWO, THREE):
        created(playout, name)
    for act, name, ms in script:
        if act == "append" and name not in finished:
            append(playout, name, f"item of {name}", b"\1" * ms * MS)
        elif act == "done" and name not in finished:
            finished.add(name)
            finish(playout, name)
        elif act == "read":
            playout.read(ms * MS)
        elif act == "clear":
            playout.clear()
        reports += reported(playout)
    speaking: str | None = None
    over = set[str]()
    for what, _, name in (line.partition(" ") for line in reports if not line.startswith("truncate")):
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
def test_nothing_is_lost_and_what_was_played_adds_up(appended: list[int], read: list[int]) -> None:
    playout = Playout(60)
    created(playout, ONE)
    for ms in appended:
        append(playout, ONE, "item", b"\1" * ms * MS)
    played = sum(len(playout.read(ms * MS)) for ms in read)
    assert played == min(sum(appended), sum(read)) * MS
    playout.clear()
    truncations = [event for event in playout.events if isinstance(event, e.ConversationItemTruncate)]
    assert [event.audio_end_ms for event in truncations] == ([played // MS] if appended else [])
