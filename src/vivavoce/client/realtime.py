"""`RealtimeClient`: a conversation with a server of the Realtime protocol, or an engine in this process."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.client.call import Call, Wanted
from vivavoce.client.connection import Connect, connector
from vivavoce.client.content import Content, user_message
from vivavoce.client.conversation_item import Entry
from vivavoce.client.event_log import EventLog
from vivavoce.client.handlers import Events, Handler, Handlers
from vivavoce.client.notifications import Happening, Update, is_meant
from vivavoce.client.settings import read_settings
from vivavoce.client.tools import Definition, ToolHandler, as_tool
from vivavoce.client.view import ConversationView
from vivavoce.connect import Endpoint, azure, openai
from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_client
from vivavoce.protocol.dialects import GA, ClientDialect
from vivavoce.protocol.items import Role
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import Pcm, Session, TranscriptionSession
from vivavoce.session.conversation import Conversation
from vivavoce.session.line import Engine
from vivavoce.tools.types import Tool

__all__ = ["RealtimeClient"]

H = TypeVar("H", bound=Handler)

APPEND_BYTES = 256 * 1024
"""bytes of sound that are said at once, a few seconds: what comes between them is not held up for long"""
GOODBYE_SECONDS = 2
"""what handlers have still to do may take so long when the client's block is left"""


class RealtimeClient:
    """Talks with a server, as long as its block lasts:

        async with RealtimeClient("ws://127.0.0.1:8765") as client:
            await client.send_user_message_content("How late are you open?")
            answer = await client.wait_for_next_completed_item(role="assistant")

    `where` is an address, a `Place`, an engine in this process (`async def converse(line, session=None)`), or
    what gives our end of a line. All it says raises `ProviderError` once there is no connection any more, and
    waits while that is made again.
    """

    def __init__(
        self,
        where: str | Endpoint | Engine | Connect,
        *,
        key: str | None = None,
        dialect: ClientDialect = GA,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.log = EventLog(self.limits.log_events)
        self._connect = connector(where, key=key, dialect=dialect, limits=self.limits)
        self._handlers = Handlers(self.limits.handler_depth)
        self._wanted = Wanted()
        self._call = self._new_call()
        self._tasks: TaskGroup | None = None
        self._half = b""

    @classmethod
    def openai(
        cls,
        model: str = "gpt-realtime",
        *,
        key: str | None = None,
        url: str | None = None,
        beta: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Return a client of OpenAI's; the key is that of `OPENAI_API_KEY`, if none is given."""
        return cls(openai(model, key=key, url=url, beta=beta), limits=limits)

    @classmethod
    def azure(
        cls,
        endpoint: str | None,
        deployment: str,
        *,
        key: str | None = None,
        token: str | None = None,
        api_version: str | None = None,
        limits: Limits | None = None,
    ) -> Self:
        """Return a client of Azure's; what is None is `AZURE_OPENAI_ENDPOINT` and `AZURE_OPENAI_API_KEY`.

        A dated `api_version` means the preview, and its beta.
        """
        there = azure(endpoint, deployment, key=key, token=token, api_version=api_version)
        return cls(there, limits=limits)

    # the connection

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise ConfigError("The client's block was entered already; make one client for each conversation.")
        self._tasks = await anyio.create_task_group().__aenter__()
        try:
            await self.connect()
        except BaseException as error:
            await self._leave(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._leave(kind, error, trace)

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End all that is at work. What the user's block raises is not wrapped into a group."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return None
        if error is None:
            await self.disconnect()
            tasks.cancel_scope.deadline = anyio.current_time() + GOODBYE_SECONDS
            return await tasks.__aexit__(None, None, None)
        tasks.cancel_scope.cancel()
        if isinstance(error, anyio.get_cancelled_exc_class()):
            return await tasks.__aexit__(kind, error, trace)
        await tasks.__aexit__(None, None, None)
        return False

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be connected until `disconnect` is called, or the connection is over.

        For programs that cannot use a block, because they begin and end in different functions: start this in
        a task of theirs, `await tasks.start(client.run)`.
        """
        async with self:
            task_status.started()
            await self._call.link.closed.wait()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now, and the server has begun its session."""
        return self._call.link.line is not None

    async def connect(self) -> None:
        """Begin a new conversation; the block does so by itself.

        Raises `ConfigError` if there is one already, or no such server can be; `ProviderError` if the server
        cannot be reached, after `limits.connect_attempts`, or refuses.
        """
        if self._tasks is None:
            raise ConfigError("A client connects within its block; write: async with client: …")
        if self._call.is_under_way:
            raise ConfigError("The client is connected already; call disconnect() first.")
        self._call, self._half = self._new_call(), b""
        await self._call.begin(self._tasks)

    async def disconnect(self) -> None:
        """Hang up, and do not call again. What was said can still be looked at."""
        await self._call.end()

    async def reset(self) -> None:
        """Disconnect, and be as new: forget what was said, the tools, the session's settings, all handlers."""
        await self.disconnect()
        self._handlers.clear()
        self.log.clear()
        self._wanted = Wanted()
        self._call = self._new_call()

    def _new_call(self) -> Call:
        return Call(self._connect, self._wanted, self._handlers, self.log, self.limits)

    # what happens

    @overload
    def on(self, name: str) -> Callable[[H], H]: ...
    @overload
    def on(self, name: str, handler: H) -> H: ...
    def on(self, name: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Have a handler called with whatever happens by this name; without one, this is a decorator.

        A name is a server's event as the protocol has it (`response.done`, or `server.response.done`), a
        client's (`client.response.create`), a notice of ours (`conversation.updated`), or the beginning of some
        with a star (`server.*`, `*`). A plain handler must not wait; an `async` one may, and is given one thing
        after the other.
        """
        if handler is None:
            return lambda given: self.on(name, given)
        self._handlers.on(name, handler)
        return handler

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Call a handler no more; without one, none that was given for this name. Raises `ConfigError`."""
        if not self._handlers.off(name, handler):
            raise ConfigError(f"There is no such handler for {name!r}.")

    async def wait_for_next(self, name: str, *, timeout: float | None = None) -> Any:  # noqa: ANN401 (by name)
        """Return what happens next by this name, or beginning. Raises `TimeoutError` after so many seconds."""
        return await self._next(lambda happening: is_meant(name, happening), timeout)

    async def wait_for_next_item(self, *, role: Role | None = None, timeout: float | None = None) -> Entry:
        """Return the next new item; with a role, the next message of theirs."""
        return await self._next_item("conversation.item.appended", role, timeout)

    async def wait_for_next_completed_item(
        self, *, role: Role | None = None, timeout: float | None = None
    ) -> Entry:
        """Return the next item that has its final form; with a role, the next message of theirs."""
        return await self._next_item("conversation.item.completed", role, timeout)

    def __aiter__(self) -> Events:
        """Iterate over all that the server says from now on."""
        return self._handlers.events()

    async def _next_item(self, name: str, role: Role | None, timeout: float | None) -> Entry:
        def is_it(happening: Happening) -> bool:
            is_one = isinstance(happening, Update) and happening.name == name
            return is_one and (role is None or cast("Update", happening).item.role == role)

        return cast("Update", await self._next(is_it, timeout)).item

    async def _next(self, wanted: Callable[[Happening], bool], timeout: float | None) -> Happening:
        with self._handlers.expect(wanted) as expected, anyio.fail_after(timeout):
            return await expected.wait()

    # what was said

    @property
    def session(self) -> Session | TranscriptionSession | None:
        """The session as the server has told it last."""
        return self._view.session

    @property
    def conversation(self) -> Conversation:
        """What was said, as the protocol has it, as far as it was heard."""
        return self._view.conversation

    @property
    def items(self) -> tuple[Entry, ...]:
        """What was said, in order."""
        return self._view.entries

    def find(self, item_id: str) -> Entry | None:
        """Return an item, if there is one by this id."""
        return self._view.find(item_id)

    @property
    def _view(self) -> ConversationView:
        return self._call.view

    # what we say

    async def send(self, event: e.ClientEvent | Mapping[str, object]) -> None:
        """Say an event of the protocol, or one as JSON has it. Raises `ProtocolError` for what is none."""
        if not isinstance(event, e.ClientEvent):
            event = decode_client(msgspec.json.encode(event))
        await self._call.send(event)

    async def update_session(
        self, session: Session | TranscriptionSession | None = None, /, **settings: object
    ) -> None:
        """Say how the conversation is to be held, and wait until it is; what is not named stays as it is.

        Settings have the names of the protocol (`audio=…`) or flat ones (`voice=…`); see `SETTINGS`. Before
        there is a connection they are kept for it. Raises `ProtocolError` for what is no setting, and for what
        the server does not accept: then it is as before.
        """
        update = read_settings(session, settings)
        before = self._wanted.wishes
        self._wanted.wishes = before.and_now(update)
        if not self._call.is_under_way:
            return
        try:
            await self._done(e.SessionUpdate(session=update), lambda event: isinstance(event, e.SessionUpdated))
        except ProtocolError:
            self._wanted.wishes = before
            raise

    def add_tool(
        self, tool: Tool | Callable[..., object] | Definition, handler: ToolHandler | None = None
    ) -> Tool:
        """Let the model call a tool: a `Tool`, a Python function, or a definition and what answers it.

        Raises `ConfigError` if there is one by this name, or it is none.
        """
        made = as_tool(tool, handler)
        if made.name in self._wanted.tools:
            raise ConfigError(f"There is a tool {made.name!r} already; call remove_tool({made.name!r}) first.")
        self._wanted.tools[made.name] = made
        self._call.tools_changed()
        return made

    def remove_tool(self, name: str) -> None:
        """Take a tool away. Raises `ConfigError` if there is none by this name."""
        if self._wanted.tools.pop(name, None) is None:
            there_are = ", ".join(self._wanted.tools) or "none"
            raise ConfigError(f"There is no tool {name!r} that could be removed; there are: {there_are}.")
        self._call.tools_changed()

    async def send_user_message_content(self, content: Content = ()) -> str | None:
        """Say something as the user, and want an answer. Returns the item's id; without content there is none.

        `content` is text, sound as bytes in the session's format, or several parts of both, and of images.
        """
        message = user_message(content)
        if message is not None:
            await self.send(e.ConversationItemCreate(item=message))
        await self.create_response()
        return message.id or None if message else None

    async def append_input_audio(self, sound: bytes | bytearray | memoryview) -> None:
        """Say some more, in the session's format (16-bit PCM at 24 kHz, unless it was told otherwise).

        It may be of any size. While the connection is being made again, nobody hears it.
        """
        if not self.is_connected and self._call.is_under_way:
            return
        whole = self._half + bytes(sound)
        size = len(whole) - len(whole) % (2 if isinstance(self._view.input_format, Pcm) else 1)
        self._half = whole[size:]
        for begin in range(0, size, APPEND_BYTES):
            piece = whole[begin : min(begin + APPEND_BYTES, size)]
            await self.send(e.InputAudioBufferAppend(audio=piece))

    async def create_response(self, response: ResponseParams | None = None) -> None:
        """Want an answer now; where the client finds the turns, to what was appended as well."""
        if self._view.is_manual and self._view.microphone.has_more:
            self._half = b""
            await self.send(e.InputAudioBufferCommit())
        await self.send(e.ResponseCreate(response=response or UNSET))

    async def cancel_response(self, item_id: str | None = None, sample_count: int = 0) -> Entry | None:
        """Stop the answer; with the id of a spoken one, cut it to the samples of it that were played.

        What still comes of its sound is dropped. Returns the item. Raises `ProtocolError` if there is no such
        answer; that the answer has ended already is no error.
        """
        cut = self._view.hush(item_id, sample_count) if item_id is not None else None
        await self._call.cancel()
        if cut is None:
            return None
        await self.send(cut)
        return self.find(cut.item_id)

    async def delete_item(self, item_id: str) -> None:
        """Take an item out of the conversation. Raises `ProtocolError` if the server knows none by this id."""
        gone = e.ConversationItemDelete(item_id=item_id)
        await self._done(
            gone, lambda event: isinstance(event, e.ConversationItemDeleted) and event.item_id == item_id
        )

    async def _done(self, event: e.ClientEvent, is_done: Callable[[Happening], bool]) -> None:
        """Say an event, and wait until the server has done what it asks for. Raises `ProtocolError`."""
        event_id = e.new_id("event")

        def is_answer(happening: Happening) -> bool:
            return is_done(happening) or (
                isinstance(happening, e.ErrorEvent) and happening.error.event_id == event_id
            )

        with self._handlers.expect(is_answer) as expected:
            await self.send(replace(event, event_id=event_id))
            with anyio.move_on_after(self.limits.reply_seconds):
                answer = await expected.wait()
                if isinstance(answer, e.ErrorEvent):
                    raise _refusal(answer.error)
                return
        problem = f"did not answer within {self.limits.reply_seconds:g} s (limits.reply_seconds)"
        raise ProviderError("realtime", problem, retryable=True)


def _refusal(error: e.ErrorDetails) -> ProtocolError:
    """Return what a server says is wrong with an event of ours."""
    code = error.code or error.type
    return ProtocolError(error.message, code=code, param=error.param, event_id=error.event_id)
