from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    InputAudio,
    InputImage,
    InputText,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.protocol.responses import Response, ResponseAudio, ResponseOutput
from vivavoce.protocol.session import OutputSettings, Pcmu, Session, SessionAudio
from vivavoce.session.conversation import MS_PER_CHAR, Conversation, SpokenText


def said(item_id: str, text: str = "hello") -> Message:
    return Message(id=item_id, role="user", content=(InputText(text=text),))


def after(*events: e.Event) -> Conversation:
    conversation = Conversation()
    for event in events:
        conversation.apply(event)
    return conversation


def added(item: Any, previous: str | None = None) -> e.ConversationItemAdded:
    return e.ConversationItemAdded(item=item, previous_item_id=previous)


ANSWER = Message(id="a", role="assistant", status="in_progress", content=())


def words(delta: str, item_id: str = "a") -> e.ResponseOutputAudioTranscriptDelta:
    return e.ResponseOutputAudioTranscriptDelta(
        response_id="r", item_id=item_id, output_index=0, content_index=0, delta=delta
    )


def sound(ms: int, item_id: str = "a") -> e.ResponseOutputAudioDelta:
    return e.ResponseOutputAudioDelta(
        response_id="r", item_id=item_id, output_index=0, content_index=0, delta=bytes(48 * ms)
    )


def finished(status: Any, transcript: str) -> e.ConversationItemDone:
    content = (OutputAudio(transcript=transcript),)
    return e.ConversationItemDone(item=Message(id="a", role="assistant", status=status, content=content))


def truncated(ms: int) -> e.ConversationItemTruncated:
    return e.ConversationItemTruncated(item_id="a", content_index=0, audio_end_ms=ms)


def told(conversation: Conversation) -> str:
    item = conversation.find("a")
    assert isinstance(item, Message)
    (part,) = item.content
    assert isinstance(part, OutputAudio)
    return str(part.transcript)


def test_items_stand_where_they_were_put() -> None:
    conversation = after(
        added(said("b")), added(said("a"), None), added(said("c"), "a"), added(said("d"), "unknown")
    )
    assert [item.id for item in conversation.items] == ["a", "c", "b", "d"]
    assert conversation.last_id == "d"
    assert conversation.before("c") == "a"
    assert conversation.before("a") is None
    assert len(conversation) == 4


def test_an_item_is_added_once() -> None:
    assert len(after(added(said("a")), added(said("a", "again")))) == 1


def test_an_item_without_an_id_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="id"):
        after(added(Message(role="user", content=())))


def test_what_is_deleted_is_forgotten() -> None:
    conversation = after(
        added(said("a")), e.ConversationItemDeleted(item_id="a"), e.ConversationItemDeleted(item_id="a")
    )
    assert conversation.items == ()
    assert conversation.last_id is None
    assert "a" not in conversation


def test_a_transcript_completes_what_was_said_whenever_it_comes() -> None:
    spoken = Message(id="u", role="user", content=(InputAudio(transcript=None),))
    known = e.TranscriptionCompleted(
        item_id="u", content_index=0, transcript="good morning", usage=e.DurationUsage(seconds=1.0)
    )
    for events in ([known, e.ConversationItemDone(item=spoken)], [e.ConversationItemDone(item=spoken), known]):
        conversation = after(added(spoken), *events)
        assert conversation.items[0].content == (InputAudio(transcript="good morning"),)


def test_a_transcript_of_something_else_changes_nothing() -> None:
    call = FunctionCall(id="u", name="f", arguments="{}")
    known = e.TranscriptionCompleted(
        item_id="u", content_index=0, transcript="x", usage=e.DurationUsage(seconds=1.0)
    )
    assert after(added(call), known).items == (call,)


def test_an_answer_grows_as_it_is_spoken() -> None:
    conversation = after(added(ANSWER), words("Good "), sound(300), words("morning."))
    assert told(conversation) == "Good morning."
    assert conversation.spoken_ms("a") == 300
    assert conversation.spoken_ms("b") is None


def test_an_answer_grows_as_it_is_written() -> None:
    delta = e.ResponseOutputTextDelta(
        response_id="r", item_id="a", output_index=0, content_index=0, delta="Hi "
    )
    assert after(added(ANSWER), delta, delta).items[0].content == (OutputText(text="Hi Hi "),)
    call = FunctionCall(id="a", name="f", arguments="")
    assert after(added(call), delta).items == (call,)


def test_a_call_grows_as_its_arguments_come() -> None:
    delta = e.ResponseFunctionCallArgumentsDelta(
        response_id="r", item_id="f", output_index=0, call_id="c", delta="{}"
    )
    conversation = after(added(FunctionCall(id="f", name="look", arguments="")), delta, delta)
    assert conversation.items[0].arguments == "{}{}"
    more = e.ResponseMcpCallArgumentsDelta(response_id="r", item_id="f", output_index=0, delta="{}")
    call = McpCall(id="f", server_label="s", name="look", arguments="")
    assert after(added(call), more, more).items[0].arguments == "{}{}"
    assert after(delta).items == ()


def test_what_was_not_heard_is_forgotten() -> None:
    conversation = after(added(ANSWER), words("One two. "), sound(1000), words("Three four. "), sound(1000))
    conversation.apply(finished("completed", "One two. Three four. "))
    conversation.apply(truncated(1700))
    assert told(conversation) == "One two. Three"
    conversation.apply(truncated(1000))
    assert told(conversation) == "One two."
    conversation.apply(truncated(1700))
    assert told(conversation) == "One two.", "what was cut off never comes back"


def test_an_answer_truncated_while_it_goes_on_stays_truncated() -> None:
    conversation = after(added(ANSWER), words("One two. "), sound(1000), truncated(600))
    conversation.apply(words("Three four."))
    conversation.apply(sound(1000))
    conversation.apply(finished("incomplete", "One two. Three four."))
    assert told(conversation) == "One"


def test_sound_may_be_truncated_before_its_words_arrive() -> None:
    conversation = after(added(ANSWER), sound(1000), truncated(600))
    assert told(conversation) == ""


def test_words_whose_sound_is_not_all_there_are_as_long_as_words_are() -> None:
    text = "a sentence of which only the beginning was ever sent"
    conversation = after(added(ANSWER), words(text), sound(500))
    heard = conversation.heard_text("a", 500)
    assert text.startswith(heard)
    assert len(heard) <= 500 / MS_PER_CHAR


def test_sound_at_8_khz_is_counted_as_such() -> None:
    session = Session(audio=SessionAudio(output=OutputSettings(format=Pcmu())))
    conversation = after(e.SessionCreated(session=session), added(ANSWER), words("Hi"), sound(100))
    assert conversation.spoken_ms("a") == 600


def test_what_is_settled_about_servers_is_not_said_by_anybody() -> None:
    conversation = after(added(said("a", "Hi")), added(McpListTools(id="l", server_label="s", tools=()), "a"))
    assert (conversation.last_id, conversation.last_turn_id) == ("l", "a")
    assert after().last_turn_id is None


def test_what_belongs_to_no_item_is_not_for_us() -> None:
    conversation = after(words("x"), sound(20), truncated(1), finished("completed", "x"))
    assert conversation.items == ()
    assert after(e.ConversationItemDone(item=McpListTools(server_label="x", tools=()))).items == ()


def test_models_are_told_only_what_says_something() -> None:
    image = Message(id="i", role="user", content=(InputImage(image_url="data:"),))
    conversation = after(
        added(said("a", " ")),
        added(Message(id="b", role="user", content=(InputAudio(transcript=None),)), "a"),
        added(Message(id="c", role="assistant", content=(OutputAudio(transcript=""),)), "b"),
        added(Message(id="d", role="user", content=(InputAudio(transcript="yes"),)), "c"),
        added(image, "d"),
        added(FunctionCall(id="f", name="look", arguments="{}"), "i"),
        added(McpListTools(id="l", server_label="s", tools=()), "f"),
    )
    assert [item.id for item in conversation.messages()] == ["d", "i", "f"]


@given(
    st.lists(st.tuples(st.text("ab .", min_size=1, max_size=20), st.integers(0, 2000)), min_size=1, max_size=8),
    st.lists(st.floats(0, 20_000), min_size=2, max_size=2),
    st.booleans(),
)
def test_more_time_is_never_fewer_words(told: list[tuple[str, int]], times: list[float], whole: bool) -> None:
    spoken = SpokenText(is_complete=whole)
    for text, ms in told:
        spoken.append(text)
        spoken.ms += ms
    early, late = (spoken.until(ms) for ms in sorted(times))
    assert spoken.text.startswith(early.rstrip())
    assert late.startswith(early)
    assert spoken.until(1e9) == spoken.text


def test_after_all_of_its_audio_all_of_the_text_was_heard() -> None:
    spoken = SpokenText(is_complete=True)
    spoken.append("Hello there.")
    spoken.ms += 800
    assert spoken.until(400) == "Hello"
    assert spoken.until(800) == "Hello there."


def test_sound_of_a_response_is_counted_in_its_own_format() -> None:
    audio = ResponseAudio(output=ResponseOutput(format=Pcmu()))
    response = Response(id="r", status="in_progress", output=(), conversation_id=None, audio=audio)
    conversation = after(e.ResponseCreated(response=response), added(ANSWER), words("Hi"), sound(100))
    assert conversation.spoken_ms("a") == 600
    conversation.apply(e.ResponseDone(response=response))
    conversation.apply(sound(100))
    assert conversation.spoken_ms("a") == 700, "and then as the session says"


def test_a_response_may_leave_its_format_to_the_session() -> None:
    for audio in (UNSET, ResponseAudio(), ResponseAudio(output=ResponseOutput(voice="ash"))):
        response = Response(id="r", status="in_progress", output=(), conversation_id=None, audio=audio)
        conversation = after(e.ResponseCreated(response=response), added(ANSWER), sound(100))
        assert conversation.spoken_ms("a") == 100


def test_what_was_heard_is_never_more_than_a_truncation_left() -> None:
    conversation = after(added(ANSWER), words("One two. "), sound(1000), words("Three four. "), sound(1000))
    assert conversation.heard_text("a") == "One two. Three four. "
    assert conversation.heard_text("a", 1000) == "One two."
    conversation.apply(truncated(600))
    assert conversation.heard_text("a") == conversation.heard_text("a", 1000) == "One"
    assert conversation.heard_text("nobody") == ""


def test_older_images_are_forgotten_and_newer_ones_stay() -> None:
    def shown(item_id: str, size: int) -> Message:
        content = (InputText(text="See?"), InputImage(image_url="x" * size))
        return Message(id=item_id, role="user", content=content)

    call = FunctionCall(id="f", name="look", arguments="{}")
    conversation = after(
        added(shown("a", 5)), added(shown("b", 5), "a"), added(call, "b"), added(shown("c", 5), "f")
    )
    conversation.drop_images(10)
    kinds = {i.id: [type(p) for p in i.content] for i in conversation.items if isinstance(i, Message)}
    assert kinds == {"a": [InputText, InputText], "b": [InputText, InputImage], "c": [InputText, InputImage]}
    conversation.drop_images(4)
    assert not any(
        isinstance(p, InputImage) for i in conversation.items if isinstance(i, Message) for p in i.content
    )
