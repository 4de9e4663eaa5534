"""Laws of transcripts, whatever the caller does and however slow or broken the world is."""

from hypothesis import given
from hypothesis import strategies as st

from engines.test_laws import callers, lawful, perform, simulations
from engines.transcription import transcribed, transcribing
from vivavoce.protocol import events as e
from vivavoce.protocol.session import InputSettings, ServerVad, Session, SessionAudio, TranscriptionSettings
from vivavoce.protocol.settings import merge
from vivavoce.testing.simulation import Simulation, Step, Timeline

TOLD = Session(audio=SessionAudio(input=InputSettings(transcription=TranscriptionSettings())))
ENDS = (e.TranscriptionCompleted, e.TranscriptionFailed)


def check_transcripts(timeline: Timeline, *, announced: bool) -> None:
    known: set[str] = set()
    told: dict[str, str] = {}
    ended: set[str] = set()
    for event in timeline.events:
        match event:
            case e.InputAudioBufferSpeechStarted(item_id=item_id):
                known.add(item_id)
            case e.ConversationItemAdded(item=item):
                known.add(str(item.id))
            case e.TranscriptionDelta(item_id=item_id, delta=delta):
                assert delta, "a delta says something"
                assert item_id in known or not announced, "it is known what is being written down"
                assert item_id not in ended, "nothing is told after the whole"
                told[item_id] = told.get(item_id, "") + delta
            case e.TranscriptionCompleted(item_id=item_id) | e.TranscriptionFailed(item_id=item_id):
                assert item_id in known
                assert item_id not in ended, "an item is written down once"
                ended.add(item_id)
            case _:
                pass
    for event in timeline.of(e.TranscriptionCompleted):
        joined = told.get(event.item_id, "")
        assert joined == event.transcript or not event.transcript.startswith(joined), (
            "the deltas make the whole"
        )


@lawful
@given(simulations(), callers())
def test_deltas_come_before_the_whole_and_make_it(
    simulation: Simulation, caller: tuple[list[Step], float]
) -> None:
    simulation.engine.session = merge(simulation.engine.session, TOLD)
    steps, until = caller
    check_transcripts(perform(simulation, steps, until + 5), announced=True)


@lawful
@given(simulations(), callers(), st.sampled_from([None, ServerVad()]))
def test_a_session_that_only_writes_down_never_answers(
    simulation: Simulation, caller: tuple[list[Step], float], turns: ServerVad | None
) -> None:
    simulation.client_session = transcribing(turn_detection=turns)
    steps, until = caller
    timeline = perform(simulation, steps, until + 5)
    check_transcripts(timeline, announced=turns is not None)
    assert not timeline.of(e.ResponseCreated, e.ResponseDone, e.ResponseOutputAudioDelta)
    assert not simulation.chat.requests


@lawful
@given(simulations(), callers())
def test_what_is_committed_is_written_down(simulation: Simulation, caller: tuple[list[Step], float]) -> None:
    """All of it, within the transcriber's deadline: or it is said why not."""
    simulation.engine.session = merge(transcribed(), Session())
    steps, until = caller
    timeline = perform(simulation, steps, until + 20)
    assert {event.item_id for event in timeline.of(e.InputAudioBufferCommitted)} == {
        event.item_id for event in timeline.of(*ENDS)
    }
