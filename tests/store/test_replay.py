"""Turns and captions of a stored conversation that is heard again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ConfigError
from vivavoce.store.queries import Record
from vivavoce.store.replay import captions_of, part_of, turns_of

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def item(id_: str, role: str | None, text: str | None, at: float, **more: Any) -> Record:
    nothing = dict.fromkeys(("name", "call_id", "arguments", "output", "began", "ended"))
    item = {"id": id_, "type": "message", "role": role, "text": text, "heard": text, "status": "completed"}
    return {**nothing, **item, "created": NOON + timedelta(seconds=at), **more}


def conversation(*items: Record, **spoken: tuple[float, float]) -> Record:
    roles = {item["id"]: item["role"] for item in items}
    ranges = [
        {
            "item_id": name,
            "channel": roles[name],
            "start": round(a * OUTPUT_RATE),
            "end": round(b * OUTPUT_RATE),
        }
        for name, (a, b) in spoken.items()
    ]
    recording = {"url": "/it.ogg", "seconds": 20.0, "spoken": ranges or None, "problem": None}
    parts = {"items": list(items), "recordings": [recording], "timings": [], "usage": [], "gaps": []}
    return {"id": "sess_1", "started": NOON, **parts}


def stage(turn: str, name: str, began: float, ended: float) -> Record:
    return {"turn_id": turn, "kind": "spoken", "stage": name, "detail": "", "began": began, "ended": ended}


HELLO = conversation(
    item("a1", "assistant", "Hello! How can I help?", 0.1),
    item("u1", "user", "What is the weather in Paris?", 3.0),
    item(
        "c1", None, None, 3.2, type="function_call", name="weather", arguments='{"city":"Paris"}', call_id="1"
    ),
    item("o1", None, None, 3.4, type="function_call_output", output="sunny", call_id="1"),
    item("a2", "assistant", "It is sunny in Paris today.", 3.5, heard="It is sunny", status="incomplete"),
    item("u2", "user", "Thanks.", 5.0),
    item("s1", "system", "The caller is in a hurry.", 5.5),
    item("u3", "user", "Bye!", 6.0),
    a1=(0.2, 1.0),
    u1=(1.5, 2.5),
    a2=(3.6, 4.6),
    u2=(4.5, 5.0),
)
HELLO["timings"] = [stage("u1", "first_audio", 2.7, 3.6)]


def test_a_turn_is_what_the_caller_said_and_all_that_followed() -> None:
    greeting, weather, thanks, bye = turns_of(HELLO)
    assert (greeting.number, greeting.answer, greeting.answered) == (0, "Hello! How can I help?", (0.2, 1.0))
    assert (weather.text, weather.began, weather.ended) == ("What is the weather in Paris?", 1.5, 2.5)
    assert weather.wait == pytest.approx(1.1), "from the end of the speech, not from the end of the turn"
    assert weather.is_cut_off
    assert [(call.name, call.output) for call in weather.calls] == [("weather", "sunny")]
    assert (thanks.answer, thanks.wait, thanks.notes) == ("", None, ("The caller is in a hurry.",))
    assert (bye.is_spoken, bye.began, bye.ended) == (False, 6.0, 6.0)


def test_a_conversation_in_which_nobody_spoke_has_turn_0_only() -> None:
    assert [turn.number for turn in turns_of(conversation())] == [0]
    assert captions_of(conversation()) == []


def test_what_was_deleted_or_only_shown_is_no_turn() -> None:
    picture = item("u1", "user", "", 1.0)
    assert len(turns_of(conversation(picture, item("u2", "user", "Hm.", 2.0, status="deleted")))) == 1


def test_speech_without_a_transcript_is_a_turn() -> None:
    record = conversation(item("u1", "user", "", 1.0), u1=(0.5, 1.0))
    assert [turn.text for turn in turns_of(record)] == ["", ""]
    assert [word for _, word in captions_of(record)[0].words] == ["(no", "transcript)"]


def test_where_the_server_was_killed_the_times_of_turns_say_what_is_where() -> None:
    record = conversation(
        item("u1", "user", "Hi.", 1.4), item("a1", "assistant", "Hello.", 2, began=2.0, ended=2.5)
    )
    record["timings"] = [stage("u1", "speech", 0.8, 1.2), stage("u1", "first_audio", 1.4, 2.0)]
    _, turn = turns_of(record)
    assert (turn.began, turn.ended, turn.answered) == (0.5, 1.2, (2.0, 2.5))
    assert turn.wait == pytest.approx(0.8)


def test_a_question_that_was_sent_at_once_waits_from_when_it_was_all_there() -> None:
    record = conversation(item("u1", "user", "Hi.", 0.1), u1=(0.0, 1.8))
    record["timings"] = [stage("u1", "first_audio", 0.1, 0.4)]
    assert turns_of(record)[1].wait == pytest.approx(0.3)


def test_captions_say_who_says_what_and_what_was_cut_off() -> None:
    lines = [(one.turn, one.speaker, " ".join(word for _, word in one.words)) for one in captions_of(HELLO)]
    assert lines == [
        (None, "Assistant", "Hello! How can I help?"),
        (1, "Caller", "What is the weather in Paris?"),
        (None, "Tool", 'weather({"city":"Paris"})'),
        (None, "Tool", "→ sunny"),
        (None, "Assistant", "It is sunny"),
        (2, "Caller", "Thanks."),
        (None, "System", "The caller is in a hurry."),
        (3, "Caller", "Bye!"),
    ]
    assert [one.unheard for one in captions_of(HELLO) if one.unheard] == ["in Paris today."]


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.floats(0, 60), st.floats(0, 20)), max_size=6)
)
def test_captions_never_go_back_in_time(said: list[tuple[str, float, float]]) -> None:
    items = [item(f"i{n}", role, "some words of it", at) for n, (role, at, _) in enumerate(said)]
    record = conversation(*items, **{f"i{n}": (at, at + size) for n, (_, at, size) in enumerate(said)})
    times = [at for caption in captions_of(record) for at in (caption.at, *(time for time, _ in caption.words))]
    assert times == sorted(times)


def test_a_turn_or_an_item_has_its_part_of_the_recording() -> None:
    assert part_of(HELLO) == (0.0, None)
    assert part_of(HELLO, turn=0) == (0.0, 1.0)
    assert part_of(HELLO, turn=1) == (1.5, 4.6)
    assert part_of(HELLO, item="u2") == (4.5, 5.0)
    with pytest.raises(ConfigError, match="no turn 4; the last one is 3"):
        part_of(HELLO, turn=4)
    with pytest.raises(ConfigError, match="no item 'u'"):
        part_of(HELLO, item="u")
    with pytest.raises(ConfigError, match="not spoken"):
        part_of(HELLO, item="u3")
