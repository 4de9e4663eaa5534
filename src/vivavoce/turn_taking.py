"""Turn-taking: decides when turns start and stop, from the probability that each frame of audio is speech.

Pure: no clock, no models, no audio. Time is counted in milliseconds of the caller's audio since the session
began, so the same audio causes the same changes at any speed. `docs/why/turns.md` explains how the constants
were found, and how well they work on recordings.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vivavoce.text.completeness import SENTENCE, completeness, hesitates, is_backchannel, is_doubtful


@dataclass(frozen=True)
class TurnRules:
    """The parameters of turn-taking. Times are milliseconds of audio."""

    threshold: float = 0.5
    """probability (0 to 1) from which a frame is speech"""
    silence_ms: int | None = None
    """silence that ends a turn, whatever was said (`server_vad`); None: judged by what was said"""
    eagerness: Literal["low", "medium", "high"] = "medium"
    """how much silence doubts add (`semantic_vad`); the protocol's `auto` is medium"""
    start_ms: int = 192
    """speech that begins a turn"""
    suspect_ms: int = 64
    """speech during the assistant's that is suspected to be an interruption"""
    wordless_ms: int = 352
    """speech during the assistant's that interrupts it even if its words are not known"""
    backchannel_ms: int = 608
    """speech during the assistant's that interrupts it even if it is only `uh-huh`, or has no words"""
    only_words_interrupt: bool = False
    """whether speech of which no words are known, or only `uh-huh`, never interrupts, however long it is"""
    dismiss_ms: int = 160
    """silence after which a suspected interruption is dismissed"""
    pause_ms: int = 64
    """silence that counts as a pause, in which an answer may be drafted"""
    resume_ms: int = 64
    """speech that ends a pause; anything shorter is taken for a click"""
    min_silence_ms: int = 64
    """silence that ends a turn that is certainly finished"""
    max_silence_ms: int = 1500
    """silence that ends any turn, at medium eagerness"""


@dataclass(frozen=True)
class InterruptionSuspected:
    """Speech during the assistant's that may be an interruption: pause the assistant until the next change.

    The next change is `InterruptionDismissed` or `SpeechStarted`. Until then, `TurnTaking.judge_interruption`
    may be called with the transcript so far, repeatedly.
    """

    at_ms: float
    interruption: int


@dataclass(frozen=True)
class InterruptionDismissed:
    """The suspected interruption was a noise or an `uh-huh`: the assistant continues."""

    at_ms: float


@dataclass(frozen=True)
class SpeechStarted:
    """The caller's turn has started, at `start_ms`."""

    start_ms: float


@dataclass(frozen=True)
class Paused:
    """A short silence inside a turn: the speech ended at `end_ms`, and may be over."""

    end_ms: float
    pause: int


@dataclass(frozen=True)
class Resumed:
    """The caller continued after that pause, at `at_ms`."""

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
"""Speech continues while its probability is above this fraction of the threshold."""
GAP_MS = 96
"""A shorter silence at the onset of speech counts as part of it."""
MODEL_WEIGHT = 0.3
"""The greatest weight of the turn model's probability; the rest is the weight of the words."""
FULL_WEIGHT_MS = 4000
"""The length of a turn from which the model has its full weight: it is unreliable for one or two words."""
PAUSE_WEIGHT = 1.5
"""The multiple of the caller's longest pause that is added to the silence of a full doubt."""
HESITATION_FACTOR = 1.4
"""The factor on the longest silence after a hesitation such as `um`."""
HESITATION_MS = (160, 2000)
"""The range of lengths of silences inside a turn that count as pauses for thought."""
EAGERNESS = {"low": 1.5, "medium": 1.0, "high": 0.6}


def required_silence_ms(
    rules: TurnRules, *, finished: float | None, words: str | None, turn_ms: float, longest_pause_ms: float
) -> float:
    """Return the milliseconds of silence that end a turn of `turn_ms`.

    `finished` is the turn model's probability, `words` the transcript so far; None if not known.
    `longest_pause_ms` is the longest silence after which this caller has continued.
    """
    if rules.silence_ms is not None:
        return rules.silence_ms
    model_weight = MODEL_WEIGHT * min(turn_ms / FULL_WEIGHT_MS, 1)
    whole = SENTENCE if words is None else completeness(words)
    doubt = 1 - (1 - model_weight) * whole - model_weight * (0.5 if finished is None else finished)
    eagerness, longest = EAGERNESS[rules.eagerness], rules.max_silence_ms
    if words is not None and hesitates(words):
        return eagerness * HESITATION_FACTOR * longest
    span = longest - rules.min_silence_ms + PAUSE_WEIGHT * longest_pause_ms
    return min(rules.min_silence_ms + eagerness * span * doubt, eagerness * longest)


class TurnTaking:
    """The turns of one caller. `on_frame` advances time; `judge_pause` and `judge_interruption` use words."""

    def __init__(self, rules: TurnRules) -> None:
        self.rules = rules
        self.now_ms: float = 0
        self._pause = self._interruption = 0
        self._required_ms: float = 0
        self._longest_pause_ms: float = 0
        self._voiced_ms: float = 0
        self._gap_ms: float = 0
        self._onset_ms: float = 0
        self._words: str | None = None
        self._had_backchannel = self._is_answer = False
        self.reset()

    def use(self, rules: TurnRules) -> None:
        """Continue under other rules. In a pause, call `judge_pause` again with what is known about it."""
        self.rules = rules
        self._required_ms = self._silence_without_evidence()

    @property
    def speech_start_ms(self) -> float | None:
        """The start of the current turn, or of speech that may become one; None if there is neither."""
        if self.speaking:
            return self._start_ms
        return self._onset_ms if self._voiced_ms else None

    def reset(self) -> None:
        """Drop the current turn, after a manual commit or a clear. Time and pauses are kept."""
        self.speaking = self._suspected = self._paused = False
        self._start_ms = self._end_ms = self.now_ms
        self._stopped_ms: float | None = None
        self._forget_onset()

    def on_frame(
        self, probability: float, ms: float, *, assistant_speaks: bool, assistant_asks: bool = False
    ) -> Change | None:
        """Advance by a frame of `ms` that is speech with this probability; return the change, if any.

        `assistant_speaks` means that a response is being played to the caller, `assistant_asks` that it is the
        end of a question: then a "yes" is no backchannel.
        """
        self.now_ms += ms
        going = self._voiced_ms > 0 or (self.speaking and not self._paused)
        is_speech = probability >= self.rules.threshold * (HYSTERESIS if going else 1)
        if is_speech:
            self._onset_ms = self._onset_ms if self._voiced_ms else self.now_ms - ms
            self._voiced_ms += ms
            self._gap_ms = 0
            self._is_answer = self._is_answer or assistant_asks
        else:
            self._gap_ms += ms
        if not self.speaking:
            return self._while_silent(assistant_speaks)
        if self._paused:
            return self._while_paused()
        return self._while_speaking(is_speech)

    def judge_pause(self, pause: int, *, finished: float | None, words: str | None) -> Change | None:
        """Use evidence about a pause: the turn model's probability and the words so far; None if not known.

        May be called again when more is known. Evidence about a pause that is over has no effect.
        """
        if not self._paused or pause != self._pause:
            return None
        self._required_ms = required_silence_ms(
            self.rules,
            finished=finished,
            words=words,
            turn_ms=self._end_ms - self._start_ms,
            longest_pause_ms=self._longest_pause_ms,
        )
        return self._stop_if_due()

    def judge_interruption(self, interruption: int, words: str) -> Change | None:
        """Use the transcript so far of a suspected interruption, which may be empty.

        Useful about 190 ms after the suspicion, and then every 100 ms while the speech lasts.
        """
        if not self._suspected or interruption != self._interruption:
            return None
        self._had_backchannel = self._had_backchannel or is_backchannel(words)
        self._words = words
        return self._start_if_certain()

    def _while_silent(self, assistant_speaks: bool) -> Change | None:
        if assistant_speaks:
            self._stopped_ms = None
        if self._gap_ms >= (self.rules.dismiss_ms if self._suspected else GAP_MS):
            if self._suspected and self._is_answer and self._words is None and self._is_long_enough():
                return self._start()
            was_suspected, self._suspected = self._suspected, False
            self._forget_onset()
            return InterruptionDismissed(self.now_ms) if was_suspected else None
        if not assistant_speaks:
            return self._start() if self._is_long_enough() else None
        if self._suspected:
            return self._start_if_certain()
        if self._voiced_ms < self.rules.suspect_ms:
            return None
        self._suspected = True
        self._interruption += 1
        return InterruptionSuspected(self.now_ms, self._interruption)

    def _start_if_certain(self) -> Change | None:
        """Start the turn if there is enough speech for an interruption, given the words so far."""
        required_ms = self.rules.start_ms
        has_words = self._words and not is_backchannel(self._words) and not is_doubtful(self._words)
        if self._is_answer and self._words and is_backchannel(self._words):
            pass
        elif self.rules.only_words_interrupt and not has_words:
            return None
        elif self._words is None or is_doubtful(self._words):
            required_ms = self.rules.wordless_ms
        elif not self._words.strip() or is_backchannel(self._words):
            required_ms = self.rules.backchannel_ms
        elif self._had_backchannel:  # after an `uh-huh`, words are less reliable
            required_ms = self.rules.wordless_ms
        return self._start() if self._voiced_ms >= required_ms else None

    def _is_long_enough(self) -> bool:
        return self._voiced_ms >= self.rules.start_ms

    def _start(self) -> SpeechStarted:
        self._longest_pause_ms /= 2
        if self._stopped_ms is not None:
            self._remember_pause(self._onset_ms - self._stopped_ms)
        self.speaking, self._suspected, self._paused = True, False, False
        self._start_ms, self._end_ms = self._onset_ms, self.now_ms - self._gap_ms
        self._forget_onset()
        return SpeechStarted(self._start_ms)

    def _while_speaking(self, is_speech: bool) -> Change | None:
        if is_speech:
            self._end_ms = self.now_ms
        self._forget_onset()
        if self.now_ms - self._end_ms < self.rules.pause_ms:
            return None
        self._paused = True
        self._pause += 1
        self._required_ms = self._silence_without_evidence()
        return self._stop_if_due() or Paused(self._end_ms, self._pause)

    def _silence_without_evidence(self) -> float:
        longest_ms = EAGERNESS[self.rules.eagerness] * self.rules.max_silence_ms
        return longest_ms if self.rules.silence_ms is None else self.rules.silence_ms

    def _while_paused(self) -> Change | None:
        if self._voiced_ms >= self.rules.resume_ms:
            self._remember_pause(self._onset_ms - self._end_ms)
            self._paused, self._end_ms = False, self.now_ms
            resumed = Resumed(self._onset_ms, self._pause)
            self._forget_onset()
            return resumed
        if self._gap_ms >= self.rules.pause_ms:
            self._forget_onset()
        return self._stop_if_due()

    def _stop_if_due(self) -> SpeechStopped | None:
        if self._voiced_ms or self.now_ms - self._end_ms < self._required_ms:
            return None
        self.speaking = self._paused = False
        self._stopped_ms = self._end_ms
        self._forget_onset()
        return SpeechStopped(self._end_ms)

    def _remember_pause(self, ms: float) -> None:
        shortest, longest = HESITATION_MS
        if shortest <= ms <= longest:
            self._longest_pause_ms = max(self._longest_pause_ms, ms)

    def _forget_onset(self) -> None:
        """Drop the onset that is not yet known to be speech, or the end of a pause."""
        self._voiced_ms = self._gap_ms = 0
        self._onset_ms = self.now_ms
        self._words, self._had_backchannel, self._is_answer = None, False, False
