"""What else the stock `openai` client asks for: secrets, transcripts, telephone sound, answers out of band."""

import base64
from typing import Any

import anyio
import anyio.to_thread
import pytest
from openai import AsyncOpenAI, OpenAI

from clients.recorder import Recorder
from clients.talk import WEATHER, has, on_the_phone, only, sound_of, talking, transcript
from vivavoce.audio import g711

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

HEARD = {"model": "scripted", "prompt": "Heard: my name is Ada"}


async def test_azures_address_of_today_is_answered_as_openais(recorder: Recorder) -> None:
    async with talking(recorder.url.replace("/v1", "/openai/v1"), output_modalities=["text"]) as talk:
        await talk.connection.response.create(response={"instructions": "Say exactly: good evening."})
        events = await talk.until(has("response.done"))
        assert only(events, "response.output_text.done").text == "good evening."
    assert recorder.call("/openai/v1/realtime?model=vivavoce").beta is False


@pytest.mark.filterwarnings("ignore:connect.. must be used as:DeprecationWarning")  # the SDK does not
async def test_the_client_that_waits_is_served_as_well(recorder: Recorder) -> None:
    def ask() -> str:
        client = OpenAI(api_key="none", base_url=recorder.url)
        with client, client.realtime.connect(model="vivavoce") as connection:
            wish = {"output_modalities": ["text"], "instructions": "Say exactly: good night."}
            connection.response.create(response=wish)
            done = next(event for event in connection if event.type == "response.done")
            return str(done.response.output[0].content[0].text)

    assert await anyio.to_thread.run_sync(ask) == "good night."


async def test_a_secret_brings_its_session_along(recorder: Recorder, scripted: str) -> None:
    session = {"type": "realtime", "output_modalities": ["text"], "instructions": "Say exactly: sesame."}
    async with AsyncOpenAI(api_key="none", base_url=scripted) as owner:
        secret = await owner.realtime.client_secrets.create(
            session=session, expires_after={"anchor": "created_at", "seconds": 60}
        )
    assert secret.value.startswith("ek_")
    guest = AsyncOpenAI(api_key=secret.value, base_url=recorder.url)
    async with guest, on_the_phone(guest.realtime.connect(model="m"), silent=True) as talk:
        begun = only(await talk.until(has("session.created")), "session.created").session
        assert (begun.instructions, begun.output_modalities) == ("Say exactly: sesame.", ["text"])
        await talk.connection.response.create()
        events = await talk.until(has("response.done"))
        assert only(events, "response.output_text.done").text == "sesame."


@pytest.mark.parametrize("by", ["intent", "secret"])
async def test_what_is_said_is_only_written_down(recorder: Recorder, scripted: str, by: str) -> None:
    recorder.errors += ["invalid_value"]
    wanted = {"type": "transcription", "audio": {"input": {"transcription": HEARD}}}
    key, query = "none", {"intent": "transcription"}
    if by == "secret":
        async with AsyncOpenAI(api_key="none", base_url=scripted) as owner:
            key, query = (await owner.realtime.client_secrets.create(session=wanted)).value, {}
    client = AsyncOpenAI(api_key=key, base_url=recorder.url)
    connecting = client.realtime.connect(extra_query=query)
    async with client, on_the_phone(connecting, **(wanted if by == "intent" else {})) as talk:
        begun = only(await talk.until(has("session.created")), "session.created").session
        assert begun.type == "transcription"
        talk.say("weather")
        events = await talk.until(has("conversation.item.input_audio_transcription.completed"))
        written = only(events, "conversation.item.input_audio_transcription.completed")
        assert written.transcript == "my name is Ada"
        assert written.usage.seconds > 0.5
        deltas = [e for e in events if e.type == "conversation.item.input_audio_transcription.delta"]
        assert "".join(delta.delta for delta in deltas) == "my name is Ada"
        await talk.connection.response.create()
        await talk.until(has("error"))
        assert not [event.type for event in talk.events if event.type.startswith("response.")]


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
async def test_a_telephone_is_heard_and_hears(recorder: Recorder, law: Any) -> None:
    kind = {"type": f"audio/{law}"}
    audio = {"input": {"format": kind, "transcription": HEARD}, "output": {"format": kind}}
    client = AsyncOpenAI(api_key="none", base_url=recorder.url)
    connecting = client.realtime.connect(model="m")
    line = on_the_phone(connecting, encode=lambda pcm: g711.encode(pcm, law), type="realtime", audio=audio)
    async with client, line as talk:
        talk.say("weather")
        events = await talk.until(has("response.done"))
        spoken = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert len(spoken) / 8000 == pytest.approx(2.4, abs=1)
        assert max(memoryview(g711.decode(spoken, law)).cast("h")) > 500
        written = only(events, "conversation.item.input_audio_transcription.completed")
        assert written.transcript == "my name is Ada"
        assert written.usage.seconds == pytest.approx(len(sound_of("weather")) / 48000, abs=1)
        assert transcript(events) == "I will remember that your name is Ada."


async def test_much_sound_may_come_at_once(recorder: Recorder) -> None:
    by_hand = {"turn_detection": None, "transcription": HEARD}
    client = AsyncOpenAI(api_key="none", base_url=recorder.url)
    connecting = client.realtime.connect(model="vivavoce")
    audio = {"input": by_hand}
    async with client, on_the_phone(connecting, silent=True, type="realtime", audio=audio) as talk:
        await talk.until(has("session.updated"))
        whole = base64.b64encode(sound_of("weather")).decode()
        for times in range(1, 4):
            await talk.connection.input_audio_buffer.append(audio=whole)
            await talk.connection.input_audio_buffer.commit()
            await talk.until(has("conversation.item.input_audio_transcription.completed", times))
        await talk.connection.response.create()
        assert transcript(await talk.until(has("response.done"))) == "I will remember that your name is Ada."


async def test_answers_out_of_band_run_beside_the_conversation(recorder: Recorder) -> None:
    async with talking(recorder.url, instructions="Tell me a long story.") as talk:
        create = talk.connection.response.create
        await talk.write("My name is Ada.")
        item_id = only(await talk.until(has("conversation.item.done")), "conversation.item.done").item.id
        await create()
        await talk.until(has("response.output_audio.delta"))
        question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Who am I?"}]}
        for topic in ("name", "nothing"):
            known = [{"type": "item_reference", "id": item_id}] if topic == "name" else []
            await create(
                response={
                    "conversation": "none",
                    "output_modalities": ["text"],
                    "instructions": "",
                    "metadata": {"topic": topic},
                    "input": [*known, question],
                }
            )
        await talk.until(has("response.output_text.done", 2))
        await talk.connection.response.cancel()
        events = await talk.until(has("response.done", 3))
        done = {
            (e.response.metadata or {}).get("topic"): e.response for e in events if e.type == "response.done"
        }
        assert done["name"].output[0].content[0].text == "Your name is Ada."
        assert "do not know" in done["nothing"].output[0].content[0].text
        assert done["name"].conversation_id is None
        assert done[None].status == "cancelled"
        assert sum(event.type == "conversation.item.added" for event in events) == 2


async def test_an_answer_ends_where_its_tokens_do(recorder: Recorder) -> None:
    async with talking(recorder.url, output_modalities=["text"]) as talk:
        await talk.write("Count to fifty.")
        await talk.connection.response.create(response={"max_output_tokens": 5})
        done = only(await talk.until(has("response.done")), "response.done").response
        assert (done.status, done.status_details.reason) == ("incomplete", "max_output_tokens")
        assert done.output[0].status == "incomplete"


async def test_a_tool_may_be_forbidden_or_demanded(recorder: Recorder) -> None:
    async with talking(recorder.url, output_modalities=["text"], tools=[WEATHER]) as talk:
        kinds = []
        for choice in ("none", "required", {"type": "function", "name": "get_weather"}):
            at = len(talk.events)
            await talk.write("What is the weather in Paris?")
            await talk.connection.response.create(response={"tool_choice": choice})
            done = only(await talk.until(has("response.done"), since=at), "response.done").response
            kinds += [item.type for item in done.output]
        assert kinds == ["message", "function_call", "function_call"]


async def test_what_was_said_can_be_heard_again(recorder: Recorder) -> None:
    async with talking(recorder.url) as talk:
        talk.say("weather")
        events = await talk.until(has("response.done"))
        said = only(events, "input_audio_buffer.committed").item_id
        answer = only(events, "response.done").response.output[0].id
        seconds = []
        for item_id in (said, answer):
            at = len(talk.events)
            await talk.connection.conversation.item.retrieve(item_id=item_id)
            events = await talk.until(has("conversation.item.retrieved"), since=at)
            content = only(events, "conversation.item.retrieved").item.content[0]
            seconds.append(len(base64.b64decode(content.audio)) / 48000)
        assert seconds[0] == pytest.approx(1.5, abs=0.7)
        assert seconds[1] > 1
