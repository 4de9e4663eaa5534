"""Whose file it is that answers: finds an assistant by `my_desk.py:assistant` or `package.module:name`."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from sysconfig import get_path
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    from vivavoce.tools.types import Assistant

__all__ = ["Who", "assistant_at"]

Who = Annotated[
    str | None,
    typer.Argument(metavar="[ASSISTANT]", help="Who answers: my_desk.py:assistant, or package.module:name."),
]
NAME = "assistant"
"""what it is called in its file, unless somebody says otherwise"""


def assistant_at(place: str | None, *, url: str | None = None) -> "Assistant | None":
    """Return the assistant that somebody wrote. Raises `ConfigError` if there is none, or its file fails.

    It works in this process, and so not where a server at `url` answers.
    """
    if place is None:
        return None
    if url is not None:
        raise ConfigError(f"{place} answers in this process, {url} in its own; leave out one of them.")
    from vivavoce.tools.types import Assistant

    where, _, name = _parts(place)
    module = _from_file(Path(where)) if where.endswith(".py") else _imported(where)
    found = getattr(module, name, None)
    if isinstance(found, Assistant):
        return found
    there_are = ", ".join(key for key, value in vars(module).items() if isinstance(value, Assistant))
    wrong = "there is no such name" if found is None else f"it is no Assistant but {type(found).__name__}"
    raise ConfigError(f"{place}: {wrong}; {where} has: {there_are or 'no assistant'}.")


def _parts(place: str) -> tuple[str, str, str]:
    """Part the file or module from the name; what ends in `.py` is a file, whatever drive it is on."""
    return (place, ":", NAME) if place.endswith(".py") or ":" not in place else place.rpartition(":")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file.")
    folder, package = _package_of(path.resolve())
    _may_import_from(folder)
    if package:
        return _imported(f"{package}.{path.stem}")
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_assistants"
    spec = spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: it cannot be read as Python.")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _told(error, str(path)) from error
    return module


def _package_of(path: Path) -> tuple[Path, str]:
    """Return the folder of the package in which a file lies, and the package; its name is empty for none."""
    folder, names = path.parent, list[str]()
    while (folder / "__init__.py").is_file():
        folder, names = folder.parent, [folder.name, *names]
    return folder, ".".join(names)


def _imported(name: str) -> ModuleType:
    _may_import_from(Path.cwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{name}: there is no such module here, nor among those installed.") from error
        raise _told(error, name) from error
    except Exception as error:
        raise _told(error, name) from error


def _may_import_from(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _told(error: Exception, where: str) -> ConfigError:
    """Say what a file raises when it is read, and in which line of it: ours, and Python's own, do not help."""
    if isinstance(error, SyntaxError):
        return ConfigError(f"{error.filename or where}, line {error.lineno}: {error.msg}.")
    passed = [frame for frame in extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    line = f"{passed[-1].filename}, line {passed[-1].lineno}" if passed else where
    what = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
    return ConfigError(f"{line}: {what}")


def _is_theirs(file: str) -> bool:
    path = Path(file)
    pythons = path.is_relative_to(get_path("stdlib")) or "site-packages" in path.parts
    return path.is_absolute() and not (pythons or path.is_relative_to(Path(__file__).parents[1]))
