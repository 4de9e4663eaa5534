"""Whatever is said, who hears it in the beta hears the conversation that others hear in GA."""

import json
from typing import Any

from hypothesis import given

from engines.test_laws import callers, lawful, perform, simulations
from vivavoce.protocol import codec as wire
from vivavoce.protocol import events as e
from vivavoce.protocol.beta.codec import BetaReader, encode
from vivavoce.session.conversation import Conversation
from vivavoce.testing.simulation import Simulation, Step


@lawful
@given(simulations(), callers())
def test_a_conversation_heard_in_the_beta_is_the_same(
    simulation: Simulation, caller: tuple[list[Step], float]
) -> None:
    said = [event for event in perform(simulation, *caller).events if not isinstance(event, e.ClientEvent)]
    read = BetaReader()
    heard = [event for one in said if (text := encode(one)) is not None for event in read(text)]
    assert [_without_id(event) for event in heard] == [_without_id(event) for event in said]
    assert _view(heard) == _view(said)


def _without_id(event: e.Event) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(wire.encode(event))
    told.pop("event_id")
    told.pop("session", None)  # which the beta tells in part
    return told


def _view(events: list[e.Event]) -> list[object]:
    conversation = Conversation()
    for event in events:
        conversation.apply(event)
    return [*conversation.items]
