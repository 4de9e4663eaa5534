import re
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from cli.conftest import Serve, Viva
from vivavoce.errors import ProviderError
from vivavoce.testing.simulation import CallerSays, Simulation

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]
Recording = Callable[..., Path]
RECORDINGS = Path(__file__).parents[1] / "recordings"


def simulation(reply: str | ProviderError = "Paris, of course.") -> Simulation:
    made = Simulation(replies=[reply], transcriber_delay=0, chat_delay=0, synthesizer_delay=0)
    made.caller.utterances = [CallerSays(0, "What is the capital of France?", seconds=1)]
    return made


async def test_a_recorded_question_is_answered_in_words_times_and_sound(
    viva: Viva, serve: Serve, recording: Recording, tmp_path: Path
) -> None:
    question = recording((0, 0.3), (1000, 1), (0, 0.3))
    async with serve(simulation()) as url:
        done = await viva("ask", str(question), "--url", url, "-o", "answer.wav")
    assert done.returncode == 0, done.stderr
    told = done.stdout.decode()
    assert told.startswith("You:     What is the capital of France?\nAnswer:  Paris, of course.\n")
    times = re.findall(r"^  (\w[\w ]+?) +(\d+\.\d\d) s", told, re.MULTILINE)
    assert [stage for stage, _ in times] == [
        "heard",
        "transcribed",
        "first word",
        "first sound",
        "done",
    ]
    with wave.open(str(tmp_path / "answer.wav")) as answer:
        assert answer.getframerate() == 24_000
        assert any(answer.readframes(answer.getnframes()))


async def test_a_server_that_runs_on_this_machine_is_asked_instead_of_loading_the_models(
    viva: Viva, serve: Serve, recording: Recording
) -> None:
    question = str(recording((0, 0.3), (1000, 1), (0, 0.3)))
    async with serve(simulation()) as url:
        here = {"VIVAVOCE_SERVER__PORT": url.rpartition(":")[2]}
        done = await viva("ask", question, **here)
        quiet = await viva("ask", question, "--quiet", **here)
    assert b"Answer:  Paris, of course." in done.stdout
    assert f"the server at {url}".encode() in done.stderr
    assert (quiet.returncode, quiet.stderr) == (0, b"")


async def test_an_answer_that_cannot_be_written_is_refused_before_the_question(
    viva: Viva, recording: Recording, tmp_path: Path
) -> None:
    question = str(recording((1000, 1)))
    for command in (["ask", question, "-o"], ["talk", "--input", question, "--output"]):
        done = await viva(*command, "nowhere/answer.wav", "--url", "ws://127.0.0.1:9")
        assert done.returncode == 2
        assert b"nowhere/answer.wav cannot be written: there is no folder nowhere; write:" in done.stderr
        assert done.stderr.count(b"\n") == 1


async def test_a_question_may_come_on_standard_input(viva: Viva, serve: Serve, recording: Recording) -> None:
    async with serve(simulation()) as url:
        done = await viva("ask", "-", "--url", url, said=recording((1000, 1)).read_bytes())
    assert b"Paris" in done.stdout


async def test_a_recording_without_speech_is_said_to_have_none(
    viva: Viva, serve: Serve, recording: Recording
) -> None:
    async with serve(simulation()) as url:
        done = await viva("ask", str(recording((0, 2), name="quiet.wav")), "--url", url)
    assert done.returncode == 2
    assert b"There is no speech in " in done.stderr
    assert b"quiet.wav" in done.stderr


async def test_a_model_that_fails_is_the_worlds_fault(viva: Viva, serve: Serve, recording: Recording) -> None:
    async with serve(simulation(ProviderError("chat", "is broken"))) as url:
        done = await viva("ask", str(recording((1000, 1))), "--url", url)
    assert done.returncode == 1
    assert done.stderr.decode().strip().splitlines()[-1] == "viva: server: chat: is broken"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "cannot be read: there is no such file"),
        (b"", "is empty"),
        (b"This is a letter, not a recording." * 99, "is no recording"),
    ],
)
async def test_what_is_no_recording_is_refused_in_one_sentence(
    viva: Viva, tmp_path: Path, data: bytes | None, words: str
) -> None:
    if data is not None:
        (tmp_path / "question.wav").write_bytes(data)
    done = await viva("ask", "question.wav")
    assert done.returncode == 2
    (sentence,) = done.stderr.decode().strip().splitlines()
    assert words in sentence


async def test_a_recording_that_is_too_long_is_refused(viva: Viva, recording: Recording) -> None:
    recording((1000, 4))
    done = await viva("ask", "question.wav", VIVAVOCE_LIMITS__INPUT_BUFFER_SECONDS="3")
    assert done.returncode == 2
    assert b"question.wav is too long: at most 3 seconds" in done.stderr


async def test_a_server_that_is_not_there_is_the_worlds_fault(viva: Viva, recording: Recording) -> None:
    done = await viva("ask", str(recording((1000, 1))), "--url", "ws://127.0.0.1:9/v1/realtime")
    assert done.returncode == 1
    assert done.stderr.startswith(b"viva: 127.0.0.1:9: cannot be reached")


async def test_a_server_that_hangs_up_is_quoted(viva: Viva, recording: Recording) -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.close(1011, "no time")

    async with listen(leave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        done = await viva("ask", str(recording((1000, 1))), "--url", f"ws://127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"viva: 127.0.0.1:{port}: hung up (1011): no time".encode() in done.stderr


async def test_a_key_that_is_not_there_is_asked_for(viva: Viva, recording: Recording) -> None:
    done = await viva("ask", str(recording((1000, 1))), "--url", "ws://127.0.0.1:9", "--key-env", "NO_SUCH_KEY")
    assert done.returncode == 2
    assert b"export NO_SUCH_KEY=" in done.stderr


@pytest.mark.models
async def test_the_offline_models_answer_a_recording_of_a_person(viva: Viva, tmp_path: Path) -> None:
    done = await viva("ask", str(RECORDINGS / "brooklyn.wav"), "-o", "answer.wav")
    assert done.returncode == 0, done.stderr
    assert "How old is the Brooklyn Bridge" in done.stdout.decode()
    assert (tmp_path / "answer.wav").stat().st_size > 24_000
