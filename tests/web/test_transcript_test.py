"""What is understood of a recording, and how long that took, is told as JSON."""

import pytest

from vivavoce.testing.simulation import CallerSays, Simulation
from web.asking import asking, error, wav
from web.connecting import Site

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

TWO_PARTS = wav((0, 0.5), (1000, 1), (0, 3), (2000, 2), (0, 0.5))


def two_parts() -> Simulation:
    simulation = Simulation(transcriber_delay=0, synthesizer_delay=0)
    simulation.caller.utterances = [
        CallerSays(0, "Is it late?", seconds=1),
        CallerSays(1, "Yes, it is.", seconds=2),
    ]
    return simulation


async def test_a_recording_is_transcribed_with_its_times(site: Site) -> None:
    async with site(two_parts()) as url, asking(url) as client:
        answer = await client.post("/test-transcript/", files={"audio": TWO_PARTS})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["transcript"] == "Is it late? Yes, it is."
    assert (found["language"], found["duration"]) == (None, 7.0)
    assert [part["text"] for part in found["segments"]] == ["Is it late?", "Yes, it is."]
    timings = found["timings"]
    assert timings["decode"] + timings["transcribe"] == pytest.approx(timings["total"], abs=0.002)


async def test_what_is_no_speech_is_told(site: Site) -> None:
    async with site(two_parts(), limits={"upload_seconds": 10}) as url, asking(url) as client:
        for recording, status, code in (
            (b"", 400, "empty_recording"),
            (wav((0, 2)), 422, "no_speech"),
            (b"Dear sir or madam", 415, "invalid_audio"),
            (wav((1000, 11)), 413, "recording_too_long"),
        ):
            answer = await client.post("/test-transcript/", files={"audio": recording})
            assert error(answer, status)["code"] == code
        assert error(await client.post("/test-transcript/", json={}), 415)
        unknown = await client.post("/test-transcript/?colour=blue", files={"audio": TWO_PARTS})
        assert error(unknown, 400)["param"] == "colour"
