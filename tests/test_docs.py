"""What the documentation shows runs, and what there is, it mentions."""

import ast
import inspect
import os
import re
import subprocess
import sys
from array import array
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from types import FunctionType
from typing import get_args

import anyio
import pytest
import yaml
from starlette.routing import BaseRoute, Mount
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from refresh_samples import PAGES, SAMPLE, refreshed
from samples.ask import ask
from vivavoce.cli import GROUP
from vivavoce.cli import commands as viva
from vivavoce.config.schema import Config, ServerTable, SessionTable, StoreTable, WebRtcTable
from vivavoce.config.tools import HttpToolTable, McpToolsTable
from vivavoce.limits import Limits
from vivavoce.providers.registry import find, names
from vivavoce.runtime import Runtime
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from vivavoce_bench.command import What

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SECOND = 24_000


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def scripted_runtime() -> Runtime:
    jobs = ("turn", "transcriber", "chat", "synthesizer")
    return Runtime(Config.model_validate({job: {"provider": "scripted"} for job in jobs}))


def commands(command: TyperCommand | TyperGroup, path: str = "viva") -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from commands(each, f"{path} {name}")
    else:
        yield path, command


def endpoints(routes: list[BaseRoute]) -> Iterator[str]:
    yield from (
        str(route.path).replace(":path", "")
        for route in routes
        if not isinstance(route, Mount) and hasattr(route, "path")
    )


@pytest.mark.anyio
@pytest.mark.real_time
async def test_the_ten_lines_of_the_readme_hold_a_spoken_conversation() -> None:
    simulation = Simulation(
        transcriber_delay=0, chat_delay=0, synthesizer_delay=0, replies=["Paris, of course."]
    )
    simulation.caller.utterances = [CallerSays(0, "What is the capital of France?")]
    runtime = scripted_runtime()
    await runtime.use_providers(simulation.engine.providers)
    question = array("h", [1000] * 2 * SECOND).tobytes() + bytes(2 * SECOND)
    async with serving(Web(runtime), listen("127.0.0.1", 0)) as url:
        answer = await ask(question, f"{url}/v1")
    assert len(answer) > SECOND


@pytest.mark.anyio
@pytest.mark.real_time
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("clients.md", 0),
        ("keys.md", 0),
        ("reference/dialects.md", 0),
        ("reference/dialects.md", 1),
        ("reference/endpoints.md", 0),
        ("reference/endpoints.md", 1),
        ("transcription.md", 0),
    ],
)
async def test_programs_on_the_pages_run(
    name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    await anyio.Path("speech.pcm").write_bytes(array("h", [1000] * 2 * SECOND).tobytes())
    simulation = Simulation(transcriber_delay=0, chat_delay=0, synthesizer_delay=0, replies=["Good morning."])
    simulation.caller.utterances = [CallerSays(0, "Good morning to you all.")]
    runtime = scripted_runtime()
    await runtime.use_providers(simulation.engine.providers)
    text = re.findall(r"^```python\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE)[number]
    async with serving(Web(runtime), listen("127.0.0.1", 0)) as url:
        address = re.sub(r"(127\.0\.0\.1|localhost):8765", url.removeprefix("http://"), text)
        code = compile(address, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await anyio.to_thread.run_sync(run, FunctionType(code, {"__name__": "__main__"}))
    assert capsys.readouterr().out


def run(program: FunctionType) -> None:
    if inspect.iscoroutinefunction(program):
        anyio.run(program)
    else:
        program()


def test_the_readme_and_the_first_page_show_those_ten_lines() -> None:
    for path in (ROOT / "README.md", DOCS / "start.md"):
        assert "<!-- sample: tests/samples/ask.py:sample -->" in path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_shows_the_tested_code_itself_and_can_be_read_as_plain_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == refreshed(text), "the code on this page is not that of its samples; to copy it: make samples"
    assert text.count("\n<!-- sample:") == len(SAMPLE.findall(text)), "a block of code must follow the comment"
    assert not re.findall(r"`[^`\n]*\\\|[^`\n]*`", text), "the site shows a backslash before a bar in code"
    assert not re.findall(r"--8<--|^`{3,} *\{|^!!!|^\?\?\?|^=== ", text, re.MULTILINE), (
        "code hosts show this as it is"
    )


def test_every_setting_has_a_line() -> None:
    text = page("reference/settings.md")
    tables = {"": Config, "server": ServerTable, "session": SessionTable, "webrtc": WebRtcTable}
    tables |= {"store": StoreTable}
    tables |= {"tools.http": HttpToolTable, "tools.mcp": McpToolsTable}
    for table, model in tables.items():
        for name in model.model_fields:
            spellings = (f"`{name}`", f"[{name}]", f"`VIVAVOCE_{name.upper()}`")
            assert any(spelling in text for spelling in spellings), f"{table}.{name}"


def test_every_limit_has_a_line() -> None:
    text = page("reference/limits.md")
    for field in fields(Limits):
        assert f"`{field.name}`" in text, field.name


def section_of(text: str, command: str) -> str:
    return text.partition(f"## `{command}")[2].partition("\n## ")[0]


def test_every_command_and_option_has_a_line() -> None:
    text = page("reference/commands.md")
    found = dict(commands(get_command(viva(entry_points(group=GROUP)))))
    assert {"viva serve", "viva models pull", "viva bench"} <= found.keys()
    for path, command in found.items():
        assert f"## `{path}" in text, path
        section = section_of(text, path)
        options = {
            option for parameter in command.params for option in parameter.opts if option.startswith("--")
        }
        assert options - {"--help"} <= (named := set(re.findall(r"`(--[\w-]+)", section))), path
        assert named <= options, path
    assert [what for what in get_args(What) if f"`{what}`" not in section_of(text, "viva bench")] == []


def test_every_endpoint_has_a_line() -> None:
    text = page("reference/endpoints.md")
    for path in endpoints(Web(scripted_runtime()).application.routes):
        assert f"`{path}`" in text or f" {path}`" in text, path


def test_every_provider_has_a_page_and_every_setting_of_it_a_line() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "providers").glob("*.md"))
    for role, name in names():
        plugin = find(role, name)
        assert f"`{name}`" in pages or f'"{name}"' in pages or f"# {name}" in pages, f"{role} {name}"
        for setting in plugin.settings.__struct_fields__:
            assert f"`{setting}`" in pages, f"{role} {name}: {setting}"


def test_every_page_can_be_found_in_the_menu() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = set(re.findall(r"[\w/.-]+\.md", str(menu)))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "index.html").is_file()


def test_the_lock_files_name_no_address() -> None:
    for lock in (ROOT / "requirements").rglob("*.txt"):
        text = lock.read_text()
        assert "://" not in text, lock.name
        assert text.count("--hash=sha256:") >= text.count("=="), lock.name
