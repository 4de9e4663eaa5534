"""Calls that are held by one client and steered by another, neither of them ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from openai import AsyncOpenAI

from clients.environments import Story, play
from clients.phone import SDP, Phone, has
from clients.recorder import recording
from clients.rules.spelling import misspelt

SAID = "response.output_audio_transcript.delta"
CLEARED = "output_audio_buffer.cleared"


@asynccontextmanager
async def a_page(url: str, key: str = "none") -> AsyncIterator[Phone]:
    """Call as a page of another origin does, and check the spelling of what is heard.

    The order is not checked: what one client asks for, the other hears without having asked.
    """
    phone, shown = Phone(), {"Authorization": f"Bearer {key}", "Origin": "http://localhost:3000"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=shown) as http, anyio.create_task_group() as tasks:
            answer = await http.post("/realtime/calls", content=await phone.offer(), headers=SDP)
            assert "Location" in answer.headers["access-control-expose-headers"]
            await phone.take(answer)
            await phone.until(has("session.created"))
            tasks.start_soon(phone.listen)
            yield phone
            tasks.cancel_scope.cancel()
    finally:
        await phone.connection.close()
    assert list(misspelt(phone.score, beta=False)) == []


@pytest.fixture(scope="module")
def story(scripted: str, sounds: Path) -> Iterator[Story]:
    with recording(scripted) as recorder:
        yield play("openai_agents_sip.py", recorder, sounds, environment="agents")
    for call in recorder.calls:
        assert list(misspelt(call.score, beta=False)) == []


@pytest.mark.real_time
def test_the_agents_sdk_does_its_tools_on_somebody_elses_call(story: Story) -> None:
    told = story["a tool of who joined"]
    assert told["tools"] == ["The sky over Paris is blue."]
    assert "blue" in told["words"][0]
    assert told["errors"] == []
    assert "the call goes on" in story.steps


@pytest.mark.anyio
@pytest.mark.real_time
async def test_a_call_by_webrtc_is_steered_and_ended_by_websocket_and_http(scripted: str) -> None:
    async with a_page(scripted) as phone, AsyncOpenAI(api_key="none", base_url=scripted) as client:
        call_id = phone.location.rpartition("/")[2]
        async with client.realtime.connect(call_id=call_id) as joined:
            assert (await joined.recv()).type == "session.created"
            await joined.session.update(session={"type": "realtime", "instructions": "Count to fifty."})
            await joined.conversation.item.create(
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]}
            )
            await joined.response.create()
            heard = []
            with anyio.fail_after(20):
                async for event in joined:
                    heard.append(event.type)
                    if event.type == "output_audio_buffer.started":
                        await phone.until_heard(lambda: len(phone.loud()) > 10)
                        await joined.response.cancel()
                        await joined.output_audio_buffer.clear()
                    if event.type == CLEARED:
                        break
            assert SAID in heard
            assert "response.output_audio.delta" not in heard, "its sound is on the track"
            await phone.until(has(CLEARED))
            order = [event["type"] for event in phone.events][1:]
            assert order[: len(heard)] == heard
        await client.realtime.calls.hangup(call_id)
        with anyio.fail_after(30):
            await phone.over.wait()


@pytest.mark.anyio
@pytest.mark.real_time
async def test_a_page_calls_with_a_client_secret(scripted: str) -> None:
    async with AsyncOpenAI(api_key="none", base_url=scripted) as server:
        made = await server.realtime.client_secrets.create(
            session={"type": "realtime", "model": "mine", "instructions": "Be brief."}
        )
    async with a_page(scripted, key=made.value) as phone:
        session = phone.events[0]["session"]
        assert (session["model"], session["instructions"]) == ("mine", "Be brief.")
    async with httpx.AsyncClient(base_url=scripted, headers={"Authorization": "Bearer ek_x"}) as stranger:
        refused = await stranger.post("/realtime/calls", content="v=0", headers=SDP)
        assert refused.status_code == 401
