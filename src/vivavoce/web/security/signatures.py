"""How telephone carriers sign their requests: whether a request is signed by a secret that both sides have."""

import hmac
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256
from urllib.parse import parse_qsl, urlsplit

import msgspec

from vivavoce.dates import unix_now

SIGNED_SECONDS = 300
"""seconds after which a signature with a time counts no more, so that nobody repeats a request later"""
LEEWAY_SECONDS = 5
"""seconds by which a signature may come from the future, since clocks differ"""


@dataclass(frozen=True)
class SignedRequest:
    """A request as its sender has signed it: with the URL that it asked for, and its body as it came."""

    method: str
    url: str
    headers: Mapping[str, str]
    """by names in small letters"""
    body: bytes = b""

    @property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form, by name; a body of another kind has none."""
        is_form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        text = self.body.decode(errors="replace") if is_form else ""
        return sorted(parse_qsl(text, keep_blank_values=True))


Verify = Callable[[str, SignedRequest], bool]
"""Whether a request is signed by a secret. What is no signature is none; nothing raises."""


def is_signed_by_twilio(token: str, request: SignedRequest) -> bool:
    """HMAC-SHA1 of the URL and the form's fields; of another body, the URL has the digest (`bodySHA256`)."""
    signed = request.url + "".join(name + value for name, value in request.form)
    digests = [value for name, value in parse_qsl(urlsplit(request.url).query) if name == "bodySHA256"]
    if request.body and not request.form and digests != [sha256(request.body).hexdigest()]:
        return False
    expected = b64encode(hmac.digest(token.encode(), signed.encode(), sha1)).decode()
    return _is_same(request.headers.get("x-twilio-signature", ""), expected)


def is_signed_by_signalwire(key: str, request: SignedRequest) -> bool:
    """As Twilio; or, in a header of its own, the HMAC-SHA1 of the URL and the body as it came, in hex."""
    expected = hmac.digest(key.encode(), request.url.encode() + request.body, sha1).hex()
    own = _is_same(request.headers.get("x-signalwire-signature", "").lower(), expected)
    return is_signed_by_twilio(key, request) or own


def is_signed_by_plivo(token: str, request: SignedRequest) -> bool:
    """Plivo's V3: HMAC-SHA256 of the URL, its parameters in order, and a nonce; one of several is enough."""
    base, _, query = request.url.partition("?")
    parameters = sorted(parse_qsl(query, keep_blank_values=True))
    asked = "&".join(f"{name}={value}" for name, value in parameters)
    if request.method == "GET":
        signed = f"{base}?{asked}" if asked else base
    else:
        fields = "".join(name + value for name, value in request.form)
        signed = f"{base}?{asked}.{fields}" if asked else f"{base}?{fields}"
    nonce = request.headers.get("x-plivo-signature-v3-nonce", "")
    expected = b64encode(hmac.digest(token.encode(), f"{signed}.{nonce}".encode(), sha256)).decode()
    given = request.headers.get("x-plivo-signature-v3", "").split(",")
    matches = [_is_same(one.strip(), expected) for one in given]
    return bool(nonce) and any(matches)


def is_signed_by_telnyx(public_key: str, request: SignedRequest, now: Callable[[], int] = unix_now) -> bool:
    """Ed25519 of the time and the body. Raises `ImportError` if `cryptography` is not installed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    timestamp = request.headers.get("telnyx-timestamp", "")
    try:
        is_fresh = abs(now() - int(timestamp)) <= SIGNED_SECONDS
        signature = b64decode(request.headers.get("telnyx-signature-ed25519", ""), validate=True)
        key = Ed25519PublicKey.from_public_bytes(b64decode(public_key))
        key.verify(signature, timestamp.encode() + b"|" + request.body)
    except (ValueError, InvalidSignature):
        return False
    return is_fresh


class _Header(msgspec.Struct):
    alg: str


class _Claims(msgspec.Struct):
    iat: int
    payload_hash: str = ""


def is_signed_by_vonage(secret: str, request: SignedRequest, now: Callable[[], int] = unix_now) -> bool:
    """A JWT (HS256) as bearer, with the digest of the body."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    signed, _, signature = token.strip().rpartition(".")
    expected = hmac.digest(secret.encode(), signed.encode(), sha256)
    try:
        head, claims = signed.split(".")
        header = msgspec.json.decode(_from_base64url(head), type=_Header)
        found = msgspec.json.decode(_from_base64url(claims), type=_Claims)
        given = _from_base64url(signature)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False
    age = now() - found.iat
    return (
        scheme.lower() == "bearer"
        and header.alg == "HS256"
        and hmac.compare_digest(given, expected)
        and -LEEWAY_SECONDS <= age <= SIGNED_SECONDS
        and (not request.body or _is_same(found.payload_hash.lower(), sha256(request.body).hexdigest()))
    )


def _from_base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


VERIFIERS: Mapping[str, Verify] = {
    "twilio": is_signed_by_twilio,
    "signalwire": is_signed_by_signalwire,
    "plivo": is_signed_by_plivo,
    "telnyx": is_signed_by_telnyx,
    "vonage": is_signed_by_vonage,
}
"""by carrier; others sign nothing, so they need a key of the server"""
