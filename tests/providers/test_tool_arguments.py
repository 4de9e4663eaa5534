"""What was said of a tool's arguments: settled, left to choose, or missing."""

import pytest

from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.tool_picker.arguments import Arguments, find_arguments

TEXT = {"type": "string"}
ID = {"type": "string", "pattern": "^[0-9]{4}$"}


def tool(name: str, needed: str, /, about: str = "", **properties: object) -> FunctionTool:
    schema: dict[str, object] = {"type": "object", "properties": properties, "required": needed.split()}
    return FunctionTool(name=name, description=about, parameters=schema)


WHO = tool("customer_info", "customer_id postcode", customer_id=ID, postcode=TEXT)
RETURN = tool("return_order", "order_id reason", order_id=ID, reason=TEXT)
CANCEL = tool("cancel_order", "order_id", order_id={**TEXT, "description": "four digits"}, reason=TEXT)
CALL = tool("call_back", "time", "Call the caller back.", time=TEXT, phone=TEXT, email=TEXT)
LIGHT = tool("set_light", "state", state={"enum": ["on", "off"]}, color={"enum": ["red", "blue"]})
TIMER = tool("set_timer", "minutes", minutes={"type": "integer", "minimum": 1})
TOOLS = [WHO, RETURN, CANCEL, CALL, LIGHT, TIMER]


def look(tool: FunctionTool, *said: str) -> Arguments:
    turns = [DialogueTurn("assistant" if place % 2 else "user", text) for place, text in enumerate(said)]
    return find_arguments(tool, TOOLS, turns)


def test_a_number_that_was_said_is_found_and_words_are_left_to_choose() -> None:
    assert look(RETURN, "Take ten forty-two back, it is broken") == Arguments(
        {"order_id": "1042"}, {"reason": ()}, ()
    )


def test_what_was_not_said_is_missing() -> None:
    assert look(RETURN, "I'd like to return an order, please.").missing == ("order_id", "reason")
    assert look(CALL, "Can you call me back?").missing == ("time",)


def test_an_argument_that_may_be_left_out_is_not_made_up() -> None:
    assert look(CANCEL, "Cancel order 1042.") == Arguments({"order_id": "1042"})
    assert look(CALL, "Call me tomorrow at 10.") == Arguments({}, {"time": ()})


@pytest.mark.parametrize(
    "said",
    [
        "My customer number is 2017 and my postcode is 90210.",
        "The postcode's 90210 and the customer number is 2017.",
        "2017 is my customer number, my zip code is 90210.",
        "It's me, twenty seventeen, and the postcode is nine oh two one oh.",
    ],
)
def test_numbers_go_by_what_they_are_called(said: str) -> None:
    assert look(WHO, said).known == {"customer_id": "2017", "postcode": "90210"}


def test_a_number_of_another_name_is_not_meant() -> None:
    assert look(CANCEL, "My customer number is 2017, cancel it.").missing == ("order_id",)


def test_what_was_said_before_counts_where_nothing_is_said_now() -> None:
    asked = "Thank you. And your postcode?"
    assert look(WHO, "My customer number is 2044.", asked, "33109").known == {
        "customer_id": "2044",
        "postcode": "33109",
    }
    assert look(CANCEL, "Where is 1071?", "It leaves tomorrow.", "Cancel it.").known == {"order_id": "1071"}
    assert look(CANCEL, "Where is 1071?", "On its way.", "And cancel 1042.").known == {"order_id": "1042"}


def test_two_numbers_are_left_to_choose_from() -> None:
    assert look(CANCEL, "Cancel 1042 or 1043.").open["order_id"] == ["1042", "1043"]


def test_phone_numbers_and_mail_addresses_are_known_by_their_form() -> None:
    told = look(CALL, "Ring me at noon on 555 0199 or write to ada at example dot org")
    assert told.known == {"phone": "5550199", "email": "ada@example.org"}


def test_a_choice_is_found_by_name_and_left_open_where_it_is_needed() -> None:
    assert look(LIGHT, "Switch it on") == Arguments({"state": "on"})
    assert look(LIGHT, "Make it dark").open == {"state": ["on", "off"]}


def test_whole_numbers_are_those_that_were_said() -> None:
    assert look(TIMER, "Twelve minutes, please").known == {"minutes": 12}
    assert look(TIMER, "Start a timer").missing == ("minutes",)
    assert look(TIMER, "Half an hour").open == {"minutes": ()}
