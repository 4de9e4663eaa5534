"""Every client asks the models on this machine how old the Brooklyn Bridge is: aloud, and is answered aloud."""

from pathlib import Path

import pytest

from clients.environments import HERE, play
from clients.recorder import Recorder

pytestmark = [pytest.mark.real_time, pytest.mark.models]

CLIENTS = [
    ("openai_agents.py", "agents"),
    ("livekit_realtime.py", "livekit"),
    ("pipecat_realtime.py", "pipecat"),
    ("openai_beta.py", HERE),
    ("openai_beta.py", "openai-1.99.9"),
]


@pytest.mark.parametrize(("script", "environment"), CLIENTS)
def test_a_spoken_question_gets_a_spoken_answer(
    recorder_offline: Recorder, sounds: Path, script: str, environment: str
) -> None:
    story = play(script, recorder_offline, sounds, "asks", environment=environment)
    assert "brooklyn bridge" in story["a question"]["heard"].lower()
    assert len(story["a question"]["words"].split()) > 2
    assert story["a question"]["seconds"] > 1
