import os
import signal
import sys
from io import StringIO

import anyio
import pytest

from vivavoce.cli.common import cancel_on_signal
from vivavoce.cli.progress import Progress


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


def show(progress: Progress) -> None:
    with progress:
        for arrived in range(0, 101, 5):
            progress.on_progress("stt/moonshine", arrived * 1_000_000, 100_000_000)
        progress.on_loading(["chat", "vad"], 5, 0)
        progress.on_loading(["chat"], 5, 20)
        progress.on_status("chat: a model (21.0 s)")
        progress.on_loading([], 5, 0)


def test_a_log_has_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show(Progress())
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 13
    assert lines[-2:] == ["Still loading after 20 s: chat.", "chat: a model (21.0 s)"]


def test_who_wants_quiet_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show(Progress(quiet=True))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_bars_and_the_sentences_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    show(Progress())
    assert "stt/moonshine" in screen.getvalue()
    assert "chat: a model (21.0 s)" in screen.getvalue()
    assert "Still loading" not in screen.getvalue()


@pytest.mark.anyio
@pytest.mark.real_time
async def test_a_closed_terminal_ends_a_command_as_a_termination_does() -> None:
    for number in (signal.SIGHUP, signal.SIGTERM):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_on_signal, tasks.cancel_scope)
            await anyio.wait_all_tasks_blocked()
            os.kill(os.getpid(), number)
            await anyio.sleep_forever()
