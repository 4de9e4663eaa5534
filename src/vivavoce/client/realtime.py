"""`RealtimeClient`: a conversation with a server of the Realtime protocol, or an engine in this process."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.client.call import Call, Connect, SessionSetup, asking, connector
from vivavoce.client.event_log import EventLog
from vivavoce.client.handlers import EventStream, Handler, Handlers
from vivavoce.client.items import Content, ConversationItem, user_message
from vivavoce.client.notifications import Emitted, Update, check_pattern, matches, name_of
from vivavoce.client.settings import read_settings, updated
from vivavoce.client.tools import Definition, ToolHandler, as_tool
from vivavoce.client.view import ConversationView
from vivavoce.connect import Endpoint, azure, endpoint_at, openai
from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_client
from vivavoce.protocol.dialects import GA, Dialect
from vivavoce.protocol.items import Role
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import AnySession, Pcm
from vivavoce.session.call import Storing
from vivavoce.session.conversation import Conversation
from vivavoce.session.line import Engine
from vivavoce.tools.types import Tool

H = TypeVar("H", bound=Handler)

APPEND_BYTES = 256 * 1024
"""bytes of audio in one event, about 5 s: other events can be sent in between"""
GOODBYE_SECONDS = 2
"""seconds that handlers may take to finish when the client's block is left"""


class RealtimeClient:
    """A conversation with a server of the Realtime protocol, for the duration of an `async with` block:

        async with RealtimeClient("ws://127.0.0.1:8765") as client:
            await client.send_user_message_content("How late are you open?")
            answer = await client.wait_for_next_completed_item(role="assistant")

    `server` is a URL, an `Endpoint`, an engine in this process (`async def converse(line, session=None)`), or a
    function that opens a line. `conversation` is the id of an earlier conversation that a vivavoce server is to
    continue, `store` what it may write down of this one. Methods that send wait while the client is
    reconnecting, and raise `ProviderError` once the connection is closed.
    """

    def __init__(
        self,
        server: str | Endpoint | Engine | Connect,
        *,
        key: str | None = None,
        dialect: Dialect = GA,
        limits: Limits | None = None,
        conversation: str | None = None,
        store: Storing = "all",
    ) -> None:
        if isinstance(server, str):
            server = endpoint_at(server, key=key, dialect=dialect)
        if store != "all":
            server = asking(server, store=store)
        self.limits = limits or Limits()
        self.log = EventLog(self.limits.log_events)
        self._connect = connector(server, limits=self.limits)
        self._begin = self._connect
        if conversation is not None:
            self._begin = connector(asking(server, conversation=conversation), limits=self.limits)
        self._handlers = Handlers(self.limits.handler_depth)
        self._setup = SessionSetup()
        self._call = self._new_call()
        self._tasks: TaskGroup | None = None
        self._half_sample = b""

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
        """Return a client for OpenAI. Without a `key`, the environment variable `OPENAI_API_KEY` is used."""
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
        """Return a client for Azure OpenAI.

        Without an `endpoint` or a `key`, the environment variables `AZURE_OPENAI_ENDPOINT` and
        `AZURE_OPENAI_API_KEY` are used. A dated `api_version` selects the preview API and the beta protocol.
        """
        return cls(azure(endpoint, deployment, key=key, token=token, api_version=api_version), limits=limits)

    # the connection

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise ConfigError("The client's block was entered already; make one client for each conversation.")
        self._tasks = await anyio.create_task_group().__aenter__()
        try:
            await self.connect()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Disconnect, and end all tasks. An exception of the block is raised as it is, not in a group."""
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
        """Stay connected until `disconnect` is called, or the connection is closed.

        For programs that cannot use an `async with` block, because they connect and disconnect in different
        functions: start this in a task, `await tasks.start(client.run)`.
        """
        async with self:
            task_status.started()
            await self._call.closed.wait()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now, and its session has begun."""
        return self._call.line is not None

    async def connect(self) -> None:
        """Begin a new conversation; entering the block does so too.

        Raises `ConfigError` if the client is connected already, or the URL is invalid; `ProviderError` if the
        server refuses, or cannot be reached in `limits.connect_attempts` attempts.
        """
        if self._tasks is None:
            raise ConfigError("A client connects within its block; write: async with client: …")
        if self._call.is_under_way:
            raise ConfigError("The client is connected already; call disconnect() first.")
        self._call, self._half_sample = self._new_call(), b""
        self._handlers.open()
        await self._call.start(self._tasks)

    async def disconnect(self) -> None:
        """Close the connection for good. The conversation can still be read."""
        await self._call.end()

    async def reset(self) -> None:
        """Disconnect, and clear the conversation, tools, settings, handlers and log."""
        await self.disconnect()
        self._handlers.clear()
        self.log.clear()
        self._setup = SessionSetup()
        self._call = self._new_call()

    def _new_call(self) -> Call:
        return Call(self._begin, self._connect, self._setup, self._handlers, self.log, self.limits)

    # events

    @overload
    def on(self, name: str) -> Callable[[H], H]: ...
    @overload
    def on(self, name: str, handler: H) -> H: ...
    def on(self, name: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Register a handler for events and notifications of this name; without `handler`, a decorator.

        A name is that of a server event (`response.done`, or `server.response.done`), of a client event
        (`client.response.create`), or of a notification (`conversation.updated`); a star stands for any
        characters (`response.*`, `server.*`, `*`). A plain handler must not block; an `async` one may wait, and
        its calls run one after the other. Raises `ConfigError` if nothing is called so.
        """
        if handler is None:
            return lambda decorated: self.on(name, decorated)
        self._handlers.on(name, handler)
        return handler

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Remove a handler, or all handlers of this name. Raises `ConfigError` if there is none."""
        if not self._handlers.off(name, handler):
            raise ConfigError(f"There is no such handler for {name!r}.")

    async def wait_for_next(self, name: str, *, timeout: float | None = None) -> Any:  # noqa: ANN401 (by name)
        """Return the next event or notification of this name; `timeout` in seconds.

        Raises `TimeoutError`, `ProviderError` if the connection is or will be closed first, or `ConfigError` if
        nothing is called so.
        """
        check_pattern(name)
        return await self._next(lambda emitted: matches(name, name_of(emitted)), timeout)

    async def wait_for_next_item(
        self, *, role: Role | None = None, timeout: float | None = None
    ) -> ConversationItem:
        """Return the next item that is appended; with a role, the next message of that role."""
        return await self._next_item("conversation.item.appended", role, timeout)

    async def wait_for_next_completed_item(
        self, *, role: Role | None = None, timeout: float | None = None
    ) -> ConversationItem:
        """Return the next item that is completed; with a role, the next message of that role."""
        return await self._next_item("conversation.item.completed", role, timeout)

    def __aiter__(self) -> EventStream:
        """Iterate over all events that the server sends from now on."""
        return self._handlers.events()

    async def _next_item(self, name: str, role: Role | None, timeout: float | None) -> ConversationItem:
        def is_it(emitted: Emitted) -> bool:
            if not isinstance(emitted, Update) or emitted.name != name:
                return False
            return role in (None, emitted.item.role)

        return cast("Update", await self._next(is_it, timeout)).item

    async def _next(self, wanted: Callable[[Emitted], bool], timeout: float | None) -> Emitted:
        with self._handlers.expect(wanted) as future, anyio.fail_after(timeout):
            return await future

    # the conversation

    @property
    def session(self) -> AnySession | None:
        """The session as the server reported it last; None before the first connection."""
        return self._view.session

    @property
    def conversation(self) -> Conversation:
        """The items of the protocol; truncated answers contain only what was played."""
        return self._view.conversation

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """All items, in the order of the conversation."""
        return self._view.items

    def find(self, item_id: str) -> ConversationItem | None:
        """Return the item with this id, or None."""
        return self._view.find(item_id)

    @property
    def _view(self) -> ConversationView:
        return self._call.view

    # sending

    async def send(self, event: e.ClientEvent | Mapping[str, object]) -> None:
        """Send a client event, as a struct or as JSON. Raises `ProtocolError` if it is invalid."""
        if not isinstance(event, e.ClientEvent):
            event = decode_client(msgspec.json.encode(event))
        await self._call.send(event)

    async def update_session(self, session: AnySession | None = None, /, **settings: object) -> None:
        """Change settings of the session, and wait for the server's `session.updated`.

        Settings have the names of the protocol (`audio=…`) or flat ones (`voice=…`); see `SETTINGS`. Settings
        that are not named stay as they are. Before there is a connection they are kept for it. Raises
        `ProtocolError` if a setting is unknown, or the server rejects the update: then nothing has changed.
        """
        update = read_settings(session, settings)
        before = self._setup.settings
        self._setup.settings = updated(before, update)
        if not self._call.is_under_way:
            return
        try:
            await self._send_confirmed(e.SessionUpdate(session=update), e.SessionUpdated)
        except ProtocolError:
            self._setup.settings = before
            raise

    def add_tool(
        self, tool: Tool | Callable[..., object] | Definition, handler: ToolHandler | None = None
    ) -> Tool:
        """Add a tool that the model may call: a `Tool`, a Python function, or a definition with its handler.

        Raises `ConfigError` if it is none of these, or there is a tool of this name already.
        """
        made = as_tool(tool, handler)
        if made.name in self._setup.tools:
            raise ConfigError(f"There is a tool {made.name!r} already; call remove_tool({made.name!r}) first.")
        self._setup.tools[made.name] = made
        self._call.update_tools()
        return made

    def remove_tool(self, name: str) -> None:
        """Remove a tool. Raises `ConfigError` if there is none of this name."""
        if self._setup.tools.pop(name, None) is None:
            known = ", ".join(self._setup.tools) or "none"
            raise ConfigError(f"There is no tool {name!r} that could be removed; there are: {known}.")
        self._call.update_tools()

    async def send_user_message_content(self, content: Content = ()) -> str | None:
        """Send a user message, and request a response. Return the item's id, or None if there is no content.

        `content` is text, audio as bytes in the session's input format, an image, or a sequence of these.
        """
        message = user_message(content)
        if message is not None:
            await self.send(e.ConversationItemCreate(item=message))
        await self.create_response()
        return message.id or None if message else None

    async def append_input_audio(self, audio: bytes | bytearray | memoryview) -> None:
        """Send audio of any size, in the session's input format (by default 16-bit mono PCM at 24 kHz).

        While the client is reconnecting, the audio is dropped.
        """
        if not self.is_connected and self._call.is_under_way:
            return
        whole = self._half_sample + bytes(audio)
        size = len(whole) - len(whole) % (2 if isinstance(self._view.input_format, Pcm) else 1)
        self._half_sample = whole[size:]
        for start in range(0, size, APPEND_BYTES):
            piece = whole[start : min(start + APPEND_BYTES, size)]
            await self.send(e.InputAudioBufferAppend(audio=piece))

    async def create_response(self, response: ResponseParams | None = None) -> None:
        """Request a response; without turn detection, uncommitted audio is committed first."""
        if self._view.is_manual and self._view.microphone.has_uncommitted:
            self._half_sample = b""
            await self.send(e.InputAudioBufferCommit())
        await self.send(e.ResponseCreate(response=response or UNSET))

    async def cancel_response(
        self, item_id: str | None = None, sample_count: int = 0
    ) -> ConversationItem | None:
        """Cancel the response in progress; with `item_id`, truncate that spoken answer.

        `sample_count` is the number of samples that were played; audio that still arrives is dropped. Returns
        the truncated item. Raises `ProtocolError` if there is no such answer. A response that has ended already
        is no error.
        """
        truncate = self._view.truncate(item_id, sample_count) if item_id is not None else None
        await self._call.cancel()
        if truncate is None:
            return None
        await self.send(truncate)
        return self.find(truncate.item_id)

    async def delete_item(self, item_id: str) -> None:
        """Delete an item of the conversation. Raises `ProtocolError` if the server has no item with this id."""
        await self._send_confirmed(e.ConversationItemDelete(item_id=item_id), e.ConversationItemDeleted)

    async def _send_confirmed(self, event: e.ClientEvent, kind: type[e.Event]) -> None:
        """Send an event, and wait for a server event of this kind, about the same item if it is about one.

        Raises `ProtocolError` if the server reports an error, `ProviderError` after `limits.reply_seconds`.
        """
        event_id = e.new_id("event")

        def is_answer(emitted: Emitted) -> bool:
            if isinstance(emitted, e.ErrorEvent):
                return emitted.error.event_id == event_id
            same_item = getattr(emitted, "item_id", None) == getattr(event, "item_id", None)
            return isinstance(emitted, kind) and same_item

        with self._handlers.expect(is_answer) as future:
            await self.send(replace(event, event_id=event_id))
            with anyio.move_on_after(self.limits.reply_seconds):
                answer = await future
                if isinstance(answer, e.ErrorEvent):
                    error = answer.error
                    code = error.code or error.type
                    raise ProtocolError(error.message, code=code, param=error.param, event_id=error.event_id)
                return
        problem = f"did not answer within {self.limits.reply_seconds:g} s (limits.reply_seconds)"
        raise ProviderError("realtime", problem, retryable=True)
