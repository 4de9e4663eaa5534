"""Webhooks on calls by telephone, and calls that were announced, in the shapes of Agent Voice Response."""

import json
from typing import Any

import anyio
import httpx
import pytest

from store.played import TRANSCRIBED
from transports.legs import LONG, FakeLeg, Presses, hold_call
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.transports.telephony.leg import CallDetails
from vivavoce.transports.telephony.webhooks import ANNOUNCED, QUEUED, AnnouncedCalls, CallWebhooks

pytestmark = pytest.mark.anyio

URL = "https://crm.example/calls"


async def test_what_happens_in_a_call_is_reported_in_order() -> None:
    sent: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(204)

    webhooks = CallWebhooks(URL, "sesame", httpx.MockTransport(respond))
    barge_in = CallerSays(5.0, "No, stop please, I mean Spain.")
    steps = [CallerSays(0.5, "What is the capital of France?"), barge_in, Presses(9.5, "1")]
    simulation = Simulation([LONG, "Madrid."], session=merge(DEFAULT, TRANSCRIBED))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(webhooks.run)
        await hold_call(FakeLeg(steps, until=10), simulation, observe=webhooks.observe)
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    bodies: list[dict[str, Any]] = [json.loads(request.content) for request in sent]
    assert [body["type"] for body in bodies] == [
        "call_started",
        "transcription",
        "transcription",
        "interruption",
        "transcription",
        "transcription",
        "dtmf_digit",
        "call_ended",
    ]
    roles = [body["payload"]["role"] for body in bodies if body["type"] == "transcription"]
    assert roles == ["user", "agent", "user", "agent"]
    assert {body["uuid"] for body in bodies} == {"uuid-1"}
    assert bodies[1]["payload"] == {"role": "user", "text": "What is the capital of France?"}
    assert bodies[-2]["payload"] == {"digit": "1"}
    assert all(body["timestamp"].startswith("20") for body in bodies)
    assert {request.headers["x-avr-webhook-secret"] for request in sent} == {"sesame"}


async def test_a_server_that_fails_or_hangs_keeps_no_call_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    webhooks = CallWebhooks(URL, "sesame", httpx.MockTransport(hang))
    began = anyio.current_time()
    for _ in range(QUEUED + 5):
        webhooks.observe(CallDetails("uuid-1"), None)
    assert anyio.current_time() == began
    assert caplog.text.count("is not reported") == 5
    with anyio.move_on_after(1):
        await webhooks.run()


def test_what_was_announced_completes_a_call_once() -> None:
    announced = AnnouncedCalls()
    announced.announce("uuid-1", {"from": "2000", "to": "5001", "customer": 7, "long": "x" * 9999})
    details = announced.complete(CallDetails("uuid-1", called="100"))
    assert (details.caller, details.called, details.metadata["customer"]) == ("2000", "100", "7")
    assert len(details.metadata["long"]) < 1000
    assert announced.complete(CallDetails("uuid-1")) == CallDetails("uuid-1")


def test_calls_that_never_come_are_forgotten() -> None:
    announced = AnnouncedCalls()
    for number in range(ANNOUNCED + 1):
        announced.announce(f"uuid-{number}", {"from": str(number)})
    assert announced.complete(CallDetails("uuid-0")).caller == ""
    assert announced.complete(CallDetails("uuid-1")).caller == "1"
