"""Twilio's REST interface to a running call, which transfers it: a media stream cannot.

https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource
"""

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from vivavoce.errors import ProviderError, connection_problem
from vivavoce.transports.telephony.media_streams import MediaStreamLeg

if TYPE_CHECKING:
    import httpx

ADDRESS = "https://api.twilio.com"
SECONDS = 10
"""seconds that Twilio may take"""

_SID = re.compile(r"[A-Z]{2}[0-9A-Za-z]{1,64}")
_NUMBER = re.compile(r"(?:tel:)?(\+?[0-9]{2,20})")
_SIP = re.compile(r"sips?:[^\s<>\x00-\x1f\x7f]{1,250}")


class _Refusal(msgspec.Struct):
    message: str = ""
    code: int | None = None


class TwilioCalls:
    """The calls of whoever has an account's auth token."""

    def __init__(
        self, token: str, address: str = ADDRESS, transport: "httpx.AsyncBaseTransport | None" = None
    ) -> None:
        """`address` is that of the interface."""
        self._token, self._address, self._transport = token, address, transport

    async def transfer(self, leg: MediaStreamLeg, target: str) -> None:
        """Have Twilio dial a number (`tel:…`) or an address (`sip:…`) for the caller. Raises `ProviderError`.

        Twilio ends the stream, and so the conversation.
        """
        import httpx

        account, call, twiml = leg.stream.account, leg.details.id, _dial(target)
        if not (_SID.fullmatch(account) and _SID.fullmatch(call)):
            raise ProviderError("twilio", "the stream has not named its account and its call")
        url = f"{self._address}/2010-04-01/Accounts/{account}/Calls/{call}.json"
        try:
            async with httpx.AsyncClient(timeout=SECONDS, transport=self._transport) as client:
                response = await client.post(url, data={"Twiml": twiml}, auth=(account, self._token))
        except httpx.HTTPError as error:
            raise ProviderError("twilio", connection_problem(error), retryable=True) from error
        if response.is_error:
            raise ProviderError("twilio", _problem(response.status_code, response.content))


def _dial(target: str) -> str:
    """Return TwiML that dials a target."""
    response = Element("Response")
    dial = SubElement(response, "Dial")
    if number := _NUMBER.fullmatch(target):
        SubElement(dial, "Number").text = number[1]
    elif _SIP.fullmatch(target):
        SubElement(dial, "Sip").text = target
    else:
        raise ProviderError(
            "twilio", f"calls are transferred to tel:+15550123 or sip:…, not to {target[:80]!r}"
        )
    return tostring(response, "unicode")


def _problem(status: int, body: bytes) -> str:
    """Return why a call was not transferred."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.MsgspecError, RecursionError):
        refusal = _Refusal()
    if status == 401:
        return "the call was not transferred: VIVAVOCE_TWILIO_TOKEN is not this account's auth token"
    if status == 404:
        return "the call was not transferred: it is over"
    code = f" ({refusal.code})" if refusal.code else ""
    return f"the call was not transferred: {refusal.message[:200] or f'status {status}'}{code}"
