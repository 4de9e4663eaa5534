"""Transfers of Twilio's calls, by its REST interface."""

from base64 import b64encode
from urllib.parse import parse_qs

import anyio
import httpx
import pytest

from transports.carriers import Callers, Carrier, call
from vivavoce.errors import ProviderError
from vivavoce.testing.simulation import Simulation
from vivavoce.transports.telephony.twilio_calls import TwilioCalls

pytestmark = pytest.mark.anyio


class Api(httpx.AsyncBaseTransport):
    """Answers as Twilio does, and remembers what it was asked."""

    def __init__(self, status: int = 200, body: bytes = b"{}") -> None:
        self.requests: list[httpx.Request] = []
        self._status, self._body = status, body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        if self._status == 0:
            raise httpx.ConnectError("refused")
        return httpx.Response(self._status, content=self._body)


async def transfer(target: str, api: Api, name: str = "twilio", start: str = "") -> ProviderError | None:
    """Transfer a call; return what went wrong."""
    callers, problems = Callers(), list[ProviderError]()

    async def act(carrier: Carrier) -> None:
        await (carrier.put(start) if start else carrier.start())
        await anyio.sleep(1)
        assert callers[0].refer
        try:
            await callers[0].refer(target)
        except ProviderError as error:
            problems.append(error)

    calls = TwilioCalls("12345", transport=api)
    await call(name, Simulation(), act=act, callers=callers, transfer=calls.transfer)
    return problems[0] if problems else None


@pytest.mark.parametrize(
    ("target", "twiml"),
    [
        ("tel:+15550123", "<Response><Dial><Number>+15550123</Number></Dial></Response>"),
        ("+15550123", "<Response><Dial><Number>+15550123</Number></Dial></Response>"),
        (
            "sip:a@example.org?x=1&y=2",
            "<Response><Dial><Sip>sip:a@example.org?x=1&amp;y=2</Sip></Dial></Response>",
        ),
    ],
)
async def test_twilio_is_asked_once_to_dial_the_target(target: str, twiml: str) -> None:
    api = Api()
    assert await transfer(target, api) is None
    (request,) = api.requests
    assert str(request.url) == "https://api.twilio.com/2010-04-01/Accounts/AC1/Calls/CA1.json"
    assert request.headers["authorization"] == f"Basic {b64encode(b'AC1:12345').decode()}"
    assert parse_qs(request.content.decode()) == {"Twiml": [twiml]}


@pytest.mark.parametrize(
    "target", ["", "911\n", "tel:", "sip:<x>", "https://example.org", "tel:+1<Hangup/>", "1" * 99]
)
async def test_what_is_no_target_is_not_dialled(target: str) -> None:
    api = Api()
    assert "not to" in str(await transfer(target, api))
    assert api.requests == []


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"{}", "VIVAVOCE_TWILIO_TOKEN"),
        (404, b"{}", "it is over"),
        (400, b'{"code": 21220, "message": "Call is not in-progress."}', "Call is not in-progress. (21220)"),
        (500, b"<html>", "status 500"),
        (0, b"", "twilio"),
    ],
)
async def test_a_transfer_that_fails_says_why_and_the_call_goes_on(
    status: int, body: bytes, words: str
) -> None:
    problem = str(await transfer("tel:+15550123", Api(status, body)))
    assert words in problem
    assert "12345" not in problem


async def test_ids_that_are_none_are_asked_nothing() -> None:
    api = Api()
    start = '{"event": "start", "start": {"accountSid": "AC1/../x", "callSid": "CA1"}, "streamSid": "MZ1"}'
    assert "has not named" in str(await transfer("tel:+15550123", api, start=start))
    assert api.requests == []
