"""How a browser shows that it may come in: a code that works once, or a key, is exchanged for a cookie.

A key lasts, and whoever has it can do everything, so it should be neither in an address nor in a page. The code
that a phone scans works once, for minutes. The cookie is no key either: scripts cannot read it, other sites
cannot use it, it ends, and a server whose keys have changed knows it no more.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import choice, token_bytes

import anyio
import anyio.to_thread
from starlette.requests import HTTPConnection

from vivavoce.dates import unix_now
from vivavoce.errors import ProtocolError
from vivavoce.web.security.private_files import write_private

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letter looks like a digit"""
LOOKALIKES = str.maketrans("OIL", "011")
CODE_CHARS = 10
"""50 bits, of which nobody finds one in the minutes that it is valid"""
SECRET_BYTES = 32


@dataclass
class SignInCodes:
    """The valid codes, at most `max_codes`; only their digests are kept."""

    max_codes: int
    seconds: float
    """for which a code is valid"""
    _codes: dict[bytes, float] = field(default_factory=dict)
    """by digest: when the code expires"""

    def issue(self) -> str:
        """Return a new code, such as `7G4KM-0Q2XW`. Raises `ProtocolError` if there are too many."""
        now = anyio.current_time()
        self._codes = {digest: expires for digest, expires in self._codes.items() if expires > now}
        if len(self._codes) >= self.max_codes:
            problem = f"{self.max_codes} codes (limits.sign_in_codes) are valid; wait until some expire."
            raise ProtocolError(problem, code="rate_limit_exceeded")
        code = "".join(choice(ALPHABET) for _ in range(CODE_CHARS))
        self._codes[_digest(code)] = now + self.seconds
        return f"{code[:5]}-{code[5:]}"

    def redeem(self, code: str) -> bool:
        """Return whether a code, as a person may write it, is valid; it is not any more."""
        written = re.sub(r"[\s-]", "", code).upper().translate(LOOKALIKES)
        return self._codes.pop(_digest(written), 0.0) > anyio.current_time()


@dataclass
class BrowserCookies:
    """Makes and checks the cookies of browsers that have signed in. None is stored: they are signed.

    The signature depends on a secret in a file, so that they outlast the process, and on the key behind them,
    so that they do not outlast it.
    """

    keys: Sequence[str]
    file: Path
    seconds: int
    """for which a cookie is valid"""
    _secret: bytes = b""

    def __post_init__(self) -> None:
        if self.file.is_file():
            self._secret = self.file.read_bytes()

    async def issue(self, key: str) -> str:
        """Return the value of a new cookie for who has shown this key, or a code that a holder of it gave away.

        Raises `ConfigError` if the secret cannot be kept.
        """
        if not self._secret:
            secret = token_bytes(SECRET_BYTES)
            await anyio.to_thread.run_sync(write_private, self.file, secret)
            self._secret = secret
        expires = unix_now() + self.seconds
        return f"{expires}.{self._signature(key, expires)}"

    def is_valid(self, value: str) -> bool:
        """Return whether a cookie is one of ours and has not expired."""
        return self.person(value) is not None

    def person(self, value: str) -> str | None:
        """Return who has signed in with a cookie: the same text for all browsers that did so with one key.

        It says nothing of the key. None if the cookie is not one of ours, or has expired.
        """
        expires, _, signature = value.partition(".")
        if not (self._secret and expires.isdecimal() and len(expires) <= 12 and int(expires) > unix_now()):
            return None
        ours = [self._signature(key, int(expires)).encode() for key in self.keys]
        matches = [hmac.compare_digest(signature.encode(), one) for one in ours]
        return self._signature(self.keys[matches.index(True)], 0)[:32] if any(matches) else None

    def _signature(self, key: str, expires: int) -> str:
        signed = sha256(key.encode()).digest() + str(expires).encode()
        return hmac.new(self._secret, signed, sha256).hexdigest()


def cookie_name(connection: HTTPConnection) -> str:
    """Return the name of the cookie: browsers send the cookies of all ports of a host to each."""
    return f"vivavoce{connection.url.port or ''}"


def _digest(code: str) -> bytes:
    return sha256(code.encode()).digest()
