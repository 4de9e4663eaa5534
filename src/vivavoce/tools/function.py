"""The decorator `@tool`, which makes a tool of a Python function with type hints and a docstring."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

import msgspec
from docstring_parser import Docstring, parse

from vivavoce.config.tools import placeholders
from vivavoce.errors import ConfigError
from vivavoce.tools.parameters import Parameters, context_parameter, type_hints
from vivavoce.tools.types import Assistant, Card, Context, Outcome, Tool
from vivavoce.tools.worker_threads import WorkerThreads

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 16
"""threads for concurrent calls of one plain function, unless `max_concurrency` is set"""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class PythonTool(Tool, Generic[P, R]):
    """A tool made of a Python function; it can still be called as that function."""

    function: Callable[P, R] = field(kw_only=True, repr=False)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the original function."""
        return self.function(*args, **kwargs)


class ToolOptions(TypedDict, total=False):
    """The options of `@tool`; `Tool` describes them."""

    seconds: float | None
    max_concurrency: int | None
    filler: str
    confirm: str
    on_interruption: Literal["continue", "cancel"]


@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str = "",
    check: Callable[..., object] | None = None,
    **options: Unpack[ToolOptions],
) -> PythonTool[P, R]: ...
@overload
def tool(
    *, name: str = "", check: Callable[..., object] | None = None, **options: Unpack[ToolOptions]
) -> Callable[[Callable[P, R]], PythonTool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str = "",
    check: Callable[..., object] | None = None,
    **options: Unpack[ToolOptions],
) -> PythonTool[P, R] | Callable[[Callable[P, R]], PythonTool[P, R]]:
    """Make a tool of a function: `@tool`, or `@tool(seconds=5)`. `Tool` describes the options.

    The model reads the docstring, and the parameters as JSON Schema made from their type hints; a parameter of
    type `Context` is filled in by vivavoce. A plain function runs in a thread, an `async` one on the event
    loop. It returns text, None, a value that JSON can represent, a `Card`, a pair of a result and a `Card`, an
    `Assistant` to hand over to, or an `Outcome`. `check` is a function that has some of the same parameters,
    and raises `ToolError`. Raises `ConfigError` if the function cannot be a tool.
    """
    if function is None:
        decorate = partial(tool, name=name, check=check, **options)
        return cast("Callable[[Callable[P, R]], PythonTool[P, R]]", decorate)
    name = name or getattr(function, "__name__", "")
    place = f"tool {name or function!r}"
    if not _NAME.fullmatch(name):
        problem = "a name has 1 to 64 of the characters a-z, A-Z, 0-9, _ and -; write tool(function, name=…)"
        raise ConfigError(f"{place}: {problem}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{place}: it yields; a tool returns its outcome, once")
    docstring = parse(inspect.getdoc(function) or "")
    descriptions = {one.arg_name: " ".join((one.description or "").split()) for one in docstring.params}
    parameters = Parameters.of(function, descriptions, place)
    _check_question(options.get("confirm", ""), parameters, place)
    call = _caller(function, name, options.get("max_concurrency") or _THREADS)

    async def run(arguments: str, context: Context) -> Outcome:
        return outcome_of(await call(parameters.read(arguments), context), name)

    return PythonTool(
        name=name,
        description=_description(docstring) or name.replace("_", " "),
        parameters=parameters.schema,
        run=run,
        check=_checker(check, name, parameters),
        function=function,
        **options,
    )


def _check_question(confirm: str, parameters: Parameters, place: str) -> None:
    try:
        names = list(placeholders(confirm))
    except ValueError as error:
        raise ConfigError(f"{place}: confirm={confirm!r}: {error}") from error
    for name in names:
        if name not in parameters.names:
            there_are = ", ".join(parameters.names) or "none"
            raise ConfigError(
                f"{place}: confirm names {{{name}}}, which is no parameter; there are: {there_are}"
            )


def _description(docstring: Docstring) -> str:
    """Return the docstring without the sections about parameters, results and errors."""
    examples = [f"Examples:\n{one.description}" for one in docstring.examples if one.description]
    return "\n\n".join(filter(None, [docstring.short_description, docstring.long_description, *examples]))


def _checker(
    check: Callable[..., object] | None, name: str, parameters: Parameters
) -> Callable[[str, Context], Awaitable[None]]:
    """Return a function that checks the arguments against the schema, and then calls `check`."""
    needed = set(inspect.signature(check).parameters) if check else set()
    if check:
        needed.discard(context_parameter(type_hints(check, name)) or "")
    if unknown := needed - set(parameters.names):
        there_are = ", ".join(parameters.names) or "none"
        raise ConfigError(
            f"tool {name}: check takes {min(unknown)}, which is no parameter; there are: {there_are}"
        )
    call = _caller(check, name, _THREADS) if check else None

    async def run(arguments: str, context: Context) -> None:
        values = parameters.read(arguments)
        if call:
            await call({one: value for one, value in values.items() if one in needed}, context)

    return run


def _caller(
    function: Callable[..., object], name: str, threads: int
) -> Callable[[dict[str, object], Context], Awaitable[object]]:
    """Return a function that calls `function` on the event loop if it is `async`, else in a thread."""
    workers, context_name = WorkerThreads(name, threads), context_parameter(type_hints(function, name))

    async def call(values: dict[str, object], context: Context) -> object:
        keywords: dict[str, Any] = {**values, context_name: context} if context_name else values
        work = partial(function, **keywords)
        if not inspect.iscoroutinefunction(function):
            return await workers.run(work)
        return await cast("Awaitable[object]", work())

    return call


def outcome_of(result: object, name: str) -> Outcome:
    """Return a function's result as an outcome. Raises `TypeError` if it cannot be written as JSON."""
    match result:
        case Outcome():
            return result
        case Assistant():
            return Outcome(f"The caller is handed over to {result.name}.", hand_over_to=result)
        case Card():
            return Outcome(result.markdown or f"Shown: {result.title or 'a card'}.", card=result)
        case (output, Card() as card):
            return Outcome(_text(output, name), card=card)
        case _:
            return Outcome(_text(result, name))


def _text(result: object, name: str) -> str:
    match result:
        case None:
            return "Done."
        case str():
            return result
        case bytes() | bytearray() | memoryview():
            raise TypeError(f"tool {name} has returned bytes; return text, or what JSON knows")
    try:
        return msgspec.json.encode(result).decode()
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        kind = type(result).__name__
        raise TypeError(f"tool {name} has returned a {kind} that is no text and no JSON: {error}") from error
