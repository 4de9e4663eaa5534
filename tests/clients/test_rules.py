"""The rules are strict: whatever is taken out of a real score, told twice, or told too early, they notice."""

from itertools import pairwise

import pytest
from openai import AsyncOpenAI

from clients.recorder import Recorder
from clients.rules import Score, check
from clients.rules.score import Event
from clients.talk import WEATHER, has, on_the_phone

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

FREE = {
    "rate_limits.updated": "it is news at any time",
    "response.output_audio.delta": "sound is not counted",
    "response.output_audio_transcript.delta": "words come before or after their sound",
    "conversation.item.input_audio_transcription.delta": "the whole may correct it",
}


@pytest.fixture
async def score(recorder: Recorder) -> Score:
    """A spoken turn, a tool call, its result and an item taken out."""
    client = AsyncOpenAI(api_key="none", base_url=recorder.url)
    connecting = client.realtime.connect(model="vivavoce")
    async with client, on_the_phone(connecting, type="realtime", tools=[WEATHER]) as talk:
        talk.say("brooklyn")
        await talk.until(has("response.done"))
        await talk.write("What is the weather in Paris?")
        await talk.connection.response.create()
        events = await talk.until(has("response.done", 2))
        call = next(event for event in events if event.type == "response.function_call_arguments.done")
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        await talk.connection.conversation.item.create(item=output)
        await talk.connection.response.create()
        await talk.until(has("response.done", 3))
        await talk.connection.conversation.item.delete(item_id=call.item_id)
        await talk.until(has("conversation.item.deleted"))
    return [one for one in recorder.calls[0].score if one[1]["type"] != "input_audio_buffer.append"]


async def test_every_event_taken_out_told_twice_or_told_too_early_is_noticed(score: Score) -> None:
    check(score)
    told = [at for at, (by, event) in enumerate(score) if by == "server" and event["type"] not in FREE]
    unnoticed = []
    for at in told:
        event = score[at][1]
        if not complained([*score[:at], *score[at + 1 :]]) and not may_be_missing(at, score):
            unnoticed.append(f"{event['type']} taken out")
        again = {**event, "event_id": "again"}
        if not complained([*score[: at + 1], ("server", again), *score[at + 1 :]]):
            unnoticed.append(f"{event['type']} told twice")
    for first, second in pairwise(told):
        swapped = list(score)
        swapped[first], swapped[second] = score[second], score[first]
        if not complained(swapped) and not independent(score[first][1], score[second][1]):
            unnoticed.append(f"{score[second][1]['type']} told before {score[first][1]['type']}")
    assert unnoticed == [], "\n".join(unnoticed)


async def test_every_field_of_every_event_counts(score: Score) -> None:
    unnoticed = set()
    for at, (by, event) in enumerate(score):
        if by == "client":
            continue
        for name in set(event) - {"type"}:
            changed = {**event, name: {"odd": 1}}
            if not complained([*score[:at], ("server", changed), *score[at + 1 :]]):
                unnoticed.add(f"{event['type']}.{name}")
        if not complained([*score[:at], ("server", {**event, "extra": None}), *score[at + 1 :]]):
            unnoticed.add(f"{event['type']} with a field that nobody knows")
    assert unnoticed == set()


def complained(score: Score) -> bool:
    try:
        check(score)
    except (AssertionError, KeyError, TypeError, AttributeError):
        return True
    return False


def may_be_missing(at: int, score: Score) -> bool:
    """What has a clock of its own may come later than all this, and at the end so may anything."""
    kind = score[at][1]["type"]
    if "transcription" in kind or kind == "session.updated":
        return True
    return not {"response.created", "response.done"} & {event["type"] for _, event in score[at + 1 :]}


def independent(first: Event, second: Event) -> bool:
    """These may come in any order."""
    kinds = f"{first['type']} {second['type']}"
    return "session.updated" in kinds or "transcription" in kinds
