"""Telephone calls, whatever carries them: answered, interrupted, with keys, on hold, ended from either side."""

import json
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from transports.legs import FRAME, LONG, QUESTION, FakeLeg, Holds, Presses, hold_call, seconds, truncations
from vivavoce.audio.dtmf import DtmfDetector
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.settings import DEFAULT
from vivavoce.providers.base import ToolCall
from vivavoce.session.call import Caller
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.tools.telephone import telephone_tools
from vivavoce.tools.toolbox import Toolbox
from vivavoce.transports.telephony.avr import HttpLeg
from vivavoce.transports.telephony.call import MEDIA_SECONDS, SETTLED_SECONDS, TelephoneTransport
from vivavoce.transports.telephony.leg import CallDetails
from vivavoce.transports.telephony.peer_socket import PeerSocket

pytestmark = pytest.mark.anyio

KINDS = {"our clock": {}, "its clock": {"has_clock": True}, "marks": {"has_clock": True, "has_marks": True}}


def sounds(sent: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Yield what is sent after at least half a second without a sound."""
    before = -1.0
    for at, audio in sent:
        if any(audio):
            if at - before > 0.5:
                yield at, audio
            before = at


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> dict[str, bool]:
    return KINDS[request.param]


async def test_a_caller_is_answered(kind: dict[str, bool]) -> None:
    leg = FakeLeg([QUESTION], until=8, **kind)  # type: ignore[arg-type]
    timeline = await hold_call(leg, Simulation(["Paris, of course."]))
    audio = b"".join(one.delta for one in timeline.of(e.ResponseOutputAudioDelta))  # type: ignore[attr-defined]
    said, sounding = len(audio) / 48_000, sum(map(bool, array("h", audio))) / 24_000
    assert seconds(leg.sent) == pytest.approx(sounding, abs=0.06)
    first = next(at for at, audio in leg.sent if any(audio))
    assert first == pytest.approx(timeline.at(e.ResponseOutputAudioDelta), abs=0.03)
    assert [type(one) for one in timeline.of(e.OutputAudioBufferStarted, e.OutputAudioBufferStopped)] == [
        e.OutputAudioBufferStarted,
        e.OutputAudioBufferStopped,
    ]
    stopped = timeline.at(e.OutputAudioBufferStopped)
    assert stopped == pytest.approx(first + said, abs=0.15), (
        "it is over when it was heard, not when it was sent"
    )
    assert truncations(timeline) == []
    assert leg.hung_up_at == pytest.approx(8, abs=0.1)


async def test_by_our_clock_a_frame_leaves_every_twenty_milliseconds() -> None:
    leg = FakeLeg([QUESTION], until=10)
    await hold_call(leg, Simulation([LONG]))
    times = [at for at, audio in leg.sent]
    assert all(len(audio) == FRAME for _, audio in leg.sent)
    assert max(later - at for at, later in pairwise(times)) == pytest.approx(0.02, abs=0.001)


async def test_a_peer_with_a_clock_is_sent_whole_frames_ahead() -> None:
    leg = FakeLeg([QUESTION], until=12, has_clock=True, has_marks=True)
    await hold_call(leg, Simulation([LONG], word_delay=0))
    assert all(len(audio) % FRAME == 0 for _, audio in leg.sent)
    assert seconds(leg.heard) == pytest.approx(seconds(leg.sent), abs=0.01)
    gaps = [b - a for (a, _), (b, _) in pairwise(leg.heard)]
    assert max(gaps) < 0.03, "it never runs dry"


async def test_an_interruption_silences_the_peer_and_history_holds_what_was_heard(
    kind: dict[str, bool],
) -> None:
    barge_in = CallerSays(5.0, "No, stop please, I mean Spain.")
    leg = FakeLeg([QUESTION, barge_in], until=9, **kind)  # type: ignore[arg-type]
    timeline = await hold_call(leg, Simulation([LONG, "Madrid."]))
    started = timeline.at(e.InputAudioBufferSpeechStarted, 1)
    heard = leg.heard if leg.has_clock else leg.sent
    first = next(at for at, audio in heard if any(audio))
    last = max(at for at, audio in heard if any(audio) and at < started + 1)
    assert last <= started + 0.05
    (ms,) = truncations(timeline)
    assert ms == pytest.approx(1000 * (last + 0.02 - first), abs=60)
    assert leg.cleared[-1:] == ([pytest.approx(started, abs=0.05)] if leg.has_clock else [])


async def test_what_a_slow_peer_has_not_played_was_not_heard() -> None:
    barge_in = CallerSays(5.0, "No, stop please, I mean Spain.")
    leg = FakeLeg([QUESTION, barge_in], until=9, has_clock=True, has_marks=True, slowness=2)
    timeline = await hold_call(leg, Simulation([LONG, "Madrid."]))
    started = timeline.at(e.InputAudioBufferSpeechStarted, 1)
    heard = seconds([one for one in leg.heard if one[0] < started])
    (ms,) = truncations(timeline)
    assert ms == pytest.approx(1000 * heard, abs=210), "as exactly as marks are apart"


async def test_keys_are_reported_at_once_and_sent_to_the_model_together() -> None:
    leg = FakeLeg([Presses(1.0, "1"), Presses(1.4, "2"), Presses(1.9, "#")], until=5)
    simulation = Simulation(["Thank you."])
    timeline = await hold_call(leg, simulation)
    pressed = timeline.of(e.DtmfEventReceived)
    assert [one.event for one in pressed] == ["1", "2", "#"]  # type: ignore[attr-defined]
    assert timeline.at(e.DtmfEventReceived) == pytest.approx(1.0, abs=0.02)
    (item,) = simulation.chat.requests[-1].items
    assert isinstance(item, Message)
    assert item.content == (InputText(text="[The caller has pressed 1 2 # on the telephone.]"),)
    assert timeline.at(e.ResponseCreated) == pytest.approx(1.9, abs=0.1), "the # ends the keys"
    assert timeline.of(e.ErrorEvent) == []


async def test_keys_without_an_end_are_sent_after_a_moment() -> None:
    leg = FakeLeg([Presses(1.0, "7")], until=6)
    timeline = await hold_call(leg, Simulation(["Thank you."]))
    assert timeline.at(e.ResponseCreated) == pytest.approx(2.5, abs=0.1)


async def test_a_caller_who_never_stops_pressing_is_answered_all_the_same() -> None:
    leg = FakeLeg([Presses(1 + at / 100, "7") for at in range(400)], until=8)
    simulation = Simulation(["Thank you."])
    timeline = await hold_call(leg, simulation)
    assert timeline.at(e.ResponseCreated) == pytest.approx(1.64, abs=0.1)
    assert "pressed " + " ".join("7" * 64) + " on" in str(simulation.chat.requests[0].items)


async def test_a_peer_by_http_that_never_reads_breaks_off() -> None:
    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        await anyio.sleep_forever()

    leg, began = (
        HttpLeg(CallDetails("uuid-1"), receive, send, None, Limits().send_seconds),
        anyio.current_time(),
    )
    with pytest.raises(TimeoutError):
        await leg.answer()
    assert anyio.current_time() - began == pytest.approx(10)


async def test_messages_that_come_too_fast_wait() -> None:
    async def receive() -> Any:
        return {"type": "websocket.receive", "text": "{"}

    async def send(message: Any) -> None:
        raise AssertionError

    began, times = anyio.current_time(), list[float]()
    async for _ in PeerSocket(receive, send, Limits(events_per_second=100)).receive():
        times.append(anyio.current_time() - began)
        if len(times) == 250:
            break
    assert times[-1] == pytest.approx(2, abs=0.1)


async def test_a_key_interrupts_what_is_said(kind: dict[str, bool]) -> None:
    leg = FakeLeg([QUESTION, Presses(5.0, "1"), Presses(5.3, "#")], until=9, **kind)  # type: ignore[arg-type]
    timeline = await hold_call(leg, Simulation([LONG, "One."]))
    assert len(truncations(timeline)) == 1
    heard = leg.heard if leg.has_clock else leg.sent
    assert not [at for at, audio in heard if any(audio) and 5.05 < at < 5.3]
    assert timeline.of(e.ErrorEvent) == []
    assert len(timeline.of(e.ResponseDone)) == 2


async def test_a_caller_who_is_put_on_hold_in_mid_speech_has_finished_the_turn() -> None:
    leg = FakeLeg([CallerSays(0.5, "What is the capital of France?", 2.0), Holds(1.8, 6.0)], until=8)
    timeline = await hold_call(leg, Simulation(["Paris."]))
    assert timeline.at(e.InputAudioBufferSpeechStopped) < 4
    assert len(timeline.of(e.ResponseDone)) == 1


async def test_a_slow_answer_is_bridged_by_a_soft_tone(kind: dict[str, bool]) -> None:
    leg = FakeLeg([QUESTION], until=14, **kind)  # type: ignore[arg-type]
    timeline = await hold_call(leg, Simulation(["Paris."], chat_delay=5))
    asked, answered = timeline.at(e.InputAudioBufferCommitted), timeline.at(e.ResponseOutputAudioDelta)
    starts = [at for at, audio in sounds(leg.sent) if at < answered]
    assert starts == pytest.approx([asked + 1.2, asked + 3.2, asked + 5.2][: len(starts)], abs=0.05)
    assert len(starts) >= 2
    assert len(timeline.of(e.OutputAudioBufferStarted)) == 1, "the tone is no answer"
    assert truncations(timeline) == []


async def test_a_caller_on_hold_hears_no_tone() -> None:
    leg = FakeLeg([QUESTION, Holds(2.9, 20)], until=14)
    await hold_call(leg, Simulation(["Paris."], chat_delay=8))
    assert len(list(sounds([one for one in leg.sent if one[0] < 8]))) <= 1


async def test_a_peer_that_drops_quiet_calls_is_sent_silence() -> None:
    leg = FakeLeg([], until=5, keep_alive_seconds=1)
    await hold_call(leg, Simulation())
    assert [round(at, 2) for at, _ in leg.sent] == [1, 2, 3, 4]
    assert not any(any(audio) for _, audio in leg.sent)


async def test_the_call_is_answered_when_audio_comes_or_after_a_moment() -> None:
    leg = FakeLeg([], until=3)
    await hold_call(leg, Simulation())
    assert leg.answered_at == pytest.approx(0, abs=0.05)
    quiet = FakeLeg([Holds(0, 3)], until=3)
    await hold_call(quiet, Simulation())
    assert quiet.answered_at == pytest.approx(MEDIA_SECONDS, abs=0.05)


async def test_what_was_said_before_there_was_a_line_is_heard() -> None:
    leg = FakeLeg([CallerSays(0.0, "What is the capital of France?")], until=6)
    simulation = Simulation(["Paris."])
    await hold_call(leg, simulation)
    assert "What is the capital of France?" in str(simulation.chat.requests[-1].items)


async def test_a_call_that_is_refused_is_hung_up_with_the_reason() -> None:
    leg = FakeLeg([], until=3)
    await hold_call(leg, Simulation(), conversations=0)
    assert leg.refusal is not None
    assert "limits.conversations" in leg.refusal.message
    assert leg.answered_at is None


@pytest.mark.parametrize("target", [None, "sip:200@example.org"])
async def test_a_call_that_is_left_or_referred_ends_its_sentence_first(target: str | None) -> None:
    leg, callers = FakeLeg([QUESTION], until=20), list[Caller]()

    async def end() -> None:
        await anyio.sleep(4)
        assert any(leg.sent[-1][1]), "it speaks"
        (caller,) = callers
        assert caller.refer
        assert caller.leave
        await (caller.refer(target) if target else caller.leave())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end)
        timeline = await hold_call(leg, Simulation(["Goodbye, and thank you for calling."]), callers.append)
    stopped = pytest.approx(timeline.at(e.OutputAudioBufferStopped) + SETTLED_SECONDS, abs=0.2)
    assert leg.referred == ([(stopped, target)] if target else [])
    assert leg.hung_up_at == (pytest.approx(20, abs=0.1) if target else stopped)


def with_tools(leg: FakeLeg, *replies: Any, **transfers: str) -> Simulation:
    """Return a simulation whose model has the tools of telephones."""

    def calls() -> Switchboard:
        assert leg.switchboard
        return leg.switchboard

    simulation = Simulation(replies)
    tools = [*telephone_tools(calls, transfers)]
    simulation.middleware = lambda caller: Toolbox(
        [tool for tool in tools if tool.offered_to and tool.offered_to(caller)], Limits(), caller.id
    )
    simulation.session = replace(DEFAULT, tools=tuple(tool.definition for tool in tools))
    simulation.__post_init__()
    return simulation


def call_of(name: str, **arguments: str) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


async def test_the_model_hangs_up_when_its_goodbye_was_heard() -> None:
    leg = FakeLeg([QUESTION], until=30)
    timeline = await hold_call(leg, with_tools(leg, call_of("hang_up", goodbye="Thank you, and goodbye.")))
    (said,) = [one.transcript for one in timeline.of(e.ResponseOutputAudioTranscriptDone)]  # type: ignore[attr-defined]
    assert said.strip() == "Thank you, and goodbye."
    assert leg.hung_up_at == pytest.approx(timeline.at(e.OutputAudioBufferStopped) + SETTLED_SECONDS, abs=0.2)


async def test_the_model_transfers_to_whom_the_owner_has_named_and_to_nobody_else() -> None:
    leg = FakeLeg([QUESTION], until=12)
    asked = call_of("transfer_call", to="sales", announcement="One moment.")
    timeline = await hold_call(leg, with_tools(leg, [asked], sales="200@desk"))
    assert leg.referred[0] == (pytest.approx(timeline.at(e.OutputAudioBufferStopped), abs=0.8), "200@desk")
    other = FakeLeg([QUESTION], until=8)
    wrong = call_of("transfer_call", to="+900123", announcement="One moment.")
    timeline = await hold_call(other, with_tools(other, [wrong], sales="200@desk"))
    assert other.referred == []
    outputs = [one.item for one in timeline.of(e.ConversationItemAdded)]  # type: ignore[attr-defined]
    assert any("Nobody is called" in str(item) for item in outputs)


async def test_the_model_presses_keys() -> None:
    leg = FakeLeg([QUESTION], until=10)
    await hold_call(leg, with_tools(leg, call_of("press_keys", keys="12#")))
    audio = b"".join(part for _, part in leg.sent)
    assert DtmfDetector(8000).push(audio).startswith("12#")


async def test_all_calls_end_with_the_server() -> None:
    leg, simulation = FakeLeg([QUESTION], until=60), Simulation([LONG])
    transport = TelephoneTransport(Switchboard(simulation.engine).connect)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leg.act)
        tasks.start_soon(transport.accept, leg)
        await anyio.sleep(1)
        await transport.hang_up()
        assert leg.hung_up_at == pytest.approx(1, abs=0.05)
        tasks.cancel_scope.cancel()
