"""What tools have answered, as it is said to the caller."""

import pytest

from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Message
from vivavoce.providers.qwen.tool_results import results, told


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("Order 1042 is on its way.", "Order 1042 is on its way."),
        ('"The phone is now 5550142"', "The phone is now 5550142."),
        ("The caller is Ada Novak. The caller's order is late.", "You are Ada Novak. Your order is late."),
        ("The customer number is wrong.", "The customer number is wrong."),
        ("It has four digits. Ask for it again.", "It has four digits. Could you say it again?"),
        (
            "First ask for the customer number and the postcode, and check them with customer_info.",
            "Could you tell me the customer number and the postcode?",
        ),
        ("Not done. Do not call again.", "Not done."),
        ('{"order_id": "1042", "paid": true, "due": null}', "Order id 1042, paid yes, due not known."),
        ('{"ok": true, "at": "2026-11-23T16:00"}', "At 2026-11-23 at 16:00."),
    ],
)
def test_short_answers_are_said_word_for_word(output: str, said: str) -> None:
    assert told(output) == said


@pytest.mark.parametrize("output", ["", "{}", "[1, 2]", '{"a": [1]}', "word " * 100, "<b>bold</b>", "3"])
def test_what_is_long_or_intricate_is_left_to_the_model(output: str) -> None:
    assert told(output) is None


def test_all_answers_since_the_caller_spoke_are_said_in_order() -> None:
    asked = Message(role="user", content=(InputText(text="Well?"),))
    calls = [FunctionCall(name="look", arguments="{}", call_id=one) for one in "ab"]
    outputs = [FunctionCallOutput(call_id=one, output=f"This is {one}.") for one in "ab"]
    assert results([asked, *calls, *outputs]) == "This is a. This is b."
    assert results([*calls, *outputs, asked]) is None
