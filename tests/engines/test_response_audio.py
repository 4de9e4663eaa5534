"""Answers as a client hears them: in its format, in small pieces, and given back when asked for."""

from itertools import pairwise

import pytest

from engines.plays import STORY, ask, done, errors, spoken_as
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Message, OutputAudio
from vivavoce.protocol.responses import ResponseParams, WantedAudio, WantedOutput
from vivavoce.protocol.session import AudioFormat, InputSettings, Pcm, Pcma, Pcmu, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.stage import Answer, Do, React, Say, Score, Stage

pytestmark = pytest.mark.anyio

FORMATS = pytest.mark.parametrize(("format", "bytes_per_ms"), [(Pcm(), 48), (Pcmu(), 8), (Pcma(), 8)])


def sound(score: Score) -> list[bytes]:
    return [event.delta for event in score.of(e.ResponseOutputAudioDelta)]


def truncate(ms: int) -> object:
    return lambda item_id: e.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=ms)


def retrieve(item_id: str) -> e.ConversationItemRetrieve:
    return e.ConversationItemRetrieve(item_id=item_id)


def part(score: Score, nth: int = -1) -> InputAudio | OutputAudio:
    item = score.of(e.ConversationItemRetrieved)[nth].item
    assert isinstance(item, Message)
    (only,) = item.content
    assert isinstance(only, InputAudio | OutputAudio)
    return only


# formats


@FORMATS
async def test_an_answer_sounds_as_long_in_every_format(format: AudioFormat, bytes_per_ms: int) -> None:
    score = await Stage([STORY], session=spoken_as(format)).play(*ask(0.1, "Tell me"), until=16)
    plain = await Stage([STORY]).play(*ask(0.1, "Tell me"), until=16)
    ms = len(b"".join(sound(score))) / bytes_per_ms
    assert ms == pytest.approx(len(b"".join(sound(plain))) / 48, abs=5)
    assert score.at(e.ResponseDone) == pytest.approx(plain.at(e.ResponseDone), abs=0.01)
    assert done(score).response.usage == done(plain).response.usage
    assert done(score).response.audio.output.format == format


@FORMATS
async def test_sound_goes_in_pieces_of_a_tenth_of_a_second(format: AudioFormat, bytes_per_ms: int) -> None:
    stage = Stage([STORY], session=spoken_as(format, speed=0.25))
    stage.engine.crew.synthesizer.chunk = 48_000
    score = await stage.play(*ask(0.1, "Tell me"), until=16)
    sizes = [len(piece) for piece in sound(score)]
    assert max(sizes) <= 100 * bytes_per_ms
    assert min(sizes) > 0


async def test_one_response_may_sound_otherwise_than_the_session() -> None:
    audio = WantedAudio(output=WantedOutput(format=Pcmu()))
    score = await Stage(["Paris."], session=spoken_as(Pcm())).play(
        *ask(0.1, "Where?", audio=audio), *ask(4.0, "Where?"), until=8
    )
    first, second = score.of(e.ResponseDone)
    assert first.response.audio.output.format == Pcmu()
    assert second.response.audio.output.format == Pcm()
    sizes = [
        sum(len(d.delta) for d in score.of(e.ResponseOutputAudioDelta) if d.response_id == one.response.id)
        for one in (first, second)
    ]
    assert sizes[1] == pytest.approx(6 * sizes[0], rel=0.02)


@FORMATS
async def test_what_was_heard_is_counted_in_every_format(format: AudioFormat, bytes_per_ms: int) -> None:
    stage = Stage([STORY, "Fine."], session=spoken_as(format), marks=True)
    score = await stage.play(
        Say(0.5, "Tell me a story"), Answer(3.5, truncate(900)), *ask(9.5, "Go on"), until=12
    )
    assert not errors(score)
    (told,) = [i for i in stage.chat.asked[-1].items if isinstance(i, Message) and i.role == "assistant"]
    assert told.content == (OutputAudio(transcript="Once upon a"),)


@FORMATS
async def test_a_response_of_another_format_can_be_truncated_to_its_own_length(
    format: AudioFormat, bytes_per_ms: int
) -> None:
    audio = WantedAudio(output=WantedOutput(format=format))
    score = await Stage(["Paris, of course."]).play(
        *ask(0.1, "Where?", audio=audio), Answer(5.0, truncate(9000)), Answer(5.1, truncate(500)), until=6
    )
    ms = len(b"".join(sound(score))) / bytes_per_ms
    (refused,) = score.of(e.ErrorEvent)
    assert f"of {ms:.0f}ms is already shorter than 9000ms" in refused.error.message
    assert score.of(e.ConversationItemTruncated)[0].audio_end_ms == 500


@FORMATS
async def test_an_interrupted_answer_holds_what_was_heard(format: AudioFormat, bytes_per_ms: int) -> None:
    stage = Stage([STORY, "Fine."], session=spoken_as(format), marks=True)
    score = await stage.play(Say(0.5, "Tell me a story"), Say(4.0, "stop it now please"), until=9)
    (message,) = done(score, 0).response.output
    assert "upon a time" in message.content[0].transcript
    assert "went on" not in message.content[0].transcript


# what was said, given back


@FORMATS
async def test_an_answer_is_given_back_as_it_was_sent(format: AudioFormat, bytes_per_ms: int) -> None:
    score = await Stage(["Paris, of course."], session=spoken_as(format)).play(
        *ask(0.1, "Where?"), Answer(5.0, retrieve), until=6
    )
    assert part(score) == OutputAudio(audio=b"".join(sound(score)), transcript="Paris, of course. ")


async def test_what_the_caller_said_is_given_back_with_its_words() -> None:
    said = Say(0.5, "What is the capital?")
    score = await Stage(["Paris."]).play(said, React(4.0, lambda score: retrieve(caller(score))), until=5)
    assert part(score).transcript == "What is the capital?"
    begin = score.of(e.InputAudioBufferSpeechStarted)[0].audio_start_ms
    end = score.of(e.InputAudioBufferSpeechStopped)[0].audio_end_ms
    assert end - begin <= len(part(score).audio) / 48 < end - begin + 700, "all of it, and the pause behind it"
    loud = [value for value in memoryview(part(score).audio).cast("h") if value > 900]
    assert len(loud) / 24_000 == pytest.approx(said.until - said.at, abs=0.03)


async def test_what_was_committed_by_hand_is_given_back() -> None:
    session = merge(DEFAULT, Session(audio=SessionAudio(input=InputSettings(turn_detection=None))))
    score = await Stage(session=session).play(
        Do(1.0, e.InputAudioBufferCommit()), React(1.5, lambda score: retrieve(caller(score))), until=2
    )
    assert len(part(score).audio) / 48 == pytest.approx(1000, abs=30)


def caller(score: Score) -> str:
    return str(score.of(e.ConversationItemAdded)[0].item.id)


async def test_an_answer_under_way_is_given_back_as_far_as_it_went() -> None:
    score = await Stage([STORY]).play(*ask(0.1, "Tell me"), Answer(2.0, retrieve), until=16)
    item = score.of(e.ConversationItemRetrieved)[0].item
    assert item.status == "in_progress"
    whole = b"".join(sound(score))
    assert whole.startswith(part(score).audio)
    assert 48_000 < len(part(score).audio) < len(whole)
    assert STORY.startswith(part(score).transcript)


async def test_what_was_not_heard_is_not_given_back() -> None:
    stage = Stage([STORY], marks=True)
    score = await stage.play(
        *ask(0.1, "Tell me"),
        Answer(2.0, truncate(900)),
        Answer(2.1, retrieve),
        Answer(15.0, retrieve),
        until=16,
    )
    early, late = (part(score, nth) for nth in (0, 1))
    assert len(early.audio) == 900 * 48
    assert early == late == OutputAudio(audio=early.audio, transcript="Once upon a")


async def test_an_interrupted_answer_is_given_back_as_far_as_it_was_heard() -> None:
    stage = Stage([STORY, "Fine."], marks=True)
    score = await stage.play(
        Say(0.5, "Tell me a story"), Say(4.0, "stop it now please"), Answer(8.0, retrieve), until=9
    )
    started = score.at(e.InputAudioBufferSpeechStarted, 1) - score.at(e.ResponseOutputAudioDelta)
    assert len(part(score).audio) / 48000 == pytest.approx(started, abs=0.1)
    assert "went on" not in part(score).transcript


async def test_of_older_items_only_the_words_are_left() -> None:
    stage = Stage([STORY, "Paris, of course."], limits=Limits(item_audio_seconds=3))
    score = await stage.play(*ask(0.1, "Tell me"), Answer(15.0, retrieve), until=16)
    assert part(score) == OutputAudio(transcript=f"{STORY} ")


async def test_what_is_out_of_band_is_not_kept() -> None:
    stage = Stage([STORY])
    params = ResponseParams(conversation="none")
    score = await stage.play(Do(0.1, e.ResponseCreate(response=params)), Answer(3.0, retrieve), until=4)
    assert errors(score) == [("item_retrieve_invalid_item_id", "item_id")]


async def test_the_closing_events_of_a_truncated_answer_carry_all_its_words_and_the_item_what_was_heard() -> (
    None
):
    stage = Stage([STORY], marks=True)
    score = await stage.play(*ask(0.1, "Tell me"), Answer(2.0, truncate(900)), until=16)
    (closed,) = score.of(e.ResponseOutputAudioTranscriptDone)
    assert closed.transcript == "".join(d.delta for d in score.of(e.ResponseOutputAudioTranscriptDelta))
    assert closed.transcript.strip() == STORY
    (item,) = done(score).response.output
    assert item.content == (OutputAudio(transcript="Once upon a"),)


async def test_no_two_pieces_come_late() -> None:
    score = await Stage([STORY], session=spoken_as(Pcmu())).play(*ask(0.1, "Tell me"), until=16)
    times = [heard.at for heard in score.heard if isinstance(heard.event, e.ResponseOutputAudioDelta)]
    assert max(after - before for before, after in pairwise(times)) < 0.4
