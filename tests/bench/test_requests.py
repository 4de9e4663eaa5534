"""What is asked of an assistant with tools, and whether it did what it should."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from vivavoce.errors import ConfigError
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall, Transcript
from vivavoce.tools.types import Assistant
from vivavoce_bench.report import show_tools
from vivavoce_bench.tools import Request, Within, is_right, matches, requests_in, run

SHOES = Request(
    says="The shoes are too small, take 1057 back.",
    tool="return_order",
    arguments={"order_id": "1057", "reason": Within(has="too small", of="the shoes are too small")},
)
EXAMPLES = Path(__file__).parents[2] / "examples" / "support_desk" / "requests.toml"


@pytest.mark.parametrize(
    ("wanted", "given", "good"),
    [
        ("1042", "10 42", True),
        ("1042", "ten forty-two", False),
        ("blue kettle", "the Blue Kettle.", True),
        ("tomorrow at ten", "tomorrow at 10", True),
        ("ada@example.org", "Ada@example.org", True),
        ("ada@example.org", "ada at example.org", False),
        (7, 7, True),
        (7, "7", False),
        (Within(has="broken", of="it arrived broken"), "arrived broken", True),
        (Within(has="broken", of="it arrived broken"), "it arrived", False),
        (Within(has="broken", of="it arrived broken"), "take it back, broken", False),
    ],
)
def test_an_argument_is_compared_as_it_is_meant(wanted: str | int | Within, given: object, good: bool) -> None:
    assert matches(wanted, given) is good


def test_a_call_is_right_with_the_right_arguments_and_no_others() -> None:
    assert is_right(SHOES, ToolCall("return_order", '{"order_id":"1057","reason":"too small"}'))
    assert not is_right(SHOES, ToolCall("return_order", '{"order_id":"1057"}'))
    assert not is_right(SHOES, ToolCall("order_status", '{"order_id":"1057","reason":"too small"}'))
    assert not is_right(SHOES, ToolCall("return_order", '{"order_id":"1057","reason":"too small","fast":true}'))
    assert not is_right(SHOES, None)


def test_what_lacks_something_is_to_be_asked_about_and_small_talk_is_not() -> None:
    vague, talk = Request(says="Cancel it.", tool="cancel_order"), Request(says="Hello.")
    assert is_right(vague, None, "Could you tell me the order's number?")
    assert not is_right(vague, None, "It is cancelled.")
    assert is_right(talk, None, "Hello! How are you?")
    assert not is_right(talk, None, "Could you tell me your number?")
    assert not is_right(talk, ToolCall("cancel_order", "{}"))


def test_requests_are_read_from_a_file(tmp_path: Path) -> None:
    requests = requests_in(EXAMPLES)
    assert len(requests) == 40
    assert [place for place, request in enumerate(requests, start=1) if request.held_out] == [*range(4, 41, 4)]
    file = tmp_path / "requests.toml"
    for text, says in (
        ("[[request]]\nsay = 1", "cannot be read"),
        ('[[request]]\nsays="a"\nearlier=["b"]', "end"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=says):
            requests_in(file)


class Deaf:
    """Hears the same words whatever is said."""

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        return Transcript("take 1057 back, too small")


class Hums:
    async def speak(self, text: str, *, voice: str | None = None, speed: float = 1.0) -> AsyncIterator[bytes]:
        yield bytes(4800)


class Returns:
    """Takes everything back that it is told to."""

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        if "take" in str(request.items[-1]):
            yield ToolCall("return_order", '{"order_id":"1057","reason":"too small"}')
        else:
            yield "Hello."
        yield ChatUsage(9, 2, 5)


@pytest.mark.anyio
async def test_every_request_is_tried_and_told_of() -> None:
    requests = [SHOES, Request(says="Hello.", spoken=True), Request(says="Hello.", held_out=True)]
    tried = await run(
        Assistant("Be kind."),
        requests,
        chat=Returns(),
        synthesizer=Hums(),
        transcriber=Deaf(),
        on_status=lambda sentence: None,
    )
    assert [one.right for one in tried] == [True, False, True]
    assert tried[1].transcript == "take 1057 back, too small"
    console = Console(record=True, width=120)
    show_tools(tried, console)
    text = console.export_text()
    assert "1/2" in text
    assert "Of those by voice, 0/1 were right." in text
    assert "Wrong: Hello. (heard: take 1057 back, too small) -> return_order" in text
