"""Calls of telephone carriers: the answers that have them stream a call here, and the streams."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from vivavoce.config.schema import Config
from vivavoce.limits import Limits
from vivavoce.runtime import Runtime
from vivavoce.transports.telephony.ami import Ami
from vivavoce.transports.telephony.asterisk import AsteriskServer
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import plain_name, printable_metadata
from vivavoce.transports.telephony.media_streams import DIALECTS, TWILIO, MediaStreamServer
from vivavoce.transports.telephony.twilio_calls import TwilioCalls
from vivavoce.web.errors import require_ready
from vivavoce.web.requests import media_type, read_bytes
from vivavoce.web.security.carriers import CarrierAccess

CALL_FIELDS: Mapping[str, str] = {
    "from": "from",
    "to": "to",
    "uuid": "uuid",
    "callsid": "callSid",
    "calluuid": "callId",
}
"""by the name of a field in a request, without `_` and in small letters: the parameter that passes it on"""
BUSY = "All lines are busy. Please call again later."
XML, JSON = "application/xml", "application/json"


def manager_interface(config: Config) -> Ami | None:
    """Return Asterisk's manager interface, if there is one."""
    table, secret = config.telephone, config.ami_secret.get_secret_value()
    return Ami.at(table.ami, secret, context=table.context, hangs_up=table.ami_hangup) if table.ami else None


def call_streams(runtime: Runtime, transport: TelephoneTransport) -> Mapping[str, ASGIApp]:
    """Return what serves the WebSockets of carriers and of Asterisk, by path."""
    servers: dict[str, ASGIApp] = {
        name: MediaStreamServer(dialect, transport) for name, dialect in DIALECTS.items()
    }
    if token := runtime.config.carrier_secrets["twilio"].partition(",")[0]:
        servers["twilio"] = MediaStreamServer(TWILIO, transport, TwilioCalls(token).transfer)
    servers["asterisk"] = AsteriskServer(transport, manager_interface(runtime.config))
    return {f"/{name}": _WhenReady(runtime, server) for name, server in servers.items()}


class _WhenReady:
    """An ASGI application that is asked nothing until the models are loaded."""

    def __init__(self, runtime: Runtime, application: ASGIApp) -> None:
        self._runtime, self._application = runtime, application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_ready(self._runtime)
        await self._application(scope, receive, send)


class CallAnswers:
    """The endpoints that answer a carrier's question what to do with a call: stream it here."""

    def __init__(self, runtime: Runtime, access: CarrierAccess) -> None:
        self._runtime, self._limits, self._access = runtime, runtime.config.limits, access

    async def twilio(self, request: Request) -> Response:
        """Answer in TwiML."""
        return await self._twiml(request, "twilio")

    async def signalwire(self, request: Request) -> Response:
        """Answer in cXML, which is TwiML."""
        return await self._twiml(request, "signalwire")

    async def telnyx(self, request: Request) -> Response:
        """Answer in TeXML, which is TwiML with codecs."""
        if self._is_busy:
            return _xml(_response("Reject", reason="busy"))
        url = f"{self._url(request, 'telnyx')}?{urlencode(await self._parameters(request))}"
        codecs = {"codec": "PCMU", "bidirectionalMode": "rtp", "bidirectionalCodec": "PCMU"}
        return _xml(twiml(url, {}, codecs))

    async def plivo(self, request: Request) -> Response:
        """Answer in Plivo's XML."""
        if self._is_busy:
            return _xml(_response("Hangup", reason="busy"))
        url = f"{self._url(request, 'plivo')}?{urlencode(await self._parameters(request))}"
        audio = "audio/x-mulaw;rate=8000"
        document = _response("Stream", bidirectional="true", keepCallAlive="true", contentType=audio)
        document[0].text = url
        return _xml(document)

    async def vonage(self, request: Request) -> Response:
        """Answer with an NCCO, in which a call can only be refused by words."""
        if self._is_busy:
            return _ncco({"action": "talk", "text": BUSY})
        endpoint = {
            "type": "websocket",
            "uri": self._url(request, "vonage"),
            "content-type": "audio/l16;rate=16000",
            "headers": await self._parameters(request),
        }
        return _ncco({"action": "connect", "endpoint": [endpoint]})

    async def _twiml(self, request: Request, carrier: str) -> Response:
        if self._is_busy:
            return _xml(_response("Reject", reason="busy"))
        return _xml(twiml(self._url(request, carrier), await self._parameters(request)))

    @property
    def _is_busy(self) -> bool:
        """Whether a call would be refused now, so that the caller had better hear that it is busy."""
        if not self._runtime.ready:
            return True
        return len(self._runtime.switchboard.callers) >= self._limits.conversations

    def _url(self, request: Request, carrier: str) -> str:
        return self._access.stream_url(request.scope, carrier)

    async def _parameters(self, request: Request) -> dict[str, str]:
        """Return what the stream is told: who calls whom, and the query that the owner has written."""
        fields = await _fields(request, self._limits)
        called = {name: fields[key] for key, name in CALL_FIELDS.items() if fields.get(key)}
        own = ((key, text) for key, text in request.query_params.items() if plain_name(key) not in fields)
        return printable_metadata([*called.items(), *own])


async def _fields(request: Request, limits: Limits) -> dict[str, str]:
    """Return what a carrier says of a call, in a form, in JSON or in the query, by plain names."""
    body = await read_bytes(request, limits, "session_bytes")
    if media_type(request) == JSON:
        try:
            given = msgspec.json.decode(body)
        except (msgspec.MsgspecError, RecursionError):
            given = {}
        pairs = list(given.items()) if isinstance(given, dict) else []
    elif request.method == "POST":
        pairs = parse_qsl(body.decode(errors="replace"))
    else:
        pairs = [(key, text) for key, text in request.query_params.items() if plain_name(key) in CALL_FIELDS]
    return {plain_name(name): value for name, value in pairs if isinstance(value, str)}


def twiml(url: str, parameters: Mapping[str, str], settings: Mapping[str, str] | None = None) -> Element:
    """Return TwiML that connects a call to a stream in both directions."""
    document = _response("Connect")
    stream = SubElement(document[0], "Stream", {"url": url, **(settings or {})})
    for name, value in parameters.items():
        SubElement(stream, "Parameter", {"name": name, "value": value})
    return document


def _response(verb: str, **settings: str) -> Element:
    """Return a document with one verb."""
    document = Element("Response")
    SubElement(document, verb, settings)
    return document


def _ncco(action: Mapping[str, object]) -> Response:
    return Response(msgspec.json.encode([action]), media_type=JSON)


def _xml(document: Element) -> Response:
    return Response(tostring(document, "utf-8", xml_declaration=True), media_type=XML)
