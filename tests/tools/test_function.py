"""A Python function as a tool: what the model is told of it, and what comes of a call."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from vivavoce.errors import ConfigError
from vivavoce.tools.function import tool
from vivavoce.tools.types import Assistant, Card, Context, Outcome, Tool, ToolError


async def silence(words: str) -> None:
    raise AssertionError("nobody was to speak")


CONTEXT = Context("call_1", "caller_1", {}, silence)


async def told(function: Tool, **arguments: object) -> str:
    return (await function.run(msgspec.json.encode(arguments).decode(), CONTEXT)).output


# what the model is told


def test_a_function_tells_of_itself() -> None:
    @tool
    async def order_status(order_id: str, detailed: bool = False) -> str:
        """Look an order up.

        People say: "where is my order".

        Args:
            order_id: The order's four digits,
                as on the bill.
            detailed: Whether to tell everything.
        """
        return order_id

    assert order_status.name == "order_status"
    assert order_status.description == 'Look an order up.\n\nPeople say: "where is my order".'
    assert order_status.parameters == {
        "type": "object",
        "properties": {
            "order_id": {"type": "string", "description": "The order's four digits, as on the bill."},
            "detailed": {"type": "boolean", "description": "Whether to tell everything.", "default": False},
        },
        "required": ["order_id"],
    }
    definition = order_status.definition
    assert (definition.name, definition.description) == (order_status.name, order_status.description)


GOOGLE = """Send it.

Args:
    size: How large.

Returns:
    What nobody is told.

Examples:
    a large one, please
"""
NUMPY = """Send it.

Parameters
----------
size : str
    How large.

Returns
-------
str
    What nobody is told.

Examples
--------
a large one, please
"""
SPHINX = """Send it.

Examples: a large one, please

:param str size: How large.
:returns: What nobody is told.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX])
def test_docstrings_are_read_in_three_styles(docstring: str) -> None:
    def send(size: str) -> str:
        return size

    send.__doc__ = docstring
    made = tool(send)
    assert made.description.split() == "Send it. Examples: a large one, please".split()
    assert made.parameters["properties"] == {"size": {"type": "string", "description": "How large."}}


def test_a_function_without_a_docstring_is_known_by_its_name() -> None:
    @tool
    async def order_status() -> str:
        return ""

    assert order_status.description == "order status"


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Parcel:
    weight: float
    size: Size = Size.SMALL
    title: str = "parcel"


class Letter(msgspec.Struct):
    lines: list[str] = []


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (date, {"type": "string", "format": "date"}),
        (time, {"type": "string", "format": "time"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (Decimal, {"type": "string", "format": "decimal"}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Size, {"enum": ["large", "small"]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Annotated[int, Meta(ge=1, le=9, description="a digit")],
         {"type": "integer", "minimum": 1, "maximum": 9, "description": "a digit"}),
        (Any, {}),
        (Letter, {"type": "object", "properties": {
            "lines": {"type": "array", "items": {"type": "string"}, "default": []}}, "required": []}),
        (Parcel, {"type": "object", "required": ["weight"], "properties": {
            "weight": {"type": "number"},
            "size": {"enum": ["large", "small"], "default": "small"},
            "title": {"type": "string", "default": "parcel"}}}),
    ],
)  # fmt: skip
def test_types_are_told_without_references(hint: object, schema: dict[str, object]) -> None:
    def take(it: Any) -> None: ...

    take.__annotations__["it"] = hint
    assert tool(take).parameters["properties"] == {"it": schema}


def test_what_may_be_left_out_is_told_with_its_default() -> None:
    @tool
    def book(
        day: date = date(2026, 3, 31), size: Size = Size.LARGE, note: str | None = None, times: int | None = 2
    ) -> None: ...

    assert book.parameters == {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date", "default": "2026-03-31"},
            "size": {"enum": ["large", "small"], "default": "large"},
            "note": {"type": "string"},
            "times": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 2},
        },
        "required": [],
    }


# what cannot be a tool


class Cycle(msgspec.Struct):
    again: "Cycle | None" = None


def no_type(it) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def many(*them: str) -> None: ...
def others(**them: str) -> None: ...
def first(it: str, /) -> None: ...
def complicated(it: complex) -> None: ...
def either(it: date | str) -> None: ...
def endless(it: Cycle) -> None: ...
def unknown(it: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def yields() -> Iterator[str]:
    yield ""


async def yields_later() -> AsyncIterator[str]:
    yield ""


class Desk:
    def call(self, number: str) -> str:
        """Call."""
        return number


@pytest.mark.parametrize(
    ("function", "names", "advises"),
    [
        (no_type, "it", "it: str"),
        (many, "*them", "them: str"),
        (others, "**them", "them: str"),
        (first, "it", "it: str"),
        (complicated, "complex", "a dataclass"),
        (either, "datetime.date | str", "more than one str-like type"),
        (endless, "Cycle", "contains itself"),
        (unknown, "Nowhere", "not known where it is defined"),
        (yields, "yields", "returns"),
        (yields_later, "yields", "returns"),
        (lambda: None, "lambda", "name="),
        (Desk.call, "self", "tool(thing.method)"),
    ],
)
def test_the_author_is_told_what_to_write(function: Callable[..., object], names: str, advises: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tool(function)
    assert names in str(caught.value)
    assert advises in str(caught.value)


@pytest.mark.parametrize(
    "question", ["Cancel {order}?", "Cancel {}?", "Cancel {order_id.__class__}?", "Cancel {?"]
)
def test_a_question_speaks_of_arguments_that_there_are(question: str) -> None:
    def cancel(order_id: str) -> None: ...

    with pytest.raises(ConfigError, match="confirm"):
        tool(cancel, confirm=question)
    assert tool(cancel, confirm="Cancel {order_id}?").confirm == "Cancel {order_id}?"


def test_a_check_takes_what_the_function_takes() -> None:
    def cancel(order_id: str) -> None: ...

    def looks(order: str) -> None: ...

    with pytest.raises(ConfigError, match="check takes order, which is no parameter; there are: order_id"):
        tool(cancel, confirm="Cancel?", check=looks)


@pytest.mark.anyio
@pytest.mark.real_time
async def test_a_check_is_given_what_it_takes_of_the_arguments() -> None:
    seen = list[object]()

    def looks(order_id: int, context: Context) -> None:
        seen.append((order_id, context.caller))

    async def looks_well(reason: str = "") -> None:
        seen.append(reason)

    for check in (looks, looks_well, None):

        @tool(confirm="Cancel {order_id}?", check=check)
        def cancel(order_id: int, reason: str = "") -> None: ...

        assert cancel.check
        await cancel.check('{"order_id": "7", "reason": "too late"}', CONTEXT)
        with pytest.raises(ToolError, match="order_id: is missing"):
            await cancel.check("{}", CONTEXT)
    assert seen == [(7, CONTEXT.caller), "too late"]


# calling


@pytest.mark.anyio
async def test_a_tool_can_be_called_as_the_function_it_is() -> None:
    @tool(seconds=5)
    async def double(number: int) -> int:
        """Double."""
        return 2 * number

    @tool
    def half(number: int) -> float:
        """Half."""
        return number / 2

    assert await double(21) == 42
    assert half(number=3) == 1.5
    assert tool(Desk().call)("7") == "7"
    assert await told(double, number=21) == "42"


def test_what_is_said_at_the_function_is_kept() -> None:
    @tool(name="cancel", seconds=3, max_concurrency=2, filler="One moment.", on_interruption="cancel")
    async def cancel_order(order_id: str) -> None: ...

    assert (cancel_order.name, cancel_order.seconds, cancel_order.max_concurrency) == ("cancel", 3, 2)
    assert (cancel_order.filler, cancel_order.on_interruption) == ("One moment.", "cancel")


@pytest.mark.anyio
async def test_the_context_is_ours_to_give() -> None:
    @tool
    async def remember(words: str, about: Context) -> str:
        about.state["words"] = words
        return about.caller

    context = Context("call_1", "caller_1", {}, silence)
    assert remember.parameters["required"] == ["words"]
    assert (await remember.run('{"words": "well"}', context)).output == "caller_1"
    assert context.state == {"words": "well"}
    with pytest.raises(ToolError, match="about: there is no such argument"):
        await remember.run('{"words": "well", "about": {}}', context)


KIND: list[tuple[object, str, object]] = [
    (str, '"1042"', "1042"),
    (str, "1042", "1042"),
    (str, "10.50", "10.50"),
    (int, '"7"', 7),
    (int, "7.0", 7),
    (float, "7", 7.0),
    (float, '"0.5"', 0.5),
    (bool, '"true"', True),
    (time, '"14:30"', time(14, 30)),
    (datetime, '"2026-03-31T14:30"', datetime(2026, 3, 31, 14, 30)),  # noqa: DTZ001
    (date, '"2026-03-31"', date(2026, 3, 31)),
    (list[str], "[1, 2.50]", ["1", "2.50"]),
    (Size, '"large"', Size.LARGE),
    (Parcel, '{"weight": "2.5", "title": 7}', Parcel(2.5, title="7")),
    (str | None, "null", None),
    (int | str, '"7"', "7"),
    (Literal[1, 2], '"2"', 2),
    (Annotated[str, Meta(pattern=r"^\d{4}$")], "1042", "1042"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("hint", "written", "meant"), KIND)
async def test_what_a_small_model_means_is_understood(hint: object, written: str, meant: object) -> None:
    got = []

    async def take(it: Any) -> None:
        got.append(it)

    take.__annotations__["it"] = hint
    await tool(take).run(f'{{"it": {written} }}', CONTEXT)
    assert got == [meant]
    assert type(got[0]) is type(meant)


@pytest.mark.anyio
async def test_null_is_the_same_as_nothing_where_nothing_is_needed() -> None:
    @tool
    async def take(many: int = 3, few: int | None = 1) -> str:
        return f"{many} {few}"

    assert await told(take, many=None) == "3 1"
    assert await told(take, few=None) == "3 None"
    assert (await take.run("", CONTEXT)).output == "3 1"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("{}", "order_id: is missing; needed is a text."),
        ('{"order_id": "1", "size": "huge"}', "needed is one of: large, small."),
        ('{"order_id": "1", "day": "tomorrow"}', "needed is a date such as 2026-03-31."),
        ('{"order_id": "1", "at": 10}', "needed is a date and time such as 2026-03-31T14:30:00."),
        ('{"order_id": "1", "parcel": {}}', "needed is an object with weight, size, title."),
        ('{"order_id": "1", "count": "many"}', "count: Expected int, got str; needed is a whole number."),
        ('{"order_id": "1", "lines": [["x"]]}', "at [0]; needed is a list"),
        ('{"order_id": "1", "colour": "red"}', "colour: there is no such argument; there are: order_id, size,"),
        ("[]", "The arguments are not a JSON object"),
        ('{"order_id": "1"', "The arguments are not a JSON object"),
        ("nonsense", "The arguments are not a JSON object"),
    ],
)
async def test_the_model_is_told_which_argument_is_wrong_and_what_would_fit(
    arguments: str, sentence: str
) -> None:
    @tool
    async def order(
        order_id: str,
        size: Size = Size.SMALL,
        day: date | None = None,
        at: datetime | None = None,
        parcel: Parcel | None = None,
        count: int = 1,
        lines: list[str] | None = None,
    ) -> None:
        raise AssertionError("it was called")

    with pytest.raises(ToolError) as caught:
        await order.run(arguments, CONTEXT)
    assert sentence in str(caught.value)


@pytest.mark.anyio
async def test_the_model_is_told_of_all_faults_at_once() -> None:
    @tool
    async def order(order_id: str, count: int) -> None: ...

    with pytest.raises(ToolError, match=r"colour: .* order_id: .* count: "):
        await order.run('{"colour": "red", "count": "x"}', CONTEXT)


# results

SOMEBODY = Assistant("You are somebody else.", name="Somebody")
CARD = Card("Order", markdown="| 1042 |")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ("It is on its way.", Outcome("It is on its way.")),
        (None, Outcome("Done.")),
        (42, Outcome("42")),
        (True, Outcome("true")),
        ({"state": "sent", "on": date(2026, 3, 31)}, Outcome('{"state":"sent","on":"2026-03-31"}')),
        ([Parcel(2.5)], Outcome('[{"weight":2.5,"size":"small","title":"parcel"}]')),
        (CARD, Outcome("| 1042 |", CARD)),
        (Card("Order", html="<b>1042</b>"), Outcome("Shown: Order.", Card("Order", html="<b>1042</b>"))),
        (("On its way.", CARD), Outcome("On its way.", CARD)),
        (({"state": "sent"}, CARD), Outcome('{"state":"sent"}', CARD)),
        (("a", "b"), Outcome('["a","b"]')),
        (SOMEBODY, Outcome("The caller is handed over to Somebody.", hand_over_to=SOMEBODY)),
        (Outcome("as it is", CARD), Outcome("as it is", CARD)),
    ],
)
async def test_results_become_words_for_the_model_and_cards_for_the_eyes(
    result: object, outcome: Outcome
) -> None:
    @tool
    async def ask() -> object:
        return result

    assert await ask.run("{}", CONTEXT) == outcome


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("result", "says"), [(b"\x00", "bytes"), (object(), "object"), ({1, object()}, "set"), (CONTEXT, "Context")]
)
async def test_what_no_model_can_read_is_the_authors_mistake(result: object, says: str) -> None:
    @tool
    async def ask() -> object:
        return result

    with pytest.raises(TypeError, match=f"tool ask has returned .*{says}"):
        await ask.run("{}", CONTEXT)
