"""A conversation is continued by real processes: after a moment, after a kill, through another server."""

from pathlib import Path

import anyio
import pytest

from clients.serving import doomed, running
from clients.test_remote import standing_before
from vivavoce.client import RealtimeClient

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SAID = ["My name is Ada.", "Hello Ada.", "I like tea.", "Tea it is."]
SETTINGS = {"output_modalities": ("text",)}


async def tell(url: str, words: str, answer: str, **options: str) -> str:
    """Say something that is answered so, and leave at once; return the session's id."""
    async with RealtimeClient(url, **options) as client:  # type: ignore[arg-type]
        await client.update_session(**SETTINGS, instructions=f"Say exactly: {answer}")
        await client.send_user_message_content(words)
        await client.wait_for_next("response.done", timeout=30)
        assert client.session
        return client.session.id or ""


async def earlier(url: str, conversation: str, count: int) -> list[str]:
    """Return what is told of an earlier conversation."""
    async with RealtimeClient(url, conversation=conversation) as client:
        with anyio.fail_after(30):
            while len([item for item in client.items if item.item.status == "completed"]) < count:
                await client.wait_for_next("conversation.item.done")
        return [item.text.strip() for item in client.items]


async def test_a_moment_after_it_was_left_nothing_of_it_is_missing(tmp_path: Path) -> None:
    with running("--preset", "scripted", "--data", "data", folder=tmp_path) as url:
        first = await tell(url, *SAID[:2])
        second = await tell(url, *SAID[2:], conversation=first)
        assert await earlier(url, second, 4) == SAID


async def test_after_the_server_was_killed_the_next_one_continues_it(tmp_path: Path) -> None:
    options = "--preset", "scripted", "--data", "data"
    with doomed(*options, folder=tmp_path) as (url, server):
        first = await tell(url, *SAID[:2])
        server.kill()
    with doomed(*options, folder=tmp_path) as (url, server):
        second = await tell(url, *SAID[2:], conversation=first)
        server.kill()
    with running(*options, folder=tmp_path) as url:
        assert await earlier(url, second, 4) == SAID


async def test_where_another_server_answers_it_is_told_of_the_earlier_conversation(tmp_path: Path) -> None:
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    with running("--preset", "scripted", "--data", "data", folder=far) as far_url:
        with standing_before(far_url, near, data=near / "data") as url:
            first = await tell(url, *SAID[:2])
            second = await tell(url, *SAID[2:], conversation=first)
            assert await earlier(url, second, 4) == SAID
        async with RealtimeClient(far_url, conversation="last") as client:
            error = await client.wait_for_next("error", timeout=30)
            assert error.error.code == "conversation_not_found"
