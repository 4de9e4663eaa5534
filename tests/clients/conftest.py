"""What stands between a real server and the clients of other people, and what they hear and say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.recorder import Recorder, recording
from clients.talk import sound_of


@pytest.fixture(scope="module")
def relay(scripted: str) -> Iterator[Recorder]:
    """Stand between the server and all that the clients of one file say."""
    with recording(scripted) as relay:
        yield relay


@pytest.fixture
def recorder(scripted: str) -> Iterator[Recorder]:
    """Stand before the scripted server; what it has said is checked when the test is over."""
    with recording(scripted) as relay:
        yield relay
    relay.check()


@pytest.fixture
def recorder_offline(offline: str) -> Iterator[Recorder]:
    """The same before the offline models."""
    with recording(offline) as relay:
        yield relay
    relay.check()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recordings as a client sends them: 24 kHz PCM16."""
    folder = tmp_path_factory.mktemp("sounds")
    for name in ("brooklyn", "weather"):
        (folder / f"{name}.pcm").write_bytes(sound_of(name))
    return folder
