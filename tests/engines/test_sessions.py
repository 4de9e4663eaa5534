"""What a conversation says of itself before anything else."""

import pytest

from vivavoce.dates import unix_now
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import AnySession, Session, TranscriptionSession
from vivavoce.testing.simulation import ClientSends, Simulation

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("wish", [Session(), TranscriptionSession()])
async def test_a_client_knows_from_the_beginning_when_its_session_ends(wish: AnySession) -> None:
    earliest = unix_now() + 600
    timeline = await Simulation(limits=Limits(conversation_minutes=10), client_session=wish).run(
        ClientSends(0.1, e.SessionUpdate(session=wish)), until=0.3
    )
    (created,), (updated,) = timeline.of(e.SessionCreated), timeline.of(e.SessionUpdated)
    assert isinstance(created, e.SessionCreated)
    assert isinstance(updated, e.SessionUpdated)
    assert isinstance(created.session.expires_at, int)
    assert earliest <= created.session.expires_at <= unix_now() + 600
    assert updated.session.expires_at == created.session.expires_at
