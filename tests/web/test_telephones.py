"""The servers for telephone peers, beside the one for browsers."""

import logging
import socket
from importlib.metadata import PackageNotFoundError
from typing import Any

import anyio
import pytest

from transports.asterisk import FakeAmi
from vivavoce.config.schema import PRESETS, Config
from vivavoce.errors import ConfigError
from vivavoce.runtime import Runtime
from vivavoce.transports.telephony.peers import notice_gone_peer
from vivavoce.web.app import Web
from vivavoce.web.server import listen
from vivavoce.web.telephones import serving_telephones

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


def web(**telephone: Any) -> Web:
    tables = {"preset": "scripted", **PRESETS["scripted"], "store": {"enabled": False}, "ami_secret": "hush"}
    return Web(Runtime(Config.model_validate({**tables, "telephone": telephone})))


async def test_the_address_for_asterisk_is_printed_and_may_be_called() -> None:
    async with serving_telephones(web(audiosocket=True, audiosocket_port=0)) as (sentence,):
        address = sentence.removeprefix("Asterisk: AudioSocket(${UUID()},").removesuffix(").")
        host, _, port = address.rpartition(":")
        assert host == "127.0.0.1"
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(b"GET / HTTP/1.1\r\n\r\n")
            with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()


def test_a_peer_that_is_gone_is_noticed_on_every_connection_of_a_port() -> None:
    with listen("127.0.0.1", 0) as listening:
        notice_gone_peer(listening)
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                if option := getattr(socket, "TCP_USER_TIMEOUT", None):
                    assert accepted.getsockopt(socket.IPPROTO_TCP, option) == 20_000


@pytest.mark.parametrize("secret", ["hush", "another"])
async def test_a_manager_interface_that_refuses_us_is_reported_at_once(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeAmi(secret=secret)
    async with fake.serving() as ami:
        url = f"ami://vivavoce@127.0.0.1:{ami.port}"
        async with serving_telephones(web(audiosocket=True, audiosocket_port=0, ami=url)):
            with anyio.fail_after(5):
                await fake.ended.wait()
            await anyio.wait_all_tasks_blocked()
    warnings = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    refused = "calls cannot be transferred now: asterisk: Login failed: Authentication failed"
    assert warnings == ([] if secret == "hush" else [refused])


async def test_without_what_calls_need_the_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(project: str) -> None:
        raise PackageNotFoundError(project)

    monkeypatch.setattr("vivavoce.extras.distribution", missing)
    with pytest.raises(ConfigError, match=r"vivavoce\[telephone\]"):
        async with serving_telephones(web(audiosocket=True)):
            pass
