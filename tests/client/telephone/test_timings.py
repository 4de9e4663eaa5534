"""The timings of a call are those that a caller would measure with a stopwatch."""

from client.telephone.answering import tone
from vivavoce.client.telephone.playout_queue import PlayoutQueue
from vivavoce.client.telephone.timings import Hole, SpokenRecording, turns

RATE = 8000


def heard(*pushed: tuple[float, bytes]) -> PlayoutQueue:
    queue = PlayoutQueue(RATE, 60)
    for at, audio in pushed:
        queue.push(audio, at)
    return queue


def test_the_first_sound_is_timed_from_the_end_of_speech_not_the_first_frame() -> None:
    quiet_at_first = bytes(RATE) + tone(1)  # half a second
    (turn,) = turns([SpokenRecording("question", 1.0, 2.0)], heard((2.3, quiet_at_first)))
    assert (turn.first_frame, turn.first_sound, turn.answer) == (2.3 - 2.0, 2.8 - 2.0, 1.0)


def test_a_late_frame_is_not_heard_before_it_came() -> None:
    (turn,) = turns([SpokenRecording("question", 0.0, 1.0)], heard((1.0, bytes(320)), (1.05, tone(0.02))))
    assert turn.first_sound is not None
    assert abs(turn.first_sound - 0.05) < 1e-9


def test_a_call_in_which_nothing_was_said_has_no_turns() -> None:
    assert turns([], heard((0.0, tone(1)))) == []


def test_nothing_audible_is_no_answer() -> None:
    (turn,) = turns([SpokenRecording("question", 1.0, 2.0)], heard((2.3, bytes(RATE))))
    assert (turn.first_sound, turn.answer) == (None, 0.0)


def test_who_is_interrupted_hears_the_answer_before_he_has_ended() -> None:
    (turn,) = turns([SpokenRecording("question", 1.0, 2.0)], heard((1.5, tone(1))))
    assert turn.first_sound == -0.5


def test_holes_are_within_an_answer_and_pauses_between_turns_are_none() -> None:
    queue = heard((1.2, tone(1)), (2.5, tone(1)), (9.0, tone(1)))
    first, second = turns([SpokenRecording("one", 0.0, 1.0), SpokenRecording("two", 5.0, 6.0)], queue)
    assert [(round(hole.at, 3), round(hole.seconds, 3)) for hole in first.holes] == [(2.2, 0.3)]
    assert (second.holes, second.first_sound) == ([], 3.0)


def test_holes_in_silence_around_an_answer_are_none() -> None:
    queue = heard((1.0, bytes(320)), (1.5, tone(1)), (2.5, tone(0.5)), (4.0, bytes(320)))
    (turn,) = turns([SpokenRecording("one", 0.0, 1.0)], queue)
    assert turn.holes == list[Hole]()


def test_quiet_is_timed_from_the_true_beginning_of_an_interruption() -> None:
    said = [SpokenRecording("one", 0.0, 1.0), SpokenRecording("barge", 3.0, 4.0, interrupts=True)]
    queue = heard((1.2, tone(5)))
    queue.clear(3.25)
    queue.push(tone(1), 4.5)
    asked, interrupted = turns(said, queue)
    assert (asked.quiet, interrupted.quiet, interrupted.first_sound) == (None, 0.25, 0.5)


def test_an_answer_that_goes_on_is_never_quiet() -> None:
    said = [SpokenRecording("one", 0.0, 1.0), SpokenRecording("barge", 3.0, 4.0, interrupts=True)]
    _, interrupted = turns(said, heard((1.2, tone(5))))
    assert interrupted.quiet is None


def test_an_answer_that_was_over_before_is_quiet_at_once() -> None:
    said = [SpokenRecording("one", 0.0, 1.0), SpokenRecording("barge", 3.0, 4.0, interrupts=True)]
    _, interrupted = turns(said, heard((1.2, tone(0.5))))
    assert interrupted.quiet == 0.0
