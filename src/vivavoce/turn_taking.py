"""Who may speak: told how likely each stretch of sound is speech, it says when the floor changes hands.

Pure: no clock, no models, no sound. Time is counted in milliseconds of the caller's sound since the session
began, so the same sound gives the same changes, however fast it is heard. How the numbers were found, and what
they reach on recordings of people: `docs/why/turns.md`.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vivavoce.text.completeness import SENTENCE, completeness, hesitates, is_backchannel, is_doubtful

__all__ = [
    "Change",
    "InterruptionDismissed",
    "InterruptionSuspected",
    "Paused",
    "Resumed",
    "SpeechStarted",
    "SpeechStopped",
    "TurnRules",
    "TurnTaking",
    "patience",
]


@dataclass(frozen=True)
class TurnRules:
    """How a turn begins and ends. Times are milliseconds of sound."""

    threshold: float = 0.5
    """probability (0 to 1) from which a frame is speech"""
    silence_ms: int | None = None
    """silence that ends a turn, whatever was said (`server_vad`); None: judged by what was said"""
    eagerness: Literal["low", "medium", "high"] = "medium"
    """how much a doubt costs; `auto` of the protocol is medium"""
    start_ms: int = 192
    """speech that gives the caller the floor"""
    stir_ms: int = 64
    """sound over our voice for which the voice is held"""
    wordless_ms: int = 352
    """speech over our voice that is believed though no words of it are known"""
    backchannel_ms: int = 608
    """speech over our voice that is believed though it is only `uh-huh`, or has no words"""
    settle_ms: int = 160
    """silence after which a sound over our voice was nothing"""
    pause_ms: int = 64
    """silence that is a pause: an answer may be drafted"""
    resume_ms: int = 64
    """speech that ends a pause; less is a click"""
    shortest_ms: int = 64
    """silence that ends a turn which is surely finished"""
    longest_ms: int = 1500
    """silence that ends any turn, at medium eagerness"""


@dataclass(frozen=True)
class InterruptionSuspected:
    """While we speak: sound that may be an interruption. The voice is held until `Settled` or `SpeechStarted`.

    From here on `Floor.overheard` may be told what was said over us, more than once.
    """

    at_ms: float
    stir: int


@dataclass(frozen=True)
class InterruptionDismissed:
    """It was a cough or an `uh-huh`: the voice goes on."""

    at_ms: float


@dataclass(frozen=True)
class SpeechStarted:
    """The caller has the floor, and began to speak at `start_ms`."""

    start_ms: float


@dataclass(frozen=True)
class Paused:
    """A first short silence inside a turn: their speech ended at `end_ms`, perhaps for good."""

    end_ms: float
    pause: int


@dataclass(frozen=True)
class Resumed:
    """They went on after that pause, at `at_ms`."""

    at_ms: float
    pause: int


@dataclass(frozen=True)
class SpeechStopped:
    """The turn is over; its speech ended at `end_ms`."""

    end_ms: float


Change: TypeAlias = (
    InterruptionSuspected | InterruptionDismissed | SpeechStarted | Paused | Resumed | SpeechStopped
)

HYSTERESIS = 0.7
"""Speech goes on while its probability is above this much of the threshold."""
GAP_MS = 96
"""A shorter dip in the first speech is part of it."""
EAR = 0.3
"""How much the turn model counts at most, beside the words."""
GROWN_MS = 4000
"""Length of a turn from which it counts so much: it knows little about a word or two."""
MEMORY = 1.5
"""How much of the caller's longest pause is added to what a full doubt costs."""
HESITANT = 1.4
"""How much longer than anybody those may be silent who said `um`."""
HESITATION_MS = (160, 2000)
"""A silence of this length inside what somebody says is a pause of theirs."""
EAGERNESS = {"low": 1.5, "medium": 1.0, "high": 0.6}


def patience(
    rules: TurnRules, *, finished: float | None, words: str | None, turn_ms: float, longest_pause_ms: float
) -> float:
    """Say how much silence ends a turn of `turn_ms` about which so much is known.

    `finished` is the turn model's probability, `words` the transcript so far; None is not known.
    `longest_pause_ms` is how long this caller has been silent before and then gone on.
    """
    if rules.silence_ms is not None:
        return rules.silence_ms
    ear = EAR * min(turn_ms / GROWN_MS, 1)
    whole = SENTENCE if words is None else completeness(words)
    doubt = 1 - (1 - ear) * whole - ear * (0.5 if finished is None else finished)
    eagerness = EAGERNESS[rules.eagerness]
    longest = rules.longest_ms
    if words is not None and hesitates(words):
        return eagerness * HESITANT * longest
    span = longest - rules.shortest_ms + MEMORY * longest_pause_ms
    return min(rules.shortest_ms + eagerness * span * doubt, eagerness * longest)


class TurnTaking:
    """One caller's floor. `hear` moves it on; `judge` and `overheard` bring evidence."""

    def __init__(self, rules: TurnRules) -> None:
        self.rules = rules
        self.now_ms: float = 0
        self._pause = self._stir = 0
        self._longest_pause_ms: float = 0
        self._voiced_ms: float = 0
        self._gap_ms: float = 0
        self._onset_ms: float = 0
        self._words: str | None = None
        self._nodded = False
        self.reset()

    def reset(self, rules: TurnRules | None = None) -> None:
        """Forget what is under way (after a manual commit, a clear, new settings). Time and memory stay."""
        self.rules = rules or self.rules
        self.speaking = self._stirred = self._paused = False
        self._start_ms = self._end_ms = self.now_ms
        self._stopped_ms: float | None = None
        self._forget_sound()

    def hear(self, probability: float, ms: float, *, we_speak: bool) -> Change | None:
        """Advance by `ms` of sound, speech with this probability; `we_speak`: our answer is being heard."""
        self.now_ms += ms
        going = self._voiced_ms > 0 or (self.speaking and not self._paused)
        is_speech = probability >= self.rules.threshold * (HYSTERESIS if going else 1)
        if is_speech:
            self._onset_ms = self._onset_ms if self._voiced_ms else self.now_ms - ms
            self._voiced_ms += ms
            self._gap_ms = 0
        else:
            self._gap_ms += ms
        if not self.speaking:
            return self._wait_for_them(we_speak)
        if self._paused:
            return self._wait_for_more()
        return self._listen(is_speech)

    def judge(self, pause: int, *, finished: float | None, words: str | None) -> Change | None:
        """Weigh evidence about a pause: the turn model's probability, and the words so far; None is not known.

        May be told again as more is known. Evidence about a pause that is over changes nothing.
        """
        if not self._paused or pause != self._pause:
            return None
        self._patience_ms = patience(
            self.rules,
            finished=finished,
            words=words,
            turn_ms=self._end_ms - self._start_ms,
            longest_pause_ms=self._longest_pause_ms,
        )
        return self._stop_if_due()

    def overheard(self, stir: int, words: str) -> Change | None:
        """Weigh what was said over us since that stir; may be empty, and told again as more is known.

        Worth telling some 190 ms after the stir, and again every 100 ms while the sound lasts.
        """
        if not self._stirred or stir != self._stir:
            return None
        self._nodded = self._nodded or is_backchannel(words)
        self._words = words
        return self._start_if_believed()

    def _wait_for_them(self, we_speak: bool) -> Change | None:
        if we_speak:
            self._stopped_ms = None
        if self._gap_ms >= (self.rules.settle_ms if self._stirred else GAP_MS):
            return self._settle()
        if not we_speak:
            return self._start() if self._voiced_ms >= self.rules.start_ms else None
        if self._stirred:
            return self._start_if_believed()
        if self._voiced_ms < self.rules.stir_ms:
            return None
        self._stirred = True
        self._stir += 1
        return InterruptionSuspected(self.now_ms, self._stir)

    def _start_if_believed(self) -> Change | None:
        return self._start() if self._voiced_ms >= self._belief_ms() else None

    def _belief_ms(self) -> float:
        """Say how much sound over our voice is enough. Words that came after an `uh-huh` may be misheard."""
        if self._words is None or is_doubtful(self._words):
            return self.rules.wordless_ms
        if not self._words.strip() or is_backchannel(self._words):
            return self.rules.backchannel_ms
        return self.rules.wordless_ms if self._nodded else self.rules.start_ms

    def _settle(self) -> InterruptionDismissed | None:
        was_stirred, self._stirred = self._stirred, False
        self._forget_sound()
        return InterruptionDismissed(self.now_ms) if was_stirred else None

    def _start(self) -> SpeechStarted:
        self._longest_pause_ms /= 2
        if self._stopped_ms is not None:
            self._remember_pause(self._onset_ms - self._stopped_ms)
        self.speaking, self._stirred, self._paused = True, False, False
        self._start_ms, self._end_ms = self._onset_ms, self.now_ms - self._gap_ms
        self._forget_sound()
        return SpeechStarted(self._start_ms)

    def _listen(self, is_speech: bool) -> Change | None:
        if is_speech:
            self._end_ms = self.now_ms
        self._forget_sound()
        if self.now_ms - self._end_ms < self.rules.pause_ms:
            return None
        self._paused = True
        self._pause += 1
        self._patience_ms = self._longest_ms()
        return self._stop_if_due() or Paused(self._end_ms, self._pause)

    def _wait_for_more(self) -> Change | None:
        if self._voiced_ms >= self.rules.resume_ms:
            self._remember_pause(self._onset_ms - self._end_ms)
            self._paused, self._end_ms = False, self.now_ms
            resumed = Resumed(self._onset_ms, self._pause)
            self._forget_sound()
            return resumed
        if self._gap_ms >= self.rules.pause_ms:
            self._forget_sound()
        return self._stop_if_due()

    def _stop_if_due(self) -> SpeechStopped | None:
        if self._voiced_ms or self.now_ms - self._end_ms < self._patience_ms:
            return None
        self.speaking = self._paused = False
        self._stopped_ms = self._end_ms
        self._forget_sound()
        return SpeechStopped(self._end_ms)

    def _longest_ms(self) -> float:
        if self.rules.silence_ms is not None:
            return self.rules.silence_ms
        return EAGERNESS[self.rules.eagerness] * self.rules.longest_ms

    def _remember_pause(self, ms: float) -> None:
        shortest, longest = HESITATION_MS
        if shortest <= ms <= longest:
            self._longest_pause_ms = max(self._longest_pause_ms, ms)

    def _forget_sound(self) -> None:
        """Nothing that is not yet believed to be speech, or its end, has been heard."""
        self._voiced_ms = self._gap_ms = 0
        self._onset_ms = self.now_ms
        self._words, self._nodded = None, False
