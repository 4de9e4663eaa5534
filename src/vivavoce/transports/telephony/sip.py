"""Direct SIP calls, by the SIP stack of baresip (the extra `sip`). There is no SIP of our own here.

baresip runs in a thread of its own, once per process. It queues what it is sent and paces it as RTP, so it is a
peer with a clock; how much of it waits to be played it does not say with a name, so there are no marks.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

import anyio

from vivavoce.audio.rates import G711_RATE
from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import KEYS, CallDetails, KeyPressed, LegEvent, printable

if TYPE_CHECKING:
    import baresip.call

log = logging.getLogger(__name__)

FRAME_BYTES = 320
POLL_SECONDS = 0.01
"""seconds between two looks for audio: the stack calls nobody when some has come"""
READ_BYTES = 20 * FRAME_BYTES
RTP_SECONDS = 30
"""seconds without a packet after which a caller has vanished; a caller on hold sends none by agreement"""
USER = "viva"
"""our name, where no account says another"""
STACK = "audio_jitter_buffer_type off\n"
"""Settings of the stack. Its jitter buffer would hold every caller back by 0.1 s."""


class SipServer:
    """Answers SIP calls at an address of this machine, and registers `account` (`sip:user@domain`), if any."""

    def __init__(
        self, transport: TelephoneTransport, limits: Limits, account: str = "", secret: str = ""
    ) -> None:
        self._transport, self._limits, self._account, self._secret = transport, limits, account, secret

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Yield the address to call. Leaving the block ends all calls.

        Raises `ConfigError` if the package is missing, `ProviderError` if the stack does not start.
        """
        try:
            import baresip
            from baresip.runtime import Runtime
            from baresip.ua import UserAgent
        except ImportError as error:
            write = "pip install 'vivavoce[sip]'"
            raise ConfigError(f"SIP needs a package that is not installed; write: {write}") from error
        runtime, user, domain = Runtime(), *self._identity(host, port)
        await runtime.start(
            baresip.Config(
                net_interface=host,
                max_concurrent_calls=self._limits.conversations,
                rtp_timeout=RTP_SECONDS,
                extra_config_text=f"sip_listen {host}:{port}\n{STACK}",
            )
        )
        try:
            interval = 600 if self._account else 0
            identity = baresip.Account(user, domain, self._secret, reg_interval=interval)
            agent = await UserAgent.create(runtime, identity, transfer_policy="reject")
            if self._account:
                await agent.register()
            async with anyio.create_task_group() as tasks:
                agent.on_incoming(lambda call: tasks.start_soon(self._answer, call))
                yield f"sip:{user}@{domain}"
                with anyio.move_on_after(self._limits.send_seconds, shield=True):
                    await self._transport.hang_up()
                tasks.cancel_scope.cancel()
        except baresip.BaresipError as error:
            raise ProviderError("sip", str(error)) from error
        finally:
            with anyio.CancelScope(shield=True):
                await runtime.close()

    async def _answer(self, call: "baresip.call.Call") -> None:
        try:
            await self._transport.accept(SipLeg(call))
        except ProtocolError as refusal:
            log.info("a SIP call was refused: %s", refusal)

    def _identity(self, host: str, port: int) -> tuple[str, str]:
        if self._account:
            user, _, domain = self._account.removeprefix("sip:").partition("@")
            return user, domain
        return USER, f"{host}:{port}"


class SipLeg:
    """A call of baresip's. It rings until we answer."""

    name = "sip"
    rate = G711_RATE
    has_clock, has_marks = True, False
    keep_alive_seconds: float | None = None
    frame_bytes = FRAME_BYTES

    def __init__(self, call: "baresip.call.Call") -> None:
        self._call = call
        self._keys: list[str] = []
        self._is_answered = False
        peer = printable(unquote(call.peer or ""))
        caller = peer.removeprefix("sip:").removeprefix("sips:").partition("@")[0]
        self.details = CallDetails(
            printable(call.call_id or "") or e.new_id("sip"), caller, metadata={"peer": peer}
        )
        call.on_dtmf(lambda digit: self._keys.append(digit.digit))

    async def receive(self) -> AsyncIterator[LegEvent]:
        """Yield audio and keys until the call is closed."""
        from baresip.call import CallState
        from baresip.errors import AudioNotActive, AudioRestarted

        yield b""  # nothing comes before we have answered, so nothing is waited for
        while self._call.state is not CallState.CLOSED:
            while self._keys:
                key = self._keys.pop(0).upper()
                if key in KEYS:
                    yield KeyPressed(key)
            try:
                audio = self._call.audio.read(READ_BYTES) if self._is_answered else b""
            except (AudioNotActive, AudioRestarted):  # not yet, or after a change of the session such as a hold
                audio = b""
            if audio:
                yield audio
            await anyio.sleep(POLL_SECONDS)

    async def answer(self) -> None:
        """Answer the call. Raises `OSError` if the caller has hung up meanwhile."""
        from baresip import BaresipError

        try:
            await self._call.answer()
            await self._call.wait_established()
        except BaresipError as error:
            raise ConnectionError(str(error)) from error
        self._is_answered = True

    async def send_audio(self, audio: bytes) -> None:
        """Queue PCM, waiting while the queue is full."""
        from baresip.errors import AudioNotActive, AudioRestarted

        try:
            while audio and self._is_answered:
                audio = audio[self._call.audio.write(audio) :]
                if audio:
                    await anyio.sleep(POLL_SECONDS)
        except (AudioNotActive, AudioRestarted) as error:
            log.debug("audio of call %s is dropped: %s", self.details.id, error)

    async def send_mark(self, name: str) -> None:
        """There are no marks."""

    async def clear(self) -> None:
        """Drop what is queued."""
        from baresip.errors import AudioNotActive, AudioRestarted

        try:
            self._call.audio.flush_tx()
        except (AudioNotActive, AudioRestarted) as error:
            log.debug("nothing of call %s is queued: %s", self.details.id, error)

    async def on_event(self, event: e.Event) -> None:
        """SIP is told of nothing."""

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        """End the call, or reject it as busy."""
        from baresip import BaresipError
        from baresip.call import CallState

        if self._call.state is CallState.CLOSED:
            return
        try:
            await (self._call.hangup() if self._is_answered else self._call.reject())
        except BaresipError as error:
            log.debug("call %s was over already: %s; refusal: %s", self.details.id, error, refusal)

    async def refer(self, target: str) -> None:
        """Transfer the call by REFER. Raises `ProviderError`."""
        from baresip import BaresipError

        uri = target if target.startswith(("sip:", "sips:", "tel:")) else f"sip:{target}"
        try:
            await self._call.transfer(uri)
        except (BaresipError, ValueError) as error:
            raise ProviderError("sip", f"the call was not transferred to {target}: {error}") from error
