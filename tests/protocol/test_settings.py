"""Absent is unchanged, null is off, empty is cleared."""

from typing import TypeGuard

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.shapes import made
from vivavoce.errors import ProtocolError
from vivavoce.protocol.codec import decode_client
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import (
    NoiseReduction,
    OutputSettings,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSession,
    output_settings,
)
from vivavoce.protocol.settings import DEFAULT, DEFAULT_TRANSCRIPTION, check_response, merge, without_voice

relaxed = settings(max_examples=150, suppress_health_check=list(HealthCheck))


def asked(**fields: object) -> Session:
    return msgspec.convert({"type": "realtime", **fields}, Session)


def hearing(**fields: object) -> Session:
    return asked(audio={"input": fields})


def turns(session: Session) -> object:
    return session.audio.input.turn_detection  # type: ignore[union-attr]


def accepted(update: object) -> TypeGuard[Session]:
    assert isinstance(update, Session)
    try:
        merge(DEFAULT, update)
    except ProtocolError:
        return False
    return True


updates: st.SearchStrategy[Session] = made(Session).filter(accepted)


def test_every_default_is_written_out() -> None:
    assert turns(DEFAULT) == ServerVad(
        threshold=0.5,
        prefix_padding_ms=300,
        silence_duration_ms=500,
        idle_timeout_ms=None,
        create_response=True,
        interrupt_response=True,
    )


@relaxed
@given(updates)
def test_an_empty_update_changes_nothing(update: Session) -> None:
    session = merge(DEFAULT, update)
    assert merge(session, Session()) == session


@relaxed
@given(updates, updates)
def test_an_update_said_twice_is_an_update_said_once(first: Session, second: Session) -> None:
    once = merge(DEFAULT, first)
    try:
        once = merge(once, second)
    except ProtocolError:  # the first took away the tool that the second wants to be called
        return
    assert merge(once, second) == once


@relaxed
@given(updates)
def test_what_is_not_named_stays(update: Session) -> None:
    merged = merge(DEFAULT, update)
    for name in Session.__struct_fields__:
        if getattr(update, name) is msgspec.UNSET:
            assert getattr(merged, name) == getattr(DEFAULT, name)


def test_null_switches_off_and_a_type_switches_on_with_its_defaults() -> None:
    quiet = merge(DEFAULT, hearing(turn_detection=None))
    assert turns(quiet) is None
    again = merge(quiet, hearing(turn_detection={"type": "server_vad", "silence_duration_ms": 200}))
    assert turns(again) == msgspec.structs.replace(turns(DEFAULT), silence_duration_ms=200)  # type: ignore[type-var]


def test_a_setting_of_another_type_takes_the_place_of_the_old() -> None:
    session = merge(DEFAULT, hearing(turn_detection={"type": "semantic_vad", "interrupt_response": False}))
    assert turns(session) == SemanticVad(eagerness="auto", create_response=True, interrupt_response=False)


def test_a_setting_of_the_same_type_changes_field_by_field() -> None:
    first = merge(DEFAULT, hearing(turn_detection={"type": "server_vad", "threshold": 0.7}))
    second = merge(first, hearing(turn_detection={"type": "server_vad", "idle_timeout_ms": 6000}))
    assert turns(second) == msgspec.structs.replace(
        turns(DEFAULT),  # type: ignore[type-var]
        threshold=0.7,
        idle_timeout_ms=6000,
    )


def test_what_is_empty_is_cleared() -> None:
    tools = [{"type": "function", "name": "look"}]
    session = merge(DEFAULT, asked(instructions="Be kind.", tools=tools))
    session = merge(session, asked(instructions="", tools=[]))
    assert (session.instructions, session.tools) == ("", ())


def test_the_voice_of_a_line_can_be_set_and_its_format_changed() -> None:
    session = merge(DEFAULT, asked(audio={"output": {"voice": "ash", "format": {"type": "audio/pcmu"}}}))
    assert session.audio.output.voice == "ash"  # type: ignore[union-attr]
    assert session.audio.output.speed == 1.0  # type: ignore[union-attr]
    assert session.audio.input == DEFAULT.audio.input  # type: ignore[union-attr]


def test_noise_reduction_begins_at_full_strength() -> None:
    session = merge(DEFAULT, hearing(noise_reduction={"type": "far_field"}))
    assert session.audio.input.noise_reduction == NoiseReduction(type="far_field", strength=1.0)  # type: ignore[union-attr]


def test_who_the_session_is_and_its_model_stay() -> None:
    mine = msgspec.structs.replace(DEFAULT, id="sess_1", expires_at=9, model="m")
    assert (
        merge(mine, asked(id="sess_2", object="realtime.session", expires_at=1, model="gpt-realtime")) == mine
    )


TURNS = "session.audio.input.turn_detection"
TOOL = {"type": "function", "name": "look"}
WRONG = [
    (asked(output_modalities=["text", "audio"]), "session.output_modalities"),
    (asked(output_modalities=[]), "session.output_modalities"),
    (asked(max_output_tokens=0), "session.max_output_tokens"),
    (asked(max_output_tokens=4097), "session.max_output_tokens"),
    (asked(tools=[{**TOOL, "name": ""}]), "session.tools[0].name"),
    (asked(tools=[TOOL, TOOL]), "session.tools[1].name"),
    (asked(tools=[{"type": "mcp", "server_label": ""}]), "session.tools[0].server_label"),
    (asked(tools=[{**TOOL, "name": f"look_{i}"} for i in range(129)]), "session.tools"),
    (asked(tool_choice={"type": "function", "name": "fly"}, tools=[TOOL]), "session.tool_choice.name"),
    (
        asked(truncation={"type": "retention_ratio", "retention_ratio": 1.1}),
        "session.truncation.retention_ratio",
    ),
    (asked(audio={"output": {"speed": 0.2}}), "session.audio.output.speed"),
    (asked(audio={"output": {"speed": 1.6}}), "session.audio.output.speed"),
    (hearing(turn_detection={"type": "server_vad", "threshold": 1.01}), f"{TURNS}.threshold"),
    (hearing(turn_detection={"type": "server_vad", "prefix_padding_ms": -1}), f"{TURNS}.prefix_padding_ms"),
    (
        hearing(turn_detection={"type": "server_vad", "silence_duration_ms": 10**6}),
        f"{TURNS}.silence_duration_ms",
    ),
    (hearing(turn_detection={"type": "server_vad", "idle_timeout_ms": 4999}), f"{TURNS}.idle_timeout_ms"),
    (
        hearing(noise_reduction={"type": "near_field", "strength": 2}),
        "session.audio.input.noise_reduction.strength",
    ),
    (TranscriptionSession(), "session.type"),
]


@pytest.mark.parametrize(("update", "param"), WRONG, ids=[f"{w[1]}-{i}" for i, w in enumerate(WRONG)])
def test_a_value_out_of_its_range_is_named(update: Session, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        merge(DEFAULT, update)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


def test_a_transcription_session_listens_and_does_not_speak() -> None:
    update = msgspec.convert(
        {"type": "transcription", "audio": {"input": {"transcription": {"model": "m", "language": "de"}}}},
        TranscriptionSession,
    )
    session = merge(DEFAULT_TRANSCRIPTION, update)
    assert session.audio.input.transcription.language == "de"  # type: ignore[union-attr]
    assert merge(session, TranscriptionSession()) == session
    said = '{"type":"session.update","session":{"type":"transcription","audio":{"output":{"speed":1}}}}'
    with pytest.raises(ProtocolError) as caught:
        decode_client(said)
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "session.audio.output")


def test_settings_without_the_voice_are_otherwise_the_same() -> None:
    silent = Session(audio=SessionAudio(output=OutputSettings(speed=1.2)))
    spoken = Session(audio=SessionAudio(output=OutputSettings(speed=1.2, voice="anna")))
    assert [without_voice(spoken), without_voice(silent), without_voice(Session())] == [
        silent,
        silent,
        Session(),
    ]


def test_a_session_that_says_nothing_of_its_output_leaves_all_of_it_open() -> None:
    spoken = OutputSettings(voice="anna")
    assert output_settings(Session(audio=SessionAudio(output=spoken))) == spoken
    for session in (None, Session(), Session(audio=SessionAudio()), TranscriptionSession()):
        assert output_settings(session) == OutputSettings()


def test_tracing_stays_as_it_is_while_it_is_on() -> None:
    traced = merge(DEFAULT, asked(tracing="auto"))
    assert merge(traced, asked(tracing="auto", instructions="Be kind.")).tracing == "auto"
    with pytest.raises(ProtocolError) as caught:
        merge(traced, asked(tracing={"workflow_name": "mine"}))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "session.tracing")
    assert merge(traced, asked(tracing=None)).tracing is None


# one response


def wanted(**fields: object) -> ResponseParams:
    return msgspec.convert(fields, ResponseParams)


@pytest.mark.parametrize(
    ("params", "param"),
    [
        (wanted(output_modalities=["audio", "text"]), "response.output_modalities"),
        (wanted(max_output_tokens=5000), "response.max_output_tokens"),
        (wanted(tools=[TOOL, TOOL]), "response.tools[1].name"),
        (wanted(tools=[TOOL], tool_choice={"type": "function", "name": "fly"}), "response.tool_choice.name"),
        (wanted(metadata={str(i): "" for i in range(17)}), "response.metadata"),
        (wanted(metadata={"k" * 65: ""}), "response.metadata"),
        (wanted(metadata={"k": "v" * 513}), "response.metadata.k"),
    ],
)
def test_a_response_is_checked_as_a_session_is(params: ResponseParams, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_response(params)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


def test_a_response_may_choose_among_the_sessions_tools() -> None:
    session = merge(DEFAULT, asked(tools=[TOOL]))
    check_response(wanted(tool_choice={"type": "function", "name": "look"}), session)
    check_response(wanted(tool_choice="required"), session)
    for params, param in (
        (wanted(tool_choice={"type": "function", "name": "fly"}), "response.tool_choice.name"),
        (wanted(tool_choice="required", tools=[]), "response.tool_choice"),
    ):
        with pytest.raises(ProtocolError) as caught:
            check_response(params, session)
        assert (caught.value.code, caught.value.param) == ("invalid_value", param)


@given(
    st.sampled_from(
        [{}, {"metadata": None}, {"metadata": {"client_event_id": "e"}}, {"max_output_tokens": "inf"}]
    )
)
def test_a_response_may_ask_for_little(fields: dict[str, object]) -> None:
    check_response(wanted(**fields))
