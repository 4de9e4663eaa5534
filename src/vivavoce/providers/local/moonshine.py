"""Moonshine: a transcriber of English, which takes 82 ms of one core for four seconds of speech.

The network invents words for noise ("You", "Thank you for watching") and repeats itself on spelled digits.
Therefore it gets only audio in which Silero finds speech, normalized and padded with silence; the length of its
output is limited by the duration; and repetitions are transcribed again or cut.

It writes fluent English for every other language, but doubts each word of it. Where it does, a language
identifier is asked, if there is one, and what is not English gets no words.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from anyio import CapacityLimiter, from_thread, to_thread

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.errors import ConfigError, ProviderError, UnknownLanguageError
from vivavoce.extras import is_installed
from vivavoce.providers.base import FRAME_BYTES, FRAME_MS, LanguageIdentifier, Transcript
from vivavoce.providers.local.onnx import OnnxSession, open_session
from vivavoce.providers.local.silero import MODEL as SILERO
from vivavoce.providers.local.silero import SileroDetector
from vivavoce.providers.local.whisper_language import MODEL as WHISPER
from vivavoce.providers.local.whisper_language import WhisperLanguageHead
from vivavoce.providers.registry import Plugin, Weights
from vivavoce.text.languages import language_name, only_english

if TYPE_CHECKING:
    from vivavoce.audio.samples import Floats
    from vivavoce.providers.local.onnx import Array

MODEL = "stt/moonshine-tiny-en"
LAYERS, HEADS, WIDTH = 6, 8, 36
BEGIN, END = 1, 2

SPEECH_MS, SPEECH = 200, 0.5
"""Seconds of speech that Silero must find without a gap, and their minimum probability."""
PIECE_SECONDS = 20.0
TOKENS_PER_SECOND, TOKENS_MORE = 10, 10
LEADS, TAIL = (0.1, 0.3), 0.1
"""Seconds of silence before the audio, in the first and the second attempt, and after it."""

DOUBT = -1.4
"""Log probability of the first token below which the phrases in `INVENTED` are dropped."""
INVENTED = frozenset({"", "you", "the", "thank you", "thank you for watching", "thanks for watching", "bye"})


WORDS = "I'm sorry, I didn't understand that. I only understand English."
SECONDS, PROBABLE, ENGLISH = 1.0, 0.6, 0.2
"""Seconds of speech without which no other language is noticed, since short words say little; its probability;
and where the words are doubted twice as much, as if that is shared by Hindi and Urdu, the most of English."""


class MoonshineSettings(msgspec.Struct, frozen=True):
    """`threads` is the number of cores for one transcription; a second one makes it slower here.

    `notice_languages` refuses speech in other languages than English: a language identifier is asked where the
    mean log probability of the tokens is below `doubt`. Without one, twice that doubt decides.
    """

    threads: Annotated[int, msgspec.Meta(gt=0)] = 1
    notice_languages: bool = True
    doubt: Annotated[float, msgspec.Meta(lt=0)] = -0.5


@dataclass(frozen=True)
class _Written:
    """The network's output, and the log probability of each token, that of the end included."""

    tokens: Sequence[int]
    certainties: Sequence[float]
    looped: bool


class Moonshine:
    """Transcribes one utterance at a time; others wait."""

    supports_partials = True
    languages = ("en",)
    supported_options = frozenset[str]()

    def __init__(
        self,
        files: dict[str, OnnxSession],
        words: Sequence[bytes],
        settings: MoonshineSettings,
        identifier: LanguageIdentifier | None = None,
    ) -> None:
        self._encoder, self._decoder, self._silero = files["encoder"], files["decoder"], files["silero"]
        self._words, self._settings, self._identifier = words, settings, identifier
        self._one_at_a_time = CapacityLimiter(1)

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        """Return the words of `audio`, 16 kHz PCM; the text is empty without speech. `prompt` is ignored.

        Raises `ProviderError` for a `language` other than English, and `UnknownLanguageError` for speech that
        does not sound like English, if no `language` is given. When cancelled, it stops at the next token.
        """
        if language and not language.lower().startswith("en"):
            raise ProviderError(
                "moonshine", f"knows English only, not {language!r}; choose another transcriber"
            )
        text, certainties = await to_thread.run_sync(self._transcribe, audio, limiter=self._one_at_a_time)
        if not text:
            return Transcript("")
        logprob = sum(certainties) / len(certainties)
        if self._settings.notice_languages and not language:
            await self._check_language(audio, logprob)
        return Transcript(text, "en", logprob=logprob)

    async def _check_language(self, audio: bytes, logprob: float) -> None:
        """Raise `UnknownLanguageError` if `audio` is probably in another language than English."""
        doubt = self._settings.doubt
        language: str | None = None
        if logprob >= doubt or await to_thread.run_sync(self._speech_seconds, audio) < SECONDS:
            return
        if self._identifier:
            languages = await self._identifier.identify(audio)
            first = max(languages, key=languages.__getitem__)
            is_probable = languages[first] >= PROBABLE
            is_doubted = logprob < 2 * doubt and languages.get("en", 0.0) < ENGLISH
            if first == "en" or not (is_probable or is_doubted):
                return
            language = first if is_probable else None
        elif logprob >= 2 * doubt:
            return
        name = language_name(language) if language else "another language"
        raise UnknownLanguageError(
            "moonshine",
            f"This sounds like {name}, and only English is understood.",
            words=WORDS,
            own_words=only_english(language),
        )

    async def warm(self) -> None:
        """Run both networks once, on silence."""
        await to_thread.run_sync(self._warm, limiter=self._one_at_a_time)

    def _warm(self) -> None:
        import numpy as np

        silence = np.zeros(INPUT_RATE // 2, np.float32)
        any(self._speech(silence))
        self._write(silence, LEADS[0])

    def _transcribe(self, audio: bytes) -> tuple[str, Sequence[float]]:
        """Return the words, and the log probabilities of their tokens."""
        from vivavoce.audio.samples import normalized, samples, split

        texts, certainties = list[str](), list[float]()
        for piece in split(normalized(samples(audio)), INPUT_RATE, PIECE_SECONDS):
            text, certain = self._piece(piece)
            if text:
                texts.append(text)
                certainties += certain
        return " ".join(texts), certainties

    def _piece(self, sound: "Floats") -> tuple[str, Sequence[float]]:
        if not self._has_speech(sound):
            return "", ()
        for lead in LEADS:
            written = self._write(sound, lead)
            if not written.looped:
                break
        text = self._spelled(written.tokens)
        if written.certainties[0] < DOUBT and text.lower().strip(" .,!?") in INVENTED:
            return "", ()
        return text, written.certainties

    def _has_speech(self, sound: "Floats") -> bool:
        run = 0
        for is_speech in self._speech(sound):
            run = run + 1 if is_speech else 0
            if run * FRAME_MS >= SPEECH_MS:
                return True
        return False

    def _speech_seconds(self, audio: bytes) -> float:
        from vivavoce.audio.samples import normalized, samples

        return sum(self._speech(normalized(samples(audio)))) * FRAME_MS / 1000

    def _speech(self, sound: "Floats") -> Iterator[bool]:
        """Yield whether there is speech in each frame."""
        from vivavoce.audio.samples import to_pcm

        silero, pcm = SileroDetector(self._silero, 1.0), to_pcm(sound)
        pcm += bytes(-len(pcm) % FRAME_BYTES)
        for start in range(0, len(pcm), FRAME_BYTES):
            yield silero.probability(pcm[start : start + FRAME_BYTES]) >= SPEECH

    def _write(self, sound: "Floats", lead: float) -> _Written:
        import numpy as np

        most = int(len(sound) / INPUT_RATE * TOKENS_PER_SECOND) + TOKENS_MORE
        sound = np.pad(sound, (int(lead * INPUT_RATE), int(TAIL * INPUT_RATE)))[None]
        every_sample = np.ones(sound.shape, np.int64)
        (states,) = self._encoder.run(None, {"input_values": sound, "attention_mask": every_sample})
        own, encoded = _names("decoder"), _names("encoder")
        inputs: dict[str, Array] = {
            "input_ids": np.array([[BEGIN]], np.int64),
            "encoder_hidden_states": states,
            "encoder_attention_mask": every_sample,
            "use_cache_branch": np.array([False]),
            **{name: np.zeros((1, HEADS, 0, WIDTH), np.float32) for name in own + encoded},
        }
        tokens: list[int] = []
        certainties: list[float] = []
        remembered = own + encoded
        while len(tokens) < most:
            from_thread.check_cancelled()
            wanted = ["logits", *(name.replace("past_key_values", "present") for name in remembered)]
            scores, *memory = self._decoder.run(wanted, inputs)
            token = int(scores[0, -1].argmax())
            certainties.append(-float(np.log(np.exp(scores[0, -1] - scores[0, -1, token]).sum())))
            if token == END:
                break
            tokens.append(token)
            if repeated := repeated_tokens(tokens):
                return _Written(tokens[:-repeated], certainties, looped=True)
            inputs |= zip(remembered, memory, strict=True)
            inputs |= {"input_ids": np.array([[token]], np.int64), "use_cache_branch": np.array([True])}
            remembered = own
        return _Written(tokens, certainties, looped=False)

    def _spelled(self, tokens: Sequence[int]) -> str:
        text = b"".join(self._words[token] for token in tokens).decode(errors="ignore")
        return text.replace("▁", " ").replace("♪", "").strip()


def _names(part: str) -> tuple[str, ...]:
    return tuple(f"past_key_values.{n}.{part}.{what}" for n in range(LAYERS) for what in ("key", "value"))


def repeated_tokens(tokens: Sequence[int]) -> int:
    """Return how many of the last tokens only repeat those before them, more often than people do.

    That is four times or more for a phrase, six times for two tokens, which is enough to spell 0 0 0 0 0.
    """
    for length in range(1, min(16, len(tokens) // 4) + 1):
        times = max(4, 12 // length)
        if len(tokens) >= length * times and list(tokens[-length * times :]) == list(tokens[-length:]) * times:
            return length * (times - 1)
    return 0


def vocabulary(file: bytes) -> Sequence[bytes]:
    """Read the vocabulary: each piece follows its length in one byte, or two from 128. Raises `ConfigError`."""
    pieces: list[bytes] = []
    at = 0
    try:
        while at < len(file):
            length, at = file[at], at + 1
            if length >= 128:
                length, at = file[at] * 128 + length - 128, at + 1
            pieces.append(file[at : at + length])
            at += length
    except IndexError:
        at = -1
    if at != len(file):
        raise ConfigError("The vocabulary of Moonshine ends in the middle of a word; try: viva models verify.")
    return pieces


def _load(files: dict[str, Path], threads: int) -> tuple[dict[str, OnnxSession], Sequence[bytes]]:
    sessions = {name: open_session(files[name], threads=threads) for name in ("encoder", "decoder", "silero")}
    return sessions, vocabulary(files["words"].read_bytes())


async def open_moonshine(settings: MoonshineSettings, weights: Weights) -> Moonshine:
    """Load the networks and use them once, so that the first transcript is not slow."""
    moonshine, silero = await weights(MODEL), await weights(SILERO)
    files = {
        "encoder": moonshine["encoder_model.ort"],
        "decoder": moonshine["decoder_model_merged.ort"],
        "words": moonshine["tokenizer.bin"],
        "silero": silero["silero_vad.onnx"],
    }
    identifier = None
    if WHISPER in _optional_models(settings):
        with suppress(ConfigError):  # the runtime has said so
            identifier = WhisperLanguageHead((await weights(WHISPER))["model.bin"].parent)
    networks, words = await to_thread.run_sync(partial(_load, files, settings.threads))
    transcriber = Moonshine(networks, words, settings, identifier)
    await transcriber.warm()
    return transcriber


def _optional_models(settings: MoonshineSettings) -> Sequence[str]:
    return [WHISPER] if settings.notice_languages and is_installed("ctranslate2") else []


def _about(settings: MoonshineSettings) -> str:
    about = "Moonshine tiny, on this machine, English only"
    if WHISPER in _optional_models(settings):
        return f"{about}; Whisper base notices other languages"
    return (
        f"{about}; notices more other languages with vivavoce[languages]"
        if settings.notice_languages
        else about
    )


PLUGIN = Plugin(
    role="transcriber",
    name="moonshine",
    summary="Transcribes English speech. Runs on this machine.",
    settings=MoonshineSettings,
    open=open_moonshine,
    models=lambda settings: (MODEL, SILERO),
    optional_models=_optional_models,
    about=_about,
    extra="local",
    packages=("numpy", "onnxruntime"),
    languages=("en",),
)
