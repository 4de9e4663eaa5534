"""Every event of the server's, read strictly by the types of OpenAI's SDK, which must know all that we say."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from openai.types import realtime as ga
from openai.types.beta import realtime as beta_types
from pydantic import BaseModel, TypeAdapter, ValidationError

from clients.rules.score import Event, Score

__all__ = ["misspelt"]

BEYOND_THE_SDK = {
    "session.id": "the SDK types a session by what a client may ask for; the service also sends these",
    "session.object": "as session.id",
    "session.expires_at": "as session.id",
    "session.model": "as session.id, in a transcription session",
}
"""Fields that the protocol has and the SDK's types do not know."""
BEYOND_THE_BETA = {
    "session.id": "as in GA",
    "session.object": "as in GA",
    "session.expires_at": "as in GA",
    "session.prompt": "the service sends it; the SDK's beta types are older",
    "session.include": "as session.prompt",
    "session.turn_detection.idle_timeout_ms": "as session.prompt",
    "name": "as session.prompt, with the arguments of a call",
    "response.usage.input_token_details.image_tokens": "as session.prompt",
    "response.usage.input_token_details.cached_tokens_details": "as session.prompt",
}
UNHEARD_OF = {"transcription_session.created": "the beta's service sends it; the SDK knows only .updated"}


def members(union: object) -> dict[str, type[BaseModel]]:
    """Return the SDK's types by the `type` of the event."""
    union = get_args(union)[0] if get_origin(union) is Annotated else union
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(union)}


@cache
def readers(*, beta: bool) -> dict[str, TypeAdapter[BaseModel]]:
    union = beta_types.RealtimeServerEvent if beta else ga.RealtimeServerEvent
    return {tag: TypeAdapter(model) for tag, model in members(union).items()}


def misspelt(score: Score, *, beta: bool) -> Iterator[str]:
    """Tell which events of the server's the SDK would not understand completely."""
    for index, (by, event) in enumerate(score):
        if by == "server":
            yield from (f"#{index} {event.get('type')}: {fault}" for fault in faults(event, beta=beta))


def faults(event: Event, *, beta: bool) -> Iterator[str]:
    """Tell what is wrong with one event: its type, a missing or wrong field, a field that nobody knows."""
    reader = readers(beta=beta).get(event.get("type", ""))
    if reader is None:
        if not (beta and event.get("type") in UNHEARD_OF):
            yield "the SDK knows no such event"
        return
    try:
        model = reader.validate_json(json.dumps(event), strict=True)
    except ValidationError as error:
        yield from (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return
    beyond = BEYOND_THE_BETA if beta else BEYOND_THE_SDK
    yield from (f"the SDK knows no {name}" for name in unknown(model) if name not in beyond)
    if json.loads(model.model_dump_json(exclude_unset=True, by_alias=True)) != event:
        yield "the SDK reads it as something else"


def unknown(model: Any, path: str = "") -> Iterator[str]:
    """Return the fields of an event for which the SDK's types have no place."""
    if isinstance(model, BaseModel):
        yield from (f"{path}.{name}".lstrip(".") for name in model.model_extra or {})
        for name in model.model_fields_set & set(type(model).model_fields):
            yield from unknown(getattr(model, name), f"{path}.{name}")
    elif isinstance(model, list):
        for one in model:
            yield from unknown(one, f"{path}[]")
