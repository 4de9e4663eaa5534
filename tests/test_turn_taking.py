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
    patience,
)

FRAME = 32
FIXED = TurnRules(silence_ms=512)
SEMANTIC = TurnRules()


def hear(floor: TurnTaking, *stretches: tuple[float, int], we_speak: bool = False) -> list[Change]:
    """Let the floor hear stretches of (probability, ms); return what changed."""
    return list(_changes(floor, stretches, we_speak))


def _changes(floor: TurnTaking, stretches: tuple[tuple[float, int], ...], we_speak: bool) -> Iterator[Change]:
    for probability, ms in stretches:
        for _ in range(ms // FRAME):
            if change := floor.hear(probability, FRAME, we_speak=we_speak):
                yield change


# a turn


def test_a_turn_starts_pauses_and_stops() -> None:
    floor = TurnTaking(FIXED)
    changes = hear(floor, (0, 320), (0.9, 960), (0, 960))
    assert changes == [SpeechStarted(320), Paused(1280, 1), SpeechStopped(1280)]
    assert floor.now_ms == 2240
    assert not floor.speaking


def test_the_stop_comes_after_exactly_the_fixed_silence() -> None:
    floor = TurnTaking(FIXED)
    hear(floor, (0.9, 960), (0, 480))
    assert floor.speaking
    assert hear(floor, (0, 32)) == [SpeechStopped(960)]


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
    floor = TurnTaking(FIXED)
    changes = hear(floor, (0.9, 320), (0, 320), (0.9, 320), (0, 96))
    assert changes == [SpeechStarted(0), Paused(320, 1), Resumed(640, 1), Paused(960, 2)]


def test_a_click_does_not_end_a_pause() -> None:
    floor = TurnTaking(FIXED)
    changes = hear(floor, (0.9, 320), (0, 320), (0.9, 32), (0, 320))
    assert changes == [SpeechStarted(0), Paused(320, 1), SpeechStopped(320)]


def test_nobody_is_stopped_in_the_middle_of_a_word() -> None:
    floor = TurnTaking(FIXED)
    changes = hear(floor, (0.9, 320), (0, 480), (0.9, 320))
    assert changes == [SpeechStarted(0), Paused(320, 1), Resumed(800, 1)]


# evidence


def paused(rules: TurnRules = SEMANTIC, *, spoken_ms: int = 960) -> TurnTaking:
    floor = TurnTaking(rules)
    assert hear(floor, (0.9, spoken_ms), (0, 64)) == [SpeechStarted(0), Paused(spoken_ms, 1)]
    return floor


def silence_until_stop(floor: TurnTaking) -> int:
    """Count the milliseconds of further silence until the floor is free."""
    ms = 0
    while floor.speaking:
        hear(floor, (0, FRAME))
        ms += FRAME
    return ms


def test_a_whole_question_is_answered_as_soon_as_it_is_understood() -> None:
    floor = paused()
    hear(floor, (0, 64))
    assert floor.judge(1, finished=0.98, words="How old is the bridge?") == SpeechStopped(960)


def test_an_unfinished_sentence_is_waited_for() -> None:
    floor = paused()
    assert floor.judge(1, finished=0.1, words="How old is the") is None
    assert 1000 < silence_until_stop(floor) < 1440


def test_a_statement_waits_some_hundred_milliseconds() -> None:
    floor = paused()
    assert floor.judge(1, finished=0.95, words="The rain in Spain stays mainly on the plain.") is None
    assert 200 < silence_until_stop(floor) < 500


def test_who_says_um_may_think() -> None:
    floor = paused()
    floor.judge(1, finished=0.9, words="I would like, um,")
    assert silence_until_stop(floor) > 1400


def test_without_evidence_a_turn_ends_all_the_same() -> None:
    assert silence_until_stop(paused()) == 1440


def test_evidence_that_could_not_be_had_leaves_it_to_silence() -> None:
    floor = paused()
    assert floor.judge(1, finished=None, words=None) is None
    assert silence_until_stop(floor) < 600


def test_evidence_may_come_piece_by_piece() -> None:
    floor = paused()
    hear(floor, (0, 64))
    assert floor.judge(1, finished=0.99, words=None) is None
    assert floor.judge(1, finished=0.99, words="Where is my order?") == SpeechStopped(960)


def test_evidence_about_an_old_pause_is_ignored() -> None:
    floor = paused()
    hear(floor, (0.9, 320))
    assert floor.judge(1, finished=1, words="Where is it now?") is None
    hear(floor, (0, 64))
    assert floor.judge(1, finished=1, words="Where is it now?") is None
    assert floor.speaking


def test_with_a_fixed_silence_evidence_changes_nothing() -> None:
    floor = paused(FIXED)
    assert floor.judge(1, finished=1, words="Where is it now?") is None
    assert silence_until_stop(floor) == 448


@pytest.mark.parametrize(
    ("eagerness", "least", "most"), [("low", 500, 600), ("medium", 350, 450), ("high", 200, 300)]
)
def test_eagerness_says_what_a_doubt_costs(eagerness: str, least: int, most: int) -> None:
    rules = TurnRules(eagerness=eagerness)  # type: ignore[arg-type]
    ms = patience(rules, finished=0.9, words="It is on the table.", turn_ms=1500, longest_pause_ms=0)
    assert least < ms < most


def test_the_ear_counts_for_little_on_a_word_or_two() -> None:
    def doubt(turn_ms: int) -> float:
        said = {"words": "What's the weather like?", "longest_pause_ms": 0.0}
        heard = [patience(SEMANTIC, finished=p, turn_ms=turn_ms, **said) for p in (0.0, 1.0)]  # type: ignore[arg-type]
        return heard[0] - heard[1]

    assert doubt(500) < 60
    assert doubt(5000) > 300


# memory


def test_those_who_pause_long_are_given_more_time() -> None:
    quick, slow = paused(spoken_ms=960), TurnTaking(SEMANTIC)
    hear(slow, (0.9, 320), (0, 640), (0.9, 960), (0, 64))
    for floor, pause in ((quick, 1), (slow, 2)):
        floor.judge(pause, finished=0.9, words="It is on the table.")
    assert silence_until_stop(slow) > silence_until_stop(quick) + 100


def test_a_turn_closed_too_early_is_taken_back_and_remembered() -> None:
    plain, hasty = paused(), paused()
    for floor in (plain, hasty):
        assert floor.judge(1, finished=1, words="How old is the bridge?") == SpeechStopped(960)
    hear(plain, (0, 640), we_speak=True)
    hear(hasty, (0, 640))
    for floor in (plain, hasty):
        assert hear(floor, (0.9, 960), (0, 64)) == [SpeechStarted(1664), Paused(2624, 2)]
        floor.judge(2, finished=0.9, words="It is on the table.")
    assert silence_until_stop(hasty) > silence_until_stop(plain) + 100


def test_a_pause_long_ago_is_forgotten_little_by_little() -> None:
    floor = TurnTaking(FIXED)
    hear(floor, (0.9, 320), (0, 480), (0.9, 320), (0, 640))
    for _ in range(4):
        hear(floor, (0, 3200), (0.9, 320), (0, 640))
    floor.reset(SEMANTIC)
    hear(floor, (0.9, 960), (0, 64))
    floor.judge(7, finished=0.9, words="It is on the table.")
    fresh = paused()
    fresh.judge(1, finished=0.9, words="It is on the table.")
    assert abs(silence_until_stop(floor) - silence_until_stop(fresh)) <= FRAME


# over our voice


def stirred() -> TurnTaking:
    floor = TurnTaking(SEMANTIC)
    assert hear(floor, (0, 320), (0.9, 64), we_speak=True) == [InterruptionSuspected(384, 1)]
    return floor


def test_a_cough_holds_the_voice_and_settles() -> None:
    floor = stirred()
    assert hear(floor, (0.9, 64), (0, 320), we_speak=True) == [InterruptionDismissed(608)]
    assert hear(floor, (0, 960), we_speak=True) == []


def test_real_words_over_our_voice_take_the_floor() -> None:
    floor = stirred()
    hear(floor, (0.9, 160), we_speak=True)
    assert floor.overheard(1, "No, wait") == SpeechStarted(320)
    assert floor.speaking


def test_words_that_come_before_enough_sound_wait_for_it() -> None:
    floor = stirred()
    assert floor.overheard(1, "Stop") is None
    assert hear(floor, (0.9, 96), we_speak=True) == []
    assert hear(floor, (0.9, 32), we_speak=True) == [SpeechStarted(320)]


@pytest.mark.parametrize("words", ["Uh-huh.", ""])
def test_a_listener_who_nods_does_not_stop_us(words: str) -> None:
    floor = stirred()
    hear(floor, (0.9, 160), we_speak=True)
    assert floor.overheard(1, words) is None
    assert hear(floor, (0.9, 256), (0, 320), we_speak=True) == [InterruptionDismissed(960)]


def test_a_nod_is_not_misheard_at_its_end() -> None:
    floor = stirred()
    hear(floor, (0.9, 160), we_speak=True)
    assert floor.overheard(1, "Okay.") is None
    hear(floor, (0.9, 64), (0, 96), we_speak=True)
    assert floor.overheard(1, "Look.") is None
    assert hear(floor, (0, 320), we_speak=True) == [InterruptionDismissed(768)]


def test_a_nod_that_goes_on_is_more_than_a_nod() -> None:
    floor = stirred()
    floor.overheard(1, "Yeah.")
    assert hear(floor, (0.9, 960), we_speak=True) == [SpeechStarted(320)]
    nod = stirred()
    nod.overheard(1, "Yeah.")
    hear(nod, (0.9, 320), we_speak=True)
    assert nod.overheard(1, "Yeah, but what about Tuesday?") == SpeechStarted(320)


def test_without_words_the_length_decides() -> None:
    floor = stirred()
    assert hear(floor, (0.9, 256), we_speak=True) == []
    assert floor.overheard(1, "The.") is None
    assert hear(floor, (0.9, 32), we_speak=True) == [SpeechStarted(320)]


def test_words_of_an_old_stir_are_ignored() -> None:
    floor = stirred()
    hear(floor, (0, 320), we_speak=True)
    assert floor.overheard(1, "No, wait") is None
    assert hear(floor, (0.9, 96), we_speak=True) == [InterruptionSuspected(768, 2)]
    assert floor.overheard(1, "No, wait") is None


def test_when_we_fall_silent_the_usual_rule_holds() -> None:
    floor = stirred()
    assert hear(floor, (0.9, 128), we_speak=False) == [SpeechStarted(320)]


def test_after_a_reset_everything_begins_anew_but_time() -> None:
    floor = stirred()
    floor.reset()
    assert floor.overheard(1, "No, wait") is None
    assert hear(floor, (0, 320), we_speak=True) == []
    assert floor.now_ms == 704
    floor = paused()
    floor.reset(FIXED)
    assert not floor.speaking
    assert floor.judge(1, finished=1, words="Where is it now?") is None
    assert floor.rules is FIXED


# laws

RULES = st.sampled_from([SEMANTIC, FIXED, TurnRules(silence_ms=96), TurnRules(eagerness="high", threshold=0.3)])
WORDS = st.sampled_from([None, "", "Yeah.", "Where is it now?", "I would like to", "It is on the table.", "um"])
STEP = st.one_of(
    st.tuples(st.just("hear"), st.floats(0, 1), st.integers(1, 12), st.booleans()),
    st.tuples(st.just("judge"), st.none() | st.floats(0, 1), st.integers(0, 2), WORDS),
    st.tuples(st.just("overheard"), st.none(), st.integers(0, 2), WORDS),
)
STEPS = st.lists(STEP, max_size=60)


def play(rules: TurnRules, steps: list[tuple[str, float | None, int, object]]) -> list[tuple[float, Change]]:
    """Play sound and evidence to a floor; return the score."""
    floor, score = TurnTaking(rules), []
    pause = stir = 0
    for kind, number, count, rest in steps:
        changes: list[Change | None] = []
        if kind == "hear":
            for _ in range(count):
                change = floor.hear(number or 0.0, FRAME, we_speak=bool(rest))
                changes.append(change)
                score += [(floor.now_ms, change)] if change else []
        else:
            words = rest if isinstance(rest, str) else None
            if kind == "judge":
                change = floor.judge(pause - count, finished=number, words=words)
            else:
                change = floor.overheard(stir - count, words or "")
            changes.append(change)
            score += [(floor.now_ms, change)] if change else []
        for change in changes:
            pause = change.pause if isinstance(change, Paused) else pause
            stir = change.stir if isinstance(change, InterruptionSuspected) else stir
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
    least = rules.shortest_ms if rules.silence_ms is None else rules.silence_ms
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
    floor = TurnTaking(rules)
    for _, probability, count, we_speak in whole:
        for _ in range(count):
            floor.hear(probability or 0.0, FRAME, we_speak=bool(we_speak))
        floor.judge(split, finished=None, words=None)
        floor.overheard(split, "")
    assert floor.now_ms == heard


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
    ms = patience(rules, finished=finished, words=words, turn_ms=turn_ms, longest_pause_ms=pause_ms)
    assert rules.shortest_ms <= ms <= 1.5 * 1.4 * rules.longest_ms + 1


def test_the_page_about_turns_shows_what_happens() -> None:
    page = (Path(__file__).parents[1] / "docs" / "turns.md").read_text(encoding="utf-8")
    code, shown = page.split("```python\n")[1].split("```\n\n```\n")
    printed: list[str] = []
    exec(code, {"print": lambda change: printed.append(repr(change))})  # noqa: S102 (our own page)
    assert printed == shown.split("```")[0].splitlines()
