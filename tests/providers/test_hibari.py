from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from providers.offline import weights
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.providers.local.hibari import PLUGIN, Hibari, HibariSettings
from vivavoce.providers.local.moonshine import PLUGIN as MOONSHINE
from vivavoce.providers.local.moonshine import Moonshine, MoonshineSettings

if TYPE_CHECKING:
    from vivavoce.audio.samples import Floats

np = pytest.importorskip("numpy")
pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SENTENCE = "The capital of France is Paris, and it has been the largest city for many centuries."


OPENED: list[Hibari] = []
"""The voice, which takes a second to open and is the same in all tests."""


async def hibari(settings: HibariSettings | None = None) -> Hibari:
    if settings:
        return await PLUGIN.open(settings, weights)  # type: ignore[return-value]
    if not OPENED:
        OPENED.append(await PLUGIN.open(HibariSettings(), weights))  # type: ignore[arg-type]
    return Hibari(OPENED[0]._voice, HibariSettings().gain)  # what lets one in at a time belongs to one loop


async def said(voice: Hibari, text: str, *, speed: float = 1.0) -> bytes:
    return b"".join([chunk async for chunk in voice.speak(text, voice="alloy", speed=speed)])


def heard(pcm: bytes) -> "Floats":
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768


@pytest.mark.models
async def test_what_is_said_is_understood() -> None:
    transcriber: Moonshine = await MOONSHINE.open(MoonshineSettings(), weights)  # type: ignore[assignment]
    sound = heard(await said(await hibari(), SENTENCE))
    places = np.arange(0, len(sound) - 1, OUTPUT_RATE / 16_000)
    slower = (np.interp(places, np.arange(len(sound)), sound) * 32767).astype("<i2").tobytes()
    words = (await transcriber.transcribe(slower)).text.lower().replace(",", "").rstrip(".").split()
    expected = SENTENCE.lower().replace(",", "").rstrip(".").split()
    assert len(words) == len(expected)
    assert sum(a != b for a, b in zip(words, expected, strict=True)) <= len(expected) // 5


@pytest.mark.models
async def test_the_sound_begins_with_the_words_and_ends_with_them() -> None:
    loud = np.flatnonzero(np.abs(heard(await said(await hibari(), "Yes."))) > 0.01)
    sound = heard(await said(await hibari(), "Yes."))
    assert loud[0] < 0.03 * OUTPUT_RATE
    assert len(sound) - loud[-1] < 0.05 * OUTPUT_RATE


@pytest.mark.models
@pytest.mark.parametrize("text", [SENTENCE, "No!", "What would you like to know?"])
async def test_every_clause_is_equally_loud(text: str) -> None:
    sound = heard(await said(await hibari(), text))
    assert -22 < 10 * np.log10(np.mean(sound**2)) < -18
    assert np.abs(sound).max() < 0.9


@pytest.mark.models
async def test_the_same_text_always_sounds_the_same() -> None:
    voice = await hibari()
    assert await said(voice, SENTENCE) == await said(voice, SENTENCE)


@pytest.mark.models
async def test_chunks_are_a_tenth_of_a_second_at_most_and_whole_samples() -> None:
    voice = await hibari()
    chunks = [len(chunk) async for chunk in voice.speak(SENTENCE)]
    assert max(chunks) <= OUTPUT_RATE * 2 // 10
    assert not any(size % 2 for size in chunks)
    assert all(chunks)


@pytest.mark.models
async def test_speed_is_kept_between_half_and_double() -> None:
    voice = await hibari()
    slow, plain, fast = [len(await said(voice, SENTENCE, speed=speed)) for speed in (0.1, 1.0, 9.0)]
    assert 1.6 < slow / plain < 2.4
    assert 0.4 < fast / plain < 0.65


@pytest.mark.models
@pytest.mark.parametrize("text", ["", " ", "...", "👍", "—", "你好"])
async def test_nothing_is_said_of_what_has_no_words(text: str) -> None:
    assert len(await said(await hibari(), text)) < OUTPUT_RATE


@pytest.mark.models
async def test_two_sentences_have_a_breath_between_them() -> None:
    voice = await hibari()
    apart = len(await said(voice, "Yes.")) + len(await said(voice, "No."))
    together = len(await said(voice, "Yes. No."))
    assert together - apart == pytest.approx(0.3 * OUTPUT_RATE * 2, abs=0.1 * OUTPUT_RATE)


async def test_a_voice_that_does_not_exist_is_the_owners_mistake() -> None:
    pytest.importorskip("hibari")
    with pytest.raises(ConfigError, match=r"Hibari has no voice 'alloy'; there are: .*heart"):
        await hibari(HibariSettings(voice="alloy"))


async def test_a_voice_that_was_not_fetched_is_not_fetched_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    pytest.importorskip("hibari")
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"The voice 'emma' is not at .*write voice = 'heart'"):
        await hibari(HibariSettings(voice="emma"))


class Phonemes(list[str]):
    """A voice that notes what it is to read."""

    def phonemize(self, text: str) -> Sequence[str]:
        self.append(text)
        return ()

    def from_phonemes(self, phonemes: str, speed: float, seed: int) -> "Floats":
        raise RuntimeError(phonemes)


async def test_a_letter_is_no_article() -> None:
    read = Phonemes()
    await said(Hibari(read, 1.0), "A man at gate A seven read A B C to a dog.")
    assert read == ["A man at gate [A](/ˈA/) seven read [A](/ˈA/) B C to a dog."]


class Hoarse:
    """A voice that cannot read."""

    def phonemize(self, text: str) -> Sequence[str]:
        raise KeyError(text)

    def from_phonemes(self, phonemes: str, speed: float, seed: int) -> "Floats":
        raise RuntimeError(phonemes)


async def test_a_voice_that_fails_says_so() -> None:
    with pytest.raises(ProviderError, match="hibari: cannot read this aloud"):
        await said(Hibari(Hoarse(), 1.0), "Hello.")
