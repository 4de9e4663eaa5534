"""Asterisk's manager interface (AMI): transfers and hangs up the channel of a call that is known by its UUID.

Each action has a connection of its own, which takes some milliseconds once or twice in a call. So there is
nothing to be reconnected, and nothing can wait for the answer to an action whose connection has broken.
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from vivavoce.errors import ProviderError, connection_problem

log = logging.getLogger(__name__)

PORT = 5038
AMI_SECONDS = 5
"""seconds that an action may take, with connecting and logging in"""
MESSAGE_BYTES = 64 * 1024

_TARGET = re.compile(r"(?:tel:)?(?P<exten>[\w*#+.-]{1,80})(?:@(?P<context>[\w.-]{1,80}))?", re.ASCII)
_BROKEN = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.DelimiterNotFound,
    OSError,
    UnicodeDecodeError,
)

_Message = Mapping[str, str]


@dataclass(frozen=True)
class Ami:
    """The manager interface of one Asterisk.

    `context` is the dialplan's in which targets without one are looked up. `hangs_up` means that a conversation
    that has ended hangs the caller's channel up; otherwise the dialplan goes on.
    """

    host: str
    username: str
    secret: str = field(repr=False)
    port: int = PORT
    context: str = "default"
    hangs_up: bool = False

    @classmethod
    def at(cls, url: str, secret: str, *, context: str, hangs_up: bool) -> Self:
        """Return the interface at a URL such as `ami://user@host:5038`."""
        parts = urlsplit(url)
        user = unquote(parts.username or "")
        return cls(parts.hostname or "", user, secret, parts.port or PORT, context, hangs_up)

    async def redirect(self, uuid: str, target: str) -> None:
        """Move a call's channel to `exten` or `exten@context`, as in `200@internal`. Raises `ProviderError`."""
        found = _TARGET.fullmatch(target)
        if found is None:
            raise ProviderError(
                "asterisk", f"calls are transferred to exten or exten@context, not to {target[:80]!r}"
            )
        place = {"Context": found["context"] or self.context}
        exten = found["exten"]
        look_up = {"Action": "ShowDialPlan", **place, "Extension": exten}  # else Redirect drops the caller
        redirect = {"Action": "Redirect", **place, "Exten": exten, "Priority": "1"}
        await self._act_on(uuid, look_up, redirect)

    async def hang_up(self, uuid: str) -> None:
        """End a call's channel. Raises `ProviderError`."""
        await self._act_on(uuid, {"Action": "Hangup"})

    async def end(self, uuid: str) -> None:
        """End the channel of a call whose conversation has ended, if it `hangs_up`. A failure is logged."""
        if self.hangs_up:
            try:
                await self.hang_up(uuid)
            except ProviderError as error:
                log.warning("call %s: %s; the dialplan goes on", uuid, error)

    async def numbers(self, uuid: str) -> tuple[str, str]:
        """Return the number of a call's caller, and that which was called; empty if it is not known.

        Raises `ProviderError`.
        """
        row = await self._act_on(uuid)
        caller, called = row.get("CallerIDNum", ""), row.get("Exten", "")
        return "" if caller == "<unknown>" else caller, called

    async def check(self) -> None:
        """Log in. Raises `ProviderError`."""
        await self._act_on(None, {"Action": "Ping"})

    async def _act_on(self, uuid: str | None, *actions: _Message) -> _Message:
        """Do these actions on a call's channel, by one connection; return what is known of the channel."""
        try:
            with anyio.fail_after(AMI_SECONDS):
                async with await anyio.connect_tcp(self.host, self.port) as stream:
                    session = _Session(stream)
                    await session.log_in(self.username, self.secret)
                    row = await session.find(uuid) if uuid else {}
                    channel = {"Channel": row.get("Channel", "")} if row else {}
                    for action in actions:
                        await session.act({**action, **channel})
                    return row
        except TimeoutError as error:
            raise self._problem(f"there was no answer in {AMI_SECONDS} s") from error
        except _BROKEN as error:
            raise self._problem(
                connection_problem(error if isinstance(error, OSError) else ConnectionError())
            ) from error

    def _problem(self, what: str) -> ProviderError:
        return ProviderError(
            "asterisk", f"its manager interface at {self.host}:{self.port}: {what}", retryable=True
        )


class _Session:
    """A connection on which one action is done after the other."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self._buffer = stream, BufferedByteReceiveStream(stream)
        self._actions = 0

    async def log_in(self, username: str, secret: str) -> None:
        """Log in, without events."""
        await self._buffer.receive_until(b"\r\n", MESSAGE_BYTES)  # its greeting, with its version
        await self.act({"Action": "Login", "Username": username, "Secret": secret, "Events": "off"})

    async def find(self, uuid: str) -> _Message:
        """Return the channel of the caller, whose application names the UUID; one that was dialled does not."""
        found = dict[str, _Message]()
        async for message in self._ask({"Action": "CoreShowChannels"}):
            if message.get("Event") == "CoreShowChannel" and uuid in message.get("ApplicationData", "").lower():
                found[message.get("Channel", "")] = message
            if message.get("Event") == "CoreShowChannelsComplete":
                break
        if len(found) == 1:
            return found.popitem()[1]
        problem = (
            "there is no channel of this call any more" if not found else f"{len(found)} channels have its UUID"
        )
        raise ProviderError("asterisk", problem)

    async def act(self, action: _Message) -> None:
        """Do an action. Raises `ProviderError` if it fails."""
        async for _ in self._ask(action):
            return

    async def _ask(self, action: _Message) -> AsyncIterator[_Message]:
        """Do an action; yield its response, then the events of its list."""
        self._actions += 1
        action_id = str(self._actions)
        lines = [f"{name}: {value}" for name, value in (*action.items(), ("ActionID", action_id))]
        await self._stream.send("\r\n".join((*lines, "", "")).encode())
        while True:
            message = await self._receive()
            if message.get("ActionID") != action_id:
                continue  # an event, which we have not asked for
            if message.get("Response") == "Error":
                reason = message.get("Message", "no reason is given")
                raise ProviderError("asterisk", f"{action['Action']} failed: {reason[:200]}")
            yield message

    async def _receive(self) -> _Message:
        text = (await self._buffer.receive_until(b"\r\n\r\n", MESSAGE_BYTES)).decode()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in text.split("\r\n"))}
