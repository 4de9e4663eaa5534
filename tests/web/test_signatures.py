"""Requests that carriers sign, each in its way: with examples that the carriers' own packages have made."""

import json
from base64 import b64encode, urlsafe_b64encode
from hashlib import sha256
from hmac import digest
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vivavoce.web.security.signatures import (
    SignedRequest,
    is_signed_by_plivo,
    is_signed_by_signalwire,
    is_signed_by_telnyx,
    is_signed_by_twilio,
    is_signed_by_vonage,
)

FORM = {"content-type": "application/x-www-form-urlencoded"}
VOICE = "https://voice.example.org/twilio/voice?agent=sales"
FIELDS = {
    "To": "+15550199",
    "CallSid": "CA0123",
    "Caller": "+15550100",
    "From": "+15550100",
    "Digits": "12",
}


def twilio(url: str, signature: str, fields: dict[str, str] | None = None) -> SignedRequest:
    body = urlencode(fields).encode() if fields else b""
    return SignedRequest("POST", url, {**FORM, "x-twilio-signature": signature}, body)


def test_a_form_that_twilio_has_signed() -> None:
    signature = "J4BtmhK7a9zTuvcxc5xu18XNFbk="
    assert is_signed_by_twilio("12345", twilio(VOICE, signature, FIELDS))
    assert not is_signed_by_twilio("12346", twilio(VOICE, signature, FIELDS))
    assert not is_signed_by_twilio("12345", twilio(VOICE, signature, {**FIELDS, "Digits": "13"}))
    assert not is_signed_by_twilio("12345", twilio(VOICE.replace("sales", "fraud"), signature, FIELDS))


@pytest.mark.parametrize("signature", ["", "n3SsJD42KMgeyNWaA9rg2m68Jj", "ä", "=" * 5000])
def test_what_is_no_signature_of_twilio(signature: str) -> None:
    assert not is_signed_by_twilio("12345", twilio(VOICE, signature, FIELDS))


def test_a_websocket_that_twilio_has_signed() -> None:
    signature = "n3SsJD42KMgeyNWaA9rg2m68JjU="
    assert is_signed_by_twilio("12345", twilio("wss://voice.example.org/twilio", signature))
    for other in ("https://voice.example.org/twilio", "wss://voice.example.org/twilio/"):
        assert not is_signed_by_twilio("12345", twilio(other, signature))


def test_what_is_no_form_is_signed_by_its_digest() -> None:
    body = b'{"a": 1}'
    url = f"https://voice.example.org/twilio/voice?bodySHA256={sha256(body).hexdigest()}"
    signature = b64encode(digest(b"12345", url.encode(), "sha1")).decode()
    headers = {"content-type": "application/json", "x-twilio-signature": signature}
    assert is_signed_by_twilio("12345", SignedRequest("POST", url, headers, body))
    assert not is_signed_by_twilio("12345", SignedRequest("POST", url, headers, b'{"a": 2}'))


def test_signalwire_signs_as_twilio_or_in_a_header_of_its_own() -> None:
    assert is_signed_by_signalwire("12345", twilio(VOICE, "J4BtmhK7a9zTuvcxc5xu18XNFbk=", FIELDS))
    body = urlencode(FIELDS).encode()
    signature = digest(b"12345", VOICE.encode() + body, "sha1").hex()
    headers = {**FORM, "x-signalwire-signature": signature}
    assert is_signed_by_signalwire("12345", SignedRequest("POST", VOICE, headers, body))
    assert not is_signed_by_signalwire("12345", SignedRequest("POST", VOICE, headers, body + b"1"))
    assert not is_signed_by_signalwire("12345", SignedRequest("POST", VOICE, FORM, body))
    assert not is_signed_by_twilio("12345", SignedRequest("POST", VOICE, headers, body))


def plivo(method: str, url: str, signature: str, body: bytes = b"") -> SignedRequest:
    given = {"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": "12345678901234567890"}
    return SignedRequest(method, url, {**FORM, **given}, body)


def test_a_request_that_plivo_has_signed() -> None:
    url = "https://voice.example.org/plivo/answer?To=15550199&From=15550100"
    signature = "kzjbbefE/M/RX5R2NfS1OFByoaHShdNpFqiSE/e+M0c="
    assert is_signed_by_plivo("MAXXXXtoken", plivo("GET", url, signature))
    assert is_signed_by_plivo("MAXXXXtoken", plivo("GET", url, f"of another token, {signature}"))
    assert not is_signed_by_plivo("MAXXXXtoken", plivo("GET", url + "1", signature))
    assert not is_signed_by_plivo("another", plivo("GET", url, signature))


@pytest.mark.parametrize(
    ("query", "signed"),
    [
        ("", "https://voice.example.org/plivo/voice?CallUUIDC1From15550100"),
        ("?b=2&a=1", "?a=1&b=2.CallUUIDC1From15550100"),
    ],
)
def test_a_form_that_plivo_has_signed(query: str, signed: str) -> None:
    url = "https://voice.example.org/plivo/voice"
    base = signed if signed.startswith("https") else url + signed
    made = b64encode(digest(b"MAXXXXtoken", f"{base}.12345678901234567890".encode(), "sha256")).decode()
    body = b"From=15550100&CallUUID=C1"
    assert is_signed_by_plivo("MAXXXXtoken", plivo("POST", url + query, made, body))
    assert not is_signed_by_plivo("MAXXXXtoken", plivo("POST", url + query, made, body + b"1"))


def test_a_body_that_telnyx_has_signed_lately() -> None:
    private = Ed25519PrivateKey.generate()
    public = b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    body = b"CallSid=v2%3AC1"
    signature = b64encode(private.sign(b"1000|" + body)).decode()
    headers = {"telnyx-timestamp": "1000", "telnyx-signature-ed25519": signature}
    request = SignedRequest("POST", "", headers, body)
    assert is_signed_by_telnyx(public, request, lambda: 1300)
    assert not is_signed_by_telnyx(public, request, lambda: 1301)
    assert not is_signed_by_telnyx(public, request, lambda: 699)
    assert not is_signed_by_telnyx(public, SignedRequest("POST", "", headers, body + b"1"), lambda: 1000)
    for broken in ({}, {**headers, "telnyx-timestamp": "1001"}, {**headers, "telnyx-timestamp": "x"}):
        assert not is_signed_by_telnyx(public, SignedRequest("POST", "", broken, body), lambda: 1000)
    assert not is_signed_by_telnyx("no key", request, lambda: 1000)


def jwt(secret: str = "secret", alg: str = "HS256", **claims: object) -> str:
    parts = [
        urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in ({"alg": alg, "typ": "JWT"}, claims)
    ]
    signed = b".".join(parts)
    return (signed + b"." + urlsafe_b64encode(digest(secret.encode(), signed, "sha256")).rstrip(b"=")).decode()


def vonage(token: str, body: bytes = b"") -> bool:
    request = SignedRequest("POST" if body else "GET", "", {"authorization": f"Bearer {token}"}, body)
    return is_signed_by_vonage("secret", request, lambda: 1000)


def test_a_token_that_vonage_has_signed_lately() -> None:
    body = b'{"from": "15550100"}'
    assert vonage(jwt(iat=1000))
    assert vonage(jwt(iat=1005)), "their clock is ahead a little"
    assert vonage(jwt(iat=1000, payload_hash=sha256(body).hexdigest()), body)
    assert not vonage(jwt(iat=1006))
    assert not vonage(jwt(iat=699))
    assert not vonage(jwt("another", iat=1000))
    assert not vonage(jwt(alg="none", iat=1000))
    assert not vonage(jwt(iat=1000), body), "another's body"
    assert not vonage(jwt(iat=1000, payload_hash=sha256(b"{}").hexdigest()), body)


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "....", "e30.e30.e30", jwt(iat="x"), jwt()])
def test_what_is_no_token(token: str) -> None:
    assert not vonage(token)
