"""Instructions that are read for each conversation: from a web service, or else from a file."""

from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.session.call import Caller
from vivavoce.session.instructions import InstructionSources
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio

URL = "https://desk.example/instructions"
Respond = Callable[[httpx.Request], httpx.Response]


def sources(respond: Respond, file: Path | None = None, **limits: float) -> InstructionSources:
    return InstructionSources(URL, file, Limits(**limits), httpx.MockTransport(respond))  # type: ignore[arg-type]


def answering(**answer: object) -> Respond:
    return lambda request: httpx.Response(200, json=answer)


async def test_the_service_is_asked_with_the_id_of_the_call() -> None:
    asked: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"system": "You sell bicycles.", "more": 1})

    assert await sources(respond).read(Caller("avr", external_id="uuid-7")) == "You sell bicycles."
    (request,) = asked
    assert (request.method, str(request.url)) == ("GET", URL)
    assert request.headers["x-avr-uuid"] == "uuid-7"
    other = Caller("websocket")
    await sources(respond).read(other)
    assert asked[1].headers["x-avr-uuid"] == other.id


async def test_the_service_is_told_of_the_call_what_the_owner_has_asked_for() -> None:
    asked: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"system": "You sell bicycles."})

    url = f"{URL}?agent={{agent}}&from={{from}}&fixed=1"
    read = InstructionSources(url, transport=httpx.MockTransport(respond)).read
    await read(Caller("twilio", metadata={"agent": "sales&fixed=2#/../", "from": "+15550100"}))
    await read(Caller("websocket"))
    assert asked == [
        f"{URL}?agent=sales%26fixed%3D2%23%2F..%2F&from=%2B15550100&fixed=1",
        f"{URL}?agent=&from=&fixed=1",
    ]


FAILURES: dict[str, Respond] = {
    "an error": lambda request: httpx.Response(500),
    "a redirect": lambda request: httpx.Response(302, headers={"location": "http://192.0.2.1/"}),
    "no system": answering(other="x"),
    "an empty one": answering(system=" "),
    "no text": answering(system=7),
    "no JSON": lambda request: httpx.Response(200, text="hello"),
    "too long": answering(system="x" * 200),
}


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.real_time
@pytest.mark.parametrize("problem", [*FAILURES, "unreachable"])
async def test_a_service_that_fails_is_followed_by_the_file(
    problem: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "instructions.txt"
    file.write_text("You repair lamps.\n", encoding="utf-8")
    asked = sources(FAILURES.get(problem, unreachable), file, text_chars=100)  # type: ignore[arg-type]
    assert await asked.read(Caller("avr")) == "You repair lamps.\n"
    assert URL in caplog.text


async def test_a_service_that_hangs_is_given_up() -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    began = anyio.current_time()
    hanging = InstructionSources(URL, None, Limits(), httpx.MockTransport(hang))
    assert await hanging.read(Caller("avr")) is None
    assert anyio.current_time() - began == pytest.approx(Limits().instructions_seconds)


@pytest.mark.real_time
async def test_a_file_that_is_missing_or_no_text_changes_nothing(tmp_path: Path) -> None:
    assert await InstructionSources(file=tmp_path / "none").read(Caller("avr")) is None
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert await InstructionSources(file=tmp_path / "binary").read(Caller("avr")) is None


async def instructions_of(caller: Caller, delay: float = 0) -> object:
    """Return the instructions with which the model answers the first thing that the caller says."""

    async def brief(caller: Caller) -> str | None:
        await anyio.sleep(delay)
        return "You sell bicycles."

    simulation = Simulation()
    async with Switchboard(simulation.engine, brief=brief).connect(caller) as line:
        await line.send(
            e.ConversationItemCreate(item=Message(role="user", content=(InputText(text="Hello?"),)))
        )
        await line.send(e.ResponseCreate())
        async for event in line:
            if isinstance(event, e.ResponseDone):
                return simulation.chat.requests[0].instructions
    raise AssertionError


async def test_the_first_answer_has_them_already_however_late_they_come() -> None:
    assert await instructions_of(Caller("avr"), delay=2) == "You sell bicycles."


async def test_a_caller_that_brings_instructions_keeps_them() -> None:
    caller = Caller("avr", session=Session(instructions="You sell hats."))
    assert await instructions_of(caller) == "You sell hats."


async def test_a_session_that_only_transcribes_needs_none() -> None:
    async def brief(caller: Caller) -> str | None:
        raise AssertionError

    caller = Caller("avr", session=TranscriptionSession())
    async with Switchboard(Simulation().engine, brief=brief).connect(caller) as line:
        await anext(line)
