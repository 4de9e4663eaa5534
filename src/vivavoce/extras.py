"""Which packages are installed, and which of an extra (`pip install 'vivavoce[extra]'`) are not."""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, requires

_NAME = re.compile(r"[\w.-]+")


def is_installed(project: str) -> bool:
    """Return whether a package is installed."""
    try:
        return bool(distribution(project))
    except PackageNotFoundError:
        return False


def missing_packages(extra: str | None) -> Sequence[str]:
    """Return the packages of an extra (`vivavoce[extra]`) that are not installed."""
    if extra is None:
        return []
    requirements = [line.partition(";") for line in requires("vivavoce") or ()]
    needed = [
        _NAME.match(package)
        for package, _, marker in requirements
        if f"extra=='{extra}'" in marker.replace(" ", "").replace('"', "'")
    ]
    return [name[0] for name in needed if name and not is_installed(name[0])]
