"""How a small model is told to speak, and what it reads of a conversation."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    McpCall,
    McpListTools,
    McpToolExecutionError,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.providers.dialogue import (
    SPOKEN_STYLE,
    DialogueTurn,
    estimate_tokens,
    fit_turns,
    last_user_text,
    system_prompt,
    turns_of,
)
from vivavoce.providers.qwen.prompts import EXAMPLES, is_latin, max_sentences, speech_grammar


def user(*parts: ContentPart) -> Message:
    return Message(role="user", content=parts)


def test_what_was_said_is_what_was_written_or_heard() -> None:
    items = [
        Message(role="system", content=(InputText(text="Be kind."),)),
        user(InputText(text="Look"), InputImage(image_url="data:,"), InputAudio(transcript=" at this. ")),
        Message(role="assistant", content=(OutputText(text="A cat."),)),
        Message(role="assistant", content=(OutputAudio(transcript="A nice o"),)),
        user(InputAudio(transcript=None)),
        McpListTools(server_label="s", tools=()),
    ]
    assert turns_of(items) == [
        DialogueTurn("system", "Be kind."),
        DialogueTurn("user", "Look at this."),
        DialogueTurn("assistant", "A cat.\nA nice o"),
    ]


def test_what_a_tool_says_is_a_remark_beside_the_question() -> None:
    items = [
        user(InputText(text="Where is my order?")),
        FunctionCall(name="order_status", arguments="{}", call_id="1"),
        FunctionCallOutput(call_id="1", output='{"sent": true, "by": ["ship", "van"], "left": null, "n": 2}'),
        FunctionCallOutput(call_id="2", output="It is\n here."),
        McpCall(id="3", server_label="s", name="look", arguments="{}", output=""),
        McpCall(id="4", server_label="s", name="look", arguments="{}"),
        McpCall(
            id="5",
            server_label="s",
            name="look",
            arguments="{}",
            error=McpToolExecutionError(message="too dark"),
        ),
    ]
    assert turns_of(items) == [
        DialogueTurn(
            "user",
            "Where is my order?\n"
            "(From order_status: sent: yes, by: ship; van, left: unknown, n: 2. Tell the caller.)\n"
            "(From the tool: It is here. Tell the caller.)\n"
            "(From look: done. Tell the caller.)\n"
            "(From look: There is no answer yet. Tell the caller.)\n"
            "(From look: It has failed: too dark. Tell the caller.)",
        )
    ]


def test_the_last_words_are_the_users() -> None:
    assert (
        last_user_text(
            [DialogueTurn("user", "one"), DialogueTurn("user", "two"), DialogueTurn("assistant", "three")]
        )
        == "two"
    )
    assert last_user_text([]) == ""


TALK = st.lists(st.text(max_size=60)).map(
    lambda texts: [DialogueTurn("assistant" if i % 2 else "user", text) for i, text in enumerate(texts)]
)


@given(TALK, st.integers(1, 400))
def test_what_is_left_of_a_long_conversation_fits_and_is_its_end(talk: list[DialogueTurn], budget: int) -> None:
    left = list(fit_turns(talk, budget))
    assert left == talk[len(talk) - len(left) :]
    assert sum(estimate_tokens(said.text) for said in left) <= budget or len(left) <= 2
    assert left[-2:] == talk[-2:]
    if len(left) > 2:
        assert left[0].role == "user"


def test_a_long_conversation_keeps_its_beginning_for_many_turns() -> None:
    talk = [DialogueTurn("assistant" if i % 2 else "user", "x" * 60) for i in range(400)]
    starts = [len(talk[:n]) - len(fit_turns(talk[:n], 2000)) for n in range(1, 400)]
    assert starts == sorted(starts)
    assert len(set(starts)) < 50
    assert max(b - a for a, b in pairwise(starts)) <= 12, "and forgets little at a time"


def test_digits_are_counted_one_by_one() -> None:
    assert estimate_tokens("4157260 0161 9998877") >= 18
    assert estimate_tokens("Could you tell me the way?") < 18


def test_our_style_comes_before_the_instructions() -> None:
    assert system_prompt(" You are Viva. ", SPOKEN_STYLE) == f"{SPOKEN_STYLE}\n\nYou are Viva."
    assert system_prompt("", SPOKEN_STYLE) == SPOKEN_STYLE
    assert system_prompt("", "") == ""


def test_the_examples_are_turns_that_end_with_an_answer() -> None:
    assert [said.role for said in EXAMPLES] == ["user", "assistant"] * (len(EXAMPLES) // 2)
    assert not any(set(said.text) & set("*#`_[]<>") for said in EXAMPLES if said.role == "assistant")


@pytest.mark.parametrize(
    ("instructions", "asked", "many"),
    [
        ("", "What is rain?", False),
        ("", "Tell me a long story about a dragon.", True),
        ("", "Tell me a short story.", False),
        ("Explain everything in detail.", "What is rain?", True),
        ("Keep it short unless someone wants a story.", "What is rain?", False),
        ("", "Please go on.", True),
    ],
)
def test_an_answer_may_be_long_where_length_is_asked_for(instructions: str, asked: str, many: bool) -> None:
    assert (max_sentences(instructions, asked) > 3) is many


def test_scripts_are_told_apart() -> None:
    assert is_latin("Ça va? Łódź, 12 °C – naïve ﬁ")
    assert not is_latin("Привет")
    assert not is_latin("今日は")


def test_the_grammar_allows_so_many_sentences() -> None:
    assert "s){0,2}" in speech_grammar(3)
    assert "s){0,15}" in speech_grammar(16, latin=False)
    assert "*" not in speech_grammar(3).partition("letter ::=")[2].partition("\n")[0]
