"""What a server of the owner's is told when a call rings, checked by OpenAI's own client."""

import json

import anyio
import httpx
import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent

from vivavoce.limits import Limits
from vivavoce.session.call import Caller
from vivavoce.session.line import Rejected
from vivavoce.session.ringing import IncomingCall, IncomingCalls
from vivavoce.session.switchboard import Switchboard
from vivavoce.session.webhook import Webhook, signature
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio

SECRET = "whsec_c2VzYW1lIG9wZW4="
URL = "https://museum.example/calls"
HEADERS = (
    ("From", "sip:+14155550123@example.com"),
    ("X-Room", "7"),
    ("Proxy-Authorization", "Digest secret"),
)


class Museum(httpx.MockTransport):
    """The owner's server: answers with these statuses in turn, 0 with no answer at all."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(self._answer)
        self.statuses, self.told = list(statuses), list[httpx.Request]()
        self.news = anyio.Event()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.told.append(request)
        self.news.set()
        status = self.statuses.pop(0) if self.statuses else 200
        if not status:
            raise httpx.ConnectError("nobody is there")
        return httpx.Response(status)


def a_call() -> IncomingCall:
    return IncomingCall(Caller("telephone"), HEADERS, media_security="srtp")


async def test_openais_client_believes_that_it_is_us_and_reads_what_it_is_told() -> None:
    museum, call = Museum(), a_call()
    await Webhook(URL, SECRET, Limits(), transport=museum).send(call)
    (told,) = museum.told
    client = OpenAI(api_key="x", webhook_secret=SECRET)
    event = client.webhooks.unwrap(told.content, told.headers)
    assert isinstance(event, RealtimeCallIncomingWebhookEvent)
    RealtimeCallIncomingWebhookEvent.model_validate_json(told.content, strict=True)
    assert event.data.call_id == call.caller.id
    assert [(header.name, header.value) for header in event.data.sip_headers] == list(HEADERS[:2])
    assert event.data.sip_media_security == "srtp"
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.unwrap(told.content.replace(b"Room", b"Loom"), told.headers)


async def test_a_secret_may_be_plain_words() -> None:
    museum = Museum()
    await Webhook(URL, "open sesame", Limits(), transport=museum).send(a_call())
    client = OpenAI(api_key="x", webhook_secret="open sesame")
    client.webhooks.verify_signature(museum.told[0].content, museum.told[0].headers)


async def test_who_does_not_take_it_is_told_again_later() -> None:
    museum, began = Museum(0, 500, 404), anyio.current_time()
    await Webhook(URL, SECRET, Limits(), transport=museum).send(a_call())
    assert anyio.current_time() - began == pytest.approx(0.5 + 1 + 2)
    assert len({request.headers["webhook-id"] for request in museum.told}) == 1
    assert len(museum.told) == 4


async def test_a_call_is_told_of_while_it_rings_and_no_longer() -> None:
    museum = Museum(*[500] * 100)
    webhook = Webhook(URL, SECRET, Limits(), transport=museum)
    incoming = IncomingCalls(Switchboard(Simulation().engine, limits=Limits(ringing_seconds=10)), webhook.send)
    with pytest.raises(Rejected):
        async with incoming.connect(a_call()):
            pytest.fail("was put through")
    assert len(museum.told) == 5, "at 0, 0.5, 1.5, 3.5 and 7.5 seconds"


async def test_a_call_that_is_told_of_can_be_turned_away() -> None:
    museum = Museum()
    incoming = IncomingCalls(
        Switchboard(Simulation().engine), Webhook(URL, SECRET, Limits(), transport=museum).send
    )

    async def decide() -> None:
        await museum.news.wait()
        incoming.reject(json.loads(museum.told[0].content)["data"]["call_id"], 486)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(decide)
        with pytest.raises(Rejected) as caught:
            async with incoming.connect(a_call()):
                pytest.fail("was put through")
    assert caught.value.status == 486


def test_a_signature_is_that_of_the_standard() -> None:
    # the example of standard-webhooks.com
    body = b'{"test": 2432232314}'
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
