"""Settings by the names that people know them by."""

import pytest

from vivavoce import ProtocolError
from vivavoce.client.call import SessionSetup
from vivavoce.client.settings import SETTINGS, Json, read_settings, session_with, updated
from vivavoce.protocol.session import (
    FunctionTool,
    InputSettings,
    NoiseReduction,
    OutputSettings,
    Pcm,
    Pcma,
    Pcmu,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)


def heard(**settings: object) -> Session:
    return Session(audio=SessionAudio(input=InputSettings(**settings)))


def spoken(**settings: object) -> Session:
    return Session(audio=SessionAudio(output=OutputSettings(**settings)))


LOOK = FunctionTool(name="look", parameters={"type": "object"})


@pytest.mark.parametrize(
    ("settings", "session"),
    [
        ({}, Session()),
        ({"instructions": "Be brief."}, Session(instructions="Be brief.")),
        ({"voice": "alloy"}, spoken(voice="alloy")),
        ({"voice": {"id": "mine"}}, spoken(voice={"id": "mine"})),
        ({"speed": 1.2}, spoken(speed=1.2)),
        ({"output_format": "pcm16"}, spoken(format=Pcm())),
        ({"output_audio_format": "g711_ulaw"}, spoken(format=Pcmu())),
        ({"input_format": "audio/pcma"}, heard(format=Pcma())),
        ({"input_audio_format": Pcmu()}, heard(format=Pcmu())),
        ({"input_format": {"type": "audio/pcm", "rate": 24000}}, heard(format=Pcm())),
        ({"turn_detection": None}, heard(turn_detection=None)),
        ({"turn_detection": "semantic_vad"}, heard(turn_detection=SemanticVad())),
        ({"turn_detection": ServerVad(threshold=0.4)}, heard(turn_detection=ServerVad(threshold=0.4))),
        (
            {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}},
            heard(turn_detection=ServerVad(silence_duration_ms=200)),
        ),
        ({"transcription": "whisper-1"}, heard(transcription=TranscriptionSettings(model="whisper-1"))),
        (
            {"input_audio_transcription": {"model": "whisper-1", "language": "hi"}},
            heard(transcription=TranscriptionSettings(model="whisper-1", language="hi")),
        ),
        ({"transcription": None}, heard(transcription=None)),
        ({"noise_reduction": "far_field"}, heard(noise_reduction=NoiseReduction(type="far_field"))),
        ({"modalities": ["text", "audio"]}, Session(output_modalities=("audio",))),
        ({"modalities": ["text"]}, Session(output_modalities=("text",))),
        ({"output_modalities": "text"}, Session(output_modalities=("text",))),
        ({"max_response_output_tokens": 100}, Session(max_output_tokens=100)),
        ({"max_output_tokens": "inf"}, Session(max_output_tokens="inf")),
        ({"tools": [LOOK]}, Session(tools=(LOOK,))),
        ({"tools": [{"name": "look", "parameters": {"type": "object"}}]}, Session(tools=(LOOK,))),
        ({"tool_choice": "none"}, Session(tool_choice="none")),
        ({"temperature": 0.8}, Session(temperature=0.8)),
        (
            {"voice": "alloy", "audio": {"input": {"turn_detection": None}}},
            Session(
                audio=SessionAudio(
                    input=InputSettings(turn_detection=None), output=OutputSettings(voice="alloy")
                )
            ),
        ),
        (
            {"type": "transcription", "transcription": "whisper-1"},
            TranscriptionSession(
                audio=TranscriptionAudio(
                    input=InputSettings(transcription=TranscriptionSettings(model="whisper-1"))
                )
            ),
        ),
    ],
)
def test_settings_have_the_names_of_both_dialects_and_shorter_ones(
    settings: dict[str, object], session: Session
) -> None:
    assert read_settings(None, settings) == read_settings(session, {})


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"voise": "alloy"}, "session.voise"),
        ({"speed": "fast"}, "session.audio.output.speed"),
        ({"turn_detection": "clever"}, "session.audio.input.turn_detection.type"),
        ({"input_format": "mp3"}, "session.audio.input.format.type"),
        ({"modalities": ["smell"]}, "session.output_modalities[0]"),
        ({"tools": [print]}, "session"),
    ],
)
def test_what_is_no_setting_is_named(settings: dict[str, object], param: str) -> None:
    with pytest.raises(ProtocolError) as wrong:
        read_settings(None, settings)
    assert wrong.value.param == param


def test_settings_go_over_a_session() -> None:
    session = read_settings(heard(turn_detection=None), {"transcription": "whisper-1", "voice": "alloy"})
    assert session == Session(
        audio=SessionAudio(
            input=InputSettings(turn_detection=None, transcription=TranscriptionSettings(model="whisper-1")),
            output=OutputSettings(voice="alloy"),
        )
    )


def test_the_latest_value_of_a_setting_counts() -> None:
    assert SessionSetup().update is None
    wishes: Json = {}
    for update in (
        {"instructions": "Be brief.", "turn_detection": {"type": "server_vad", "threshold": 0.4}},
        {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}, "tools": [LOOK]},
        {"voice": "alloy", "tools": []},
    ):
        wishes = updated(wishes, read_settings(None, update))
    turns = ServerVad(threshold=0.4, silence_duration_ms=200)
    assert session_with(wishes) == Session(
        instructions="Be brief.",
        tools=(),
        audio=SessionAudio(input=InputSettings(turn_detection=turns), output=OutputSettings(voice="alloy")),
    )
    wishes = updated(wishes, heard(turn_detection=SemanticVad()))
    session = session_with(wishes)
    assert isinstance(session, Session)
    assert session.audio
    assert session.audio.input
    assert session.audio.input.turn_detection == SemanticVad(), "another kind takes the whole place"
    assert isinstance(session_with(updated(wishes, heard(turn_detection=None))), Session)


def test_whatever_a_session_holds_can_be_set() -> None:
    fields = set(Session.__struct_fields__) - {"id", "object", "expires_at"}
    assert fields <= set(SETTINGS)
