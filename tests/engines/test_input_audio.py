"""How a caller is heard: the formats of their sound, and their words while they speak."""

from array import array
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from typing import Literal

import anyio
import pytest
from msgspec.structs import replace

from engines.simulations import errors, types
from engines.transcription import deltas, transcribed, transcripts
from vivavoce.audio import g711
from vivavoce.audio.dtmf import tone
from vivavoce.audio.rates import G711_RATE, INPUT_RATE
from vivavoce.audio.resample import resample
from vivavoce.dates import unix_now
from vivavoce.engines.cascade.context import TranscriberQueue
from vivavoce.engines.cascade.settings import InputProcessing
from vivavoce.errors import ProviderError, UnknownLanguageError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Message
from vivavoce.protocol.session import (
    AudioFormat,
    InputSettings,
    NoiseReduction,
    Pcm,
    Pcma,
    Pcmu,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSettings,
)
from vivavoce.providers.base import Transcriber, Transcript
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline, Unresponsive

pytestmark = pytest.mark.anyio

QUESTION = "What is the capital of France, and how many people live there?"
FORMATS = [Pcm(), Pcmu(), Pcma()]


def named(format: AudioFormat) -> str:
    return str(format.__struct_config__.tag)


# formats


@pytest.mark.parametrize("format", FORMATS, ids=named)
async def test_a_caller_is_heard_in_every_format(format: AudioFormat) -> None:
    timeline = await Simulation(["Paris."], session=transcribed(format=format)).run(
        CallerSays(1.0, QUESTION), until=9
    )
    assert list(transcripts(timeline).values()) == [QUESTION]
    assert timeline.of(e.ResponseDone)[0].response.status == "completed"


@pytest.mark.parametrize("format", FORMATS, ids=named)
async def test_times_are_those_of_the_sound(format: AudioFormat) -> None:
    timeline = await Simulation(session=transcribed(format=format)).run(
        CallerSays(1.0, "Hello.", seconds=1), until=4
    )
    (started,) = timeline.of(e.InputAudioBufferSpeechStarted)
    (stopped,) = timeline.of(e.InputAudioBufferSpeechStopped)
    assert started.audio_start_ms == pytest.approx(1000 - 300, abs=40), "with its prefix padding"
    assert stopped.audio_end_ms == pytest.approx(2000, abs=40)


async def test_a_caller_at_a_distance_is_heard() -> None:
    quiet = array("h", [100] * 24_000).tobytes()  # a second with a peak of -50 dBFS
    steps = [ClientSends(1 + tenth / 10, e.InputAudioBufferAppend(audio=quiet[:4800])) for tenth in range(10)]
    timeline = await Simulation(session=transcribed()).run(*steps, until=4)
    assert len(timeline.of(e.InputAudioBufferSpeechStarted)) == 1


async def test_the_prefix_padding_never_reaches_before_the_beginning() -> None:
    session = transcribed(turn_detection=ServerVad(prefix_padding_ms=1000))
    timeline = await Simulation(session=session).run(CallerSays(0.4, "Hello.", seconds=1), until=3)
    assert timeline.of(e.InputAudioBufferSpeechStarted)[0].audio_start_ms == 0


@pytest.mark.parametrize("format", FORMATS, ids=named)
async def test_a_commit_needs_100_ms_in_every_format(format: AudioFormat) -> None:
    simulation = Simulation(session=transcribed(format=format, turn_detection=None))
    timeline = await simulation.run(
        ClientSends(0.08, e.InputAudioBufferCommit()), ClientSends(0.14, e.InputAudioBufferCommit()), until=1
    )
    assert errors(timeline) == [("input_audio_buffer_commit_empty", None)]
    assert len(timeline.of(e.InputAudioBufferCommitted)) == 1


async def test_the_format_may_change_in_the_middle() -> None:
    simulation = Simulation(["Yes."], session=transcribed())
    telephone = Session(audio=SessionAudio(input=InputSettings(format=Pcmu())))
    said = [CallerSays(0.5, "Am I on the line?"), CallerSays(4.0, "And now by telephone?")]
    steps = [ClientSends(3.0, e.SessionUpdate(session=telephone)), *said]
    timeline = await simulation.run(*steps, until=8)
    assert list(transcripts(timeline).values()) == ["Am I on the line?", "And now by telephone?"]
    assert not errors(timeline)
    assert timeline.of(e.InputAudioBufferSpeechStopped)[1].audio_end_ms == pytest.approx(5260, abs=60)


@pytest.mark.parametrize(("format", "refused"), [(Pcm(), 1), (Pcmu(), 0), (Pcma(), 0)])
async def test_only_formats_of_two_bytes_can_have_half_a_sample(format: AudioFormat, refused: int) -> None:
    odd = e.InputAudioBufferAppend(audio=b"\xd5" * 161)
    timeline = await Simulation(session=transcribed(format=format)).run(ClientSends(0.1, odd), until=0.5)
    assert errors(timeline) == [("invalid_value", "audio")] * refused


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
async def test_sound_in_an_item_is_in_the_sessions_format(law: g711.Law) -> None:
    telephone = Pcmu() if law == "ulaw" else Pcma()
    sound = g711.encode(array("h", [1000] * G711_RATE).tobytes(), law)
    item = Message(role="user", content=(InputAudio(audio=sound),))
    simulation = Simulation(session=transcribed(format=telephone))
    timeline = await simulation.run(
        CallerSays(2.0, "One two", seconds=1), ClientSends(0.1, e.ConversationItemCreate(item=item)), until=1.5
    )
    (told,) = timeline.of(e.TranscriptionCompleted)
    assert told.transcript == "One two"
    assert told.usage.seconds == pytest.approx(1.0, abs=0.01)


async def test_an_append_longer_than_the_buffer_is_refused_whole() -> None:
    simulation = Simulation(
        session=transcribed(format=Pcmu(), turn_detection=None), limits=Limits(input_buffer_seconds=2)
    )
    long = e.InputAudioBufferAppend(audio=b"\xff" * 3 * G711_RATE)
    timeline = await simulation.run(
        ClientSends(0.2, long), ClientSends(0.5, e.InputAudioBufferCommit()), until=1
    )
    assert errors(timeline) == [("input_audio_buffer_full", "audio")]
    assert len(timeline.of(e.InputAudioBufferCommitted)) == 1


# what the transcriber is told


@pytest.mark.parametrize(
    ("settings", "language", "prompt"),
    [
        (TranscriptionSettings(), None, None),
        (TranscriptionSettings(model="whatever", language="de"), "de", None),
        (TranscriptionSettings(languages=("en",)), "en", None),
        (TranscriptionSettings(languages=("en", "de")), None, None),
        (TranscriptionSettings(prompt="A call about ships."), None, "A call about ships."),
        (TranscriptionSettings(keywords=("Ada", "Grace")), None, "Ada, Grace"),
        (TranscriptionSettings(prompt="Names:", keywords=("Ada",)), None, "Names: Ada"),
    ],
)
def test_what_the_client_says_of_the_words_is_handed_on(
    settings: TranscriptionSettings, language: str | None, prompt: str | None
) -> None:
    settings = InputProcessing.of(transcribed(transcription=settings))
    assert (settings.language, settings.prompt) == (language, prompt)


# words while they are spoken


def while_speaking(timeline: Timeline) -> list[e.TranscriptionDelta]:
    until = timeline.at(e.InputAudioBufferSpeechStopped)
    return [
        h.event
        for h in timeline.entries
        if isinstance(h.event, e.TranscriptionDelta) and h.at - timeline.started_at < until
    ]


async def test_a_conversation_shows_the_words_while_they_are_spoken() -> None:
    timeline = await Simulation(["Paris."], session=transcribed()).run(CallerSays(0.5, QUESTION), until=9)
    assert len(while_speaking(timeline)) >= 2
    assert deltas(timeline) == transcripts(timeline)
    (started,) = timeline.of(e.InputAudioBufferSpeechStarted)
    assert set(deltas(timeline)) == {started.item_id}


async def test_who_wants_no_transcripts_is_told_nothing_and_nobody_looks() -> None:
    simulation = Simulation(["Paris."], session=transcribed(transcription=None))
    timeline = await simulation.run(CallerSays(0.5, QUESTION), until=9)
    assert not timeline.of(e.TranscriptionDelta, e.TranscriptionCompleted)
    assert simulation.engine.providers.transcriber.requests == 1, "in the pause"


async def test_a_transcriber_that_is_paid_is_asked_in_pauses_only() -> None:
    simulation = Simulation(["Paris."], session=transcribed())
    simulation.engine.providers.transcriber.supports_partials = False
    timeline = await simulation.run(CallerSays(0.5, QUESTION), until=9)
    assert simulation.engine.providers.transcriber.requests == 1
    assert deltas(timeline) == transcripts(timeline)
    assert not while_speaking(timeline)


async def test_it_is_asked_once_a_second_at_most() -> None:
    simulation = Simulation(["Paris."], session=transcribed(), transcriber_delay=0.05)
    await simulation.run(CallerSays(0.5, QUESTION), until=9)
    spoken = len(QUESTION) * 0.06
    assert simulation.engine.providers.transcriber.requests <= spoken + 1


async def test_a_slow_transcriber_is_asked_less_often() -> None:
    simulation = Simulation(["Paris."], session=transcribed(), transcriber_delay=0.5)
    await simulation.run(CallerSays(0.5, QUESTION), until=9)
    assert simulation.engine.providers.transcriber.requests == 2, (
        "once, for it took half a second of four; and in the pause"
    )


async def test_a_client_may_want_to_wait_longer_for_surer_words() -> None:
    asked = []
    for delay in ("minimal", "low", "medium", "high", "xhigh"):
        simulation = Simulation(
            ["Paris."], session=transcribed(transcription=TranscriptionSettings(delay=delay))
        )
        await simulation.run(CallerSays(0.5, QUESTION), until=9)
        asked.append(simulation.engine.providers.transcriber.requests)
    assert asked == sorted(asked, reverse=True)
    assert asked[0] > asked[-1]


async def test_a_turn_of_which_no_more_is_shown_is_written_down_at_its_end() -> None:
    words = " ".join(f"word{n}" for n in range(20))
    simulation = Simulation(session=transcribed(), limits=Limits(partial_transcript_seconds=2))
    timeline = await simulation.run(CallerSays(0.5, words), until=12)
    assert simulation.engine.providers.transcriber.requests <= 3
    assert deltas(timeline) == transcripts(timeline)


async def test_the_answer_is_as_soon_as_without() -> None:
    """A partial transcript in progress is cancelled when a pause begins, whatever it has come to."""
    for tenths in range(10):
        said = CallerSays(0.5, "What is the capital of France?", seconds=1.8 + tenths / 10)
        plain = await Simulation(
            ["Paris."], session=transcribed(transcription=None), transcriber_delay=0.4
        ).run(said, until=8)
        shown = await Simulation(["Paris."], session=transcribed(), transcriber_delay=0.4).run(said, until=8)
        assert shown.at(e.ResponseOutputAudioDelta) == pytest.approx(
            plain.at(e.ResponseOutputAudioDelta), abs=0.001
        )


async def test_pauses_count_as_evidence() -> None:
    """Whoever pauses every second is never looked at in between, and yet their words are shown."""
    said = [
        CallerSays(0.5 + n * 1.0, words, seconds=0.7)
        for n, words in enumerate(["one two", "three four", "five six."])
    ]
    simulation = Simulation(session=transcribed(), transcriber_delay=0.05)
    timeline = await simulation.run(*said, until=7)
    assert len(while_speaking(timeline)) >= 1
    assert deltas(timeline) == transcripts(timeline)


async def test_a_transcriber_that_fails_in_mid_speech_fails_only_at_the_end() -> None:
    simulation = Simulation(session=transcribed(), transcriber_failure=ProviderError("transcriber", "is deaf"))
    timeline = await simulation.run(CallerSays(0.5, QUESTION), until=9)
    assert simulation.engine.providers.transcriber.requests == 2
    assert len(timeline.of(e.TranscriptionFailed)) == 1
    assert not timeline.of(e.TranscriptionDelta)


async def test_a_transcriber_that_never_answers_is_given_up() -> None:
    simulation = Simulation(
        session=transcribed(),
        transcriber_failure=Unresponsive(),
        limits=Limits(transcription_seconds=1),
    )
    timeline = await simulation.run(CallerSays(0.5, QUESTION), until=9)
    assert len(timeline.of(e.TranscriptionFailed)) == 1


async def test_a_cleared_buffer_tells_no_more_words() -> None:
    timeline = await Simulation(session=transcribed()).run(
        CallerSays(0.5, QUESTION), ClientSends(3.0, e.InputAudioBufferClear()), until=3.6
    )
    cleared = types(timeline).index("input_audio_buffer.cleared")
    assert "conversation.item.input_audio_transcription.delta" not in types(timeline)[cleared:]


# the transcriber's queue


class Slow:
    """A transcriber that takes a second."""

    supports_partials = True

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        await anyio.sleep(1)
        return Transcript(audio.decode())


@dataclass
class UnsureOfFewWords:
    """Takes what is shorter than two seconds for another language."""

    transcriber: Transcriber
    supports_partials = True

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        if len(audio) < 2 * 2 * INPUT_RATE:
            raise UnknownLanguageError("ears", "this may be English", words="I only know English.")
        return await self.transcriber.transcribe(audio, language=language, prompt=prompt)


async def test_a_doubt_about_the_first_words_does_not_silence_the_rest() -> None:
    simulation = Simulation(session=transcribed())
    providers = simulation.engine.providers
    unsure = UnsureOfFewWords(providers.transcriber)
    simulation.engine.providers = dataclass_replace(providers, transcriber=unsure)
    timeline = await simulation.run(CallerSays(1.0, QUESTION, seconds=8), until=12)
    assert len(timeline.of(e.TranscriptionDelta)) > 3
    assert list(deltas(timeline).values()) == [QUESTION]


async def test_work_goes_before_glimpses() -> None:
    queue, seen = TranscriberQueue(Slow()), list[Transcript | None]()

    async def look(sound: bytes) -> None:
        seen.append(await queue.transcribe_partial(sound, seconds=5))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look, b"first")
        await anyio.sleep(0.5)
        await look(b"second")
        assert seen == [None], "one partial transcript at a time"
        began = anyio.current_time()
        told = await queue.transcribe(b"work", seconds=5)
        assert anyio.current_time() - began == 1
        assert told.text == "work"
    assert seen == [None, None], "the first was taken back"
    await look(b"third")
    assert seen[-1] == Transcript("third")


async def test_a_glimpse_is_not_taken_while_somebody_works() -> None:
    queue = TranscriberQueue(Slow())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: queue.transcribe(b"work", seconds=5))
        await anyio.sleep(0.5)
        assert await queue.transcribe_partial(b"look", seconds=5) is None


async def test_who_does_not_say_so_is_not_asked_in_mid_speech() -> None:
    class Paid:
        transcribe = Slow.transcribe

    assert TranscriberQueue(Slow()).supports_partials
    assert not TranscriberQueue(Paid()).supports_partials


# keys


def press(at: float, keys: str, *, seconds: float = 0.1, law: g711.Law = "ulaw") -> ClientSends:
    tones = b"".join(tone(key, seconds, G711_RATE) + bytes(G711_RATE // 5) for key in keys)
    return ClientSends(at, e.InputAudioBufferAppend(audio=g711.encode(tones, law)))


def keys(timeline: Timeline) -> str:
    return "".join(event.event for event in timeline.of(e.DtmfEventReceived))


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
async def test_a_telephones_keys_are_told_and_are_no_speech(law: g711.Law) -> None:
    line = Pcmu() if law == "ulaw" else Pcma()
    simulation = Simulation(session=transcribed(format=line))
    timeline = await simulation.run(press(0.5, "147*", law=law), press(2.0, "#", seconds=0.8, law=law), until=5)
    assert keys(timeline) == "147*#"
    assert not timeline.of(e.InputAudioBufferSpeechStarted)
    assert simulation.engine.providers.transcriber.requests == 0


async def test_a_key_is_told_with_its_date() -> None:
    before = unix_now()
    timeline = await Simulation(session=transcribed(format=Pcmu())).run(press(0.5, "5"), until=2)
    (pressed,) = timeline.of(e.DtmfEventReceived)
    assert before <= pressed.received_at <= unix_now()


async def test_a_key_in_the_middle_of_a_sentence_is_neither_lost_nor_written_down() -> None:
    simulation = Simulation(["Yes."], session=transcribed(format=Pcmu()))
    timeline = await simulation.run(
        CallerSays(0.5, "Press five to go on now please"), press(1.2, "5", seconds=0.06), until=7
    )
    assert keys(timeline) == "5"
    assert len(timeline.of(e.InputAudioBufferSpeechStarted)) == 1


async def test_a_key_does_not_interrupt_us() -> None:
    simulation = Simulation(
        ["One two three four five six seven eight nine ten."], session=transcribed(format=Pcmu())
    )
    timeline = await simulation.run(CallerSays(0.5, "Count to ten."), press(3.0, "5", seconds=0.5), until=9)
    assert keys(timeline) == "5"
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed"]


async def test_in_manual_turns_keys_are_told_and_cut_out() -> None:
    simulation = Simulation(session=transcribed(format=Pcmu(), turn_detection=None))
    timeline = await simulation.run(
        press(0.5, "9", seconds=0.6), ClientSends(2.0, e.InputAudioBufferCommit()), until=3
    )
    assert keys(timeline) == "9"
    assert list(transcripts(timeline).values()) == [""]


async def test_who_sends_no_telephones_sound_has_no_keys() -> None:
    sound = resample(tone("5", 0.5, 8000), 8000, 24_000)
    timeline = await Simulation(session=transcribed()).run(
        ClientSends(0.5, e.InputAudioBufferAppend(audio=sound)), until=3
    )
    assert not timeline.of(e.DtmfEventReceived)


async def test_who_presses_keys_is_still_there() -> None:
    session = transcribed(format=Pcmu(), turn_detection=ServerVad(idle_timeout_ms=5000))
    timeline = await Simulation(session=session).run(press(3.0, "1"), until=7)
    assert not timeline.of(e.InputAudioBufferTimeoutTriggered)


# noise


@dataclass
class Deafening:
    """A denoiser that takes the first saying for noise; it notes who asked for it."""

    asked: list[NoiseReduction] = field(default_factory=list)

    def denoiser(self, reduction: NoiseReduction) -> "Deafening":
        self.asked.append(reduction)
        return self

    def denoise(self, sound: bytes) -> bytes:
        return array("h", [0 if 500 < sample < 1500 else sample for sample in array("h", sound)]).tobytes()


def with_denoiser(session: Session) -> tuple[Simulation, Deafening]:
    simulation, denoiser = Simulation(["Fine."], session=session), Deafening()
    simulation.engine.providers = dataclass_replace(simulation.engine.providers, denoiser=denoiser)
    return simulation, denoiser


NOISE_AND_WORDS = (CallerSays(0.5, "whirr whirr whirr"), CallerSays(2.5, "Is anybody there?"))


@pytest.mark.parametrize("kind", ["near_field", "far_field"])
async def test_noise_reduction_is_done_before_anybody_hears(kind: Literal["near_field", "far_field"]) -> None:
    simulation, denoiser = with_denoiser(transcribed(noise_reduction=NoiseReduction(type=kind)))
    timeline = await simulation.run(*NOISE_AND_WORDS, until=6)
    assert list(transcripts(timeline).values()) == ["Is anybody there?"]
    assert len(timeline.of(e.InputAudioBufferSpeechStarted)) == 1
    assert [reduction.type for reduction in denoiser.asked] == [kind]


async def test_in_manual_turns_too() -> None:
    simulation, _ = with_denoiser(
        transcribed(turn_detection=None, noise_reduction=NoiseReduction(type="near_field"))
    )
    timeline = await simulation.run(*NOISE_AND_WORDS, ClientSends(5.0, e.InputAudioBufferCommit()), until=6)
    assert list(transcripts(timeline).values()) == ["Is anybody there?"]


async def test_who_does_not_ask_for_it_is_heard_as_they_are() -> None:
    simulation, denoiser = with_denoiser(transcribed())
    timeline = await simulation.run(*NOISE_AND_WORDS, until=7)
    assert not denoiser.asked
    assert list(transcripts(timeline).values()) == ["whirr whirr whirr", "Is anybody there?"]


async def test_it_can_be_switched_on_and_off() -> None:
    simulation, denoiser = with_denoiser(transcribed())
    on = InputSettings(noise_reduction=NoiseReduction(type="far_field", strength=0.5))
    off = InputSettings(noise_reduction=None)
    updates = [Session(audio=SessionAudio(input=settings)) for settings in (on, off)]
    steps = [
        ClientSends(0.1, e.SessionUpdate(session=updates[0])),
        ClientSends(2.0, e.SessionUpdate(session=updates[1])),
    ]
    timeline = await simulation.run(*steps, CallerSays(0.5, "whirr whirr", seconds=4), until=7)
    assert [reduction.strength for reduction in denoiser.asked] == [0.5]
    (started,) = timeline.of(e.InputAudioBufferSpeechStarted)
    assert started.audio_start_ms == pytest.approx(2000 - 300, abs=60)


@pytest.mark.parametrize(
    "reduction", [NoiseReduction(type="near_field"), NoiseReduction(type="far_field"), None]
)
async def test_without_a_denoiser_it_is_accepted_all_the_same(reduction: NoiseReduction | None) -> None:
    update = Session(audio=SessionAudio(input=InputSettings(noise_reduction=reduction)))
    timeline = await Simulation().run(
        ClientSends(0.1, e.SessionUpdate(session=update)), CallerSays(0.5, "Hello."), until=4
    )
    assert not errors(timeline)
    shown = timeline.of(e.SessionUpdated)[0].session.audio.input.noise_reduction
    assert (shown and shown.type) == (reduction and reduction.type)
    assert timeline.of(e.ResponseDone)


# long silence


async def test_silence_is_counted_from_the_end_of_what_we_say() -> None:
    session = transcribed(turn_detection=ServerVad(idle_timeout_ms=5000))
    simulation = Simulation(
        ["That is a rather long answer to a short question.", "Still there?"], session=session
    )
    timeline = await simulation.run(CallerSays(0.5, "Hello."), until=16)
    (timeout, *_) = timeline.of(e.InputAudioBufferTimeoutTriggered)
    sound = sum(
        len(event.delta) for event in timeline.of(e.ResponseOutputAudioDelta)[: _first_answer(timeline)]
    )
    heard_until = timeline.at(e.ResponseOutputAudioDelta) + sound / 48_000
    late = timeline.at(e.InputAudioBufferTimeoutTriggered) - (heard_until + 5)
    assert 0 <= late <= 0.3, "a quarter of a second is allowed for what lies between us and the caller's ear"
    assert timeout.audio_start_ms == pytest.approx((heard_until + late) * 1000, abs=40)
    assert timeout.audio_end_ms - timeout.audio_start_ms == pytest.approx(5000, abs=40)


async def test_silence_becomes_an_empty_item_and_is_answered_in_order() -> None:
    session = transcribed(turn_detection=ServerVad(idle_timeout_ms=5000))
    timeline = await Simulation(["Still there?"], session=session).run(until=6)
    expected = [
        "session.created",
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert types(timeline)[: len(expected)] == expected
    (timeout,) = timeline.of(e.InputAudioBufferTimeoutTriggered)
    (committed,) = timeline.of(e.InputAudioBufferCommitted)
    added = timeline.of(e.ConversationItemAdded)[0].item
    assert timeout.item_id == committed.item_id == added.id
    assert added == replace(added, role="user", content=(InputAudio(transcript=None),))


async def test_who_speaks_is_not_asked_whether_they_are_there() -> None:
    session = transcribed(turn_detection=ServerVad(idle_timeout_ms=5000))
    said = [CallerSays(4.0, "Wait, let me think about it for a while."), CallerSays(10.5, "Yes.")]
    timeline = await Simulation(["Fine."], session=session).run(*said, until=12)
    assert not timeline.of(e.InputAudioBufferTimeoutTriggered)


def _first_answer(timeline: Timeline) -> int:
    """How many pieces of sound the first answer has."""
    first = timeline.of(e.ResponseOutputAudioDelta)[0].response_id
    return sum(event.response_id == first for event in timeline.of(e.ResponseOutputAudioDelta))
