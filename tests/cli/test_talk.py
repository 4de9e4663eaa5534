import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from cli.conftest import Serve, Viva
from vivavoce.store.database import Database
from vivavoce.store.queries import list_conversations
from vivavoce.testing.simulation import CallerSays, Simulation

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]
Recording = Callable[..., Path]


async def test_files_may_be_microphone_and_loudspeaker(
    viva: Viva, serve: Serve, recording: Recording, tmp_path: Path
) -> None:
    simulation = Simulation(
        replies=["Paris, of course."], transcriber_delay=0, chat_delay=0, synthesizer_delay=0
    )
    simulation.caller.utterances = [CallerSays(0, "What is the capital of France?", seconds=1)]
    question = recording((0, 0.5), (1000, 1), (0, 1))
    async with serve(simulation) as url:
        done = await viva("talk", "--url", url, "--input", str(question), "--output", "heard.wav")
    assert done.returncode == 0, done.stderr
    told = done.stdout.decode()
    assert "You: What is the capital of France?\nAnswer: Paris, of course." in told
    with wave.open(str(tmp_path / "heard.wav")) as heard:
        sound = heard.readframes(heard.getnframes())
    assert not any(sound[: 24_000 * 2])
    assert any(sound)


async def test_what_is_typed_is_said_too(viva: Viva, serve: Serve, recording: Recording) -> None:
    async with serve(Simulation(replies=["Good evening."], chat_delay=0, synthesizer_delay=0)) as url:
        silence = str(recording((0, 1), name="silence.wav"))
        done = await viva(
            "talk", "--url", url, "--input", silence, "--output", "heard.wav", said=b"Good evening!\n"
        )
    assert b"Answer: Good evening." in done.stdout


async def test_it_goes_on_where_the_last_one_was_left(viva: Viva, recording: Recording, tmp_path: Path) -> None:
    database, data = f"sqlite:///{tmp_path}/conversations.db", str(tmp_path / "data")
    silence = str(recording((0, 1), name="silence.wav"))
    talk = "talk", "--local", "--preset", "scripted", "--input", silence, "--output", "heard.wav"

    async def say(words: bytes, *options: str) -> None:
        stored = {"VIVAVOCE_STORE__URL": database, "VIVAVOCE_SERVER__DATA": data}
        done = await viva(*talk, *options, said=words, **stored)
        assert done.returncode == 0, done.stderr

    await say(b"Say exactly: good evening.\n")
    await say(b"Say exactly: good night.\n", "--continue", "last")
    store = Database(database)
    newest, first = await list_conversations(store)
    assert newest["continues"] == first["id"]
    await say(b"Say exactly: nobody knows.\n", "--no-store")
    assert (await list_conversations(store))[0]["id"] == newest["id"]
    await store.close()
    done = await viva(*talk, "--continue", "unknown", VIVAVOCE_STORE__URL=database)
    assert done.returncode == 2
    assert b"There is no conversation 'unknown'" in done.stderr


async def test_a_computer_without_a_microphone_is_told_so(viva: Viva) -> None:
    done = await viva("talk", "--input", "no such microphone")
    assert done.returncode == 2
    (sentence,) = done.stderr.decode().strip().splitlines()
    assert "microphone" in sentence


async def test_a_server_that_is_not_there_is_the_worlds_fault(viva: Viva, recording: Recording) -> None:
    silence = str(recording((0, 1), name="silence.wav"))
    done = await viva("talk", "--url", "http://127.0.0.1:9", "--input", silence, "--output", "heard.wav")
    assert done.returncode == 1
    assert b"127.0.0.1:9: cannot be reached" in done.stderr


async def test_a_server_that_hangs_up_is_quoted(viva: Viva, recording: Recording) -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.close(1011, "no time")

    async with listen(leave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        talk = "talk", "--input", str(recording((0, 1))), "--output", "heard.wav"
        done = await viva(*talk, "--url", f"ws://127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"viva: 127.0.0.1:{port}: hung up (1011): no time".encode() in done.stderr
