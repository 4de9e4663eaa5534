"""The servers for telephone peers, beside the one for browsers and clients, each on a port of its own."""

import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from vivavoce.errors import ConfigError, ProviderError
from vivavoce.extras import missing_packages
from vivavoce.transports.telephony.ami import Ami
from vivavoce.transports.telephony.audiosocket import AudioSocketServer
from vivavoce.transports.telephony.avr import AvrAmi, AvrServer
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.peers import may_call_from, notice_gone_peer
from vivavoce.transports.telephony.sip import SipServer
from vivavoce.transports.telephony.webhooks import CallWebhooks
from vivavoce.web.app import Web
from vivavoce.web.endpoints.avr_parts import AvrParts
from vivavoce.web.endpoints.carriers import manager_interface
from vivavoce.web.server import SHUTDOWN_SECONDS, listen, serving_application

log = logging.getLogger(__name__)


@asynccontextmanager
async def serving_telephones(web: Web) -> AsyncIterator[Sequence[str]]:
    """Listen for the peers of `[telephone]`, and yield a sentence on each. Raises `ConfigError`.

    Leaving the block ends their calls.
    """
    config, sentences = web.runtime.config, list[str]()
    if (config.telephone.avr or config.telephone.audiosocket) and missing_packages("telephone"):
        raise ConfigError("Telephone calls need numpy; write: pip install 'vivavoce[telephone]'.")
    table, may_call = config.telephone, may_call_from(config.telephone.peers)
    if public := config.server.public_url.rstrip("/"):
        signed = (name for name, secret in config.carrier_secrets.items() if secret)
        sentences += (f"Calls of {name}: {public}/{name}/voice." for name in signed)
    async with AsyncExitStack() as stack:
        if web.webhooks:
            await stack.enter_async_context(_sending(web.webhooks))
        if table.avr:
            ami = AvrAmi(table.avr_ami) if table.avr_ami else None
            application = AvrServer(web.telephone, may_call, ami, AvrParts(web))
            listening = listen(table.host, table.avr_port, "--avr-port")
            notice_gone_peer(listening)
            serving = serving_application(application, listening, config.limits, web.telephone.hang_up)
            url = await stack.enter_async_context(serving)
            path = url.replace("http", "ws", 1)
            sentences.append(f"Agent Voice Response: STS_URL={path} (or {url}/speech-to-speech-stream).")
        if table.audiosocket:
            listening = listen(table.host, table.audiosocket_port, "--audiosocket-port")
            server = AudioSocketServer(web.telephone, may_call, manager_interface(config))
            address = await stack.enter_async_context(_serving_audiosocket(server, web.telephone, listening))
            sentences.append(f"Asterisk: AudioSocket(${{UUID()}},{address}).")
        if table.sip:
            sip = SipServer(
                web.telephone, config.limits, table.sip_account, config.sip_secret.get_secret_value()
            )
            address = await stack.enter_async_context(sip.serving(table.host, table.sip_port))
            sentences.append(f"SIP: {address}.")
        yield sentences


@asynccontextmanager
async def _sending(webhooks: CallWebhooks) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(webhooks.run)
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _serving_audiosocket(
    server: AudioSocketServer, transport: TelephoneTransport, listening: socket.socket
) -> AsyncIterator[str]:
    """Serve AudioSocket on a socket, and yield its address. Leaving the block ends all calls."""
    with listening:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, listening)
            if server.ami:
                tasks.start_soon(_check_ami, server.ami)
            try:
                host, port, *_ = listening.getsockname()
                yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            finally:
                with anyio.move_on_after(SHUTDOWN_SECONDS, shield=True):
                    await transport.hang_up()
                tasks.cancel_scope.cancel()


async def _check_ami(ami: Ami) -> None:
    """Log what would keep calls from being transferred, before one has to be."""
    try:
        await ami.check()
    except ProviderError as error:
        log.warning("calls cannot be transferred now: %s", error)
