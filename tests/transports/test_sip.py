"""Calls by SIP over real RTP: a second baresip, in a process of its own, is the caller."""

import json
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.to_thread
import pytest

from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation, Timeline
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.sip import SipServer

pytest.importorskip("baresip")
pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

CALLER = """
import asyncio, json, sys
from array import array
from baresip import Account, BaresipError, Config
from baresip.call import CallState
from baresip.runtime import Runtime
from baresip.ua import UserAgent

async def main(uri, port, seconds, keys):
    runtime = Runtime()
    listen = f"sip_listen 127.0.0.1:{port}\\naudio_jitter_buffer_type off\\n"
    await runtime.start(Config(net_interface="127.0.0.1", extra_config_text=listen))
    agent = await UserAgent.create(runtime, Account("ada", f"127.0.0.1:{port}", "", reg_interval=0))
    told, heard, loop = {"established": False, "sounding": 0, "closed": None}, 0, asyncio.get_running_loop()
    call = await agent.dial(uri)
    try:
        await call.wait_established(10)
    except BaresipError as error:
        told["failure"] = type(error).__name__
    else:
        told["established"], began, sent = True, loop.time(), 0
        while loop.time() - began < seconds and call.state is not CallState.CLOSED:
            try:
                due = int((loop.time() - began) * 50)
                while sent < due:  # a question of 0.6 s, then silence
                    level = 1000 if 25 <= sent < 55 else 0
                    call.audio.write(array("h", [level] * 160).tobytes())
                    sent += 1
                pcm = call.audio.read(6400)
                told["sounding"] += sum(1 for sample in array("h", pcm) if abs(sample) > 400)
            except BaresipError:
                pass
            if keys and loop.time() - began > 1:
                await call.send_dtmf(keys)
                keys = ""
            await asyncio.sleep(0.02)
        told["closed"] = call.state is CallState.CLOSED
        if not told["closed"]:
            await call.hangup()
    print(json.dumps(told), flush=True)
    await runtime.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
"""


def free_port() -> int:
    """Return a port that is free for UDP and TCP, below those that the system gives to anybody."""
    for port in random.sample(range(21_000, 31_000), 100):
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as stream, suppress(OSError):
            datagrams.bind(("127.0.0.1", port))
            stream.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


async def until_there_is(callers: Sequence[Caller]) -> None:
    with anyio.fail_after(30):
        while not callers:  # noqa: ASYNC110
            await anyio.sleep(0.05)


async def call(uri: str, seconds: float, keys: str = "") -> dict[str, Any]:
    """Call, and return what the caller has seen."""
    command = [sys.executable, "-c", CALLER, uri, str(free_port()), str(seconds), keys]
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@asynccontextmanager
async def serving(
    *replies: str, on_caller: Callable[[Caller], object] = lambda caller: None, **limits: Any
) -> AsyncIterator[tuple[str, Timeline]]:
    simulation = Simulation(replies or ["On the table."], chat_delay=0, transcriber_delay=0)
    simulation.caller.utterances = [CallerSays(0, "Where is the lamp?", 0.6)]
    timeline, bounds = Timeline([], 0), Limits(**limits)

    def listener(caller: Caller) -> Callable[[ObservedEvent], None]:
        on_caller(caller)
        return timeline.entries.append

    switchboard = Switchboard(simulation.engine, limits=bounds, listeners=[listener])
    transport = TelephoneTransport(switchboard.connect, bounds)
    async with SipServer(transport, bounds).serving("127.0.0.1", free_port()) as uri:
        yield uri, timeline


async def test_a_caller_is_answered_and_hangs_up() -> None:
    callers: list[Caller] = []
    async with serving(on_caller=callers.append) as (uri, timeline):
        seen = await call(uri, 4)
        assert seen["established"]
        assert seen["sounding"] > 3000, "most of 0.84 s at 8 kHz"
        assert timeline.of(e.InputAudioBufferCommitted)
        (caller,) = callers
        assert (caller.transport, caller.address) == ("sip", "ada")
        assert caller.external_id


async def test_keys_reach_the_model() -> None:
    async with serving("Thank you.") as (uri, timeline):
        await call(uri, 5, "12#")
        assert [one.event for one in timeline.of(e.DtmfEventReceived)] == ["1", "2", "#"]  # type: ignore[attr-defined]
        assert "pressed 1 2 #" in str(timeline.of(e.ConversationItemCreate))


async def test_the_server_hangs_up() -> None:
    callers: list[Caller] = []
    async with serving(on_caller=callers.append) as (uri, _), anyio.create_task_group() as tasks:

        async def leave() -> None:
            await until_there_is(callers)
            assert callers[0].leave
            await anyio.sleep(2)  # it is answered
            await callers[0].leave()

        tasks.start_soon(leave)
        seen = await call(uri, 15)
        assert seen["closed"]


async def test_one_call_too_many_is_busy() -> None:
    callers: list[Caller] = []
    async with (
        serving(on_caller=callers.append, conversations=1) as (uri, _),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(call, uri, 15)
        await until_there_is(callers)
        seen = await call(uri, 1)
        assert not seen["established"]
        assert seen["failure"] in ("CallBusy", "CallTimeout"), "baresip may miss an answer that comes at once"
        assert len(callers) == 1


async def test_without_the_package_the_owner_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "baresip", None)
    transport = TelephoneTransport(Switchboard(Simulation().engine).connect)
    with pytest.raises(ConfigError, match=r"vivavoce\[sip\]"):
        async with SipServer(transport, Limits()).serving("127.0.0.1", 5060):
            pass
