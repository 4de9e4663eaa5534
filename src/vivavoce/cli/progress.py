"""The progress of downloads and of loading: bars on a terminal, lines in a log, nothing when quiet."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import TaskID


def print_status(sentence: str, *, to_log: bool = False) -> None:
    """Print a sentence to standard error, apart from the command's output, or for a log to standard output."""
    with suppress(OSError):  # nobody reads any more: the terminal was closed, or the pipe
        print(sentence, file=sys.stdout if to_log else sys.stderr, flush=True)


class Progress:
    """Shows the progress of downloads and of loading within its `with` block.

    Its methods are what `Runtime` and `Store` call, from any thread. On a terminal that has bars, finished ones
    disappear; sentences stay. `write` prints sentences.
    """

    def __init__(self, *, quiet: bool = False, write: Callable[[str], None] = print_status) -> None:
        from vivavoce.weights.store import every_tenth

        self._write: Callable[[str], None] = (lambda sentence: None) if quiet else write
        is_log = os.environ.get("CI") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
        self._has_bars = not quiet and not is_log
        self._lines = every_tenth(self._write)
        self._tasks: dict[str, TaskID] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._has_bars:
            from rich import progress
            from rich.console import Console

            self._bars = self._stack.enter_context(
                progress.Progress(
                    progress.TextColumn("{task.description}"),
                    progress.BarColumn(),
                    progress.TimeElapsedColumn(),
                    progress.TextColumn("{task.fields[amount]}"),
                    console=Console(stderr=True),
                    transient=True,
                    redirect_stdout=sys.stdout.isatty(),  # what goes to a file or a program stays there
                )
            )
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def on_status(self, sentence: str) -> None:
        """Print a sentence."""
        self._write(sentence)

    def on_progress(self, model: str, arrived: int, total: int) -> None:
        """Show how many bytes of a model have arrived."""
        if self._has_bars:
            self._show(model, arrived, total, f"{arrived / 1e6:.0f} of {total / 1e6:.0f} MB")
        else:
            self._lines(model, arrived, total)

    def on_loading(self, waiting: Sequence[str], total: int, seconds: float) -> None:
        """Show which providers are not ready yet."""
        if self._has_bars:
            self._show("loading", total - len(waiting), total, ", ".join(waiting))
        elif waiting and seconds:
            self._write(f"Still loading after {seconds:.0f} s: {', '.join(waiting)}.")

    def _show(self, name: str, done: int, total: int, amount: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, amount=amount)
        self._bars.update(self._tasks[name], completed=done, total=total, amount=amount)
