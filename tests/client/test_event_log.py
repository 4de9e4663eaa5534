"""What is written down of all that is said."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from client.plays import sound
from vivavoce import ConfigError, Limits, RealtimeClient
from vivavoce.client.event_log import EventLog
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, InputImage, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import McpServerTool, Session
from vivavoce.session.middleware import ObservedEvent
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio

SECRET = McpServerTool(
    server_label="desk", server_url="https://desk.example", authorization="hush", headers={"X-Key": "hush"}
)


async def test_every_event_has_its_time_and_direction(tmp_path: Path) -> None:
    async with RealtimeClient(Simulation().engine) as client:
        await client.append_input_audio(sound(0))
        await client.send_user_message_content("Well?")
        await client.wait_for_next("response.done")
    client.log.write(tmp_path / "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == len(client.log)
    assert lines[0]["event"]["type"] == "session.created"
    assert {line["source"] for line in lines} == {"client", "server"}
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    sounds = [line["event"] for line in lines if line["event"]["type"] == "response.output_audio.delta"]
    assert all(isinstance(event["delta"], int) for event in sounds), "sound is counted, not kept"


async def test_sound_is_counted_and_long_texts_are_cut() -> None:
    log = EventLog(10)
    log.on_event(ObservedEvent(e.InputAudioBufferAppend(audio=bytes(960)), "client", 0))
    parts = (InputAudio(audio=bytes(48)), InputImage(image_url="data:image/png;base64," + "A" * 10_000))
    log.on_event(ObservedEvent(e.ConversationItemCreate(item=Message(role="user", content=parts)), "client", 0))
    append, create = log
    assert append.event == {"type": "input_audio_buffer.append", "audio": 960}
    assert len(json.dumps(create.event)) < 3000
    assert '"audio": 48' in json.dumps(create.event)


async def test_secrets_for_mcp_servers_are_not_logged() -> None:
    log = EventLog(10)
    log.on_event(ObservedEvent(e.SessionUpdate(session=Session(tools=(SECRET,))), "client", 0))
    log.on_event(ObservedEvent(e.ResponseCreate(response=ResponseParams(tools=(SECRET,))), "client", 0))
    assert "desk.example" in str([one.event for one in log])
    assert "hush" not in str([one.event for one in log])


async def test_the_newest_are_kept() -> None:
    async with RealtimeClient(Simulation().engine, limits=Limits(log_events=3)) as client:
        await client.send_user_message_content("Well?")
        await client.wait_for_next("response.done")
        assert len(client.log) == 3
        assert [one.type for one in client.log][-1] == "response.done"


async def test_a_log_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        EventLog(1).write(tmp_path / "nowhere" / "log.jsonl")
