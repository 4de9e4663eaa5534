"""A connection that is not there, breaks, comes again, and ends."""

from functools import partial

import anyio
import pytest

from client.plays import Network, broken, logged, said, sound, speak
from engines.simulations import STORY, TRANSCRIBED
from vivavoce import ConfigError, Limits, ProtocolError, ProviderError, RealtimeClient
from vivavoce.client import ConnectionChanged
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Message
from vivavoce.protocol.session import Session
from vivavoce.session.call import Caller
from vivavoce.session.line import Line
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation

pytestmark = pytest.mark.anyio


def listening(client: RealtimeClient) -> list[ConnectionChanged]:
    news: list[ConnectionChanged] = []
    client.on("connection.*", news.append)
    return news


async def test_a_client_may_call_a_switchboard() -> None:
    board = Switchboard(Simulation(["Hello."]).engine)
    async with RealtimeClient(partial(board.connect, Caller("python", extras=True))) as client:
        assert [caller.transport for caller in board.callers] == ["python"]
        await client.send_user_message_content("Hi.")
        assert (await client.wait_for_next_completed_item(role="assistant")).words.strip() == "Hello."
    assert board.callers == frozenset()


async def test_the_session_is_known_when_the_block_begins() -> None:
    client = RealtimeClient(Simulation().engine)
    assert not client.is_connected
    async with client:
        assert client.is_connected
        assert client.session is not None
        assert client.session.id
    assert not client.is_connected


async def test_settings_made_before_the_connection_are_sent_when_it_opens() -> None:
    client = RealtimeClient(Simulation().engine)
    await client.update_session(instructions="Be brief.", transcription="any")
    await client.update_session(voice="bass", turn_detection=None)
    async with client:
        assert logged(client) == ["session.update"]
        await client.wait_for_next("session.updated")
        session = client.session
    assert isinstance(session, Session)
    assert session.instructions == "Be brief."
    assert session.audio
    assert session.audio.input
    assert session.audio.input.turn_detection is None
    assert session.audio.input.transcription
    assert session.audio.output
    assert session.audio.output.voice == "bass"


async def test_a_setting_that_the_server_rejects_is_not_sent_again() -> None:
    network = Network(Simulation())
    async with RealtimeClient(network.connect) as client:
        with pytest.raises(ProtocolError) as refused:
            await client.update_session(speed=9.0, instructions="Be brief.")
        assert refused.value.param == "session.audio.output.speed"
        with pytest.raises(ProtocolError, match=r"'session\.spead'"):
            await client.update_session(spead=1.2)
        await client.update_session(instructions="Be kind.")
        await network.break_off()
        await client.wait_for_next("session.updated", timeout=5)
        assert isinstance(client.session, Session)
        assert client.session.instructions == "Be kind."


async def test_a_busy_server_is_tried_again() -> None:
    network = Network(Simulation(), troubles=[broken(), broken()])
    client = RealtimeClient(network.connect)
    news = listening(client)
    async with client:
        assert client.is_connected
    assert [one.name for one in news] == [
        "connection.lost",
        "connection.lost",
        "connection.opened",
        "connection.closed",
    ]
    assert [one.attempt for one in news[:2]] == [1, 2]
    assert len(network.calls) == 3
    first, second = network.calls[1] - network.calls[0], network.calls[2] - network.calls[1]
    assert (first, second) == pytest.approx((news[0].seconds, news[1].seconds))
    assert second > first / 2


async def test_a_client_that_never_connects_raises_the_last_error() -> None:
    network = Network(Simulation(), troubles=[broken(), broken(), broken()])
    with pytest.raises(ProviderError, match="the connection broke"):
        async with RealtimeClient(network.connect):
            pytest.fail("there was no connection")
    assert len(network.calls) == 3


async def test_a_refusal_is_not_retried() -> None:
    network = Network(Simulation(), troubles=[broken(retryable=False)])
    with pytest.raises(ProviderError):
        async with RealtimeClient(network.connect):
            pytest.fail("there was no connection")
    assert len(network.calls) == 1


async def test_a_server_that_begins_no_session_is_given_up() -> None:
    class Silent:
        async def converse(self, line: Line, session: object = None) -> None:
            async for _ in line:
                pass

    limits = Limits(connect_attempts=1, reply_seconds=7)
    with pytest.raises(ProviderError, match=r"7 s \(limits.reply_seconds\)"):
        async with RealtimeClient(Silent(), limits=limits):
            pytest.fail("there was no session")
    assert anyio.current_time() == pytest.approx(7)


async def test_a_server_that_complains_and_leaves_is_quoted() -> None:
    class Rude:
        async def converse(self, line: Line, session: object = None) -> None:
            await line.send(e.ErrorEvent(error=e.ErrorDetails(type="invalid", message="No such model.")))

    with pytest.raises(ProviderError, match="No such model"):
        async with RealtimeClient(Rude()):
            pytest.fail("there was no session")


async def test_a_conversation_goes_on_when_the_connection_breaks() -> None:
    simulation = Simulation(["In Paris.", "It is.", "Again."], session=TRANSCRIBED)
    network = Network(simulation)
    async with RealtimeClient(network.connect) as client:
        news = listening(client)
        appended: list[object] = []
        client.on("conversation.item.appended", appended.append)
        client.add_tool({"name": "look", "parameters": {"type": "object"}}, print)
        await client.update_session(instructions="Be brief.")
        await client.send_user_message_content("Where is the tower?")
        await client.wait_for_next_completed_item(role="assistant")
        before = client.items
        await network.break_off()
        assert not client.is_connected
        await client.append_input_audio(sound(1000))
        assert [one.type for one in client.log][-1] != "input_audio_buffer.append", "nobody hears it"
        await client.send_user_message_content("Is it high?")
        answer = await client.wait_for_next_completed_item(role="assistant")
    assert answer.words.strip() == "It is."
    assert [one.id for one in client.items[:2]] == [one.id for one in before]
    assert said(client) == [
        "user: Where is the tower?",
        "assistant: In Paris.",
        "user: Is it high?",
        "assistant: It is.",
    ]
    assert [one.name for one in news] == ["connection.lost", "connection.opened", "connection.closed"]
    assert len(appended) == 4, "what is said again is not new"
    told = simulation.chat.requests[-1]
    assert told.instructions.startswith("Be brief.")
    assert [tool.name for tool in told.tools] == ["look"]
    assert [item.role for item in told.items if isinstance(item, Message)] == ["user", "assistant", "user"]


async def test_speech_is_replayed_as_text() -> None:
    simulation = Simulation([STORY, "Fine."], session=TRANSCRIBED)
    network = Network(simulation)
    async with RealtimeClient(network.connect) as client:
        answers: list[e.ResponseDone] = []
        client.on("response.done", answers.append)
        await speak(client, simulation, CallerSays(0.5, "Tell me a story"), until=4)
        await network.break_off()
        story = client.items[-1]
        await client.wait_for_next("connection.opened")
        await client.create_response()
        await client.wait_for_next_completed_item(role="assistant")
    assert answers[0].response.status == "failed", "as the server would have said"
    assert logged(client).count("response.create") == 1, "what broke off is not asked for again"
    assert story.status == "incomplete"
    question, answer = simulation.chat.requests[-1].items[:2]
    assert isinstance(question, Message)
    assert question.content == (InputText(text="Tell me a story"),)
    assert isinstance(answer, Message)
    assert answer.role == "assistant"
    assert story.transcript.startswith("Once upon a time")


async def test_unconfirmed_events_are_sent_again() -> None:
    network = Network(Simulation(["Fine."], chat_delay=3))
    async with RealtimeClient(network.connect) as client:
        updated = await client.send_user_message_content("How are you?")
        await network.break_off()
        answer = await client.wait_for_next_completed_item(role="assistant", timeout=30)
    assert answer.words.strip() == "Fine."
    assert [one.id for one in client.items] == [updated, answer.id]
    assert logged(client).count("response.create") == 2


async def test_settings_that_change_during_a_break_count_after_it() -> None:
    network = Network(Simulation(), troubles=[])
    async with RealtimeClient(network.connect) as client:
        network.troubles = [broken(), broken(), broken(), broken()]
        await network.break_off()
        await client.update_session(instructions="Be brief.")
        assert isinstance(client.session, Session)
        assert client.session.instructions == "Be brief."
    assert len(network.calls) == 6


async def test_tool_calls_are_replayed_with_their_outputs() -> None:
    network = Network(Simulation(["Fine."]))
    async with RealtimeClient(network.connect) as client:
        for item in (
            FunctionCall(call_id="call_1", name="look", arguments="{}"),
            FunctionCallOutput(call_id="call_1", output="Nothing."),
        ):
            await client.send(e.ConversationItemCreate(item=item))
            await client.wait_for_next_item()
        await network.break_off()
        await client.wait_for_next("connection.opened")
        await client.create_response()
        await client.wait_for_next_completed_item(role="assistant")
    assert client.items[0].tool_call is not None
    assert client.items[1].output == "Nothing."
    assert [type(item) for item in network.simulation.chat.requests[-1].items[:2]] == [
        FunctionCall,
        FunctionCallOutput,
    ]


async def test_a_connection_that_never_comes_again_is_given_up() -> None:
    network = Network(Simulation())
    limits = Limits(reconnect_attempts=3)
    async with RealtimeClient(network.connect, limits=limits) as client:
        news = listening(client)
        events = aiter(client)
        network.troubles = [broken()] * 10
        await network.break_off()
        with pytest.raises(ProviderError, match="the connection broke"):
            await client.wait_for_next("response.done")
        with pytest.raises(ProviderError, match="the connection broke"):
            await client.create_response()
        with pytest.raises(ProviderError, match="the connection broke"):
            await anext(events)
    assert [one.attempt for one in news] == [1, 2, 3, 0]
    assert news[-1].name == "connection.closed"
    assert news[-1].error is not None
    assert len(network.calls) == 1 + 3


async def test_reconnecting_can_be_switched_off() -> None:
    network = Network(Simulation())
    async with RealtimeClient(network.connect, limits=Limits(reconnect_attempts=0)) as client:
        await network.break_off()
        assert not client.is_connected
    assert len(network.calls) == 1


async def test_a_server_that_breaks_off_each_time_is_given_up_too() -> None:
    network = Network(Simulation())
    async with RealtimeClient(network.connect, limits=Limits(reconnect_attempts=2)) as client:
        for _ in range(2):
            await network.break_off()
            await client.wait_for_next("connection.opened")
        await network.break_off()
        with pytest.raises(ProviderError):
            await client.create_response()
    assert len(network.calls) == 3


async def test_after_a_normal_closure_the_client_does_not_reconnect() -> None:
    network = Network(Simulation())
    async with RealtimeClient(network.connect) as client:
        events = aiter(client)
        await network.hang_up()
        assert [event async for event in events] == []
        with pytest.raises(ProviderError, match=r"call connect\(\)"):
            await client.create_response()
        await client.connect()
        await client.create_response()
        await client.wait_for_next_completed_item()
    assert len(network.calls) == 2


async def test_a_conversation_that_took_too_long_goes_on_in_another() -> None:
    simulation = Simulation(["Yes."], limits=Limits(conversation_minutes=1))
    async with RealtimeClient(simulation.engine) as client:
        news = listening(client)
        await client.send_user_message_content("Are you there?")
        await client.wait_for_next("connection.opened", timeout=100)
        await client.send_user_message_content("Are you there still?")
        await client.wait_for_next_completed_item(role="assistant")
    assert news[0].name == "connection.lost"
    assert len(said(client)) == 4


def test_a_client_may_be_made_before_there_is_an_event_loop() -> None:
    client = RealtimeClient("ws://127.0.0.1:1")
    client.add_tool({"name": "look"}, print)
    client.on("*", print)
    assert (client.items, client.session, client.is_connected) == ((), None, False)


async def test_a_client_connects_once() -> None:
    client = RealtimeClient(Simulation().engine)
    with pytest.raises(ConfigError, match="async with"):
        await client.connect()
    async with client:
        with pytest.raises(ConfigError, match=r"disconnect\(\) first"):
            await client.connect()


async def test_to_connect_again_is_to_begin_a_new_conversation() -> None:
    async with RealtimeClient(Simulation().engine) as client:
        await client.update_session(instructions="Be brief.")
        await client.send_user_message_content("Hi.")
        await client.wait_for_next_completed_item(role="assistant")
        await client.disconnect()
        await client.disconnect()
        assert len(client.items) == 2
        await client.connect()
        assert client.items == ()
        await client.wait_for_next("session.updated")
        assert isinstance(client.session, Session)
        assert client.session.instructions == "Be brief.", "that is still wished"


async def test_a_client_that_is_reset_is_as_new() -> None:
    told: list[object] = []
    async with RealtimeClient(Simulation().engine) as client:
        client.on("*", told.append)
        client.add_tool({"name": "look"}, print)
        await client.update_session(instructions="Be brief.")
        await client.send_user_message_content("Hi.")
        await client.wait_for_next_completed_item(role="assistant")
        await client.reset()
        assert not client.is_connected
        assert (client.items, len(client.log)) == ((), 0)
        told.clear()
        await client.connect()
        assert logged(client) == []
        client.add_tool({"name": "look"}, print)
    assert told == []


async def test_what_the_block_raises_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 (that is the point)
        async with RealtimeClient(Simulation().engine) as client:
            await client.create_response()
            _ = 1 / 0


async def test_a_client_may_be_cancelled_at_any_time() -> None:
    for seconds in (0.5, 3.5):
        network = Network(Simulation(), troubles=[broken(), broken()] if seconds < 1 else [])
        client = RealtimeClient(network.connect)
        with anyio.move_on_after(seconds) as patience:
            async with client:
                await client.create_response()
                await anyio.sleep_forever()
        assert patience.cancelled_caught
        assert not client.is_connected


async def test_hanging_up_in_mid_answer_emits_no_failed_response() -> None:
    answers: list[e.ResponseDone] = []
    async with RealtimeClient(Simulation([STORY]).engine) as client:
        client.on("response.done", answers.append)
        await client.create_response()
        await client.wait_for_next("response.output_audio.delta")
    assert answers == []
    assert client.items[-1].status == "incomplete"


async def test_an_engine_that_breaks_ends_the_client() -> None:
    class Broken:
        async def converse(self, line: Line, session: object = None) -> None:
            await line.send(e.SessionCreated(session=Session()))
            await anext(line)
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012 (it raises somewhere)
        async with RealtimeClient(Broken()) as client:
            await client.create_response()
            await client.wait_for_next("response.done")
    assert raised.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("nothing", [42, None, "ftp://example.org", "no address"])
async def test_what_is_no_server_is_a_config_error(nothing: object) -> None:
    with pytest.raises(ConfigError):
        RealtimeClient(nothing)  # type: ignore[arg-type]
