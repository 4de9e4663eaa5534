"""Who may speak: told how likely each stretch of sound is speech, it says when the floor changes hands.

Pure: no clock, no models, no sound. Time is counted in milliseconds of the caller's sound since the session
began, so the same sound gives the same changes, however fast it is heard. How the numbers were found, and what
they reach on recordings of people: `docs/why/turns.md`.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vivavoce.words import completeness, is_backchannel

__all__ = [
    "Change",
    "Floor",
    "Paused",
    "Resumed",
    "Settled",
    "SpeechStarted",
    "SpeechStopped",
    "Stirred",
    "TurnRules",
]


@dataclass(frozen=True)
class TurnRules:
    """How a turn begins and ends. Times are milliseconds of sound."""

    threshold: float = 0.5
    """probability (0 to 1) from which a frame is speech"""
    silence_ms: int | None = None
    """silence that ends a turn, whatever was said (`server_vad`); None: judged by what was said"""
    eagerness: Literal["low", "medium", "high"] = "medium"
    """how soon a turn that sounds finished is taken to be so; `auto` of the protocol is medium"""
    start_ms: int = 192
    """speech that gives the caller the floor"""
    stir_ms: int = 64
    """sound over our voice for which the voice is held"""
    wordless_ms: int = 352
    """speech over our voice that is believed though no words of it are known"""
    backchannel_ms: int = 704
    """speech over our voice that is believed though its words are only `uh-huh`, or none"""
    settle_ms: int = 160
    """silence after which a sound over our voice was nothing"""
    pause_ms: int = 64
    """silence that is a pause: an answer may be drafted"""
    resume_ms: int = 64
    """speech that ends a pause; less is a click"""
    shortest_ms: int = 96
    """silence that ends a turn which is surely finished"""
    longest_ms: int = 1200
    """silence that ends any turn"""


@dataclass(frozen=True)
class Stirred:
    """While we speak: sound that may be an interruption. The voice is held until `Settled` or `SpeechStarted`.

    From here on `Floor.overheard` may be told what was said over us, more than once.
    """

    at_ms: float
    stir: int


@dataclass(frozen=True)
class Settled:
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


Change: TypeAlias = Stirred | Settled | SpeechStarted | Paused | Resumed | SpeechStopped

HYSTERESIS = 0.15
GAP_MS = 96


class Floor:
    """One caller's floor. `hear` moves it on; `judge` and `overheard` bring evidence."""

    def __init__(self, rules: TurnRules) -> None:
        self._pauses = self._stirs = 0
        self._past: list[float] = []
        self.now_ms: float = 0
        self.rules = rules
        self.reset()

    def reset(self, rules: TurnRules | None = None) -> None:
        """Forget what is under way (after a manual commit, a clear, or new settings); time goes on."""
        self.rules = rules or self.rules
        self.speaking = False
        self._stirring = self._paused = False
        self._quiet()
        self._end_ms = self.now_ms
        self._stopped_ms: float | None = None

    def hear(self, probability: float, ms: float, *, we_speak: bool) -> Change | None:
        """Advance by `ms` of sound, speech with this probability; `we_speak`: our answer is being heard."""
        self.now_ms += ms
        edge = self.rules.threshold - (HYSTERESIS if self._voiced_ms or self.speaking else 0)
        if probability >= edge:
            if not self._voiced_ms:
                self._onset_ms = self.now_ms - ms
            self._voiced_ms += ms
            self._gap_ms: float = 0
        elif self._voiced_ms:
            self._gap_ms += ms
        if self.speaking:
            return self._hear_them(probability >= edge)
        return self._await_them(we_speak)

    def _quiet(self) -> None:
        self._voiced_ms: float = 0
        self._gap_ms = 0
        self._onset_ms = self.now_ms
        self._words: str | None = None

    def _await_them(self, we_speak: bool) -> Change | None:
        rules = self.rules
        if we_speak:
            self._stopped_ms = None
        if self._gap_ms >= (rules.settle_ms if self._stirring else GAP_MS):
            self._quiet()
            if self._stirring:
                self._stirring = False
                return Settled(self.now_ms)
        if self._voiced_ms >= (self._belief_ms() if we_speak else rules.start_ms):
            return self._start()
        if we_speak and not self._stirring and self._voiced_ms >= rules.stir_ms:
            self._stirring = True
            self._stirs += 1
            return Stirred(self.now_ms, self._stirs)
        return None

    def _belief_ms(self) -> float:
        return self.rules.wordless_ms if self._words is None else self.rules.backchannel_ms

    def _start(self) -> SpeechStarted:
        if self._stopped_ms is not None:
            self._past.append(self._onset_ms - self._stopped_ms)
        onset = self._onset_ms
        self.speaking, self._stirring, self._paused = True, False, False
        self._end_ms = self.now_ms - self._gap_ms
        self._quiet()
        return SpeechStarted(onset)

    def _hear_them(self, speech: bool) -> Change | None:
        rules = self.rules
        if not self._paused:
            if speech:
                self._end_ms = self.now_ms
                self._quiet()
            elif self.now_ms - self._end_ms >= rules.pause_ms:
                self._paused = True
                self._pauses += 1
                self._patience_ms: float = rules.longest_ms
                self._finished: float | None = None
                return self._stop_if_due() or Paused(self._end_ms, self._pauses)
            return None
        if self._voiced_ms >= rules.resume_ms:
            self._past.append(self._onset_ms - self._end_ms)
            onset, self._paused = self._onset_ms, False
            self._end_ms = self.now_ms
            self._quiet()
            return Resumed(onset, self._pauses)
        if self._gap_ms >= GAP_MS:
            self._quiet()
        return self._stop_if_due()

    def _stop_if_due(self) -> SpeechStopped | None:
        patience = self.rules.silence_ms if self.rules.silence_ms is not None else self._patience_ms
        if self._voiced_ms or self.now_ms - self._end_ms < patience:
            return None
        self.speaking = self._paused = False
        self._stopped_ms = self._end_ms
        self._quiet()
        return SpeechStopped(self._end_ms)

    def judge(self, pause: int, *, finished: float | None, words: str | None) -> Change | None:
        """Weigh evidence about a pause: the turn model's probability, and the words so far; None is not known.

        May be told more than once as evidence comes in. Evidence about a pause that is over changes nothing.
        """
        if not self._paused or pause != self._pauses:
            return None
        self._finished = finished if finished is not None else self._finished
        doubt = 1 - (0.5 if self._finished is None else self._finished)
        doubt = max(doubt, 1 - completeness(words)) if words is not None else doubt
        span = self.rules.longest_ms - self.rules.shortest_ms
        self._patience_ms = self.rules.shortest_ms + span * doubt
        return self._stop_if_due()

    def overheard(self, stir: int, words: str) -> Change | None:
        """Weigh what was said over us since that stir; may be empty, and told again as more is known."""
        if not self._stirring or stir != self._stirs:
            return None
        self._words = words
        if words.strip() and not is_backchannel(words):
            return self._start()
        return None
