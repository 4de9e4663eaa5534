"""A recorded question is answered aloud by one request, and whatever else comes is told what is wrong."""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import av
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.support import CANCEL, QUESTION, Made, model
from vivavoce.audio.decode import decode
from vivavoce.audio.encode import CONTENT_TYPES, encoder
from vivavoce.errors import ProviderError
from vivavoce.providers.base import ToolCall
from vivavoce.providers.scripted.providers import ScriptedTranscriber, TranscriberSettings
from vivavoce.testing.simulation import CallerSays, Simulation, Unresponsive
from vivavoce.tools.types import Assistant
from vivavoce.web.uploads import HEADER_BYTES, accepted_format, header_text
from web.asking import asking, error, wav
from web.connecting import calling

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
SPOKEN = wav((1000, 1), rate=24_000)
HELLO = (Path(__file__).parents[1] / "recordings/short-hello.wav").read_bytes()


def answering(*replies: str, words: str = "Is it late?", **settings: Any) -> Simulation:
    """Return a stage on which each recording of `SPOKEN` has these words, and the answers are those."""
    simulation = Simulation(
        replies=replies or ["Yes."],
        transcriber_delay=0,
        chat_delay=0,
        word_delay=0,
        synthesizer_delay=0,
        **settings,
    )
    simulation.caller.utterances = [CallerSays(0, words, seconds=1)]
    return simulation


def hearing(words: str) -> Simulation:
    """Return a stage on which each recording in which anything sounds has these words."""
    simulation, scripted = answering(), ScriptedTranscriber(TranscriberSettings(text=words))
    simulation.engine.providers = replace(simulation.engine.providers, transcriber=scripted)  # type: ignore[attr-defined]
    return simulation


async def ask(
    client: httpx.AsyncClient, recording: bytes = SPOKEN, name: str = "question.webm", **wishes: Any
) -> httpx.Response:
    return await client.post("/voice-chat/", files={"audio": (name, recording)}, **wishes)


async def until(client: httpx.AsyncClient, *, conversations: int) -> None:
    """Return when there are so many conversations."""
    with anyio.fail_after(20):
        while (await client.get("/v1/status")).json()["conversations"] != conversations:
            pass


def seconds_of(file: bytes) -> float:
    return len(decode(file, rate=24_000, max_seconds=600)) / 48_000


async def test_a_recorded_question_is_answered_aloud(site: Site) -> None:
    async with site(answering("Ten past nine.")) as url, asking(url) as client:
        answer = await ask(client, params={"text": "complete"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-disposition"] == 'attachment; filename="answer.mp3"'
    assert answer.headers["x-transcript"] == "Is it late?"
    assert answer.headers["x-ai-response"] == "Ten past nine."
    assert answer.headers["x-ai-response-complete"] == "true"
    assert answer.headers["x-conversation-id"].startswith("sess_")
    assert seconds_of(answer.content) == pytest.approx(0.06 * 15, abs=0.2)


async def test_the_first_sound_does_not_wait_for_the_last_word(site: Site) -> None:
    slow = answering("One sentence comes first. Then there is another one.")
    slow.chat.word_delay = 0.2
    async with site(slow) as url, asking(url) as client:
        early = await ask(client)
        whole = await ask(client, params={"text": "complete"})
    text = "One sentence comes first. Then there is another one."
    assert unquote(early.headers["x-ai-response"]).endswith("…")
    assert text.startswith(unquote(early.headers["x-ai-response"]).rstrip("…"))
    assert early.headers["x-ai-response-complete"] == "false"
    assert (whole.headers["x-ai-response"], whole.headers["x-ai-response-complete"]) == (text, "true")
    assert seconds_of(early.content) == pytest.approx(seconds_of(whole.content), abs=0.05)


# formats


@pytest.mark.parametrize("name", sorted(CONTENT_TYPES))
async def test_the_answer_is_in_the_format_that_is_asked_for(site: Site, name: str) -> None:
    async with site(answering("Ten past nine.")) as url, asking(url) as client:
        by_field = await client.post("/voice-chat/", files={"audio": SPOKEN}, data={"format": name})
        by_accept = await ask(client, headers={"accept": f"text/html, {CONTENT_TYPES[name]};q=0.9"})
    for answer in (by_field, by_accept):
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == CONTENT_TYPES[name]
        if name != "pcm":
            assert seconds_of(answer.content) == pytest.approx(0.9, abs=0.2)


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", "mp3"),
        ("*/*", "mp3"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "mp3"),
        ("audio/webm,audio/ogg,audio/wav;q=0.9,*/*;q=0.5", "opus"),
        ("audio/mpeg;q=0.1, audio/flac;q=0.2", "flac"),
        ("audio/flac;q=0, audio/x-wav", "wav"),
        ("audio/ogg; codecs=opus", "opus"),
        ("audio/flac;q=loud, audio/mp3", "mp3"),
    ],
)
def test_what_a_client_accepts_best_is_chosen(accept: str, name: str) -> None:
    assert accepted_format(accept) == name


async def test_a_format_that_does_not_exist_is_refused_by_those_that_do(site: Site) -> None:
    async with site(answering()) as url, asking(url) as client:
        found = error(await ask(client, params={"format": "docx"}), 400)
        assert (found["param"], "flac" in found["message"]) == ("format", True)
        assert "audio/flac" in error(await ask(client, headers={"accept": "image/png"}), 406)["message"]
        assert error(await ask(client, params={"colour": "blue"}), 400)["param"] == "colour"


# headers


@given(st.text(max_size=2000))
def test_a_header_is_short_plain_and_reads_as_what_was_said(text: str) -> None:
    value = header_text(text)
    assert value.isascii()
    assert value.isprintable()
    assert len(value) <= HEADER_BYTES
    words, said = unquote(value), " ".join(text.split())
    if words != said:
        assert words.endswith("…")
        assert said.startswith(words[:-1])


async def test_words_of_any_script_reach_the_client(site: Site) -> None:
    words = "Где 100 % \r\nX-Evil: «Ünïcödé» 東京?"
    async with site(answering("Здесь, 😀.", words=words)) as url, asking(url) as client:
        answer = await ask(client, params={"text": "complete"})
    assert unquote(answer.headers["x-transcript"]) == " ".join(words.split())
    assert unquote(answer.headers["x-ai-response"]) == "Здесь, 😀."
    assert "x-evil" not in answer.headers


# recordings as browsers and phones make them


def packed(container: str, codec: str, rate: int = 48_000, **options: str) -> bytes:
    """Return a recording as such a file."""
    pcm = decode(HELLO, rate=rate, max_seconds=10)
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = rate
        out.mux(stream.encode(frame))  # type: ignore[attr-defined]
        out.mux(stream.encode(None))  # type: ignore[attr-defined]
    return file.getvalue()


def unfinished_wav() -> bytes:
    """Return a WAV whose header was written before its length was known."""
    writer = encoder("wav", 24_000)
    return writer.push(decode(HELLO, rate=24_000, max_seconds=10)) + writer.finish()


FILES = {
    "webm without duration": lambda: packed("webm", "libopus", live="1"),
    "ogg": lambda: packed("ogg", "libopus"),
    "mp3": lambda: packed("mp3", "libmp3lame", 44_100),
    "m4a": lambda: packed("ipod", "aac"),
    "mp4 in fragments": lambda: packed("mp4", "aac", movflags="frag_keyframe+empty_moov"),
    "aac": lambda: packed("adts", "aac"),
    "flac": lambda: packed("flac", "flac"),
    "wav": lambda: HELLO,
    "wav, unfinished": unfinished_wav,
    "wav, cut off": lambda: HELLO[: len(HELLO) * 9 // 10],
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
async def test_what_recorders_make_is_understood_whatever_it_is_called(
    site: Site, make: Callable[[], bytes]
) -> None:
    async with site(hearing("Hi")) as url, asking(url) as client:
        answer = await client.post("/voice-chat/", files={"audio": ("audio.wav", make(), "audio/wav")})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-transcript"] == "Hi"


# bad input


async def refused(site: Site, recording: bytes, status: int, **tables: object) -> str:
    """Send a recording; return the code of the error, of which a person can tell what to do."""
    async with site(answering(), **tables) as url, asking(url) as client:
        found = error(await ask(client, recording), status)
        assert found["message"].endswith((".", "?"))
        assert error(await ask(client, b"x"), 415)  # the next one is served as well
        assert (await ask(client)).status_code in (200, 413)
    return str(found["code"])


async def test_an_empty_recording_is_refused(site: Site) -> None:
    assert await refused(site, b"", 400) == "empty_recording"


async def test_silence_is_told_and_not_answered(site: Site) -> None:
    assert await refused(site, wav((0, 2), rate=24_000), 422) == "no_speech"


async def test_a_click_is_too_short(site: Site) -> None:
    assert await refused(site, wav((1000, 0.05), rate=24_000), 422) == "recording_too_short"


async def test_a_recording_of_nothing_is_refused(site: Site) -> None:
    assert await refused(site, wav(rate=24_000), 422) == "empty_recording"


async def test_too_long_a_recording_names_the_limit(site: Site) -> None:
    async with site(answering(), limits={"upload_seconds": 2}) as url, asking(url) as client:
        found = error(await ask(client, wav((1000, 3))), 413)
        assert "limits.upload_seconds" in found["message"]
    async with site(answering(), limits={"input_buffer_seconds": 2}) as url, asking(url) as client:
        found = error(await ask(client, wav((1000, 3))), 413)
        assert "limits.input_buffer_seconds" in found["message"]


async def test_too_large_a_recording_names_the_limit(site: Site) -> None:
    async with site(answering(), limits={"upload_bytes": 100_000}) as url, asking(url) as client:
        assert "limits.upload_bytes" in error(await ask(client, bytes(100_001)), 413)["message"]
        assert "limits.upload_bytes" in error(await ask(client, bytes(200_000)), 413)["message"]
        assert (await ask(client)).status_code == 200


@pytest.mark.parametrize(
    "noise", [b"Dear sir or madam", b"\x89PNG\r\n\x1a\n" + bytes(500), b"%PDF-1.7", bytes(9000)]
)
async def test_what_is_no_audio_is_refused(site: Site, noise: bytes) -> None:
    assert await refused(site, noise, 415) == "invalid_audio"


async def test_damage_costs_what_is_damaged(site: Site) -> None:
    file = bytearray(packed("webm", "libopus"))
    file[len(file) // 2 : len(file) // 2 + 200] = bytes(200)
    async with site(hearing("Hi")) as url, asking(url) as client:
        assert (await ask(client, bytes(file))).status_code == 200


async def test_a_body_that_is_no_form_says_what_one_is(site: Site) -> None:
    async with site(answering()) as url, asking(url) as client:
        assert error(await client.post("/voice-chat/", content=SPOKEN), 415)["code"] == "unsupported_media_type"
        assert error(await client.post("/voice-chat/", json={"audio": "…"}), 415)
        without = await client.post("/voice-chat/", files={"video": SPOKEN})
        assert "-F audio=@" in error(without, 400)["message"]
        as_text = await client.post("/voice-chat/", data={"audio": "la la"}, files={"other": b"x"})
        assert error(as_text, 400)["code"] == "missing_recording"
        broken = await client.post(
            "/voice-chat/", content=b"no form", headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert broken.status_code == 400
        assert (await client.get("/voice-chat/")).status_code == 405


async def slowly(chunks: Sequence[bytes], seconds: float) -> Any:
    for chunk in chunks:
        yield chunk
        await anyio.sleep(seconds)


FORM = {"content-type": "multipart/form-data; boundary=edge"}
HEAD = b'--edge\r\ncontent-disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'


async def test_a_recording_that_comes_too_slowly_is_given_up(site: Site) -> None:
    async with site(answering(), limits={"body_seconds": 0.3}) as url, asking(url) as client:
        chunks = [HEAD, *([b"x"] * 20)]
        answer = await client.post("/voice-chat/", content=slowly(chunks, 0.1), headers=FORM)
        assert "limits.body_seconds" in error(answer, 408)["message"]
        assert (await ask(client)).status_code == 200


async def test_a_recording_that_is_cut_off_disturbs_nobody(site: Site) -> None:
    async with site(answering(), limits={"http_requests": 1}) as url:
        host, port = url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            head = f"POST /voice-chat/ HTTP/1.1\r\nhost: {host}\r\ncontent-length: 9999\r\n"
            await stream.send(
                f"{head}content-type: {FORM['content-type']}\r\n\r\n".encode() + HEAD + SPOKEN[:500]
            )
        async with asking(url) as client:
            with anyio.fail_after(20):
                while (await ask(client)).status_code != 200:  # the one place is taken until then
                    pass


async def test_a_page_of_another_origin_is_refused(site: Site) -> None:
    async with site(answering()) as url, asking(url) as client:
        found = error(await ask(client, headers={"origin": "https://evil.example"}), 403)
        assert found["code"] == "origin_not_allowed"
        allowed = await ask(client, headers={"origin": url})
        assert "X-AI-Response" in allowed.headers["access-control-expose-headers"]


async def test_it_needs_a_key_where_the_others_do(site: Site) -> None:
    async with site(answering(), keys="s3cret") as url, asking(url) as client:
        assert error(await ask(client), 401)["code"] == "invalid_api_key"
        assert (await ask(client, headers={"authorization": "Bearer s3cret"})).status_code == 200


# failures, and places


@pytest.mark.parametrize(
    "broken",
    [
        {"transcriber_failure": ProviderError("scribe", "is out of ink")},
        {"replies": [ProviderError("chat", "is out of ink")]},
        {"synthesizer_failure": ProviderError("voice", "is out of ink", retryable=True)},
    ],
    ids=["transcriber", "chat", "synthesizer"],
)
async def test_a_model_that_fails_is_no_answer(site: Site, broken: dict[str, Any]) -> None:
    simulation = Simulation(synthesizer_delay=0, **broken)
    simulation.caller.utterances = [CallerSays(0, "Hello", seconds=1)]
    async with site(simulation) as url, asking(url) as client:
        assert "is out of ink" in error(await ask(client), 502)["message"]


async def test_it_says_when_all_places_are_taken(site: Site) -> None:
    async with site(answering(), limits={"conversations": 1}) as url, asking(url) as client:
        async with calling(url):
            busy = await ask(client)
            assert error(busy, 503)["code"] == "server_busy"
            assert busy.headers["retry-after"]
        async with site(answering(), furnished=False) as loading, asking(loading) as early:
            assert error(await ask(early), 503)["code"] == "not_ready"


async def test_who_leaves_frees_the_place(site: Site) -> None:
    forever = Simulation(replies=[Unresponsive()], transcriber_delay=0)
    forever.caller.utterances = [CallerSays(0, "Hello", seconds=1)]
    soon = {"first_token_seconds": 60, "upload_idle_seconds": 0.01}
    async with site(forever, limits=soon) as url, asking(url) as client:
        with anyio.move_on_after(0.5):
            await ask(client)
        await until(client, conversations=0)


async def test_a_server_that_shuts_down_says_so(site: Site) -> None:
    forever = Simulation(replies=[Unresponsive()], transcriber_delay=0)
    forever.caller.utterances = [CallerSays(0, "Hello", seconds=1)]
    answers: list[httpx.Response] = []
    async with asking("http://127.0.0.1") as client, anyio.create_task_group() as tasks:

        async def wait() -> None:
            answers.append(await ask(client))

        async with site(forever, limits={"first_token_seconds": 60}) as url:
            client.base_url = httpx.URL(url)
            tasks.start_soon(wait)
            await until(client, conversations=1)
    assert "shuts down" in error(answers[0], 503)["message"]


# assistants


async def test_an_assistant_calls_its_tools_and_greets_nobody(site: Site) -> None:
    made = Made()
    desk = Assistant("You take orders.", tools=[made.tool()], greeting="Welcome to the desk.")
    asks = answering(model(ToolCall("order_status", "{}")), words="Where is it?")  # type: ignore[arg-type]
    async with site(asks, assistant=desk) as url, asking(url) as client:
        answer = await ask(client, params={"text": "complete"})
    assert answer.headers["x-ai-response"] == "So: on its way"
    assert len(made.arguments) == 1


async def test_a_tool_is_confirmed_by_the_next_recording(site: Site) -> None:
    made = Made()
    desk = Assistant("You take orders.", tools=[made.canceller()])
    simulation = answering(model(CANCEL), words="Cancel order 4321")  # type: ignore[arg-type]
    async with site(simulation, assistant=desk) as url, asking(url) as client:
        asked = await ask(client, params={"text": "complete"})
        simulation.caller.utterances = [CallerSays(0, "Yes", seconds=1)]
        done = await ask(client, params={"text": "complete"})
    assert (asked.headers["x-ai-response"], done.headers["x-ai-response"]) == (QUESTION, "So: cancelled")
    assert made.arguments == [CANCEL.arguments]


# conversations

ADA = ("Hello, Ada.", "You are Ada.", "Still Ada.")


async def test_a_cookie_keeps_the_conversation(site: Site) -> None:
    simulation = answering(*ADA)
    async with site(simulation) as url, asking(url) as client:
        first = await ask(client, params={"text": "complete"})
        second = await ask(client, params={"text": "complete"})
        (cookie,) = client.cookies.jar
    assert [one.headers["x-ai-response"] for one in (first, second)] == ["Hello, Ada.", "You are Ada."]
    assert first.headers["x-conversation-id"] == second.headers["x-conversation-id"] == cookie.value
    assert len(simulation.chat.requests[1].items) == 3
    flags = first.headers["set-cookie"].split("; ")[1:]
    assert flags == ["Path=/voice-chat", "HttpOnly", "SameSite=Strict"], "it is no https"


async def test_a_cookie_that_came_by_https_goes_nowhere_else(site: Site) -> None:
    async with site(answering()) as url, asking(url) as client:
        behind_a_proxy = await ask(client, headers={"x-forwarded-proto": "https"})
    assert behind_a_proxy.headers["set-cookie"].endswith("; Secure")


async def test_a_header_or_a_parameter_names_the_conversation_too(site: Site) -> None:
    async with site(answering(*ADA)) as url:
        async with asking(url) as client:
            first = (await ask(client)).headers["x-conversation-id"]
        async with asking(url) as other:
            by_header = await ask(other, params={"text": "complete"}, headers={"x-conversation-id": first})
            assert by_header.headers["x-ai-response"] == "You are Ada."
            by_query = await ask(other, params={"text": "complete", "conversation": first})
            assert by_query.headers["x-ai-response"] == "Still Ada."
            anew = await ask(other, params={"text": "complete", "conversation": "new"})
            assert (anew.headers["x-ai-response"], anew.headers["x-conversation-id"] != first) == (
                "Hello, Ada.",
                True,
            )


async def test_a_conversation_that_is_not_there_is_told_to_who_names_it(site: Site) -> None:
    async with site(answering(*ADA)) as url, asking(url) as client:
        found = error(await ask(client, headers={"x-conversation-id": "sess_x"}), 503)
        assert (found["code"], found["param"]) == ("conversation_unavailable", "conversation")
        client.cookies.set("viva_conversation", "sess_x")
        assert (await ask(client)).status_code == 200, "a cookie may be old"


async def test_a_conversation_waits_for_the_next_recording_only_so_long(site: Site) -> None:
    limits = {"upload_idle_seconds": 0.05}
    async with site(answering(*ADA), limits=limits) as url, asking(url) as client:
        first = (await ask(client)).headers["x-conversation-id"]
        await until(client, conversations=0)
        assert (await ask(client)).headers["x-conversation-id"] != first


async def test_only_so_many_conversations_wait_and_the_oldest_makes_room(site: Site) -> None:
    async with site(answering(*ADA), limits={"upload_idle_calls": 2}) as url, asking(url) as client:
        ids = [
            (await ask(client, params={"conversation": "new"})).headers["x-conversation-id"] for _ in range(3)
        ]
        await until(client, conversations=2)
        assert error(await ask(client, params={"conversation": ids[0]}), 503)
        assert (await ask(client, params={"conversation": ids[1]})).status_code == 200


async def test_questions_of_one_conversation_wait_for_one_another_and_some_are_refused(site: Site) -> None:
    slow = answering(*ADA)
    async with site(slow) as url, asking(url) as client:
        await ask(client)
        slow.chat.first_word_delay = 0.5
        answers: list[httpx.Response] = []

        async def again() -> None:
            answers.append(await ask(client, params={"text": "complete"}))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(again)
        refused = [answer for answer in answers if answer.status_code != 200]
        assert [error(answer, 429)["code"] for answer in refused] == ["conversation_busy"]
        assert refused[0].headers["retry-after"]
        words = {answer.headers["x-ai-response"] for answer in answers if answer.status_code == 200}
        assert words == {"You are Ada.", "Still Ada."}


async def test_another_person_does_not_find_the_conversation(site: Site) -> None:
    async with site(answering(*ADA), keys="sesame") as url:
        headers = {"authorization": "Bearer sesame", "openai-safety-identifier": "ada"}
        async with asking(url) as client:
            first = (await ask(client, headers=headers)).headers["x-conversation-id"]
        async with asking(url) as client:
            name = {**headers, "openai-safety-identifier": "eve", "x-conversation-id": first}
            assert error(await ask(client, headers=name), 503)["code"] == "conversation_unavailable"


async def test_silence_in_the_midst_leaves_the_conversation_as_it_is(site: Site) -> None:
    async with site(answering(*ADA)) as url, asking(url) as client:
        await ask(client)
        assert error(await ask(client, wav((0, 1), rate=24_000)), 422)["code"] == "no_speech"
        after = await ask(client, params={"text": "complete"})
    assert after.headers["x-ai-response"] == "You are Ada."
