"""Who is told of what, and what becomes of those who are slow or fail."""

import logging

import anyio
import pytest

from client.plays import logged
from engines.simulations import STORY
from vivavoce import ConfigError, Limits, ProtocolError, ProviderError, RealtimeClient
from vivavoce.client import Emitted, HandlerFailed, Update, name_of
from vivavoce.protocol import events as e
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio


async def asked(client: RealtimeClient) -> None:
    await client.send_user_message_content("Well?")
    await client.wait_for_next("response.done")


async def names(pattern: str) -> list[str]:
    """What a handler of this pattern is told while one question is answered."""
    told: list[Emitted] = []
    async with RealtimeClient(Simulation().engine) as client:
        client.on(pattern, told.append)
        await asked(client)
    return [name_of(one) for one in told]


@pytest.mark.parametrize(
    ("pattern", "first", "last"),
    [
        ("response.done", "server.response.done", "server.response.done"),
        ("server.response.done", "server.response.done", "server.response.done"),
        ("server.response.*", "server.response.created", "server.response.done"),
        ("client.*", "client.conversation.item.create", "client.response.create"),
        ("client.response.create", "client.response.create", "client.response.create"),
        ("conversation.*", "server.conversation.item.added", "conversation.item.completed"),
        ("response.*", "server.response.created", "server.response.done"),
        (
            "response.*.delta",
            "server.response.output_audio_transcript.delta",
            "server.response.output_audio.delta",
        ),
        ("conversation.item.appended", "conversation.item.appended", "conversation.item.appended"),
        ("connection.*", "connection.closed", "connection.closed"),
        ("*", "client.conversation.item.create", "connection.closed"),
    ],
)
async def test_names_are_whole_or_the_beginning_of_some(pattern: str, first: str, last: str) -> None:
    told = await names(pattern)
    assert (told[0], told[-1]) == (first, last)


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("response.doen", "did you mean 'response.done'"),
        ("respons.*", "did you mean"),
        ("zzz", "the names are those"),
        ("server.conversation.updated", "did you mean"),
        ("client.response.done", "did you mean"),
    ],
)
async def test_a_name_that_nothing_has_is_refused_instead_of_never_called(pattern: str, hint: str) -> None:
    client = RealtimeClient(Simulation().engine)
    with pytest.raises(ConfigError, match=hint):
        client.on(pattern, print)
    with pytest.raises(ConfigError, match=hint):
        await client.wait_for_next(pattern)


async def test_the_view_is_updated_before_handlers_are_called() -> None:
    words: list[str] = []
    async with RealtimeClient(Simulation(["Until eight."]).engine) as client:

        @client.on("response.output_audio_transcript.delta")
        def see(event: e.ResponseOutputAudioTranscriptDelta) -> None:
            entry = client.find(event.item_id)
            words.append(entry.transcript if entry else "")

        await asked(client)
    assert words == ["Until eight. "]


async def test_an_update_has_the_delta_of_its_item() -> None:
    words, heard = "", 0
    async with RealtimeClient(Simulation([STORY]).engine) as client:

        @client.on("conversation.updated")
        def add(update: Update) -> None:
            nonlocal words, heard
            if update.delta is not None:
                words += update.delta.transcript
                heard += len(update.delta.audio)
                assert update.item.transcript == words

        await asked(client)
        answer = client.items[-1]
    assert answer.transcript == words
    assert len(answer.audio) == heard


async def test_a_removed_handler_is_not_called() -> None:
    told: list[Emitted] = []
    async with RealtimeClient(Simulation().engine) as client:
        client.on("response.done", told.append)
        client.on("response.created", told.append)
        client.off("response.done", told.append)
        client.off("response.created")
        with pytest.raises(ConfigError, match=r"no such handler for 'response\.done'"):
            client.off("response.done", told.append)
        await asked(client)
    assert told == []


async def test_an_async_handler_delays_nobody() -> None:
    began: list[tuple[str, float]] = []
    async with RealtimeClient(Simulation([STORY]).engine) as client:

        @client.on("server.response.*")
        async def slow(event: e.Event) -> None:
            began.append((name_of(event), anyio.current_time()))
            await anyio.sleep(0.1)

        await asked(client)
        done = anyio.current_time()
        answer = client.items[-1]
        await anyio.sleep(20)
    told = [one.type for one in client.log if one.source == "server" and one.type.startswith("response.")]
    assert [name for name, _ in began] == [f"server.{name}" for name in told], "one after the other"
    assert began[-1][1] > done + 1
    assert answer.status == "completed", "though the handler was far behind"


async def test_a_failing_handler_is_reported_and_others_are_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[HandlerFailed] = []
    told: list[str] = []
    async with RealtimeClient(Simulation().engine) as client:
        client.on("handler.failed", failures.append)

        @client.on("response.created")
        def plain(event: e.Event) -> None:
            raise ValueError("plain")

        @client.on("response.created")
        async def waiting(event: e.Event) -> None:
            raise ValueError("waiting")

        @client.on("handler.failed")
        def hopeless(failure: HandlerFailed) -> None:
            raise ValueError("hopeless")

        client.on("response.*", lambda event: told.append(name_of(event)))
        client.on("server.response.*", lambda event: told.append(name_of(event)))
        await asked(client)
    assert [str(one.error) for one in failures] == ["plain", "waiting"]
    assert failures[0].about == "server.response.created"
    assert failures[0].handler.endswith("plain")
    assert told[0] == "server.response.created"
    assert told[-1] == "server.response.done"
    assert sum("hopeless failed" in one.getMessage() for one in caplog.records) == 2


async def test_a_handler_too_far_behind_misses_calls_and_that_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[HandlerFailed] = []
    begun = 0
    async with RealtimeClient(Simulation([STORY]).engine, limits=Limits(handler_depth=3)) as client:
        client.on("handler.failed", failures.append)

        @client.on("server.*")
        async def stuck(event: e.Event) -> None:
            nonlocal begun
            begun += 1
            await anyio.sleep(100)

        await asked(client)
    assert begun <= 4
    assert {one.error for one in failures} == {None}
    assert any("limits.handler_depth" in one.getMessage() for one in caplog.records)


async def test_what_handlers_have_still_to_do_is_done_when_the_block_is_left() -> None:
    done = False
    async with RealtimeClient(Simulation().engine) as client:

        @client.on("response.done")
        async def write(event: e.Event) -> None:
            nonlocal done
            await anyio.sleep(1)
            done = True

        await asked(client)
    assert done


async def test_waiting_has_a_timeout() -> None:
    async with RealtimeClient(Simulation().engine) as client:
        began = anyio.current_time()
        with pytest.raises(TimeoutError):
            await client.wait_for_next("response.done", timeout=3)
        assert anyio.current_time() - began == pytest.approx(3)
        with pytest.raises(TimeoutError):
            await client.wait_for_next_item(timeout=1)


async def test_waiting_ends_with_an_error_when_the_client_hangs_up() -> None:
    async with RealtimeClient(Simulation().engine) as client, anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(ProviderError, match="has hung up"):
                await client.wait_for_next("response.done")

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await client.disconnect()


async def test_waiting_that_begins_after_the_end_ends_at_once_until_the_client_connects_again() -> None:
    async with RealtimeClient(Simulation(["Well."]).engine) as client:
        await client.disconnect()
        for waiting in (client.wait_for_next("response.done"), client.wait_for_next_item()):
            with pytest.raises(ProviderError, match="has hung up"):
                await waiting
        assert [event async for event in client] == []
        await client.connect()
        await asked(client)


async def test_all_that_the_server_says_can_be_iterated() -> None:
    seen: list[str] = []
    async with RealtimeClient(Simulation().engine) as client:
        events = aiter(client)
        await asked(client)
        await client.disconnect()
        seen = [name_of(event).removeprefix("server.") async for event in events]
    assert seen == logged(client, "server")[1:]


async def test_several_may_iterate_and_break_off() -> None:
    async with RealtimeClient(Simulation().engine) as client:
        await client.send_user_message_content("Well?")
        async for event in client:
            if isinstance(event, e.ResponseCreated):
                break
        async for event in client:
            if isinstance(event, e.ResponseDone):
                break
        assert event.response.status == "completed"


async def test_a_slow_event_loop_raises_before_events_are_lost() -> None:
    async with RealtimeClient(Simulation([STORY]).engine, limits=Limits(handler_depth=10)) as client:
        events = aiter(client)
        await asked(client)
        for _ in range(10):
            assert isinstance(await anext(events), e.Event), "what is there can still be read"
        with pytest.raises(ProtocolError, match=r"limits\.handler_depth") as lost:
            await anext(events)
    assert lost.value.code == "events_lost"


async def test_every_event_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="vivavoce.client.event_log"):
        async with RealtimeClient(Simulation().engine) as client:
            await asked(client)
    assert [
        one.getMessage().split()[0] for one in caplog.records if one.name == "vivavoce.client.event_log"
    ] == [one.source for one in client.log]
