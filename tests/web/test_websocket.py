"""Whatever a frame holds, its sender is told what is wrong, the conversation goes on, and so do others."""

import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection

from protocol.shapes import JSON
from vivavoce.config.schema import Config
from vivavoce.protocol import events as e
from vivavoce.protocol.session import AnySession
from vivavoce.protocol.settings import DEFAULT
from vivavoce.runtime import Runtime
from vivavoce.session.line import Line
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from web.conftest import open_site
from web.connecting import BETA, Site, ask, calling, closing_code, hear

pytestmark = pytest.mark.real_time


def named(kind: str, rest: str = "") -> str:
    return f'{{"type":"{kind}","event_id":"mine"{rest}}}'


def append(sound: bytes) -> str:
    return named("input_audio_buffer.append", f',"audio":"{base64.b64encode(sound).decode()}"')


MiB = 1024 * 1024
UPDATE, CREATE, TRUNCATE = "session.update", "conversation.item.create", "conversation.item.truncate"
MISSING, INVALID, UNKNOWN = "missing_required_parameter", "invalid_value", "unknown_parameter"
UNREADABLE: list[str | bytes] = [
    "",
    " ",
    "{",
    "hello",
    "[]",
    "null",
    "7",
    '"hello"',
    "NaN",
    "[" * 100_000,
    "{}{}",
    "\ufeff{}",
    b"",
    b"\x00\x01\x02",
    b'{"type": "response.create"}',
]
NAMELESS: list[tuple[str | bytes, str, str | None]] = [
    *((frame, "invalid_event", None) for frame in UNREADABLE),
    ("{}", MISSING, "type"),
    ('{"type": 1}', INVALID, "type"),
    ('{"type": "\\u0000"}', INVALID, "type"),
    ('{"type": "response.cancel", "event_id": 7}', INVALID, "event_id"),
    ('{"type": "response.cancel", "event_id": "' + "x" * 20_000_000 + '"}', INVALID, "event_id"),
]
NAMED = [
    (named("no.such.event"), INVALID, "type"),
    (named("x" * 20_000_000), INVALID, "type"),
    (named("session.created"), INVALID, "type"),
    (named("response.cancel", ',"colour":"blue"'), UNKNOWN, "colour"),
    (named("response.cancel", f',"{"x" * 20_000_000}":1'), UNKNOWN, f"{'x' * 64}…"),
    (named("response.cancel", ',"response_id":"\\ud800"'), "invalid_event", None),
    (named("response.cancel", ',"response_id":"a\nb"'), "invalid_event", None),
    (named("response.cancel", ',"response_id":"a\x00b"'), "invalid_event", None),
    (named("response.cancel"), "response_cancel_not_active", None),
    (named("input_audio_buffer.append"), MISSING, "audio"),
    (named("input_audio_buffer.append", ',"audio":7'), INVALID, "audio"),
    (named("input_audio_buffer.append", ',"audio":null'), INVALID, "audio"),
    (named("input_audio_buffer.append", ',"audio":"%%%"'), INVALID, "audio"),
    (named("input_audio_buffer.append", ',"audio":"AAA"'), INVALID, "audio"),
    (append(b"\x00\x01\x02"), INVALID, "audio"),
    (append(bytes(15 * MiB + 1)), INVALID, "audio"),
    (named(UPDATE), MISSING, "session"),
    (named(UPDATE, ',"session":' + "[" * 100_000), "invalid_event", None),
    (named(UPDATE, ',"session":[' + "0," * 100_000 + "0]"), "invalid_event", None),
    (named("conversation.item.delete"), MISSING, "item_id"),
    (named("conversation.item.delete", ',"item_id":"gone"'), "item_delete_invalid_item_id", "item_id"),
    (named("conversation.item.retrieve", ',"item_id":["gone"]'), INVALID, "item_id"),
    (named(CREATE, ',"item":{"type":"riddle"}'), INVALID, "item.type"),
    (named(CREATE, ',"item":{"type":"message","role":"user","content":{}}'), INVALID, "item.content"),
    (named(TRUNCATE, ',"item_id":"i","content_index":0,"audio_end_ms":1e999'), "invalid_event", None),
    (named(TRUNCATE, ',"item_id":"i","content_index":0,"audio_end_ms":NaN'), "invalid_event", None),
    (named(TRUNCATE, ',"item_id":"i","content_index":0,"audio_end_ms":-1'), INVALID, "audio_end_ms"),
    (named(TRUNCATE, f',"item_id":"i","content_index":0,"audio_end_ms":{"9" * 40}'), INVALID, "audio_end_ms"),
    (named("response.create", ',"response":7'), INVALID, "response"),
]
INSTRUCTIONS = named(UPDATE, ',"session":{"type":"realtime","instructions":"' + "x" * 20_000_000 + '"}')
IN_GA = [
    (INSTRUCTIONS, INVALID, "session.instructions"),
    (named(UPDATE, ',"session":{"type":"realtime","audio":3}'), INVALID, "session.audio"),
    (named(UPDATE, ',"session":{}'), MISSING, "session.type"),
]
IN_BETA = [
    (INSTRUCTIONS, INVALID, "session.instructions"),
    (named(UPDATE, ',"session":{"turn_detection":3}'), INVALID, "session.turn_detection"),
    (named(UPDATE, ',"session":{"audio":{}}'), UNKNOWN, "session.audio"),
]
OF_BYTES = [
    b"\xff\xfe",
    b'{"type":"response.cancel","event_id":"mine","response_id":"\xff"}',
    b'{"type":"response.cancel","event_id":"mine","response_id":"\xed\xa0\x80"}',
    b'{"type":"input_audio_buffer.append","event_id":"mine","audio":"\xc3\x28"}',
]
"""Text frames that are no UTF-8."""


async def error_of(client: ClientConnection) -> dict[str, Any]:
    error: dict[str, Any] = (await hear(client, "error"))["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert len(json.dumps(error)) < 1000
    return error


@pytest.mark.anyio
@pytest.mark.parametrize("beta", [False, True], ids=["GA", "beta"])
async def test_what_is_wrong_is_told_and_harms_nobody(site: Site, beta: bool) -> None:
    wishes = {"max_size": None, **(BETA if beta else {})}
    async with site() as url, calling(url, **wishes) as client, calling(url) as neighbour:
        for frame, code, param in [*NAMED, *(IN_BETA if beta else IN_GA)]:
            await client.send(frame)
            error = await error_of(client)
            assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine"), frame[:80]
        for nameless, code, param in NAMELESS:
            await client.send(nameless)
            error = await error_of(client)
            assert (error["code"], error["param"], error["event_id"]) == (code, param, None), nameless[:80]
        assert await ask(client, "Still there?", beta=beta) == "Yes."
        assert await ask(neighbour, "And you?") == "Yes."


@pytest.mark.anyio
@pytest.mark.parametrize("frame", OF_BYTES)
async def test_text_that_is_no_utf8_is_told_so(site: Site, frame: bytes) -> None:
    async with site() as url, calling(url) as client:
        await client.send(frame, text=True)
        error = await error_of(client)
        assert error["code"] in ("invalid_event", INVALID)
        assert error["event_id"] == ("mine" if b"mine" in frame else None)
        await client.send([frame[:5], frame[5:]], text=True)  # in two fragments
        assert (await error_of(client))["event_id"] == error["event_id"]
        assert await ask(client, "Still there?") == "Yes."


@pytest.mark.anyio
@pytest.mark.parametrize("letter", ["A", "é", "😀", "\\u00e9"])
async def test_an_event_may_come_in_fragments(site: Site, letter: str) -> None:
    async with site() as url, calling(url) as client:
        frame = named("conversation.item.retrieve", f',"item_id":"{letter}"').encode()
        await client.send([frame[at : at + 1] for at in range(len(frame))], text=True)
        assert (await error_of(client))["code"] == "item_retrieve_invalid_item_id"
        assert await ask(client, "Still there?") == "Yes."


@pytest.mark.anyio
@pytest.mark.parametrize(
    "frame", ["A" * 20_000, b"A" * 20_000, ["A" * 9_000] * 3], ids=["text", "bytes", "fragments"]
)
async def test_a_frame_too_large_ends_that_conversation_only(
    site: Site, frame: str | bytes | Iterable[str]
) -> None:
    async with (
        site(limits={"message_bytes": 10_000}) as url,
        calling(url) as client,
        calling(url) as neighbour,
    ):
        await client.send(frame)
        assert await closing_code(client) == 1009
        assert await ask(neighbour, "And you?") == "Yes."


@pytest.mark.anyio
async def test_sound_too_long_for_one_append_is_refused(site: Site) -> None:
    async with site(limits={"append_bytes": 1000}) as url, calling(url) as client:
        await client.send(append(bytes(2000)))
        assert "limits.append_bytes" in (await error_of(client))["message"]
        assert await ask(client, "Still there?") == "Yes."


# whatever Hypothesis thinks of

FRAMES = st.binary(max_size=60) | st.text(max_size=60) | JSON.map(json.dumps)


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(FRAMES, st.booleans()), min_size=1, max_size=12), st.booleans())
@example([(b"\xff", True), ("{}", True), (b"", False)], True)
def test_whatever_is_sent_the_conversation_goes_on(frames: list[tuple[str | bytes, bool]], beta: bool) -> None:
    async def converse() -> None:
        async with open_site() as url, calling(url, **(BETA if beta else {})) as client:
            for frame, text in frames:
                await client.send(frame, text=text or isinstance(frame, str))
                await error_of(client)
            assert await ask(client, "Still there?", beta=beta) == "Yes."

    anyio.run(converse)


# in which order


class Listener:
    """An engine that does not listen until it is told to, and then notes who said what."""

    def __init__(self) -> None:
        self.begin, self.heard = anyio.Event(), list[str]()

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        await line.send(e.SessionCreated(session=DEFAULT))
        await self.begin.wait()
        async for event in line:
            assert isinstance(event, e.ClientEvent)
            self.heard.append(str(event.event_id))
            if isinstance(event, e.ResponseCancel):
                await line.send(e.InputAudioBufferCleared())


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[str]:
    runtime = Runtime(Config())
    runtime.use_engine(listener)
    async with serving(Web(runtime), listen("127.0.0.1", 0)) as url:
        yield url


@pytest.mark.anyio
async def test_events_are_heard_in_the_order_in_which_they_were_said() -> None:
    listener = Listener()
    async with listening(listener) as url, calling(url) as client, anyio.create_task_group() as tasks:
        await hear(client, "session.created")
        names = [f"e{number}" for number in range(903)]
        said = ['{"type":"input_audio_buffer.append","event_id":"%s","audio":"AAAA"}'] * 6
        said += ['{"type":"response.cancel","event_id":"%s"}']

        async def speak() -> None:
            for number, name in enumerate(names):
                await client.send(said[number % 7] % name)
                if number == 200:
                    listener.begin.set()

        tasks.start_soon(speak)
        with anyio.fail_after(30):
            while len(listener.heard) < len(names):
                await hear(client, "input_audio_buffer.cleared")
    assert listener.heard == names
