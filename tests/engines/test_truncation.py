"""What the chat model is asked with when a conversation outgrows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.simulations import ask, done, user
from vivavoce.engines.cascade.truncation import estimate_item, token_budget, truncate_history
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    Item,
    McpApprovalRequest,
    McpCall,
    McpListTools,
    Message,
    OutputText,
)
from vivavoce.protocol.responses import Failed
from vivavoce.protocol.session import RetentionRatio, Session, TokenLimits
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation

pytestmark = pytest.mark.anyio

TALK: list[Item] = [user("x" * 294, str(n)) for n in range(20)]
"""Twenty turns of 104 tokens."""


def kept(items: list[Item], **how: object) -> list[object]:
    wanted = {"truncation": "auto", "max_tokens": 10**6, "max_items": 10**6} | how
    return [item.id for item in truncate_history(items, **wanted)]  # type: ignore[arg-type,union-attr]


def test_nothing_is_left_out_of_what_fits() -> None:
    assert truncate_history(TALK, "auto", max_tokens=20 * 104, max_items=20) is TALK


def test_little_is_left_out_at_once_and_then_the_beginning_stays() -> None:
    assert kept(TALK[:17], max_tokens=1664) == [str(n) for n in range(2, 17)]
    assert kept(TALK[:18], max_tokens=1664) == [str(n) for n in range(2, 18)]
    assert kept(TALK[:19], max_tokens=1664) == [str(n) for n in range(4, 19)]


def test_a_client_may_keep_more_or_less_of_it() -> None:
    assert len(kept(TALK[:11], truncation=RetentionRatio(retention_ratio=0.8), max_tokens=1040)) == 9
    assert len(kept(TALK[:11], truncation=RetentionRatio(retention_ratio=1.0), max_tokens=1040)) == 10
    assert len(kept(TALK[:11], truncation=RetentionRatio(retention_ratio=0.0), max_tokens=1040)) == 1


def test_a_client_may_want_fewer_tokens_than_there_is_room() -> None:
    few = RetentionRatio(retention_ratio=1.0, token_limits=TokenLimits(post_instructions=520))
    assert len(kept(TALK, truncation=few)) == 5
    assert token_budget(400, few) == 400
    assert token_budget(400, RetentionRatio(retention_ratio=1.0, token_limits=TokenLimits())) == 400
    assert token_budget(400, "auto") == 400


def test_items_are_counted_too() -> None:
    assert kept(TALK, max_items=4, truncation=RetentionRatio(retention_ratio=1.0)) == ["16", "17", "18", "19"]


def test_what_was_said_last_always_stays() -> None:
    assert kept(TALK, max_tokens=0) == ["19"]
    call = FunctionCall(id="c", name="f", arguments="{}", call_id="1")
    output = FunctionCallOutput(id="o", call_id="1", output="x" * 900)
    assert kept([*TALK, call, output], max_tokens=0) == ["19", "c", "o"]
    assert kept([call, output], max_tokens=0) == []


def test_an_output_goes_with_its_call() -> None:
    call = FunctionCall(id="c", name="f", arguments="x" * 294, call_id="1")
    output = FunctionCallOutput(id="o", call_id="1", output="done")
    items = [call, TALK[0], output, TALK[1]]
    assert kept(items, max_tokens=300, truncation=RetentionRatio(retention_ratio=1.0)) == ["0", "1"]


def test_what_is_left_begins_with_a_users_turn() -> None:
    answer = Message(id="a", role="assistant", content=(OutputText(text="x" * 294),))
    items = [TALK[0], answer, TALK[1], answer, TALK[2]]
    assert kept(items, max_tokens=430, truncation=RetentionRatio(retention_ratio=1.0)) == ["1", "a", "2"]


def test_where_truncation_is_disabled_it_is_said_what_does_not_fit() -> None:
    with pytest.raises(ProtocolError, match=r"20 items, some 2080 tokens.*limits\.items") as caught:
        kept(TALK, truncation="disabled", max_tokens=2000)
    assert caught.value.code == "context_length_exceeded"
    assert len(kept(TALK, truncation="disabled", max_tokens=2080)) == 20


def test_everything_costs_something_that_is_read() -> None:
    image = Message(role="user", content=(InputImage(image_url="data:"),))
    assert estimate_item(image) > 1000
    assert estimate_item(McpListTools(server_label="x", tools=())) == 0
    assert estimate_item(McpCall(id="m", server_label="x", name="f", arguments="{}", output="x" * 300)) > 100
    assert estimate_item(McpApprovalRequest(id="m", server_label="x", name="f", arguments="{}")) < 10


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=30),
    st.integers(0, 3000),
    st.integers(1, 40),
    st.floats(0, 1),
)
def test_what_is_kept_is_the_end_and_fits(lengths: list[int], room: int, most: int, ratio: float) -> None:
    items: list[Item] = [user("x" * length, str(n)) for n, length in enumerate(lengths)]
    left = truncate_history(items, RetentionRatio(retention_ratio=ratio), max_tokens=room, max_items=most)
    assert list(left) == items[len(items) - len(left) :]
    assert left
    assert len(left) == 1 or (sum(map(estimate_item, left)) <= room and len(left) <= most)


# in a conversation


async def test_the_model_is_asked_with_the_end_of_a_long_conversation() -> None:
    simulation = Simulation(["Fine."])
    simulation.chat.context_tokens = 40
    questions = [act for n in range(4) for act in ask(0.1 + 3 * n, f"This is question number {n}, a long one.")]
    timeline = await simulation.run(*questions, until=13)
    assert len(timeline.of(e.ConversationItemAdded)) == 8, "nothing is deleted"
    assert len(simulation.chat.requests[-1].items) == 1
    assert done(timeline).response.status == "completed"


async def test_where_truncation_is_disabled_the_answer_fails_and_says_why() -> None:
    simulation = Simulation(["Fine."])
    simulation.chat.context_tokens = 30
    timeline = await simulation.run(
        ClientSends(0.0, e.SessionUpdate(session=Session(truncation="disabled"))),
        *ask(0.1, "This is a question."),
        *ask(3.0, "This is another question, and it is long.", output_modalities=("text",)),
        *ask(5.0, "And out of the conversation?", input=(user("Hello."),), output_modalities=("text",)),
        until=7,
    )
    assert timeline.of(e.SessionUpdated)[0].session.truncation == "disabled"
    first, second, third = timeline.of(e.ResponseDone)
    assert (first.response.status, third.response.status) == ("completed", "completed")
    details = second.response.status_details
    assert isinstance(details, Failed)
    assert (details.error.type, details.error.code) == ("invalid_request_error", "context_length_exceeded")
    assert not timeline.of(e.ErrorEvent)


async def test_a_caller_whose_conversation_is_too_long_is_apologised_to() -> None:
    simulation = Simulation(["Fine."], session=merge(DEFAULT, Session(truncation="disabled")))
    simulation.chat.context_tokens = 0
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=4)
    assert done(timeline).response.status == "failed"
    assert "sorry" in done(timeline).response.output[0].content[0].transcript
