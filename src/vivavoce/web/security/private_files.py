"""Files with secrets."""

from pathlib import Path
from tempfile import NamedTemporaryFile

from vivavoce.errors import ConfigError


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, and that is never there by half. Raises `ConfigError`."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:  # mode 0600
            file.write(content)
        Path(file.name).replace(path)
    except OSError as error:
        problem = f"{path} cannot be written ({error.strerror})"
        raise ConfigError(f"{problem}; name another folder in [server] data.") from error
