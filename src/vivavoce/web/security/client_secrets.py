"""Client secrets: short-lived keys for clients that cannot keep one, each bound to how it may converse."""

from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import Session, TranscriptionSession

__all__ = ["PREFIX", "ClientSecrets"]

PREFIX = "ek_"
"""how a client secret begins (OpenAI: ephemeral key)"""


@dataclass(frozen=True)
class _Bound:
    session: Session | TranscriptionSession
    until: float


@dataclass
class ClientSecrets:
    """What has been issued and has not expired, at most `most`. The secrets themselves are not kept.

    Each may begin any number of conversations until it expires; those go on afterwards.
    """

    most: int
    _bound: dict[bytes, _Bound] = field(default_factory=dict)

    def issue(self, session: Session | TranscriptionSession, seconds: float) -> str:
        """Return a new secret, good for `seconds`. Raises `ProtocolError` while there are too many."""
        now = anyio.current_time()
        self._bound = {digest: bound for digest, bound in self._bound.items() if bound.until > now}
        if len(self._bound) >= self.most:
            raise ProtocolError(
                f"{self.most} client secrets (limits.client_secrets) are in use; wait until some expire.",
                code="rate_limit_exceeded",
            )
        secret = PREFIX + token_hex(24)
        self._bound[_digest(secret)] = _Bound(session, now + seconds)
        return secret

    def session(self, secret: str) -> Session | TranscriptionSession | None:
        """Return what this secret is bound to; None if it is none of ours, or has expired."""
        bound = self._bound.get(_digest(secret))
        return bound.session if bound and bound.until > anyio.current_time() else None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
