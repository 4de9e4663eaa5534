"""What the page is doing, by what has happened: `state.js` is pure, so a browser folds lists of events."""

import random
from typing import Any

import pytest

from web.browser import Open

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]

FOLD = """async (scores) => {
    const address = new URL("state.js", document.querySelector("script[src$='app.js']").src);
    const { START, next, stateOf } = await import(address);
    return scores.map((score) => stateOf(score.reduce(next, START)));
}"""
Event = dict[str, Any]


def is_now(type: str, value: object) -> Event:
    return {"type": type, "is": value}


def server(type: str, **fields: object) -> Event:
    return {"type": type, **fields}


def item(type: str, **fields: object) -> Event:
    return server("conversation.item.added", item={"type": type, **fields})


OPEN = [is_now("line", "connecting"), is_now("line", "open")]
TALK = [is_now("microphone", "asking"), is_now("microphone", "open"), *OPEN]
STARTED = server("input_audio_buffer.speech_started", item_id="a")
COMMITTED = server("input_audio_buffer.committed", item_id="a")
CREATED = server("response.created", response={"id": "r"})
DONE = server("response.done", response={"id": "r"})
HEARD_NOTHING = server("conversation.item.input_audio_transcription.completed", item_id="a", transcript=" ")
CALL, OUTPUT = item("function_call", call_id="c"), item("function_call_output", call_id="c")
REDIAL = is_now("line", "reconnecting")
SCORES: dict[str, list[tuple[str, list[Event]]]] = {
    "idle": [
        ("at first", []),
        ("after the end", [*TALK, STARTED, is_now("line", "closed")]),
    ],
    "asking": [("for the microphone", TALK[:1]), ("while writing", [*OPEN, is_now("microphone", "asking")])],
    "connecting": [("until the session is there", TALK[:-1])],
    "ready": [
        ("to be written to", OPEN),
        ("the microphone went away", [*TALK, is_now("microphone", "none")]),
        ("for the button of push-to-talk", [*TALK, is_now("byHand", True)]),
        (
            "the button was released",
            [*TALK, is_now("byHand", True), is_now("held", True), is_now("held", False)],
        ),
    ],
    "listening": [
        ("to whoever speaks", TALK),
        ("while the button is held", [*TALK, is_now("byHand", True), is_now("held", True)]),
        ("a noise was no turn", [*TALK, STARTED, server("input_audio_buffer.cleared")]),
        ("nothing was said", [*TALK, STARTED, COMMITTED, HEARD_NOTHING]),
        ("after the answer", [*TALK, STARTED, COMMITTED, CREATED, DONE]),
        ("unmuted", [*TALK, is_now("muted", True), is_now("muted", False)]),
    ],
    "hearing": [
        ("a turn", [*TALK, STARTED]),
        ("over the answer", [*TALK, CREATED, is_now("playing", "b"), STARTED]),
    ],
    "thinking": [
        ("before the response", [*TALK, STARTED, COMMITTED]),
        ("before its sound", [*TALK, STARTED, COMMITTED, CREATED]),
        ("while a tool runs", [*TALK, CREATED, CALL, DONE]),
        ("asked in writing", [*OPEN, is_now("awaiting", True)]),
    ],
    "speaking": [
        ("an answer", [*TALK, CREATED, is_now("playing", "b")]),
        ("longer than the response", [*TALK, CREATED, is_now("playing", "b"), DONE]),
        ("an answer again", [*TALK, is_now("replaying", "b")]),
        ("without a line", [is_now("replaying", "b")]),
        (
            "on, though the line dropped and is back",
            [*TALK, is_now("playing", "b"), REDIAL, is_now("line", "open")],
        ),
    ],
    "blocked": [("by the browser", [*OPEN, is_now("playing", "b"), is_now("blocked", True)])],
    "muted": [
        ("by hand", [*TALK, is_now("muted", True)]),
        ("after a tool was done", [*TALK, is_now("muted", True), CALL, OUTPUT]),
    ],
    "reconnecting": [("whatever was going on", [*TALK, STARTED, REDIAL])],
    "error": [("whatever was going on", [*TALK, CREATED, is_now("playing", "b"), is_now("line", "failed")])],
}


async def test_a_state_is_what_events_made_it(opened: Open) -> None:
    async with opened(1.0) as page:
        named = [(state, why, score) for state, scores in SCORES.items() for why, score in scores]
        found = await page.evaluate(FOLD, [score for _, _, score in named])
        wrong = {
            f"{state} {why}": now for (state, why, _), now in zip(named, found, strict=True) if now != state
        }
        assert wrong == {}


async def test_no_order_of_events_leaves_a_conversation_in_a_state_that_it_cannot_leave(opened: Open) -> None:
    known = [event for scores in SCORES.values() for _, score in scores for event in score]
    dice = random.Random(13)  # noqa: S311 (these are no secrets)
    scores = [dice.choices(known, k=dice.randint(1, 30)) for _ in range(2000)]
    async with opened(1.0) as page:
        assert set(await page.evaluate(FOLD, scores)) <= SCORES.keys()
        over = [[*score, is_now("line", "closed"), *TALK] for score in scores]
        over = [score for score in over if is_now("byHand", True) not in score]
        assert set(await page.evaluate(FOLD, over)) == {"listening"}, "a new conversation begins anew"
