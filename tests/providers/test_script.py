"""What the scripted chat model answers: lengths, memory, words to say, tools."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    McpToolExecutionError,
    Message,
    OutputAudio,
)
from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.providers.base import ChatRequest
from vivavoce.providers.scripted.script import plan
from vivavoce.providers.scripted.tool_calls import arguments_from
from vivavoce.text.en.numbers import number_from, numbers_in, numeral
from vivavoce.tools.telephone import telephone_tools

pytestmark = pytest.mark.anyio

WEATHER = FunctionTool(
    name="get_weather",
    description="Look up the current weather in a city",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
)
ORDER = FunctionTool(
    name="order_status",
    description="Says where a parcel is",
    parameters={
        "type": "object",
        "properties": {"order_id": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["order_id"],
    },
)
TOOLS = (WEATHER, ORDER)


def user(text: str) -> Message:
    return Message(role="user", content=(InputText(text=text),))


def voice(text: str) -> Message:
    return Message(role="user", content=(InputAudio(transcript=text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", content=(OutputAudio(transcript=text),))


def said(*items: Item | str, instructions: str = "") -> str:
    """What is answered to these items; a string is something the user wrote."""
    heard = tuple(user(item) if isinstance(item, str) else item for item in items)
    return plan(ChatRequest(heard, instructions)).text


def called(text: str, instructions: str = "", *, tools: tuple[FunctionTool, ...] = TOOLS) -> dict[str, object]:
    calls = plan(ChatRequest((user(text),), instructions, tools)).calls
    return {call.name: json.loads(call.arguments) for call in calls}


# length


@pytest.mark.parametrize(
    ("request_", "instructions"),
    [
        ("Is the sky blue? Answer in one word.", ""),
        ("Is the sky blue?", "Answer in one word."),
        ("Is the sky blue?", "You are terse. Always reply with a single word."),
        ("Is the sky blue? Use only one word", "Talk at length."),
        ("Give me a one-word answer.", ""),
    ],
)
def test_it_answers_in_one_word_when_told(request_: str, instructions: str) -> None:
    assert len(said(request_, instructions=instructions).split()) == 1


@pytest.mark.parametrize(
    ("request_", "instructions"),
    [
        ("Tell me a long story.", ""),
        ("Tell me a story", ""),
        ("Tell me about the sea, at length, please.", ""),
        ("Explain the tides in great detail.", ""),
        ("Hello", "Always answer at length."),
        ("Hello", "Give very long answers."),
        ("Count to fifty.", ""),
        ("Please count aloud from one to 60", ""),
        ("Speak for 40 seconds.", ""),
        ("Talk for a minute", ""),
    ],
)
def test_it_answers_at_length_when_told(request_: str, instructions: str) -> None:
    text = said(request_, instructions=instructions)
    assert len(text) * 0.065 >= 30
    assert text.count(".") >= 5


def test_it_counts_in_words() -> None:
    assert (
        said("Count to twelve") == "One, two, three, four, five, six, seven, eight, nine, ten. Eleven, twelve."
    )
    assert said("count from 3 to 5") == "Three, four, five."


@pytest.mark.parametrize(
    ("request_", "sentences"), [("in one sentence", 1), ("with two sentences", 2), ("in 12 sentences", 12)]
)
def test_it_answers_in_so_many_sentences(request_: str, sentences: int) -> None:
    assert said(f"Tell me about the sea {request_}.").count(".") == sentences


def test_it_answers_in_so_many_words() -> None:
    assert len(said("What is the sea? Answer in five words.").split()) == 5


# memory


@pytest.mark.parametrize(
    ("told", "asked", "answer"),
    [
        ("My name is Ada.", "What is my name?", "Ada"),
        ("Hello, I'm Ada Lovelace, and I like tea.", "What's my name again?", "Ada Lovelace"),
        ("Call me Ishmael.", "Who am I?", "Ishmael"),
        ("The code word is blue tulip.", "What is the code word?", "blue tulip"),
        ("the codeword is tulip", "what was the codeword", "tulip"),
        ("Remember this: the password is seven owls.", "Tell me the password.", "seven owls"),
        ("Please remember the number 4719.", "Do you remember the number?", "4719"),
        ("My favourite colour is green and my dog is called Rex.", "What is my favourite colour?", "green"),
        (
            "My favourite colour is green and my dog is called Rex.",
            "What is my dog called?",
            "Rex",
        ),
    ],
)
def test_it_remembers_what_was_said(told: str, asked: str, answer: str) -> None:
    assert answer in said(told, assistant("Good."), asked)
    assert answer in said(voice(told), assistant("Good."), user("And now?"), assistant("Yes?"), voice(asked))


def test_it_remembers_in_one_word() -> None:
    assert said("My name is Ada.", assistant("Good."), "What is my name? One word.") == "Ada."
    assert said("My name is Ada.", "What is my name?", instructions="Answer in one word.") == "Ada."


def test_the_last_word_on_a_matter_counts() -> None:
    assert "Bob" in said("My name is Ada.", "No, my name is Bob.", "What is my name?")


def test_it_knows_what_its_instructions_say() -> None:
    assert "Vera" in said("What is your name?", instructions="Your name is Vera. Be kind.")
    code = Message(role="system", content=(InputText(text="The code word is heron."),))
    assert "heron" in said(code, "What is the code word?")


def test_it_repeats_what_the_caller_said() -> None:
    first, second = voice("I said something for 1.7 seconds."), voice("I said something for 2.4 seconds.")
    assert "2.4 seconds" in said(first, assistant("Ah."), second, "What did I say?")
    assert "1.7 seconds" in said(first, assistant("Ah."), second, "What did I say first?")
    assert said("What did I say?") == "You have not said anything before."


def test_it_says_that_it_was_never_told() -> None:
    assert said("What is my name?") == "I do not know the name; nobody has told me."


def test_it_takes_note_of_what_it_is_told() -> None:
    assert said("My name is Ada.") == "I will remember that your name is Ada."


def test_it_repeats_itself() -> None:
    assert said("Hello", assistant("Good morning."), "Say that again.") == "Good morning."


def test_it_repeats_what_was_heard_last_where_of_the_latest_answer_nothing_was() -> None:
    items = ("Hello", assistant("Good morning."), "Go on.", assistant(""), "Say that again.")
    assert said(*items) == "Good morning."
    assert said(*items, instructions="Answer in one word.") == "Good."
    assert said("Hello", assistant(""), "Say that again in one sentence.").startswith("You said")


def test_a_blank_is_nothing_to_remember() -> None:
    assert said("My name is  .", instructions="Answer in one word.") == "Yes."


# word for word


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("Say exactly the harbour is closed today", "the harbour is closed today"),
        ("Repeat after me: one two three", "one two three"),
        ('Say "Hello. How are you?" now', "Hello. How are you?"),
        ("Please say: good morning.", "good morning."),
        ("Reply with exactly: pong", "pong"),
        ("Say hello.", "hello."),
        ("Thanks. Now say the word banana.", "banana."),
    ],
)
def test_it_says_what_it_is_told_to_say(request_: str, words: str) -> None:
    assert said(request_) == words
    assert said("What is the weather like?", instructions=request_) == words


def test_a_saying_for_later_is_not_said_now() -> None:
    assert "goodbye" not in said("Hello there", instructions='Say "goodbye" when the caller leaves.')


def test_it_echoes_politely_when_nothing_is_asked_of_it() -> None:
    assert said("The tide is high.") == "You said: The tide is high. Please go on."
    assert said() == "Hello, this is the scripted voice. Please go on."


# tools


@pytest.mark.parametrize(
    ("request_", "calls"),
    [
        ("What's the weather in Paris?", {"get_weather": {"city": "Paris"}}),
        ("what is the weather like in new york today", {"get_weather": {"city": "new york"}}),
        (
            "Weather for São Paulo in fahrenheit, please",
            {"get_weather": {"city": "São Paulo", "unit": "fahrenheit"}},
        ),
        ('Call get_weather with city "Rio de Janeiro"', {"get_weather": {"city": "Rio de Janeiro"}}),
        ("Call get_weather for London.", {"get_weather": {"city": "London"}}),
        ("What is the status of order A-4719?", {"order_status": {"order_id": "A-4719"}}),
        (
            "Use order_status with order id 80532, for three days",
            {"order_status": {"order_id": "80532", "days": 3}},
        ),
        (
            "Call get_weather for Rome and order_status for 12",
            {"get_weather": {"city": "Rome"}, "order_status": {"order_id": "12"}},
        ),
        ("Hello there, how are you?", {}),
        ("My name is Ada.", {}),
    ],
)
def test_it_calls_the_tool_that_is_wanted(request_: str, calls: dict[str, object]) -> None:
    assert called(request_) == calls


@pytest.mark.parametrize(
    ("request_", "instructions", "calls"),
    [
        ("Oslo, please", "Always call the tool get_weather.", {"get_weather": {"city": "Oslo, please"}}),
        ("And in Oslo?", "Always call get_weather.", {"get_weather": {"city": "Oslo"}}),
        ("Good morning", "When asked about the weather, call get_weather.", {}),
        (
            "I said something for 2.4 seconds.",
            "If asked, call get_weather for Paris.",
            {"get_weather": {"city": "Paris"}},
        ),
        ("What's the weather in Oslo?", "Never call get_weather.", {}),
    ],
)
def test_it_calls_the_tool_that_the_instructions_name(
    request_: str, instructions: str, calls: dict[str, object]
) -> None:
    assert called(request_, instructions) == calls


def test_keys_that_a_caller_has_pressed_do_not_end_the_call() -> None:
    tools = tuple(
        tool.definition
        for tool in telephone_tools(lambda: pytest.fail("none is run"), {"sales": "tel:+15550100"})
    )
    assert called("[The caller has pressed 1 2 # on the telephone.]", tools=tools) == {}
    assert list(called("Please hang up now.", tools=tools)) == ["hang_up"]


def test_it_respects_the_choice_of_tools() -> None:
    asked = (user("What's the weather in Paris?"),)
    assert plan(ChatRequest(asked, tools=TOOLS, tool_choice="none")).calls == ()
    only = plan(ChatRequest(asked, tools=TOOLS, tool_choice=ToolChoiceFunction(name="order_status"))).calls
    assert [call.name for call in only] == ["order_status"]
    must = plan(ChatRequest((user("Hello"),), tools=TOOLS, tool_choice="required")).calls
    assert [call.name for call in must] == ["get_weather"]


@pytest.mark.parametrize(
    ("output", "aloud"),
    [
        ("It is 21 degrees and sunny.", "It is 21 degrees and sunny."),
        (
            '{"temperature": 21, "sky": "clear", "rainInNorth": false}',
            "temperature: 21, sky: clear, rain In North: no.",
        ),
        ('["tea", "coffee"]', "tea; coffee."),
        ('"done"', "done."),
        ("", "The tool has said nothing."),
    ],
)
def test_it_says_what_the_tool_has_answered(output: str, aloud: str) -> None:
    asked = user("What's the weather in Paris?")
    call = FunctionCall(name="get_weather", arguments='{"city":"Paris"}', call_id="call_1")
    answer = FunctionCallOutput(call_id="call_1", output=output)
    planned = plan(ChatRequest((asked, call, answer), tools=TOOLS))
    assert planned.calls == ()
    assert planned.text == aloud


def test_it_says_what_became_of_a_servers_tool() -> None:
    asked = user("What's the weather in Paris?")
    call = McpCall(id="m", server_label="s", name="get_weather", arguments="{}")
    failed = replace(call, error=McpToolExecutionError(message="fog."))
    outcomes = {
        "Sunny.": replace(call, output="Sunny."),
        "It has failed: fog.": failed,
        "There is no answer yet.": call,
    }
    for said, item in outcomes.items():
        planned = plan(ChatRequest((asked, item), tools=TOOLS))
        assert (planned.calls, planned.text) == ((), said)


def test_arguments_fit_their_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "from": {"type": "string"},
            "to": {"type": "string"},
            "date": {"type": "string"},
            "people": {"type": "integer", "minimum": 1, "maximum": 9},
            "email": {"type": ["string", "null"]},
            "window": {"type": "boolean"},
            "class": {"enum": ["economy", "business"]},
            "tags": {"type": "array"},
            "kind": {"const": "flight"},
            "seat": {"type": "object", "properties": {"row": {"type": "number"}}, "required": ["row"]},
        },
        "required": ["from", "to", "date", "people", "email", "class", "tags", "kind", "seat"],
    }
    text = "Fly from New York to Rome on Friday for two people, business, row 31, and write to ada@example.com"
    assert arguments_from(schema, text) == {
        "from": "New York",
        "to": "Rome",
        "date": "Friday",
        "people": 2,
        "email": "ada@example.com",
        "window": True,
        "class": "business",
        "tags": [],
        "kind": "flight",
        "seat": {"row": 31},
    }


def test_what_must_be_given_and_was_not_said_is_made_up() -> None:
    schema = {
        "type": "object",
        "properties": {
            "level": {"type": "integer", "minimum": 3},
            "mode": {"enum": ["slow", "fast"]},
            "note": {"type": "string", "default": "none"},
            "list": {"type": "array"},
        },
        "required": ["level", "mode", "note", "list"],
    }
    assert arguments_from(schema, "hello") == {"level": 3, "mode": "slow", "note": "none", "list": []}


KINDS = st.sampled_from(["string", "integer", "number", "boolean"])
PYTHON = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


@given(st.dictionaries(st.text("abcdef_", min_size=1), KINDS, max_size=4), st.text(max_size=60))
def test_every_required_argument_is_given_and_of_its_type(kinds: dict[str, str], text: str) -> None:
    schema = {"properties": {name: {"type": kind} for name, kind in kinds.items()}, "required": list(kinds)}
    arguments = arguments_from(schema, text)
    assert set(arguments) == set(kinds)
    assert all(isinstance(arguments[name], PYTHON[kind]) for name, kind in kinds.items())


@given(st.integers(0, 999))
def test_a_number_in_words_reads_back(number: int) -> None:
    assert number_from(numeral(number)) == number
    assert list(numbers_in(f"please give me {numeral(number)} apples")) == [number]


@given(st.lists(st.text(max_size=80), max_size=5), st.text(max_size=80))
def test_whatever_is_said_there_is_the_same_answer_every_time(texts: list[str], instructions: str) -> None:
    request = ChatRequest(tuple(user(text) for text in texts), instructions, TOOLS)
    assert plan(request) == plan(request)


def test_what_is_shown_is_told() -> None:
    image = InputImage(image_url="data:image/png;base64,AAAAAAA=")
    link = InputImage(image_url="https://example.org/cat.png")

    def shown(*parts: InputImage) -> Message:
        return Message(role="user", content=(InputText(text="What is this?"), *parts))

    assert said(shown(image)) == "I see an image of 5 bytes."
    assert said(shown(image, link)) == "I see an image of 5 bytes and an image at https://example.org/cat.png."
    assert "I see" not in said(shown(image), "And now?"), "what is shown counts once"
    assert said(Message(role="user", content=(InputText(text="Say hello"), image))) == "hello"


def test_a_kind_word_about_failing_is_no_order() -> None:
    assert (
        plan(ChatRequest((user("Hello"),), "Never fail to be kind. If you fail, stay silent for once.")).ending
        == "stop"
    )
