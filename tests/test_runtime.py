from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.config.loading import load
from vivavoce.config.schema import Config
from vivavoce.engines.speech import LONGEST, PAUSE, TOGETHER, stretches
from vivavoce.errors import ConfigError
from vivavoce.extras import missing_packages
from vivavoce.protocol.events import SessionCreated
from vivavoce.protocol.session import SemanticVad, Session
from vivavoce.runtime import Runtime, choose_providers, describe, open_runtime
from vivavoce.session.call import Caller
from vivavoce.session.line import Line
from vivavoce.testing.simulation import Simulation
from vivavoce.weights.store import Store


def scripted(**tables: object) -> Config:
    flags = {"preset": "scripted", **tables}
    return load(flags=flags, dotenv=Path("nowhere")).config


# choosing


def test_every_role_gets_the_provider_that_the_owner_named() -> None:
    choices = choose_providers(scripted())
    assert {role: choice.plugin.name for role, choice in choices.items()} == {
        "vad": "silero",
        "turn": "scripted",
        "transcriber": "scripted",
        "chat": "scripted",
        "synthesizer": "scripted",
    }


def test_one_may_do_without_a_turn_detector() -> None:
    assert "turn" not in choose_providers(scripted(turn={"provider": "none"}))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"chat": {"provider": "parrot"}}, ["chat", "'parrot'", "scripted"]),
        ({"chat": {"colour": "blue"}}, ["[chat]", "colour"]),
        ({"turn": {"over": "maybe"}}, ["[turn]", "over"]),
    ],
)
def test_a_provider_that_cannot_be_had_is_named(tables: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_providers(scripted(**tables))
    assert [word for word in words if word not in str(caught.value)] == []


def test_an_extra_that_is_not_installed_is_noticed() -> None:
    assert missing_packages(None) == []
    assert missing_packages("no-such-extra") == []
    assert missing_packages("local") == []


def test_a_script_claims_no_wisdom_and_asks_for_no_caution() -> None:
    assert "wrong" not in describe(scripted(), choose_providers(scripted()))


# opening


@pytest.mark.anyio
async def test_a_house_is_not_ready_before_its_models_are() -> None:
    runtime = Runtime(scripted())
    assert not runtime.ready
    with pytest.raises(RuntimeError):
        _ = runtime.switchboard
    with pytest.raises(RuntimeError):
        _ = runtime.speech
    await runtime.use_providers(Simulation().engine.providers)
    assert runtime.ready


@pytest.mark.anyio
async def test_a_conversation_begins_with_the_owners_session() -> None:
    runtime = Runtime(scripted(session={"instructions": "Be brief.", "turn_detection": {"eagerness": "high"}}))
    await runtime.use_providers(Simulation().engine.providers)
    async with runtime.switchboard.connect(Caller("test")) as line:
        session = await first_session(line)
    assert session.instructions == "Be brief."
    assert session.model == "vivavoce"
    assert session.audio
    assert session.audio.input
    detection = session.audio.input.turn_detection
    assert isinstance(detection, SemanticVad)
    assert (detection.eagerness, detection.create_response) == ("high", True)


async def first_session(line: Line) -> Session:
    async for event in line:
        assert isinstance(event, SessionCreated)
        assert isinstance(event.session, Session)
        return event.session
    raise AssertionError("the line was silent")


@pytest.mark.anyio
@pytest.mark.real_time
async def test_missing_weights_are_named_with_the_line_that_brings_them(tmp_path: Path) -> None:
    runtime = Runtime(scripted(), store=Store(tmp_path, offline=True))
    with pytest.raises(ConfigError, match="viva models pull vad/silero"):
        await runtime.open()
    assert not runtime.ready


@pytest.mark.anyio
@pytest.mark.real_time
async def test_weights_that_a_provider_can_do_without_may_be_missing(tmp_path: Path) -> None:
    async def opened(*_: object) -> object:
        return object()

    told: list[str] = []
    runtime = Runtime(scripted(), store=Store(tmp_path, offline=True), on_status=told.append)
    vad = runtime.choices["vad"]
    plugin = replace(vad.plugin, models=lambda _: (), optional_models=vad.plugin.models, open=opened)
    runtime.choices = {**runtime.choices, "vad": replace(vad, plugin=plugin)}
    await runtime.open()
    assert runtime.ready
    assert "viva models pull vad/silero" in told[0]
    assert "[vad] does without for now." in told[0]


@pytest.mark.anyio
@pytest.mark.real_time
@pytest.mark.models
async def test_a_house_is_opened_once_and_tells_what_it_loads() -> None:
    told: list[str] = []
    with anyio.fail_after(30):
        async with open_runtime(scripted(), on_status=told.append) as runtime:
            assert runtime.ready
            assert set(runtime.states.values()) == {"ready"}
    assert sorted(sentence.split(":")[0] for sentence in told) == sorted(runtime.states)


# where somebody speaks


@given(st.lists(st.floats(0, 1), max_size=3 * LONGEST))
def test_stretches_are_in_order_apart_and_inside_the_recording(probabilities: list[float]) -> None:
    found = list(stretches(probabilities, [1] * len(probabilities)))
    edges = [edge for stretch in found for edge in stretch]
    assert edges == sorted(edges)
    assert all(0 <= begin < end <= len(probabilities) for begin, end in found)


@given(st.lists(st.sampled_from([0.0, 1.0]), max_size=3 * LONGEST))
def test_every_frame_of_speech_is_heard(probabilities: list[float]) -> None:
    covered = {
        at for begin, end in stretches(probabilities, [1] * len(probabilities)) for at in range(begin, end)
    }
    assert {at for at, speech in enumerate(probabilities) if speech} <= covered


def test_a_breath_keeps_two_utterances_together_and_a_long_pause_parts_them() -> None:
    def parts(pause: int) -> int:
        return len(list(stretches([1.0] * 20 + [0.0] * pause + [1.0] * 20, [1] * (40 + pause))))

    assert parts(TOGETHER) == 1
    assert parts(TOGETHER + PAUSE) == 2


@pytest.mark.parametrize(("quiet", "parts"), [(3000, 1), (2000, 2)])
def test_a_loud_and_a_quiet_speaker_are_brought_to_their_levels_apart(quiet: int, parts: int) -> None:
    probabilities = [1.0] * 20 + [0.0] * TOGETHER + [1.0] * 20
    peaks = [quiet] * 20 + [1] * TOGETHER + [10_000] * 20
    assert len(list(stretches(probabilities, peaks))) == parts


def test_long_speech_is_cut_in_its_pauses() -> None:
    sentence = [1.0] * (LONGEST // 3) + [0.0] * (PAUSE + 1)
    found = list(stretches(sentence * 6, [1] * len(sentence) * 6))
    assert len(found) == 3
    assert all(end - begin <= LONGEST for begin, end in found)


def test_speech_without_a_pause_is_cut_at_its_quietest() -> None:
    speech = [0.9] * (2 * LONGEST)
    speech[LONGEST - 20] = 0.6
    assert next(stretches(speech, [1] * len(speech))) == (0, LONGEST - 20)


def test_silence_is_nobody_speaking() -> None:
    assert list(stretches([0.1] * 1000, [1] * 1000)) == []
