"""Answers as a client hears them: in its format, in small pieces, and given back when asked for."""

from itertools import pairwise

import pytest

from engines.simulations import STORY, ask, done, errors, with_output
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Message, OutputAudio
from vivavoce.protocol.responses import ResponseParams, WantedAudio, WantedOutput
from vivavoce.protocol.session import AudioFormat, InputSettings, Pcm, Pcma, Pcmu, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

pytestmark = pytest.mark.anyio

FORMATS = pytest.mark.parametrize(("format", "bytes_per_ms"), [(Pcm(), 48), (Pcmu(), 8), (Pcma(), 8)])


def sound(timeline: Timeline) -> list[bytes]:
    return [event.delta for event in timeline.of(e.ResponseOutputAudioDelta)]


def truncate(ms: int) -> object:
    return lambda timeline: e.ConversationItemTruncate(
        item_id=timeline.answer_id, content_index=0, audio_end_ms=ms
    )


def retrieve(timeline: Timeline) -> e.ConversationItemRetrieve:
    return e.ConversationItemRetrieve(item_id=timeline.answer_id)


def part(timeline: Timeline, nth: int = -1) -> InputAudio | OutputAudio:
    item = timeline.of(e.ConversationItemRetrieved)[nth].item
    assert isinstance(item, Message)
    (only,) = item.content
    assert isinstance(only, InputAudio | OutputAudio)
    return only


# formats


@FORMATS
async def test_an_answer_sounds_as_long_in_every_format(format: AudioFormat, bytes_per_ms: int) -> None:
    timeline = await Simulation([STORY], session=with_output(format)).run(*ask(0.1, "Tell me"), until=16)
    plain = await Simulation([STORY]).run(*ask(0.1, "Tell me"), until=16)
    ms = len(b"".join(sound(timeline))) / bytes_per_ms
    assert ms == pytest.approx(len(b"".join(sound(plain))) / 48, abs=5)
    assert timeline.at(e.ResponseDone) == pytest.approx(plain.at(e.ResponseDone), abs=0.01)
    assert done(timeline).response.usage == done(plain).response.usage
    assert done(timeline).response.audio.output.format == format


@FORMATS
async def test_sound_goes_in_pieces_of_a_tenth_of_a_second(format: AudioFormat, bytes_per_ms: int) -> None:
    simulation = Simulation([STORY], session=with_output(format, speed=0.25))
    simulation.engine.providers.synthesizer.chunk = 48_000
    timeline = await simulation.run(*ask(0.1, "Tell me"), until=16)
    sizes = [len(piece) for piece in sound(timeline)]
    assert max(sizes) <= 100 * bytes_per_ms
    assert min(sizes) > 0


async def test_one_response_may_sound_otherwise_than_the_session() -> None:
    audio = WantedAudio(output=WantedOutput(format=Pcmu()))
    timeline = await Simulation(["Paris."], session=with_output(Pcm())).run(
        *ask(0.1, "Where?", audio=audio), *ask(4.0, "Where?"), until=8
    )
    first, second = timeline.of(e.ResponseDone)
    assert first.response.audio.output.format == Pcmu()
    assert second.response.audio.output.format == Pcm()
    sizes = [
        sum(len(d.delta) for d in timeline.of(e.ResponseOutputAudioDelta) if d.response_id == one.response.id)
        for one in (first, second)
    ]
    assert sizes[1] == pytest.approx(6 * sizes[0], rel=0.02)


@FORMATS
async def test_what_was_heard_is_counted_in_every_format(format: AudioFormat, bytes_per_ms: int) -> None:
    simulation = Simulation([STORY, "Fine."], session=with_output(format), word_timings=True)
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"), ClientSends(3.5, truncate(900)), *ask(9.5, "Go on"), until=12
    )
    assert not errors(timeline)
    (told,) = [
        i for i in simulation.chat.requests[-1].items if isinstance(i, Message) and i.role == "assistant"
    ]
    assert told.content == (OutputAudio(transcript="Once upon a"),)


@FORMATS
async def test_a_response_of_another_format_can_be_truncated_to_its_own_length(
    format: AudioFormat, bytes_per_ms: int
) -> None:
    audio = WantedAudio(output=WantedOutput(format=format))
    timeline = await Simulation(["Paris, of course."]).run(
        *ask(0.1, "Where?", audio=audio),
        ClientSends(5.0, truncate(9000)),
        ClientSends(5.1, truncate(500)),
        until=6,
    )
    ms = len(b"".join(sound(timeline))) / bytes_per_ms
    (refused,) = timeline.of(e.ErrorEvent)
    assert f"of {ms:.0f}ms is already shorter than 9000ms" in refused.error.message
    assert timeline.of(e.ConversationItemTruncated)[0].audio_end_ms == 500


@FORMATS
async def test_an_interrupted_answer_holds_what_was_heard(format: AudioFormat, bytes_per_ms: int) -> None:
    simulation = Simulation([STORY, "Fine."], session=with_output(format), word_timings=True)
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "stop it now please"), until=9
    )
    (message,) = done(timeline, 0).response.output
    assert "upon a time" in message.content[0].transcript
    assert "went on" not in message.content[0].transcript


# what was said, given back


@FORMATS
async def test_an_answer_is_given_back_as_it_was_sent(format: AudioFormat, bytes_per_ms: int) -> None:
    timeline = await Simulation(["Paris, of course."], session=with_output(format)).run(
        *ask(0.1, "Where?"), ClientSends(5.0, retrieve), until=6
    )
    assert part(timeline) == OutputAudio(audio=b"".join(sound(timeline)), transcript="Paris, of course. ")


async def test_what_the_caller_said_is_given_back_with_its_words() -> None:
    said = CallerSays(0.5, "What is the capital?")
    timeline = await Simulation(["Paris."]).run(
        said, ClientSends(4.0, lambda timeline: e.ConversationItemRetrieve(item_id=caller(timeline))), until=5
    )
    assert part(timeline).transcript == "What is the capital?"
    begin = timeline.of(e.InputAudioBufferSpeechStarted)[0].audio_start_ms
    end = timeline.of(e.InputAudioBufferSpeechStopped)[0].audio_end_ms
    assert end - begin <= len(part(timeline).audio) / 48 < end - begin + 700, (
        "all of it, and the pause behind it"
    )
    loud = [value for value in memoryview(part(timeline).audio).cast("h") if value > 900]
    assert len(loud) / 24_000 == pytest.approx(said.until - said.at, abs=0.03)


async def test_what_was_committed_by_hand_is_given_back() -> None:
    session = merge(DEFAULT, Session(audio=SessionAudio(input=InputSettings(turn_detection=None))))
    timeline = await Simulation(session=session).run(
        ClientSends(1.0, e.InputAudioBufferCommit()),
        ClientSends(1.5, lambda timeline: e.ConversationItemRetrieve(item_id=caller(timeline))),
        until=2,
    )
    assert len(part(timeline).audio) / 48 == pytest.approx(1000, abs=30)


def caller(timeline: Timeline) -> str:
    return str(timeline.of(e.ConversationItemAdded)[0].item.id)


async def test_an_answer_under_way_is_given_back_as_far_as_it_went() -> None:
    timeline = await Simulation([STORY]).run(*ask(0.1, "Tell me"), ClientSends(2.0, retrieve), until=16)
    item = timeline.of(e.ConversationItemRetrieved)[0].item
    assert item.status == "in_progress"
    whole = b"".join(sound(timeline))
    assert whole.startswith(part(timeline).audio)
    assert 48_000 < len(part(timeline).audio) < len(whole)
    assert STORY.startswith(part(timeline).transcript)


async def test_what_was_not_heard_is_not_given_back() -> None:
    simulation = Simulation([STORY], word_timings=True)
    timeline = await simulation.run(
        *ask(0.1, "Tell me"),
        ClientSends(2.0, truncate(900)),
        ClientSends(2.1, retrieve),
        ClientSends(15.0, retrieve),
        until=16,
    )
    early, late = (part(timeline, nth) for nth in (0, 1))
    assert len(early.audio) == 900 * 48
    assert early == late == OutputAudio(audio=early.audio, transcript="Once upon a")


async def test_an_interrupted_answer_is_given_back_as_far_as_it_was_heard() -> None:
    simulation = Simulation([STORY, "Fine."], word_timings=True)
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"),
        CallerSays(4.0, "stop it now please"),
        ClientSends(8.0, retrieve),
        until=9,
    )
    started = timeline.at(e.InputAudioBufferSpeechStarted, 1) - timeline.at(e.ResponseOutputAudioDelta)
    assert len(part(timeline).audio) / 48000 == pytest.approx(started, abs=0.1)
    assert "went on" not in part(timeline).transcript


async def test_of_older_items_only_the_words_are_left() -> None:
    simulation = Simulation([STORY, "Paris, of course."], limits=Limits(item_audio_seconds=3))
    timeline = await simulation.run(*ask(0.1, "Tell me"), ClientSends(15.0, retrieve), until=16)
    assert part(timeline) == OutputAudio(transcript=f"{STORY} ")


async def test_what_is_out_of_band_is_not_kept() -> None:
    simulation = Simulation([STORY])
    params = ResponseParams(conversation="none")
    timeline = await simulation.run(
        ClientSends(0.1, e.ResponseCreate(response=params)), ClientSends(3.0, retrieve), until=4
    )
    assert errors(timeline) == [("item_retrieve_invalid_item_id", "item_id")]


async def test_the_closing_events_of_a_truncated_answer_carry_all_its_words_and_the_item_what_was_heard() -> (
    None
):
    simulation = Simulation([STORY], word_timings=True)
    timeline = await simulation.run(*ask(0.1, "Tell me"), ClientSends(2.0, truncate(900)), until=16)
    (closed,) = timeline.of(e.ResponseOutputAudioTranscriptDone)
    assert closed.transcript == "".join(d.delta for d in timeline.of(e.ResponseOutputAudioTranscriptDelta))
    assert closed.transcript.strip() == STORY
    (item,) = done(timeline).response.output
    assert item.content == (OutputAudio(transcript="Once upon a"),)


async def test_no_two_pieces_come_late() -> None:
    timeline = await Simulation([STORY], session=with_output(Pcmu())).run(*ask(0.1, "Tell me"), until=16)
    times = [heard.at for heard in timeline.entries if isinstance(heard.event, e.ResponseOutputAudioDelta)]
    assert max(after - before for before, after in pairwise(times)) < 0.4
