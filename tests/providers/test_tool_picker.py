"""Which tool a request needs: the prompts, the forms and what is made of the answers."""

from itertools import pairwise

import pytest

from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.tool_picker.arguments import Arguments
from vivavoce.providers.qwen.tool_picker.router import (
    FIXED,
    arguments_prompt,
    choice_prompt,
    eligible_tools,
    name_grammar,
    reconsider,
    tool_of_answer,
)

WEATHER = FunctionTool(
    name="get_weather",
    description="Current weather  for a city.",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "name of the city"},
            "day": {"type": "string", "enum": ["today", "tomorrow"]},
        },
        "required": ["city"],
    },
)
BOOK = FunctionTool(name="lend_book", description="Lend a book.")
PLAIN = FunctionTool(name="wave_hello")
TOOLS = [WEATHER, BOOK, PLAIN]


def test_only_the_tools_that_may_be_called_are_asked_for() -> None:
    assert eligible_tools(TOOLS, "auto") == TOOLS
    assert eligible_tools(TOOLS, "required") == TOOLS
    assert eligible_tools(TOOLS, "none") == ()
    assert eligible_tools(TOOLS, ToolChoiceFunction(name="lend_book")) == [BOOK]


def test_the_prompt_begins_alike_and_ends_with_the_request() -> None:
    turns = [
        DialogueTurn("system", "Be kind."),
        DialogueTurn("user", "Rain in Rome?"),
        DialogueTurn("assistant", "No."),
        DialogueTurn("user", "And\nParis?"),
    ]
    prompt, request = choice_prompt(TOOLS, turns)
    assert tuple(prompt[: len(FIXED)]) == FIXED
    assert request == "And Paris?"
    assert prompt[-1] == DialogueTurn("user", "Earlier: Rain in Rome? / No.\nRequest: And Paris?")
    listed = prompt[len(FIXED)].text
    assert (
        "get_weather(city: string (name of the city), day: today or tomorrow): Current weather for a city.\n"
        in listed
    )
    assert "lend_book(): Lend a book.\nwave_hello()\n" in listed
    assert choice_prompt(TOOLS, [])[0][-1] == DialogueTurn("user", "Request: ")


def test_every_tool_is_shown_being_asked_for() -> None:
    prompt, _ = choice_prompt(TOOLS, [DialogueTurn("user", "Hi")])
    shown = prompt[len(FIXED) :]
    asked = {answer.text: ask.text for ask, answer in zip(shown[:-1:2], shown[1::2], strict=True)}
    assert set(asked) == {"get_weather", "lend_book", "wave_hello", "none"}
    assert asked["lend_book"] == "Request: please lend a book"
    assert asked["wave_hello"] == "Request: please wave hello"
    assert asked["get_weather"] == "Request: is it freezing in Oslo?"


def test_the_roles_of_a_prompt_alternate() -> None:
    prompt, _ = choice_prompt(TOOLS, [DialogueTurn("user", "Hi")])
    assert [said.role for said in prompt[1:]] == ["user", "assistant"] * (len(prompt[1:]) // 2) + ["user"]


def test_a_name_is_one_of_those_there_are() -> None:
    assert name_grammar([BOOK, PLAIN], none=True) == 'root ::= "lend" | "wave" | "none"'
    assert name_grammar([BOOK], none=False) == 'root ::= "lend"'
    assert tool_of_answer([BOOK, PLAIN], "wave") is PLAIN
    assert tool_of_answer([BOOK, PLAIN], "none") is None


def test_names_that_begin_alike_are_written_out() -> None:
    lights = [FunctionTool(name="set_light"), FunctionTool(name="set_timer")]
    assert name_grammar(lights, none=False) == 'root ::= "set_light" | "set_timer"'
    assert tool_of_answer(lights, "set_timer") is lights[1]


def test_examples_in_a_description_show_how_a_tool_is_asked_for() -> None:
    about = """Tell where an order is.\n\nPeople say: "where's order ten forty-two?", 'isn't it here?'."""
    tool = FunctionTool(name="order_status", description=about)
    prompt, _ = choice_prompt([tool], [DialogueTurn("user", "Hi")])
    asked = [ask.text for ask, answer in pairwise(prompt) if answer.text == tool.name]
    assert asked == ["Request: where's order 1042?", "Request: isn't it here?"]
    assert "order_status(): Tell where an order is.\n" in prompt[len(FIXED)].text


COMPLETE, BARE = Arguments(known={"order_id": "1042"}), Arguments(missing=["order_id"])


@pytest.mark.parametrize(
    ("chosen", "likely", "told", "is_called"),
    [
        (None, {"none": -0.9, "lend": -1.2}, COMPLETE, True),
        (None, {"none": -0.9, "lend": -1.2}, BARE, False),
        (None, {"none": -0.1, "lend": -3.0}, COMPLETE, False),
        (BOOK, {"lend": -0.8, "none": -0.9}, BARE, False),
        (BOOK, {"lend": -0.1, "none": -2.0}, BARE, True),
        (BOOK, {"lend": -0.8, "none": -0.9}, COMPLETE, True),
        (BOOK, {}, BARE, True),
    ],
)
def test_what_was_said_decides_where_the_model_wavers(
    chosen: FunctionTool | None, likely: dict[str, float], told: Arguments, is_called: bool
) -> None:
    found = reconsider([BOOK, PLAIN], chosen, likely, lambda tool: told if tool is BOOK else BARE)
    assert found is (BOOK if is_called else None)


def test_the_request_is_repeated_where_the_arguments_are_asked_for() -> None:
    assert arguments_prompt("get_weather", "And Paris?") == "Arguments of get_weather for: And Paris?"
