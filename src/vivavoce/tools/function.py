"""`@tool`: a Python function with type hints and a docstring, as a tool."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from string import Formatter
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast, overload

import msgspec
from docstring_parser import Docstring, parse

from vivavoce.errors import ConfigError
from vivavoce.tools.parameters import Parameters, context_parameter, type_hints
from vivavoce.tools.types import Assistant, Card, Context, Outcome, Tool
from vivavoce.tools.worker_threads import WorkerThreads

__all__ = ["PythonTool", "outcome_of", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 16
"""calls of a plain function at work at once, unless it says otherwise"""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class PythonTool(Tool, Generic[P, R]):
    """A tool that is a Python function, and can be called as one."""

    function: Callable[P, R] = field(kw_only=True, repr=False)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.function(*args, **kwargs)


@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str = "",
    seconds: float | None = None,
    at_once: int | None = None,
    filler: str = "",
    confirm: str = "",
    check: Callable[..., object] | None = None,
    interruption: Literal["goes on", "cancels"] = "goes on",
) -> PythonTool[P, R]: ...
@overload
def tool(
    *,
    name: str = "",
    seconds: float | None = None,
    at_once: int | None = None,
    filler: str = "",
    confirm: str = "",
    check: Callable[..., object] | None = None,
    interruption: Literal["goes on", "cancels"] = "goes on",
) -> Callable[[Callable[P, R]], PythonTool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str = "",
    seconds: float | None = None,
    at_once: int | None = None,
    filler: str = "",
    confirm: str = "",
    check: Callable[..., object] | None = None,
    interruption: Literal["goes on", "cancels"] = "goes on",
) -> PythonTool[P, R] | Callable[[Callable[P, R]], PythonTool[P, R]]:
    """Make a tool of a function: `@tool`, or `@tool(seconds=5)`. All that can be said is said at `Tool`.

    The model learns what it does from the docstring, and what it takes from the type hints; a parameter of the
    type `Context` is ours to give. A plain function works in a thread, an `async` one on the event loop. It
    returns text, None, whatever JSON knows, a `Card`, a result and a `Card`, an `Assistant` who takes over, or
    an `Outcome`. A function that is to `check` takes those of the same parameters that it needs. Raises
    `ConfigError` for a function of which no tool can be made.
    """
    if function is None:
        return cast(
            "Callable[[Callable[P, R]], PythonTool[P, R]]",
            partial(
                tool,
                name=name,
                seconds=seconds,
                at_once=at_once,
                filler=filler,
                confirm=confirm,
                check=check,
                interruption=interruption,
            ),
        )
    name = name or getattr(function, "__name__", "")
    place = f"tool {name or function!r}"
    _check(function, name, place)
    told = parse(inspect.getdoc(function) or "")
    about = {one.arg_name: " ".join((one.description or "").split()) for one in told.params}
    parameters = Parameters.of(function, about, place)
    _check_question(confirm, parameters, place)
    return PythonTool(
        name,
        _description(told) or name.replace("_", " "),
        parameters.schema,
        _runner(function, name, parameters, at_once or _THREADS),
        seconds,
        at_once,
        filler,
        confirm,
        interruption,
        _checker(check, name, parameters),
        function=function,
    )


def _check(function: Callable[..., object], name: str, place: str) -> None:
    if not _NAME.fullmatch(name):
        problem = "a name has 1 to 64 of the characters a-z, A-Z, 0-9, _ and -; write tool(function, name=…)"
        raise ConfigError(f"{place}: {problem}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{place}: it yields; a tool returns what came of it, once")


def _check_question(confirm: str, parameters: Parameters, place: str) -> None:
    """Raise a `ConfigError` if a question speaks of what is no parameter."""
    try:
        asked = [field for _, field, _, _ in Formatter().parse(confirm) if field is not None]
    except ValueError as error:
        raise ConfigError(f"{place}: confirm={confirm!r}: {error}") from error
    for name in asked:
        if name not in parameters.names:
            there_are = ", ".join(parameters.names) or "none"
            raise ConfigError(
                f"{place}: confirm speaks of {{{name}}}, which is no parameter; there are: {there_are}"
            )


def _description(told: Docstring) -> str:
    """Return what the model reads: the docstring without what it says of parameters and results."""
    examples = [f"Examples:\n{one.description}" for one in told.examples if one.description]
    return "\n\n".join(filter(None, [told.short_description, told.long_description, *examples]))


def _runner(
    function: Callable[..., object], name: str, parameters: Parameters, at_once: int
) -> Callable[[str, Context], Awaitable[Outcome]]:
    """Return what reads the arguments, calls the function, and makes an outcome of its result."""
    call = _caller(function, name, at_once)

    async def run(arguments: str, context: Context) -> Outcome:
        return outcome_of(await call(parameters.read(arguments), context), name)

    return run


def _checker(
    check: Callable[..., object] | None, name: str, parameters: Parameters
) -> Callable[[str, Context], Awaitable[None]]:
    """Return what says whether a call can be made: its arguments must fit, and the owner may want more."""
    wanted = (
        set(inspect.signature(check).parameters) - {context_parameter(type_hints(check, name))}
        if check
        else set()
    )
    if strange := wanted - set(parameters.names):
        there_are = ", ".join(parameters.names) or "none"
        raise ConfigError(
            f"tool {name}: check takes {min(strange)}, which is no parameter; there are: {there_are}"
        )
    call = _caller(check, name, _THREADS) if check else None

    async def run(arguments: str, context: Context) -> None:
        values = parameters.read(arguments)
        if call:
            await call({one: value for one, value in values.items() if one in wanted}, context)

    return run


def _caller(
    function: Callable[..., object], name: str, at_once: int
) -> Callable[[dict[str, object], Context], Awaitable[object]]:
    """Return what calls the function where it belongs: on the event loop, or in a thread."""
    threads, context_name = WorkerThreads(name, at_once), context_parameter(type_hints(function, name))

    async def call(values: dict[str, object], context: Context) -> object:
        given: dict[str, Any] = {**values, context_name: context} if context_name else values
        work = partial(function, **given)
        if not inspect.iscoroutinefunction(function):
            return await threads.run(work)
        try:
            return await cast("Awaitable[object]", work())
        except SystemExit as error:
            raise RuntimeError(f"tool {name} wanted to end the process (exit code {error.code})") from error

    return call


def outcome_of(result: object, name: str) -> Outcome:
    """Return what a tool's result means. Raises `TypeError` for one that cannot be told to a model."""
    match result:
        case Outcome():
            return result
        case Assistant():
            return Outcome(f"The caller is handed over to {result.name}.", handed_to=result)
        case Card():
            return Outcome(result.markdown or f"Shown: {result.title or 'a card'}.", card=result)
        case (said, Card() as card):
            return Outcome(_text(said, name), card=card)
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
