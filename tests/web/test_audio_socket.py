"""One recording after the other by WebSocket, each answered by one file, whatever else a client sends."""

import json
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from vivavoce.errors import ProviderError
from vivavoce.testing.simulation import CallerSays, Simulation, Unresponsive
from web.asking import asking, error, wav
from web.connecting import Site, calling, closing_code
from web.test_voice_chat import SPOKEN, answering, ask, seconds_of, until

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

PATH = "/ws/audio/"


def socket(url: str, query: str = "", **wishes: Any) -> Any:
    return calling(url, query, PATH, **wishes)


async def answer(client: ClientConnection, recording: bytes | str = SPOKEN) -> bytes:
    """Send a recording, and return what comes back."""
    await client.send(recording)
    with anyio.fail_after(30):
        received = await client.recv()
    assert isinstance(received, bytes), received
    return received


async def refusal(client: ClientConnection, recording: bytes | str | None = None) -> dict[str, Any]:
    """Send something, and return the error that comes back."""
    if recording is not None:
        await client.send(recording)
    with anyio.fail_after(30):
        message = json.loads(await client.recv())
    assert message["type"] == "error"
    assert set(message["error"]) == {"message", "type", "param", "code"}
    found: dict[str, Any] = message["error"]
    return found


async def test_each_recording_is_answered_by_one_file_and_the_connection_stays_open(site: Site) -> None:
    simulation = answering("Hello, Ada.", "You are Ada.")
    async with site(simulation) as url, socket(url) as client:
        for _ in range(2):
            assert seconds_of(await answer(client)) == pytest.approx(0.8, abs=0.2)
        assert len(simulation.chat.requests[1].items) == 3, "the second one follows on the first"


async def test_the_format_can_be_chosen(site: Site) -> None:
    async with site(answering()) as url:
        async with socket(url, "?format=flac") as client:
            assert (await answer(client)).startswith(b"fLaC")
        with pytest.raises(InvalidStatus) as refused:
            async with socket(url, "?format=docx"):
                pass
        assert refused.value.response.status_code == 400


async def test_a_question_may_be_written(site: Site) -> None:
    async with site(answering("Ten past nine.")) as url, socket(url) as client:
        assert seconds_of(await answer(client, "Is it late?")) > 0.5
        assert (await refusal(client, "  "))["code"] == "empty_recording"


async def test_progress_is_told_in_words_to_who_wants_it(site: Site) -> None:
    async with site(answering("One sentence. And another.")) as url, socket(url, "?progress=1") as client:
        await client.send(SPOKEN)
        messages = [await client.recv()]
        with anyio.fail_after(30):
            while not (isinstance(messages[-1], str) and json.loads(messages[-1])["type"] == "done"):
                messages.append(await client.recv())
    told = [json.loads(one) if isinstance(one, str) else {"type": "file"} for one in messages]
    kinds = [one["type"] for one in told]
    assert kinds == ["recording", "transcript", *["answer"] * (len(kinds) - 4), "file", "done"]
    assert (told[0]["seconds"], told[1]["text"]) == (1.0, "Is it late?")
    assert "".join(one.get("delta", "") for one in told).strip() == "One sentence. And another."
    assert (told[-1]["transcript"], told[-1]["answer"]) == ("Is it late?", "One sentence. And another.")
    assert (told[-1]["format"], told[-1]["seconds"] > 1) == ("mp3", True)
    assert list(told[-1]["times"]) == ["transcript", "first_word", "first_sound", "done"]


# bad input


@pytest.mark.parametrize(
    ("recording", "code"),
    [
        (b"", "empty_recording"),
        (wav((0, 1), rate=24_000), "no_speech"),
        (wav((1000, 0.02), rate=24_000), "recording_too_short"),
        (b"Dear sir or madam", "invalid_audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "invalid_audio"),
        (wav((1000, 3)), "recording_too_long"),
        (bytes(500_001), "body_too_large"),
    ],
    ids=["empty", "silent", "short", "text", "picture", "long", "large"],
)
async def test_what_cannot_be_answered_is_told_and_the_next_recording_is_answered(
    site: Site, recording: bytes, code: str
) -> None:
    limits = {"input_buffer_seconds": 2, "upload_bytes": 500_000}
    async with site(answering("Hello, Ada.", "You are Ada."), limits=limits) as url, socket(url) as client:
        await answer(client)
        assert (await refusal(client, recording))["code"] == code
        assert seconds_of(await answer(client)) == pytest.approx(0.8, abs=0.2)


async def test_a_message_that_is_larger_than_any_closes_only_its_own_connection(site: Site) -> None:
    async with site(answering(), limits={"message_bytes": 100_000}) as url, socket(url) as neighbour:
        async with socket(url) as client:
            await client.send(bytes(100_001))
            assert await closing_code(client) == 1009
        await answer(neighbour)


async def test_a_thousand_tiny_messages_harm_nobody(site: Site) -> None:
    async with site(answering()) as url, socket(url) as neighbour, socket(url) as client:
        errors: list[dict[str, Any]] = []
        try:
            for _ in range(1000):
                await client.send(b"x")
        except ConnectionClosed:
            pass
        with anyio.fail_after(30):
            try:
                while True:
                    errors.append(json.loads(await client.recv())["error"])
            except ConnectionClosed:
                pass
        assert client.close_code == 1008
        assert {one["code"] for one in errors[:-1]} <= {"invalid_audio", "conversation_busy"}
        assert errors[-1]["code"] == "rate_limit_exceeded"
        assert "limits.responses_per_minute" in errors[-1]["message"]
        assert len(errors) <= 121
        await answer(neighbour)


async def test_while_one_is_answered_one_may_wait(site: Site) -> None:
    slow = answering("Hello, Ada.", "You are Ada.")
    slow.chat.first_word_delay = 0.3
    async with site(slow) as url, socket(url, "?format=wav") as client:
        for _ in range(3):
            await client.send(SPOKEN)
        assert (await refusal(client))["code"] == "conversation_busy"
        for _ in range(2):
            assert isinstance(await client.recv(), bytes)


async def test_a_page_of_another_origin_is_refused(site: Site) -> None:
    async with site(answering()) as url:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(url, origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        async with asking(url) as client:
            assert error(await client.get(PATH), 426)


async def test_it_needs_a_key_where_the_others_do(site: Site) -> None:
    async with site(answering(), keys="sesame") as url:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(url):
                pass
        assert refused.value.response.status_code == 401
        offered = ["realtime", "openai-insecure-api-key.sesame"]
        async with socket(url, subprotocols=offered) as client:
            assert client.subprotocol == "realtime"
            await answer(client)


# the end


async def test_a_client_who_leaves_is_not_answered_any_more(site: Site) -> None:
    forever = Simulation(replies=[Unresponsive()], transcriber_delay=0)
    forever.caller.utterances = [CallerSays(0, "Hello", seconds=1)]
    async with site(forever, limits={"first_token_seconds": 60}) as url, asking(url) as http:
        async with socket(url) as client:
            await until(http, conversations=0)
            await client.send(SPOKEN)
            await until(http, conversations=1)
        await until(http, conversations=0)


async def test_a_server_that_shuts_down_says_so(site: Site) -> None:
    async with AsyncExitStack() as clients:
        async with site(answering()) as url:
            idle, busy = [await clients.enter_async_context(socket(url)) for _ in range(2)]
            await answer(busy)
        assert [await closing_code(idle), await closing_code(busy)] == [1001, 1001]


async def test_it_says_when_all_places_are_taken_and_goes_on_when_one_is_free(site: Site) -> None:
    async with site(answering(), limits={"conversations": 1}) as url, socket(url) as client:
        async with calling(url):
            assert (await refusal(client, SPOKEN))["code"] == "server_busy"
        async with asking(url) as http:
            await until(http, conversations=0)
        await answer(client)


async def test_only_so_many_connections_are_open(site: Site) -> None:
    async with site(answering(), limits={"conversations": 2}) as url, socket(url), socket(url):
        with pytest.raises(InvalidStatus) as refused:
            async with socket(url):
                pass
        assert refused.value.response.status_code == 503


async def test_a_model_that_fails_is_told_and_the_next_recording_is_answered(site: Site) -> None:
    simulation = Simulation(replies=[ProviderError("chat", "is out of ink"), "Here."], synthesizer_delay=0)
    simulation.caller.utterances = [CallerSays(0, "Hello", seconds=1)]
    async with site(simulation) as url, socket(url) as client:
        assert "is out of ink" in (await refusal(client, SPOKEN))["message"]
        await answer(client)


async def test_it_does_not_begin_while_the_models_load(site: Site) -> None:
    async with site(answering(), furnished=False) as url:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(url):
                pass
        assert refused.value.response.status_code == 503


async def test_both_ways_in_are_conversations_like_any_other(site: Site) -> None:
    async with site(answering()) as url, asking(url) as http, socket(url) as client:
        await answer(client)
        await ask(http)
        await until(http, conversations=2)
