import time
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from providers.offline import recording, weights
from vivavoce.errors import ConfigError, ProviderError, UnknownLanguageError
from vivavoce.providers.base import LanguageIdentifier
from vivavoce.providers.local.moonshine import PLUGIN, Moonshine, MoonshineSettings, repeated_tokens, vocabulary
from vivavoce.providers.local.whisper_language import MODEL as WHISPER
from vivavoce.providers.local.whisper_language import WhisperLanguageHead

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def moonshine() -> Moonshine:
    return await PLUGIN.open(MoonshineSettings(), weights)  # type: ignore[return-value]


@pytest.mark.models
async def test_a_question_is_written_down() -> None:
    heard = await (await moonshine()).transcribe(recording("brooklyn"), language="en")
    assert heard.text.startswith("How")
    assert heard.text.endswith("Brooklyn Bridge?")
    assert heard.language == "en"


@pytest.mark.models
@pytest.mark.parametrize("name", ["noise-sb2", "noise-room"])
async def test_nothing_is_written_for_noise(name: str) -> None:
    assert (await (await moonshine()).transcribe(recording(name))).text == ""


@pytest.mark.models
@pytest.mark.parametrize("sound", [b"", b"\0", b"\1\2", bytes(320), bytes(16_000 * 2 * 3 + 1)])
async def test_nothing_is_written_for_silence_of_any_length(sound: bytes) -> None:
    assert (await (await moonshine()).transcribe(sound)).text == ""


@pytest.mark.models
async def test_a_faint_voice_is_understood_as_well() -> None:
    from vivavoce.audio.samples import samples, to_pcm

    faint = to_pcm(samples(recording("brooklyn")) / 40)
    assert "Brooklyn Bridge" in (await (await moonshine()).transcribe(faint)).text


@pytest.mark.models
async def test_a_long_recording_is_written_to_its_end() -> None:
    speech = recording("jfk") + bytes(16_000)
    heard = await (await moonshine()).transcribe(speech * 4)
    assert heard.text.count("country") == 8


@pytest.mark.models
async def test_who_no_longer_wants_the_words_need_not_wait_for_them() -> None:
    transcriber = await moonshine()
    minutes = (recording("jfk") + bytes(8_000)) * 50
    started = time.perf_counter()
    with anyio.move_on_after(0.3) as gone:
        await transcriber.transcribe(minutes)
    assert gone.cancelled_caught
    assert time.perf_counter() - started < 2
    assert (await transcriber.transcribe(recording("brooklyn"))).text


@pytest.mark.models
async def test_another_language_is_refused() -> None:
    with pytest.raises(ProviderError, match="knows English only, not 'de'"):
        await (await moonshine()).transcribe(recording("brooklyn"), language="de")


@pytest.mark.parametrize(
    ("tokens", "too_many"),
    [
        ([], 0),
        ([7] * 5, 0),
        ([7] * 12, 11),
        ([1, 2, 1, 2, 1, 2], 0),
        ([9, *[1, 2] * 6], 10),
        ([9, *[1, 2, 3] * 4], 9),
        ([1, 2, 3] * 3, 0),
        ([*[1, 2, 3] * 4, 9], 0),
    ],
)
def test_what_is_said_too_often_is_a_loop(tokens: list[int], too_many: int) -> None:
    assert repeated_tokens(tokens) == too_many


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_a_loop_of_any_length_is_noticed_and_the_first_time_stays(said: list[int], phrase: list[int]) -> None:
    looped = said + phrase * 12
    again = repeated_tokens(looped)
    assert again > 0
    assert len(looped) - again >= len(said)


@given(st.lists(st.binary(max_size=300)))
def test_a_vocabulary_is_read_as_it_was_written(words: list[bytes]) -> None:
    def length(word: bytes) -> bytes:
        n = len(word)
        return bytes([n]) if n < 128 else bytes([128 + n % 128, n // 128])

    assert vocabulary(b"".join(length(word) + word for word in words)) == words


@pytest.mark.parametrize("file", [b"\x05abc", b"\x90", b"\x81\x01short"])
def test_half_a_vocabulary_is_refused(file: bytes) -> None:
    with pytest.raises(ConfigError, match="ends in the middle of a word"):
        vocabulary(file)


class Sure:
    """A language identifier that is as sure as it is told to be."""

    def __init__(self, **languages: float) -> None:
        self.languages, self.asked = languages, 0

    async def identify(self, audio: bytes) -> Mapping[str, float]:
        self.asked += 1
        return self.languages


@pytest.mark.models
async def test_what_is_not_english_is_not_made_english() -> None:
    german, settings = recording("lp-de"), MoonshineSettings()
    transcriber = await moonshine()
    networks = {"encoder": transcriber._encoder, "decoder": transcriber._decoder, "silero": transcriber._silero}

    def asking(identifier: LanguageIdentifier | None, **changed: object) -> Moonshine:
        return Moonshine(networks, transcriber._words, replace(settings, **changed), identifier)

    with pytest.raises(UnknownLanguageError, match="sounds like German, and only English") as noticed:
        await asking(WhisperLanguageHead((await weights(WHISPER))["model.bin"].parent)).transcribe(german)
    assert noticed.value.own_words == "Es tut mir leid, ich verstehe nur Englisch."
    assert (await transcriber.transcribe(german, language="en")).text, "who names English is believed"
    unsure = Sure(de=0.5, nl=0.3, en=0.15)
    assert (await asking(unsure).transcribe(german)).text
    with pytest.raises(UnknownLanguageError, match="another language"):
        await asking(unsure, doubt=-0.3).transcribe(german)
    assert (await asking(None).transcribe(german)).text, "alone it must doubt more"
    assert (await asking(Sure(de=1.0), notice_languages=False).transcribe(german)).text


@pytest.mark.models
async def test_no_language_is_asked_for_where_english_is_plain_or_short() -> None:
    whoever = Sure(de=1.0)
    transcriber = await moonshine()
    transcriber._identifier = whoever
    assert (heard := await transcriber.transcribe(recording("brooklyn"))).text
    assert -0.5 < (heard.logprob or -9) < 0
    assert (await transcriber.transcribe(recording("lp-de")[24_000 : 24_000 + 32_000 * 9 // 10])).text
    assert not whoever.asked


@pytest.mark.models
async def test_without_whisper_its_own_doubt_is_left() -> None:
    async def without_whisper(model: str) -> Mapping[str, Path]:
        if model == WHISPER:
            raise ConfigError("It is not here.")
        return await weights(model)

    transcriber = await PLUGIN.open(MoonshineSettings(doubt=-0.3), without_whisper)
    with pytest.raises(UnknownLanguageError, match="another language"):
        await transcriber.transcribe(recording("lp-de"))  # type: ignore[attr-defined]


async def test_a_head_that_cannot_be_loaded_is_a_failure_by_name(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"whisper: .* try: viva models verify"):
        await WhisperLanguageHead(tmp_path).identify(bytes(32_000))
