"""Loading of assistants by reference: `my_desk.py:assistant` or `package.module:name`."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from sysconfig import get_path
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vivavoce.errors import ConfigError, alternatives

if TYPE_CHECKING:
    from vivavoce.tools.types import Assistant

AssistantPlace = Annotated[
    str | None,
    typer.Argument(metavar="[ASSISTANT]", help="Who answers: my_desk.py:assistant, or package.module:name."),
]
NAME = "assistant"
"""the default name of the assistant in its file"""


def load_assistant(place: str | None, *, url: str | None = None) -> "Assistant | None":
    """Return the assistant at this place. Raises `ConfigError` if there is none, or its file fails.

    It runs in this process, so it cannot be combined with a server at `url`.
    """
    if place is None:
        return None
    if url is not None:
        raise ConfigError(f"{place} answers in this process, {url} in its own; leave out one of them.")
    from vivavoce.tools.types import Assistant

    # a place that ends in .py is a file; the colon after a drive letter is not a separator
    has_name = not place.endswith(".py") and ":" in place
    where, _, name = place.rpartition(":") if has_name else (place, ":", NAME)
    module = _load_file(Path(where)) if where.endswith(".py") else _import(where)
    found = getattr(module, name, None)
    if isinstance(found, Assistant):
        return found
    known = [key for key, value in vars(module).items() if isinstance(value, Assistant)]
    has = alternatives(name, known) if known else "it has no assistant"
    wrong = "there is no such name" if found is None else f"it is no Assistant but {type(found).__name__}"
    raise ConfigError(f"{place}: {wrong} in {where}; {has}.")


def load_function(place: str) -> Callable[[str], str]:
    """Return the function of `[store] redact`, such as `my_company.privacy:redact`. Raises `ConfigError`."""
    where, _, name = place.rpartition(":")
    found = getattr(_import(where), name, None)
    if not callable(found):
        raise ConfigError(f"[store] redact: {where} has no function {name!r}.")
    return cast("Callable[[str], str]", found)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file.")
    folder, package = _package_of(path.resolve())
    _add_to_path(folder)
    if package:
        return _import(f"{package}.{path.stem}")
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_assistants"
    spec = spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: it cannot be read as Python.")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _error(error, str(path)) from error
    return module


def _package_of(path: Path) -> tuple[Path, str]:
    """Return the folder above a file's package, and the package's name, which is empty without a package."""
    folder, names = path.parent, list[str]()
    while (folder / "__init__.py").is_file():
        folder, names = folder.parent, [folder.name, *names]
    return folder, ".".join(names)


def _import(name: str) -> ModuleType:
    _add_to_path(Path.cwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{name}: there is no such module here, nor among those installed.") from error
        raise _error(error, name) from error
    except Exception as error:
        raise _error(error, name) from error


def _add_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _error(error: Exception, where: str) -> ConfigError:
    """Return an error about an exception in the file, with the line of it that raised or led to it."""
    if isinstance(error, SyntaxError):
        return ConfigError(f"{error.filename or where}, line {error.lineno}: {error.msg}.")
    frames = [frame for frame in extract_tb(error.__traceback__) if _is_users(frame.filename)]
    line = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else where
    what = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
    return ConfigError(f"{line}: {what}")


def _is_users(file: str) -> bool:
    path = Path(file)
    pythons = path.is_relative_to(get_path("stdlib")) or "site-packages" in path.parts
    return path.is_absolute() and not (pythons or path.is_relative_to(Path(__file__).parents[1]))
