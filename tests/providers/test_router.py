"""Which tool a request needs: the prompts, the forms and what is made of the answers."""

import json
from itertools import pairwise

import pytest

from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.providers.dialogue import Turn
from vivavoce.providers.json_schema import form, plain, valid
from vivavoce.providers.qwen.argument_search import Evidence
from vivavoce.providers.qwen.router import (
    FIXED,
    details,
    eligible,
    named,
    names,
    on_second_thoughts,
    question,
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
    assert eligible(TOOLS, "auto") == TOOLS
    assert eligible(TOOLS, "required") == TOOLS
    assert eligible(TOOLS, "none") == ()
    assert eligible(TOOLS, ToolChoiceFunction(name="lend_book")) == [BOOK]


def test_the_prompt_begins_alike_and_ends_with_the_request() -> None:
    turns = [
        Turn("system", "Be kind."),
        Turn("user", "Rain in Rome?"),
        Turn("assistant", "No."),
        Turn("user", "And\nParis?"),
    ]
    prompt, request = question(TOOLS, turns)
    assert tuple(prompt[: len(FIXED)]) == FIXED
    assert request == "And Paris?"
    assert prompt[-1] == Turn("user", "Earlier: Rain in Rome? / No.\nRequest: And Paris?")
    listed = prompt[len(FIXED)].text
    assert (
        "get_weather(city: string (name of the city), day: today or tomorrow): Current weather for a city.\n"
        in listed
    )
    assert "lend_book(): Lend a book.\nwave_hello()\n" in listed
    assert question(TOOLS, [])[0][-1] == Turn("user", "Request: ")


def test_every_tool_is_shown_being_asked_for() -> None:
    prompt, _ = question(TOOLS, [Turn("user", "Hi")])
    shown = prompt[len(FIXED) :]
    asked = {answer.text: ask.text for ask, answer in zip(shown[:-1:2], shown[1::2], strict=True)}
    assert set(asked) == {"get_weather", "lend_book", "wave_hello", "none"}
    assert asked["lend_book"] == "Request: please lend a book"
    assert asked["wave_hello"] == "Request: please wave hello"
    assert asked["get_weather"] == "Request: is it freezing in Oslo?"


def test_the_roles_of_a_prompt_alternate() -> None:
    prompt, _ = question(TOOLS, [Turn("user", "Hi")])
    assert [said.role for said in prompt[1:]] == ["user", "assistant"] * (len(prompt[1:]) // 2) + ["user"]


def test_a_name_is_one_of_those_there_are() -> None:
    assert names([BOOK, PLAIN], none=True) == 'root ::= "lend" | "wave" | "none"'
    assert names([BOOK], none=False) == 'root ::= "lend"'
    assert named([BOOK, PLAIN], "wave") is PLAIN
    assert named([BOOK, PLAIN], "none") is None


def test_names_that_begin_alike_are_written_out() -> None:
    lights = [FunctionTool(name="set_light"), FunctionTool(name="set_timer")]
    assert names(lights, none=False) == 'root ::= "set_light" | "set_timer"'
    assert named(lights, "set_timer") is lights[1]


def test_examples_in_a_description_show_how_a_tool_is_asked_for() -> None:
    about = """Tell where an order is.\n\nPeople say: "where's order ten forty-two?", 'isn't it here?'."""
    tool = FunctionTool(name="order_status", description=about)
    prompt, _ = question([tool], [Turn("user", "Hi")])
    asked = [ask.text for ask, answer in pairwise(prompt) if answer.text == tool.name]
    assert asked == ["Request: where's order 1042?", "Request: isn't it here?"]
    assert "order_status(): Tell where an order is.\n" in prompt[len(FIXED)].text


COMPLETE, BARE = Evidence(found={"order_id": "1042"}), Evidence(missing=["order_id"])


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
    chosen: FunctionTool | None, likely: dict[str, float], told: Evidence, is_called: bool
) -> None:
    found = on_second_thoughts([BOOK, PLAIN], chosen, likely, lambda tool: told if tool is BOOK else BARE)
    assert found is (BOOK if is_called else None)


def test_the_request_is_repeated_where_the_arguments_are_asked_for() -> None:
    assert details("get_weather", "And Paris?") == "Arguments of get_weather for: And Paris?"


def test_a_form_holds_to_the_schema() -> None:
    assert form(WEATHER) == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 80},
            "day": {"type": "string", "enum": ["today", "tomorrow"]},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    empty = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert form(BOOK) == form(FunctionTool(name="x", parameters={"type": "object"})) == empty


def test_a_plain_schema_has_no_references_and_no_patterns() -> None:
    schema = {
        "type": "object",
        "properties": {
            "item": {"$ref": "#/$defs/Item"},
            "lost": {"$ref": "#/$defs/Nothing"},
            "many": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "one": {"allOf": [{"type": "boolean"}]},
        },
        "required": ["many", "strange"],
        "$defs": {"Item": {"type": "string", "pattern": "^a"}},
    }
    made = plain(schema)["properties"]
    assert made == {
        "item": {"type": "string", "maxLength": 80},
        "lost": {},
        "many": {"minItems": 1, "type": "array", "items": {"type": "integer", "minimum": 1}},
        "maybe": {"anyOf": [{"type": "string", "maxLength": 80}, {"type": "null"}]},
        "one": {"type": "boolean"},
    }
    assert plain(schema)["required"] == ["many"]
    assert plain({"properties": {}, "required": "city"})["required"] == []


def test_a_schema_that_holds_itself_ends() -> None:
    assert "$ref" not in json.dumps(plain({"properties": {"self": {"$ref": "#"}}}))


@pytest.mark.parametrize(
    ("value", "schema", "good"),
    [
        (3, {"type": "integer", "minimum": 1, "maximum": 5}, True),
        (9, {"type": "integer", "maximum": 5}, False),
        (0, {"type": "number", "minimum": 1}, False),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean", "minimum": 5}, True),
        (1.5, {"type": "integer"}, False),
        (1.5, {"type": ["integer", "number"]}, True),
        (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
        (2, {"anyOf": [{"type": "string"}, {"type": "null"}]}, False),
        ("a", {"const": "a"}, True),
        ("b", {"const": "a"}, False),
        ([], {"type": "array", "minItems": 1}, False),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}, False),
        ([1, 2], {"type": "array", "items": {"type": "integer"}, "maxItems": 2}, True),
        ({"a": {"b": 1}}, {"properties": {"a": {"required": ["c"]}}}, False),
        ({"x": 1}, {"type": "object", "properties": {}, "additionalProperties": False}, False),
        ("anything", {}, True),
        ("anything", {"type": "unheard of"}, True),
    ],
)
def test_a_value_is_held_against_its_schema(value: object, schema: dict[str, object], good: bool) -> None:
    assert valid(value, schema) is good
