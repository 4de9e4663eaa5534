"""What we say in the beta dialect, judged by OpenAI's own types of the beta."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.beta import realtime as sdk
from openai.types.beta.realtime import response_create_event, session_update_event, transcription_session_update
from pydantic import BaseModel, TypeAdapter, ValidationError

from protocol.shapes import made, said
from protocol.test_oracle import unknown
from vivavoce.protocol import events as e
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.beta.tables import RESPONSE, RESPONSE_PARAMS, SESSION, TRANSCRIPTION
from vivavoce.protocol.codec import decode_client, error_event
from vivavoce.protocol.settings import DEFAULT, DEFAULT_TRANSCRIPTION

relaxed = settings(max_examples=40, suppress_health_check=list(HealthCheck))

NOT_SPOKEN = {"conversation.created": "no client that we know of waits for it"}
BEYOND_THE_SDK = {
    "transcription_session.created": "the service sends it; the SDK knows only .updated",
    "input_audio_buffer.timeout_triggered": "asked for by idle_timeout_ms, which the SDK's beta does not know",
    "conversation.item.input_audio_transcription.segment": "asked for by a model that tells speakers apart",
    **dict.fromkeys(
        [
            "mcp_list_tools.in_progress",
            "mcp_list_tools.completed",
            "mcp_list_tools.failed",
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
            "response.mcp_call.failed",
        ],
        "asked for by tools of the type mcp",
    ),
}
WRONG_THERE = {
    r"session\.model": "a list of the models of its day",
    r"session\.client_secret": "required, though its own words say that it is not there on a WebSocket",
    r"session\.input_audio_transcription\.model": "a list of the models of its day",
    r"session\.tool_choice": "a string, though it may name a function",
    r"session\.tools\.\d+\.type|\w+(\.output\.\d+)?\.type": "no tools or items of the type mcp",
    r"(item|response\.output\.\d+)\.content\.\d+\.type": "no images",
    r"session\.tracing(\..*)?": "a union that a null inside of it does not fit",
}
"""Where the SDK's types of the beta are narrower than what they describe."""
MORE_HERE = {
    r"session\.(id|object|expires_at|prompt|include|input_audio_noise_reduction)": "the service sends them",
    r"session\.\w+\.(idle_timeout_ms|create_response|interrupt_response|eagerness|strength)": "newer settings",
    r"session\.input_audio_transcription\.(languages|keywords|delay)": "newer settings",
    r"session\.tools\[\]\..*": "of tools of the type mcp",
    r"response\.usage\.input_token_details\.(image_tokens|cached_tokens_details)": "the service sends them",
    r"(item|response\.output\[\])\.(server_label|tools|error|approve|reason)": "of mcp items",
    r"(item|response\.output\[\])\.approval_request_id": "of mcp items",
    r"(item|response\.output\[\])\.content\[\]\.(image_url|detail)": "of images",
    r"response\.input\[\]\.content\[\]\.(image_url|detail)": "of images",
    r"name|languages": "the service sends them",
}
"""What we say beyond the SDK's types; a client that does not know it leaves it out."""


def members(union: object) -> dict[str, type[BaseModel]]:
    union = get_args(union)[0] if get_origin(union) is Annotated else union
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(union)}


THEIR_SERVER, THEIR_CLIENT = members(sdk.RealtimeServerEvent), members(sdk.RealtimeClientEvent)
OUR_SERVER = {str(kind.__struct_config__.tag): kind for kind in e.kinds(e.ServerEvent)}
CLIENT_KINDS = {str(kind.__struct_config__.tag): kind for kind in e.kinds(e.ClientEvent)}
OUR_CLIENT = set(CLIENT_KINDS)
SPOKEN = {name for tag in OUR_SERVER if (name := beta.EVENTS.get(tag, tag))} | {
    "transcription_session.created",
    "transcription_session.updated",
}


def test_no_event_of_the_beta_is_unknown_to_us() -> None:
    assert set(THEIR_SERVER) - SPOKEN == set(NOT_SPOKEN)
    assert set(THEIR_CLIENT) == OUR_CLIENT | {"transcription_session.update"}


def test_no_event_of_ours_is_unknown_to_the_sdk() -> None:
    assert SPOKEN - set(THEIR_SERVER) == set(BEYOND_THE_SDK)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (session_update_event.Session, SESSION),
        (sdk.Session, SESSION),
        (transcription_session_update.Session, TRANSCRIPTION),
        (sdk.TranscriptionSession, TRANSCRIPTION),
        (response_create_event.Response, RESPONSE_PARAMS),
        (sdk.RealtimeResponse, {**RESPONSE, "temperature": None}),
    ],
)
def test_no_field_of_the_beta_is_unknown_to_us(theirs: type[BaseModel], ours: Mapping[str, object]) -> None:
    assert set(theirs.model_fields) <= set(ours)


@cache
def reader(tag: str) -> TypeAdapter[BaseModel]:
    return TypeAdapter(THEIR_SERVER[tag])


def complaints(text: str) -> Iterator[str]:
    """Where the SDK's type of an event does not take what we said."""
    try:
        reader(json.loads(text)["type"]).validate_json(text, strict=True)
    except ValidationError as error:
        yield from (".".join(str(step) for step in one["loc"]) for one in error.errors())


def fits(place: str, known: Mapping[str, str]) -> bool:
    return any(re.fullmatch(pattern, place) for pattern in known)


def judge(event: e.Event) -> None:
    text = beta.encode(event)
    if text is None or (tag := json.loads(text)["type"]) in BEYOND_THE_SDK:
        return
    found = [place for place in complaints(text) if not fits(place, WRONG_THERE)]
    assert not found, text
    model = THEIR_SERVER[tag].construct(**json.loads(text))
    assert not [place for place in unknown(model) if not fits(place, MORE_HERE)], text


@pytest.mark.parametrize("tag", sorted(OUR_SERVER))
@relaxed
@given(data=st.data())
def test_openai_understands_all_that_we_can_say_in_the_beta(tag: str, data: st.DataObject) -> None:
    event = data.draw(made(OUR_SERVER[tag]))
    assert isinstance(event, e.Event)
    judge(event)


@pytest.mark.parametrize("session", [DEFAULT, DEFAULT_TRANSCRIPTION])
def test_openai_understands_our_defaults_in_the_beta(session: Any) -> None:
    judge(e.SessionUpdated(session=session))


def test_openai_understands_our_errors_in_the_beta() -> None:
    with pytest.raises(Exception, match="voice") as caught:
        beta.decode_client('{"type":"session.update","session":{"voice":7}}')
    judge(error_event(caught.value))  # type: ignore[arg-type]


# what our client says

FOR_OTHERS = {
    r"session\.model": "a list of the models of its day",
    r"session\.input_audio_transcription\.model": "a list of the models of its day",
    r"(session|response)\.tool_choice": "a string, though it may name a function",
    r"session\.tracing(\..*)?": "a union that a null inside of it does not fit",
    r"item\.content\.\d+\.type": "no images",
    r"response\.input\..*": "no images, no other references than those of its own spelling",
}


@pytest.mark.parametrize("tag", sorted(OUR_CLIENT))
@relaxed
@given(data=st.data())
def test_openai_understands_what_our_client_says_in_the_beta(tag: str, data: st.DataObject) -> None:
    event = decode_client(json.dumps(data.draw(said(CLIENT_KINDS[tag]))))
    text = beta.encode_client(event)
    if text is None:
        return
    their_type = THEIR_CLIENT[json.loads(text)["type"]]
    try:
        TypeAdapter(their_type).validate_json(text, strict=True)
    except ValidationError as error:
        places = [".".join(str(step) for step in one["loc"]) for one in error.errors()]
        assert not [place for place in places if not fits(place, FOR_OTHERS)], text
    model = their_type.construct(**json.loads(text))
    assert not [place for place in unknown(model) if not fits(place, MORE_HERE)], text
