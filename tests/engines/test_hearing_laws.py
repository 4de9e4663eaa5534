"""Laws of transcripts, whatever the caller does and however slow or broken the world is."""

from hypothesis import given
from hypothesis import strategies as st

from engines.hearing import told_as, written_as
from engines.test_laws import callers, lawful, perform, stages
from vivavoce.protocol import events as e
from vivavoce.protocol.session import InputSettings, ServerVad, Session, SessionAudio, TranscriptionSettings
from vivavoce.protocol.settings import merge
from vivavoce.testing.stage import Act, Score, Stage

TOLD = Session(audio=SessionAudio(input=InputSettings(transcription=TranscriptionSettings())))
ENDS = (e.TranscriptionCompleted, e.TranscriptionFailed)


def check_transcripts(score: Score, *, announced: bool) -> None:
    known: set[str] = set()
    told: dict[str, str] = {}
    ended: set[str] = set()
    for event in score.events:
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
    for event in score.of(e.TranscriptionCompleted):
        joined = told.get(event.item_id, "")
        assert joined == event.transcript or not event.transcript.startswith(joined), (
            "the deltas make the whole"
        )


@lawful
@given(stages(), callers())
def test_deltas_come_before_the_whole_and_make_it(stage: Stage, caller: tuple[list[Act], float]) -> None:
    stage.engine.session = merge(stage.engine.session, TOLD)
    acts, until = caller
    check_transcripts(perform(stage, acts, until + 5), announced=True)


@lawful
@given(stages(), callers(), st.sampled_from([None, ServerVad()]))
def test_a_session_that_only_writes_down_never_answers(
    stage: Stage, caller: tuple[list[Act], float], turns: ServerVad | None
) -> None:
    stage.wish = written_as(turn_detection=turns)
    acts, until = caller
    score = perform(stage, acts, until + 5)
    check_transcripts(score, announced=turns is not None)
    assert not score.of(e.ResponseCreated, e.ResponseDone, e.ResponseOutputAudioDelta)
    assert not stage.chat.asked


@lawful
@given(stages(), callers())
def test_what_is_committed_is_written_down(stage: Stage, caller: tuple[list[Act], float]) -> None:
    """All of it, within the transcriber's deadline: or it is said why not."""
    stage.engine.session = merge(told_as(), Session())
    acts, until = caller
    score = perform(stage, acts, until + 20)
    assert {event.item_id for event in score.of(e.InputAudioBufferCommitted)} == {
        event.item_id for event in score.of(*ENDS)
    }
