"""Who may speak, by arithmetic: a caller is a list of probabilities."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.turn_taking import (
    Change,
    InterruptionDismissed,
    InterruptionSuspected,
    Paused,
    Resumed,
    SpeechStarted,
    SpeechStopped,
    TurnRules,
    TurnTaking,
    required_silence_ms,
)

FRAME = 32
FIXED = TurnRules(silence_ms=512)
SEMANTIC = TurnRules()


def hear(turns: TurnTaking, *stretches: tuple[float, int], assistant_speaks: bool = False) -> list[Change]:
    """Feed stretches of (probability, ms); return what changed."""
    return list(_changes(turns, stretches, assistant_speaks))


def _changes(
    turns: TurnTaking, stretches: tuple[tuple[float, int], ...], assistant_speaks: bool
) -> Iterator[Change]:
    for probability, ms in stretches:
        for _ in range(ms // FRAME):
            if change := turns.on_frame(probability, FRAME, assistant_speaks=assistant_speaks):
                yield change


# a turn


def test_a_turn_starts_pauses_and_stops() -> None:
    turns = TurnTaking(FIXED)
    changes = hear(turns, (0, 320), (0.9, 960), (0, 960))
    assert changes == [SpeechStarted(320), Paused(1280, 1), SpeechStopped(1280)]
    assert turns.now_ms == 2240
    assert not turns.speaking


def test_the_stop_comes_after_exactly_the_fixed_silence() -> None:
    turns = TurnTaking(FIXED)
    hear(turns, (0.9, 960), (0, 480))
    assert turns.speaking
    assert hear(turns, (0, 32)) == [SpeechStopped(960)]


def test_a_fixed_silence_shorter_than_a_pause_stops_without_one() -> None:
    assert hear(TurnTaking(TurnRules(silence_ms=32)), (0.9, 320), (0, 64)) == [
        SpeechStarted(0),
        SpeechStopped(320),
    ]


def test_a_click_or_a_short_noise_is_no_turn() -> None:
    assert hear(TurnTaking(SEMANTIC), (0.9, 96), (0, 160), (0.9, 160), (0, 960)) == []


def test_a_dip_in_the_first_word_is_part_of_it() -> None:
    assert hear(TurnTaking(SEMANTIC), (0.9, 96), (0.1, 64), (0.9, 96)) == [SpeechStarted(0)]


def test_speech_that_fades_is_still_speech() -> None:
    assert hear(TurnTaking(FIXED), (0.9, 320), (0.4, 960)) == [SpeechStarted(0)]


def test_a_higher_threshold_hears_less() -> None:
    assert hear(TurnTaking(TurnRules(threshold=0.8)), (0.7, 960)) == []


def test_they_may_go_on_after_a_pause() -> None:
    turns = TurnTaking(FIXED)
    changes = hear(turns, (0.9, 320), (0, 320), (0.9, 320), (0, 96))
    assert changes == [SpeechStarted(0), Paused(320, 1), Resumed(640, 1), Paused(960, 2)]


def test_a_click_does_not_end_a_pause() -> None:
    turns = TurnTaking(FIXED)
    changes = hear(turns, (0.9, 320), (0, 320), (0.9, 32), (0, 320))
    assert changes == [SpeechStarted(0), Paused(320, 1), SpeechStopped(320)]


def test_nobody_is_stopped_in_the_middle_of_a_word() -> None:
    turns = TurnTaking(FIXED)
    changes = hear(turns, (0.9, 320), (0, 480), (0.9, 320))
    assert changes == [SpeechStarted(0), Paused(320, 1), Resumed(800, 1)]


# evidence


def paused(rules: TurnRules = SEMANTIC, *, spoken_ms: int = 960) -> TurnTaking:
    turns = TurnTaking(rules)
    assert hear(turns, (0.9, spoken_ms), (0, 64)) == [SpeechStarted(0), Paused(spoken_ms, 1)]
    return turns


def silence_until_stop(turns: TurnTaking) -> int:
    """Count the milliseconds of further silence until the turn is over."""
    ms = 0
    while turns.speaking:
        hear(turns, (0, FRAME))
        ms += FRAME
    return ms


def test_a_whole_question_is_answered_as_soon_as_it_is_understood() -> None:
    turns = paused()
    hear(turns, (0, 64))
    assert turns.judge_pause(1, finished=0.98, words="How old is the bridge?") == SpeechStopped(960)


def test_an_unfinished_sentence_is_waited_for() -> None:
    turns = paused()
    assert turns.judge_pause(1, finished=0.1, words="How old is the") is None
    assert 1000 < silence_until_stop(turns) < 1440


def test_a_statement_waits_some_hundred_milliseconds() -> None:
    turns = paused()
    assert turns.judge_pause(1, finished=0.95, words="The rain in Spain stays mainly on the plain.") is None
    assert 200 < silence_until_stop(turns) < 500


def test_who_says_um_may_think() -> None:
    turns = paused()
    turns.judge_pause(1, finished=0.9, words="I would like, um,")
    assert silence_until_stop(turns) > 1400


def test_without_evidence_a_turn_ends_all_the_same() -> None:
    assert silence_until_stop(paused()) == 1440


def test_evidence_that_could_not_be_had_leaves_it_to_silence() -> None:
    turns = paused()
    assert turns.judge_pause(1, finished=None, words=None) is None
    assert silence_until_stop(turns) < 600


def test_evidence_may_come_piece_by_piece() -> None:
    turns = paused()
    hear(turns, (0, 64))
    assert turns.judge_pause(1, finished=0.99, words=None) is None
    assert turns.judge_pause(1, finished=0.99, words="Where is my order?") == SpeechStopped(960)


def test_evidence_about_an_old_pause_is_ignored() -> None:
    turns = paused()
    hear(turns, (0.9, 320))
    assert turns.judge_pause(1, finished=1, words="Where is it now?") is None
    hear(turns, (0, 64))
    assert turns.judge_pause(1, finished=1, words="Where is it now?") is None
    assert turns.speaking


def test_with_a_fixed_silence_evidence_changes_nothing() -> None:
    turns = paused(FIXED)
    assert turns.judge_pause(1, finished=1, words="Where is it now?") is None
    assert silence_until_stop(turns) == 448


@pytest.mark.parametrize(
    ("eagerness", "least", "most"), [("low", 500, 600), ("medium", 350, 450), ("high", 200, 300)]
)
def test_eagerness_says_what_a_doubt_costs(eagerness: str, least: int, most: int) -> None:
    rules = TurnRules(eagerness=eagerness)  # type: ignore[arg-type]
    ms = required_silence_ms(rules, finished=0.9, words="It is on the table.", turn_ms=1500, longest_pause_ms=0)
    assert least < ms < most


def test_the_ear_counts_for_little_on_a_word_or_two() -> None:
    def doubt(turn_ms: int) -> float:
        said = {"words": "What's the weather like?", "longest_pause_ms": 0.0}
        heard = [required_silence_ms(SEMANTIC, finished=p, turn_ms=turn_ms, **said) for p in (0.0, 1.0)]  # type: ignore[arg-type]
        return heard[0] - heard[1]

    assert doubt(500) < 60
    assert doubt(5000) > 300


# memory


def test_those_who_pause_long_are_given_more_time() -> None:
    quick, slow = paused(spoken_ms=960), TurnTaking(SEMANTIC)
    hear(slow, (0.9, 320), (0, 640), (0.9, 960), (0, 64))
    for turns, pause in ((quick, 1), (slow, 2)):
        turns.judge_pause(pause, finished=0.9, words="It is on the table.")
    assert silence_until_stop(slow) > silence_until_stop(quick) + 100


def test_a_turn_closed_too_early_is_taken_back_and_remembered() -> None:
    plain, hasty = paused(), paused()
    for turns in (plain, hasty):
        assert turns.judge_pause(1, finished=1, words="How old is the bridge?") == SpeechStopped(960)
    hear(plain, (0, 640), assistant_speaks=True)
    hear(hasty, (0, 640))
    for turns in (plain, hasty):
        assert hear(turns, (0.9, 960), (0, 64)) == [SpeechStarted(1664), Paused(2624, 2)]
        turns.judge_pause(2, finished=0.9, words="It is on the table.")
    assert silence_until_stop(hasty) > silence_until_stop(plain) + 100


def test_a_pause_long_ago_is_forgotten_little_by_little() -> None:
    turns = TurnTaking(FIXED)
    hear(turns, (0.9, 320), (0, 480), (0.9, 320), (0, 640))
    for _ in range(4):
        hear(turns, (0, 3200), (0.9, 320), (0, 640))
    turns.reset()
    turns.use(SEMANTIC)
    hear(turns, (0.9, 960), (0, 64))
    turns.judge_pause(7, finished=0.9, words="It is on the table.")
    fresh = paused()
    fresh.judge_pause(1, finished=0.9, words="It is on the table.")
    assert abs(silence_until_stop(turns) - silence_until_stop(fresh)) <= FRAME


# over our voice


def suspecting() -> TurnTaking:
    turns = TurnTaking(SEMANTIC)
    assert hear(turns, (0, 320), (0.9, 64), assistant_speaks=True) == [InterruptionSuspected(384, 1)]
    return turns


def test_a_cough_holds_the_voice_and_settles() -> None:
    turns = suspecting()
    assert hear(turns, (0.9, 64), (0, 320), assistant_speaks=True) == [InterruptionDismissed(608)]
    assert hear(turns, (0, 960), assistant_speaks=True) == []


def test_real_words_over_our_voice_take_the_floor() -> None:
    turns = suspecting()
    hear(turns, (0.9, 160), assistant_speaks=True)
    assert turns.judge_interruption(1, "No, wait") == SpeechStarted(320)
    assert turns.speaking


def test_words_that_come_before_enough_sound_wait_for_it() -> None:
    turns = suspecting()
    assert turns.judge_interruption(1, "Stop") is None
    assert hear(turns, (0.9, 96), assistant_speaks=True) == []
    assert hear(turns, (0.9, 32), assistant_speaks=True) == [SpeechStarted(320)]


@pytest.mark.parametrize("words", ["Uh-huh.", ""])
def test_a_listener_who_nods_does_not_stop_us(words: str) -> None:
    turns = suspecting()
    hear(turns, (0.9, 160), assistant_speaks=True)
    assert turns.judge_interruption(1, words) is None
    assert hear(turns, (0.9, 256), (0, 320), assistant_speaks=True) == [InterruptionDismissed(960)]


def test_a_nod_is_not_misheard_at_its_end() -> None:
    turns = suspecting()
    hear(turns, (0.9, 160), assistant_speaks=True)
    assert turns.judge_interruption(1, "Okay.") is None
    hear(turns, (0.9, 64), (0, 96), assistant_speaks=True)
    assert turns.judge_interruption(1, "Look.") is None
    assert hear(turns, (0, 320), assistant_speaks=True) == [InterruptionDismissed(768)]


def test_a_nod_that_goes_on_is_more_than_a_nod() -> None:
    turns = suspecting()
    turns.judge_interruption(1, "Yeah.")
    assert hear(turns, (0.9, 960), assistant_speaks=True) == [SpeechStarted(320)]
    nod = suspecting()
    nod.judge_interruption(1, "Yeah.")
    hear(nod, (0.9, 320), assistant_speaks=True)
    assert nod.judge_interruption(1, "Yeah, but what about Tuesday?") == SpeechStarted(320)


def test_without_words_the_length_decides() -> None:
    turns = suspecting()
    assert hear(turns, (0.9, 256), assistant_speaks=True) == []
    assert turns.judge_interruption(1, "The.") is None
    assert hear(turns, (0.9, 32), assistant_speaks=True) == [SpeechStarted(320)]


def test_words_about_an_interruption_that_is_over_are_ignored() -> None:
    turns = suspecting()
    hear(turns, (0, 320), assistant_speaks=True)
    assert turns.judge_interruption(1, "No, wait") is None
    assert hear(turns, (0.9, 96), assistant_speaks=True) == [InterruptionSuspected(768, 2)]
    assert turns.judge_interruption(1, "No, wait") is None


def test_when_we_fall_silent_the_usual_rule_holds() -> None:
    turns = suspecting()
    assert hear(turns, (0.9, 128), assistant_speaks=False) == [SpeechStarted(320)]


def answering(ms: int) -> TurnTaking:
    turns = TurnTaking(SEMANTIC)
    for _ in range(ms // FRAME):
        turns.on_frame(0.9, FRAME, assistant_speaks=True, assistant_asks=True)
    return turns


def test_at_the_end_of_a_question_a_yes_is_an_answer_and_no_backchannel() -> None:
    assert answering(256).judge_interruption(1, "Yes.") == SpeechStarted(0)
    assert answering(128).judge_interruption(1, "Yes.") is None, "it is too short yet"
    assert hear(answering(320), (0, 160), assistant_speaks=True) == [SpeechStarted(0)], "with unknown words"
    coughed = answering(256)
    assert coughed.judge_interruption(1, "") is None
    assert hear(coughed, (0, 160), assistant_speaks=True) == [InterruptionDismissed(416)]


def test_where_only_words_interrupt_no_other_sound_does_however_long() -> None:
    turns = TurnTaking(TurnRules(only_words_interrupt=True))
    assert hear(turns, (0.9, 3200), assistant_speaks=True) == [InterruptionSuspected(64, 1)]
    assert turns.judge_interruption(1, "") is None
    assert turns.judge_interruption(1, "Uh-huh.") is None
    assert turns.judge_interruption(1, "No, wait") == SpeechStarted(0)


def test_after_a_reset_everything_begins_anew_but_time() -> None:
    turns = suspecting()
    turns.reset()
    assert turns.judge_interruption(1, "No, wait") is None
    assert hear(turns, (0, 320), assistant_speaks=True) == []
    assert turns.now_ms == 704
    turns = paused()
    turns.reset()
    assert not turns.speaking
    assert turns.judge_pause(1, finished=1, words="Where is it now?") is None


def test_a_turn_goes_on_under_other_rules() -> None:
    turns = paused()
    turns.use(FIXED)
    assert turns.speaking
    assert (FIXED.silence_ms or 0) - 100 <= silence_until_stop(turns) <= (FIXED.silence_ms or 0)


def test_the_start_of_speech_is_known_before_it_is_a_turn() -> None:
    turns = TurnTaking(FIXED)
    assert turns.speech_start_ms is None
    hear(turns, (0, 320), (0.9, 96))
    assert turns.speech_start_ms == 320
    hear(turns, (0.9, 320))
    assert (turns.speaking, turns.speech_start_ms) == (True, 320)


# laws

RULES = st.sampled_from([SEMANTIC, FIXED, TurnRules(silence_ms=96), TurnRules(eagerness="high", threshold=0.3)])
WORDS = st.sampled_from([None, "", "Yeah.", "Where is it now?", "I would like to", "It is on the table.", "um"])
STEP = st.one_of(
    st.tuples(st.just("hear"), st.floats(0, 1), st.integers(1, 12), st.booleans()),
    st.tuples(st.just("judge"), st.none() | st.floats(0, 1), st.integers(0, 2), WORDS),
    st.tuples(st.just("judge interruption"), st.none(), st.integers(0, 2), WORDS),
)
STEPS = st.lists(STEP, max_size=60)


def play(rules: TurnRules, steps: list[tuple[str, float | None, int, object]]) -> list[tuple[float, Change]]:
    """Play sound and evidence to a turns; return the score."""
    turns, score = TurnTaking(rules), []
    pause = stir = 0
    for kind, number, count, rest in steps:
        changes: list[Change | None] = []
        if kind == "hear":
            for _ in range(count):
                change = turns.on_frame(number or 0.0, FRAME, assistant_speaks=bool(rest))
                changes.append(change)
                score += [(turns.now_ms, change)] if change else []
        else:
            words = rest if isinstance(rest, str) else None
            if kind == "judge":
                change = turns.judge_pause(pause - count, finished=number, words=words)
            else:
                change = turns.judge_interruption(stir - count, words or "")
            changes.append(change)
            score += [(turns.now_ms, change)] if change else []
        for change in changes:
            pause = change.pause if isinstance(change, Paused) else pause
            stir = change.interruption if isinstance(change, InterruptionSuspected) else stir
    return score


@given(RULES, STEPS)
def test_law_turns_start_and_stop_in_turn(
    rules: TurnRules, steps: list[tuple[str, float | None, int, object]]
) -> None:
    kinds = [type(c) for _, c in play(rules, steps) if isinstance(c, SpeechStarted | SpeechStopped)]
    assert all(kind is (SpeechStopped if at % 2 else SpeechStarted) for at, kind in enumerate(kinds))


@given(RULES, STEPS)
def test_law_a_stir_ends_in_peace_or_in_speech(
    rules: TurnRules, steps: list[tuple[str, float | None, int, object]]
) -> None:
    changes = [c for _, c in play(rules, steps)]
    for change, after in pairwise(changes):
        if isinstance(change, InterruptionSuspected):
            assert isinstance(after, InterruptionDismissed | SpeechStarted)
        assert not isinstance(after, InterruptionDismissed) or isinstance(change, InterruptionSuspected)


@given(RULES, STEPS)
def test_law_pauses_lie_inside_turns(
    rules: TurnRules, steps: list[tuple[str, float | None, int, object]]
) -> None:
    speaking, pause = False, None
    for _, change in play(rules, steps):
        match change:
            case SpeechStarted():
                speaking, pause = True, None
            case Paused(pause=number):
                assert speaking
                assert pause is None
                pause = number
            case Resumed(pause=number):
                assert speaking
                assert pause == number
                pause = None
            case SpeechStopped():
                speaking, pause = False, None
            case _:
                assert not speaking


@given(RULES, STEPS)
def test_law_no_turn_stops_before_its_shortest_silence(
    rules: TurnRules, steps: list[tuple[str, float | None, int, object]]
) -> None:
    least = rules.min_silence_ms if rules.silence_ms is None else rules.silence_ms
    assert all(at - c.end_ms >= least for at, c in play(rules, steps) if isinstance(c, SpeechStopped))


@given(RULES, STEPS)
def test_law_the_same_sound_gives_the_same_score(
    rules: TurnRules, steps: list[tuple[str, float | None, int, object]]
) -> None:
    assert play(rules, steps) == play(rules, steps)


@given(RULES, STEPS, st.integers(1, 12))
def test_law_only_sound_is_time(
    rules: TurnRules, steps: list[tuple[str, float | None, int, object]], split: int
) -> None:
    whole = [s for s in steps if s[0] == "hear"]
    heard = FRAME * sum(count for _, _, count, _ in whole)
    turns = TurnTaking(rules)
    for _, probability, count, assistant_speaks in whole:
        for _ in range(count):
            turns.on_frame(probability or 0.0, FRAME, assistant_speaks=bool(assistant_speaks))
        turns.judge_pause(split, finished=None, words=None)
        turns.judge_interruption(split, "")
    assert turns.now_ms == heard


@given(
    st.floats(0, 1) | st.none(),
    st.text(max_size=30) | st.none(),
    st.floats(0, 60_000),
    st.floats(0, 5000),
    st.sampled_from(["low", "medium", "high"]),
)
def test_law_patience_has_bounds(
    finished: float | None, words: str | None, turn_ms: float, pause_ms: float, eagerness: str
) -> None:
    rules = TurnRules(eagerness=eagerness)  # type: ignore[arg-type]
    ms = required_silence_ms(rules, finished=finished, words=words, turn_ms=turn_ms, longest_pause_ms=pause_ms)
    assert rules.min_silence_ms <= ms <= 1.5 * 1.4 * rules.max_silence_ms + 1


def test_the_page_about_turns_shows_what_happens() -> None:
    page = (Path(__file__).parents[1] / "docs" / "turns.md").read_text(encoding="utf-8")
    code, shown = page.split("```python\n")[1].split("```\n\n```\n")
    printed: list[str] = []
    exec(code, {"print": lambda change: printed.append(repr(change))})  # noqa: S102 (our own page)
    assert printed == shown.split("```")[0].splitlines()
