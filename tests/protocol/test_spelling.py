"""Items of other servers, and of OpenAI's own examples, are read as they are spelled there."""

import json

import pytest

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_server
from vivavoce.protocol.items import InputAudio, InputText, Message, OutputAudio, OutputText

AUDIO = {"type": "audio", "audio": "AAAA", "transcript": "Hello!", "format": "pcm16"}


def retrieved(role: str, *content: object) -> object:
    item = {"id": "item_1", "object": "realtime.item", "type": "message", "role": role, "content": content}
    event = decode_server(
        json.dumps({"type": "conversation.item.retrieved", "event_id": "event_1", "item": item})
    )
    assert isinstance(event, e.ConversationItemRetrieved)
    assert isinstance(event.item, Message)
    return event.item.content


@pytest.mark.parametrize(
    ("role", "part", "read"),
    [
        ("assistant", AUDIO, OutputAudio(audio=bytes(3), transcript="Hello!")),
        ("assistant", {**AUDIO, "type": "output_audio"}, OutputAudio(audio=bytes(3), transcript="Hello!")),
        ("user", AUDIO, InputAudio(audio=bytes(3), transcript="Hello!")),
        ("assistant", {"type": "text", "text": "Hi"}, OutputText(text="Hi")),
        ("user", {"type": "text", "text": "Hi"}, InputText(text="Hi")),
        ("system", {"type": "text", "text": "Hi"}, InputText(text="Hi")),
    ],
)
def test_a_part_without_its_prefix_is_read_by_whose_it_is(role: str, part: object, read: object) -> None:
    assert retrieved(role, part) == (read,)


def test_both_spellings_may_stand_side_by_side() -> None:
    assert retrieved("assistant", {"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}) == (
        OutputText(text="a"),
        OutputText(text="b"),
    )


def test_items_of_an_answer_are_read_likewise() -> None:
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": [AUDIO]}
    response = {"id": "resp_1", "status": "completed", "output": [item], "conversation_id": None}
    event = decode_server(json.dumps({"type": "response.done", "event_id": "event_1", "response": response}))
    assert isinstance(event, e.ResponseDone)
    assert event.response.output[0].content == (OutputAudio(audio=bytes(3), transcript="Hello!"),)


@pytest.mark.parametrize("part", ["audio", {"type": "smell"}, {"type": "text"}])
def test_what_is_no_part_at_all_is_no_event(part: object) -> None:
    with pytest.raises(ProtocolError):
        retrieved("assistant", part)
