"""The arguments that a model is to choose: their grammar, and what is made of them."""

import pytest

from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.base import ToolCall
from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.tool_picker.arguments import (
    Arguments,
    call_of,
    question_for,
    read_arguments,
    unfit_arguments,
)
from vivavoce.providers.qwen.tool_picker.grammar import argument_grammar, known_arguments

RETURN = FunctionTool(
    name="return_order",
    parameters={
        "type": "object",
        "properties": {
            "order_id": {"type": "string", "description": "the order's number, four digits"},
            "reason": {"type": "string", "description": "What is wrong with it."},
            "fast": {"type": "boolean"},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["order_id", "reason"],
    },
)
FOUND = Arguments({"order_id": "1042"}, {"reason": ()})


def grammar(said: str, told: Arguments = FOUND) -> str:
    found = argument_grammar(RETURN, told, [DialogueTurn("user", said)])
    assert found is not None
    return found


def test_what_was_found_stands_at_the_known_arguments() -> None:
    assert known_arguments(FOUND) == '{"order_id": "1042", "reason":'


def test_a_text_is_words_that_were_said_one_after_another() -> None:
    assert grammar("It's too small.").splitlines() == [
        'root ::= " " value0',
        r'value0 ::= "\"" span "\"" | "null"',
        "span ::= word0 | word1 | word2",
        'word0 ::= "It\'s" (" " word1)?',
        'word1 ::= "too" (" " word2)?',
        'word2 ::= "small"',
    ]


@pytest.mark.parametrize(
    ("said", "last"),
    [
        ("It broke. Bye", '"broke"'),
        ("It broke, can I return it?", '"broke"'),
        ("It broke please help", '"broke"'),
    ],
)
def test_a_text_does_not_run_into_the_next_sentence(said: str, last: str) -> None:
    assert f"word1 ::= {last}" in grammar(said).splitlines()


def test_choices_and_kinds_are_held_to() -> None:
    told = Arguments({}, {"order_id": ["1042", "1043"], "fast": ()})
    assert grammar("both", told).splitlines()[:3] == [
        r'root ::= " " value0 ", \"fast\": " value1',
        r'value0 ::= "\"1042\"" | "\"1043\""',
        'value1 ::= "true" | "false"',
    ]


def test_a_value_with_parts_is_not_for_this() -> None:
    assert argument_grammar(RETURN, Arguments({}, {"notes": ()}), [DialogueTurn("user", "Hm")]) is None


def test_what_is_left_open_is_missing() -> None:
    arguments = read_arguments(RETURN, '{"order_id": "1042", "reason": null}')
    assert arguments == {"order_id": "1042"}
    assert unfit_arguments(RETURN, arguments) == ["reason"]
    assert unfit_arguments(RETURN, {**arguments, "reason": "broken", "fast": "no"}) == ["fast"]
    assert read_arguments(RETURN, '{"order_id": "10') == {}


def test_fillers_around_a_text_are_left_out() -> None:
    assert read_arguments(RETURN, '{"reason": "um, it\'s too small, please"}') == {"reason": "too small"}


def test_a_call_has_its_arguments_in_the_tools_order() -> None:
    assert call_of(RETURN, {"reason": "broken", "order_id": "1042"}) == ToolCall(
        "return_order", '{"order_id":"1042","reason":"broken"}'
    )


def test_what_is_missing_is_asked_for_in_the_descriptions_words() -> None:
    assert question_for(RETURN, ["order_id", "reason"]) == (
        "Could you tell me the order's number and what is wrong with it?"
    )
    assert question_for(RETURN, ["fast"]) == "Could you tell me the fast?"
