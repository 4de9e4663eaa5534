"""Simulations in which an assistant answers."""

from vivavoce.assistants.session import AssistantSession
from vivavoce.assistants.team import Team
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce.protocol.settings import DEFAULT
from vivavoce.testing.simulation import Simulation, Timeline
from vivavoce.tools.types import Assistant

__all__ = ["said", "staged"]


def staged(assistant: Assistant, *, session: Session = DEFAULT, **simulation: object) -> Simulation:
    """Return a simulation in which this assistant answers; sessions begin as `session`."""
    team, limits = Team(assistant), simulation.get("limits") or Limits()
    middleware = lambda caller: AssistantSession(team, limits, caller.id)  # noqa: E731
    return Simulation(
        session=team.initial_session(session), middleware=middleware, **{"replies": ["Yes."], **simulation}
    )


def said(timeline: Timeline) -> str:
    """Return all words that were spoken, in order."""
    kinds = (e.ResponseOutputAudioTranscriptDelta, e.ResponseOutputTextDelta)
    return "".join(event.delta for event in timeline.of(*kinds)).strip()
