"""Recordings are transcribed as OpenAI's clients expect, and no field of theirs is passed over."""

import base64
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, BadRequestError

from vivavoce.errors import ProviderError, UnknownLanguageError
from vivavoce.providers.base import Transcript
from vivavoce.providers.dialogue import content_text
from vivavoce.providers.scripted.providers import ScriptedTranscriber, TranscriberSettings
from vivavoce.testing.simulation import CallerSays, Simulation
from web.asking import asking, error, transcribe, wav

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
TWO_PARTS = wav((0, 0.5), (1000, 1), (0, 3), (2000, 2), (0, 0.5))


def two_parts() -> Simulation:
    simulation = Simulation(transcriber_delay=0, synthesizer_delay=0)
    simulation.caller.utterances = [
        CallerSays(0, "Is 1 < 2?", seconds=1),
        CallerSays(1, "Yes, it is.", seconds=2),
    ]
    return simulation


def with_transcriber(transcriber: object) -> Simulation:
    simulation = Simulation(synthesizer_delay=0)
    simulation.engine.providers = replace(simulation.engine.providers, transcriber=transcriber)  # type: ignore[arg-type]
    return simulation


class OnlyEnglish:
    """Knows what Moonshine knows."""

    languages = ("en",)
    supported_options = frozenset[str]()

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        return Transcript("Hello.", "en", logprob=-0.25)


async def test_a_stream_has_the_parts_as_they_are_transcribed(site: Site) -> None:
    async with site(two_parts()) as url, AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client:
        stream = await client.audio.transcriptions.create(
            file=("it.wav", TWO_PARTS), model="gpt-4o-transcribe", stream=True
        )
        events = [event async for event in stream]
    assert [event.type for event in events] == [*["transcript.text.delta"] * 2, "transcript.text.done"]
    assert [event.delta for event in events if event.type == "transcript.text.delta"] == [
        "Is 1 < 2?",
        " Yes, it is.",
    ]
    assert events[-1].text == "Is 1 < 2? Yes, it is."  # type: ignore[union-attr]


async def test_a_stream_that_fails_says_so(site: Site) -> None:
    class FailsLater:
        calls = 0

        async def transcribe(self, audio: bytes, **_: object) -> Transcript:
            self.calls += 1
            if self.calls > 1:
                raise ProviderError("scribe", "is out of ink")
            return Transcript("Hello.")

    async with site(with_transcriber(FailsLater())) as url, asking(url) as client:
        answer = await transcribe(client, TWO_PARTS, stream="true")
        last = answer.text.strip().rpartition("data: ")[2]
        assert json.loads(last)["error"]["message"] == "scribe: is out of ink"


async def test_verbose_json_has_the_segments(site: Site) -> None:
    async with site(two_parts()) as url, AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client:
        verbose = await client.audio.transcriptions.create(
            file=("it.wav", TWO_PARTS), model="whisper-1", response_format="verbose_json", language="en"
        )
    assert (verbose.duration, verbose.language, verbose.words) == (7.0, "en", None)
    assert verbose.segments
    assert [(one.id, one.text) for one in verbose.segments] == [(0, "Is 1 < 2?"), (1, "Yes, it is.")]
    times = [time for one in verbose.segments for time in (one.start, one.end)]
    assert times == pytest.approx([0.5, 1.5, 4.5, 6.5], abs=0.4)
    assert all(one.no_speech_prob < 0.5 and one.tokens == [] for one in verbose.segments)


async def test_subtitles_have_the_times_of_the_segments(site: Site) -> None:
    async with site(two_parts()) as url, asking(url) as client:
        srt = await transcribe(client, TWO_PARTS, response_format="srt")
        vtt = await transcribe(client, TWO_PARTS, response_format="vtt")
    assert srt.text.startswith("1\n00:00:00,")
    assert " --> 00:00:06," in srt.text
    assert srt.text.endswith("\nYes, it is.\n\n")
    assert vtt.text.startswith("WEBVTT\n\n00:00:00.")
    assert "Is 1 &lt; 2?" in vtt.text
    assert vtt.headers["content-type"].startswith("text/vtt")


async def test_words_have_times_where_the_transcriber_has_them(site: Site) -> None:
    scripted = ScriptedTranscriber(TranscriberSettings(text="One two three four."))
    wish = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    async with site(with_transcriber(scripted)) as url, asking(url) as client:
        answer = (await transcribe(client, TWO_PARTS, **wish)).json()
        assert [word["word"] for word in answer["words"]] == ["One", "two", "three", "four."] * 2
        assert answer["words"][4]["start"] == pytest.approx(4.4, abs=0.2)
        assert "segments" not in answer
    async with site(two_parts()) as url, asking(url) as client:
        found = error(await transcribe(client, TWO_PARTS, **wish), 400)
        assert (found["param"], "[transcriber]" in found["message"]) == ("timestamp_granularities", True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "de"}, "language"),
        ({"languages[]": "de"}, "languages"),
        ({"prompt": "Ada"}, "prompt"),
        ({"keywords[]": "Ada"}, "keywords"),
        ({"temperature": "0.5"}, "temperature"),
        ({"temperature": "2"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"include[]": "logprobs"}, "include"),
        ({"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "0.9"}, "chunking_strategy"),
        ({"known_speaker_names[]": "Ada"}, "known_speaker_names"),
        ({"timestamp_granularities[]": "segment"}, "timestamp_granularities"),
        ({"timestamp_granularities[]": "letter", "response_format": "verbose_json"}, "timestamp_granularities"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"stream": "true", "response_format": "srt"}, "response_format"),
        ({"stream": "perhaps"}, "stream"),
        ({"language": "German"}, "language"),
        ({"vad_filter": "true"}, "vad_filter"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
async def test_a_field_that_cannot_be_honoured_is_refused(
    site: Site, fields: dict[str, str], param: str
) -> None:
    async with site(with_transcriber(OnlyEnglish())) as url, asking(url) as client:
        assert error(await transcribe(client, TWO_PARTS, **fields), 400)["param"] == param


@pytest.mark.parametrize(
    "fields",
    [
        {"language": "English", "temperature": "0", "prompt": " ", "stream": "false"},
        {
            "chunking_strategy": "auto",
            "timestamp_granularities[]": "segment",
            "response_format": "verbose_json",
        },
        {"languages[]": ["de", "en"]},
    ],
)
async def test_a_field_that_is_what_happens_anyway_is_honoured(site: Site, fields: dict[str, Any]) -> None:
    async with site(with_transcriber(OnlyEnglish())) as url, asking(url) as client:
        assert (await transcribe(client, TWO_PARTS, **fields)).json()["text"] == "Hello. Hello."


async def test_a_transcriber_may_say_how_certain_it_is(site: Site) -> None:
    async with site(with_transcriber(OnlyEnglish())) as url, asking(url) as client:
        verbose = (await transcribe(client, TWO_PARTS, response_format="verbose_json")).json()
        assert [one["avg_logprob"] for one in verbose["segments"]] == [-0.25, -0.25]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_an_unknown_language_names_the_setting_and_what_is_known(site: Site) -> None:
    async with (
        site(with_transcriber(OnlyEnglish())) as url,
        AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client,
    ):
        with pytest.raises(BadRequestError, match=r"knows English \(en\) only, not German; \[transcriber\]"):
            await client.audio.transcriptions.create(file=("it.wav", TWO_PARTS), model="m", language="de")
        with pytest.raises(BadRequestError, match="does not translate"):
            await client.audio.translations.create(file=("it.wav", TWO_PARTS), model="whisper-1")
        session = {"type": "transcription", "audio": {"input": {"transcription": {"language": "de"}}}}
        with pytest.raises(BadRequestError, match="English") as refused:
            await client.realtime.client_secrets.create(session=session)  # type: ignore[arg-type]
        assert refused.value.param == "session.audio.input.transcription.language"


async def test_a_session_refuses_a_language_that_the_transcriber_does_not_know(site: Site) -> None:
    async with (
        site(with_transcriber(OnlyEnglish())) as url,
        AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client,
        client.realtime.connect(model="m") as connection,
    ):
        await connection.recv()
        for transcription in ({"language": "fr"}, {"languages": ["fr", "de"]}, {"language": "en-GB"}):
            session = {
                "type": "realtime",
                "audio": {"input": {"transcription": {"model": "m", **transcription}}},
            }
            await connection.session.update(session=session)  # type: ignore[arg-type]
        answers = [await connection.recv() for _ in range(3)]
    assert [answer.type for answer in answers] == ["error", "error", "session.updated"]
    assert answers[0].error.param == "session.audio.input.transcription.language"  # type: ignore[union-attr]


@pytest.mark.parametrize(("known", "text"), [({2}, "Hello."), ({1}, None), ({}, None)])
async def test_an_unknown_language_is_not_made_up(site: Site, known: set[int], text: str | None) -> None:
    """The second part is longer: the language of most of a recording counts."""

    class KnowsSome:
        calls = 0

        async def transcribe(self, audio: bytes, **_: object) -> Transcript:
            self.calls += 1
            if self.calls not in known:
                raise UnknownLanguageError("ears", "this is not English", words="I only know English.")
            return Transcript("Hello.")

    async with site(with_transcriber(KnowsSome())) as url, asking(url) as client:
        answer = await transcribe(client, TWO_PARTS)
        if text:
            assert answer.json()["text"] == text
        else:
            assert error(answer, 400)["code"] == "language_not_supported"
            streamed = await transcribe(client, TWO_PARTS, stream="true")
            assert "language_not_supported" in streamed.text
            assert "transcript.text.done" not in streamed.text


@pytest.mark.parametrize("format", ["audio/pcm", "audio/pcmu"])
async def test_an_item_of_a_session_may_have_a_file(site: Site, format: str) -> None:
    async with (
        site(two_parts()) as url,
        AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client,
        client.realtime.connect(model="m") as connection,
    ):
        audio = {"input": {"format": {"type": format}, "transcription": {"model": "m"}}}
        await connection.session.update(session={"type": "realtime", "audio": audio})  # type: ignore[typeddict-item]
        for file in (b"fLaC\0\0\0\x22 and nothing", TWO_PARTS):
            part = {"type": "input_audio", "audio": base64.b64encode(file).decode()}
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": [part]}  # type: ignore[list-item, misc]
            )
        events = [await connection.recv()]
        while not events[-1].type.endswith("transcription.completed"):
            events.append(await connection.recv())
    (refused,) = (event for event in events if event.type == "error")
    assert refused.error.param == "item.content[0].audio"
    assert events[-1].transcript == "Is 1 < 2? Yes, it is."  # type: ignore[union-attr]
    assert events[-1].usage.seconds == pytest.approx(7, abs=0.01)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("data", "code"),
    [(TWO_PARTS, None), (b"", "empty_recording"), (b"hello", "invalid_audio"), (wav((0, 1)), "no_speech")],
)
async def test_a_question_in_a_chat_may_be_a_recording(site: Site, data: bytes, code: str | None) -> None:
    simulation = two_parts()
    async with site(simulation) as url, AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client:
        recording = {"data": base64.b64encode(data).decode(), "format": "wav"}
        content = [{"type": "input_audio", "input_audio": recording}, {"type": "text", "text": "Well?"}]
        asking_by_voice = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": content}],  # type: ignore[list-item, misc]
        )
        if code:
            with pytest.raises(BadRequestError) as refused:
                await asking_by_voice
            assert refused.value.code == code
        else:
            assert (await asking_by_voice).choices[0].message.content
            (message,) = simulation.engine.providers.chat.requests[-1].items  # type: ignore[attr-defined]
            assert content_text(message.content) == "Is 1 < 2? Yes, it is. Well?"


async def test_azures_client_finds_the_endpoints(site: Site) -> None:
    async with (
        site(two_parts()) as url,
        AsyncAzureOpenAI(api_key="x", azure_endpoint=url, api_version="2025-03-01-preview") as client,
    ):
        heard = await client.audio.transcriptions.create(file=("it.wav", TWO_PARTS), model="whisper")
        assert heard.text == "Is 1 < 2? Yes, it is."
        spoken = await client.audio.speech.create(
            input="Hello.", model="tts", voice="alloy", response_format="wav"
        )
        assert (await spoken.aread()).startswith(b"RIFF")


async def test_a_model_is_found_by_its_name(site: Site) -> None:
    async with site() as url, AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as client:
        names = [model.id async for model in client.models.list()]
        assert "vivavoce" in names
        assert [(await client.models.retrieve(name)).id for name in names] == names
        async with asking(url) as plain:
            found = error(await plain.get("/v1/models/openai/whisper-1"), 404)
            assert (found["code"], found["param"]) == ("model_not_found", "model")
