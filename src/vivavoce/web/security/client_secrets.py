"""Client secrets: short-lived keys, each bound to a session, for clients that cannot keep a key."""

from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import AnySession

PREFIX = "ek_"
"""prefix of client secrets (OpenAI: ephemeral keys)"""


@dataclass
class ClientSecrets:
    """The valid client secrets, at most `max_secrets`; only their digests are stored.

    A secret can start any number of calls until it expires; expiry does not end calls.
    """

    max_secrets: int
    _sessions: dict[bytes, tuple[AnySession, float]] = field(default_factory=dict)
    """by digest: the session, and when the secret expires"""

    def issue(self, session: AnySession, seconds: float) -> str:
        """Return a new secret, valid for `seconds`. Raises `ProtocolError` if there are too many."""
        now = anyio.current_time()
        self._sessions = {digest: bound for digest, bound in self._sessions.items() if bound[1] > now}
        if len(self._sessions) >= self.max_secrets:
            problem = (
                f"{self.max_secrets} client secrets (limits.client_secrets) are valid; wait until some expire."
            )
            raise ProtocolError(problem, code="rate_limit_exceeded")
        secret = PREFIX + token_hex(24)
        self._sessions[_digest(secret)] = session, now + seconds
        return secret

    def session(self, secret: str) -> AnySession | None:
        """Return the session that a secret is bound to; None if it is unknown or has expired."""
        session, expires_at = self._sessions.get(_digest(secret), (None, 0.0))
        return session if expires_at > anyio.current_time() else None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
