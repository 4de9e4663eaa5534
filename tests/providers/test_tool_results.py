"""Which tool results are read out, and that those which are stay as the tool wrote them."""

import pytest

from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message
from vivavoce.providers.qwen.tool_results import verbatim, verbatim_results


@pytest.mark.parametrize(
    "output",
    [
        "Order 1042 is on its way.",
        "It is safe for children. Never use more than four in a day. Keep it dry.",
        "Not done. Do not open the box.",
        "Your customer number is wrong. Could you say it again?",
        "order 1042, paid, due on 2026-11-23T16:00",
        "One line.\nAnother line",
    ],
)
def test_a_short_plain_result_is_read_out_word_for_word(output: str) -> None:
    assert verbatim(output) == output
    assert verbatim_results([result(output)]) == output


def test_a_text_in_json_is_read_out_without_its_quotes() -> None:
    assert verbatim('"The phone is now 5550142"') == "The phone is now 5550142"


@pytest.mark.parametrize(
    "output",
    [
        "",
        "{}",
        "[1, 2]",
        '{"a": [1]}',
        '{"order_id": "1042", "paid": true, "due": null}',
        "word " * 100,
        "<b>bold</b>",
        "3",
    ],
)
def test_what_is_long_or_has_a_structure_is_left_to_the_model(output: str) -> None:
    assert verbatim(output) is None


@pytest.mark.parametrize(
    "output",
    [
        "The customer is a VIP.",
        "The caller is Ada Novak. The caller's order is late.",
        "It has four digits. Ask for it again.",
        "First ask for the customer number and the postcode, and check them with customer_info.",
        "Not done. Do not call again.",
        "Tell them that it is late.",
    ],
)
def test_what_is_meant_for_the_model_is_left_to_the_model(output: str) -> None:
    assert verbatim(output) is None


def result(output: str, call_id: str = "a") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=output)


def test_all_results_since_the_caller_spoke_are_read_out_in_order() -> None:
    asked = Message(role="user", content=(InputText(text="Well?"),))
    calls: list[Item] = [FunctionCall(name="look", arguments="{}", call_id=one) for one in "ab"]
    outputs: list[Item] = [result(f"This is {one}.", one) for one in "ab"]
    assert verbatim_results([asked, *calls, *outputs]) == "This is a.\nThis is b."
    assert verbatim_results([*calls, *outputs, asked]) is None


def test_where_one_result_cannot_be_read_out_none_is() -> None:
    assert verbatim_results([result("It is late."), result('{"late": true}', "b")]) is None
