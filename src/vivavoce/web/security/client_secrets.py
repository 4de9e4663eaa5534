"""Client secrets: short-lived keys, each bound to a session, for clients that cannot keep a key."""

from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import AnySession
from vivavoce.session.call import Storing

PREFIX = "ek_"
"""prefix of client secrets (OpenAI: ephemeral keys)"""


@dataclass(frozen=True)
class Binding:
    """What a client secret is bound to: its calls' session, who makes them, what they continue and store."""

    session: AnySession
    identity: str | None = None
    continues: str | None = None
    store: Storing = "all"


@dataclass
class ClientSecrets:
    """The valid client secrets, at most `max_secrets`; only their digests are stored.

    A secret can start any number of calls until it expires; expiry does not end calls.
    """

    max_secrets: int
    _bindings: dict[bytes, tuple[Binding, float]] = field(default_factory=dict)
    """by digest: what the secret is bound to, and when it expires"""

    def issue(self, binding: Binding, seconds: float) -> str:
        """Return a new secret, valid for `seconds`. Raises `ProtocolError` if there are too many."""
        now = anyio.current_time()
        self._bindings = {digest: bound for digest, bound in self._bindings.items() if bound[1] > now}
        if len(self._bindings) >= self.max_secrets:
            problem = (
                f"{self.max_secrets} client secrets (limits.client_secrets) are valid; wait until some expire."
            )
            raise ProtocolError(problem, code="rate_limit_exceeded")
        secret = PREFIX + token_hex(24)
        self._bindings[_digest(secret)] = binding, now + seconds
        return secret

    def binding(self, secret: str) -> Binding | None:
        """Return what a secret is bound to; None if it is unknown or has expired."""
        binding, expires_at = self._bindings.get(_digest(secret), (None, 0.0))
        return binding if expires_at > anyio.current_time() else None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
