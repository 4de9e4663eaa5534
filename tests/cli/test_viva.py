import json
import os
import socket
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.forking import run_viva
from vivavoce.cli import GROUP, commands
from vivavoce.errors import ConfigError

pytestmark = pytest.mark.real_time
VIVA = str(Path(sys.executable).parent / "viva")
HEAVY = (
    "numpy",
    "onnxruntime",
    "xllamacpp",
    "av",
    "openai",
    "pydantic",
    "starlette",
    "uvicorn",
    "httpx",
    "anyio",
)


def viva(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `viva` in a folder, with nothing pulled and no network."""
    alone = {"VIVAVOCE_CACHE": str(folder / "cache"), "VIVAVOCE_OFFLINE": "1", **environment}
    done = run_viva(*arguments, folder=folder, environment={**os.environ, **alone})
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_importing_the_package_and_the_command_loads_nothing_heavy() -> None:
    program = f"import sys, vivavoce, vivavoce.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_help_names_the_commands(tmp_path: Path) -> None:
    said = viva(tmp_path, "--help").stdout
    assert [name for name in ("serve", "check", "models", "bench") if f"\n  {name}" not in said] == []


def test_the_version_and_the_short_help_are_there_everywhere() -> None:
    assert CliRunner().invoke(commands([]), ["--version"]).stdout == f"viva {version('vivavoce')}\n"
    for command in ([], ["serve"], ["models"], ["models", "pull"]):
        assert "Usage: viva" in CliRunner().invoke(commands([]), [*command, "-h"], prog_name="viva").stdout
    assert "--install-completion" in CliRunner().invoke(commands([]), ["-h"]).stdout


def test_a_misspelt_command_is_answered_with_the_right_one() -> None:
    for words in (["srve"], ["models", "lst"]):
        done = CliRunner().invoke(commands([]), words)
        assert done.exit_code == 2
        assert "Did you mean" in done.stderr


def test_a_variable_that_sets_nothing_is_named_by_check_and_at_start(tmp_path: Path) -> None:
    wrong = {"VIVAVOCE_SERVER_PORT": "1"}
    facts = json.loads(viva(tmp_path, "check", "--preset", "scripted", "--json", **wrong).stdout)
    assert any("did you mean VIVAVOCE_SERVER__PORT" in warning for warning in facts["warnings"])
    done = viva(tmp_path, "serve", "--preset", "scripted", "--port", "0", **wrong)
    assert "did you mean VIVAVOCE_SERVER__PORT" in done.stderr


def test_check_warns_of_what_will_not_work(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    chat = "[chat]\nprovider = 'openai'\nbase_url = 'http://127.0.0.1:9/v1'\nkey_env = ''\n"
    (tmp_path / "vivavoce.toml").write_text("preset = 'scripted'\n[server]\ndata = 'cache/data'\n" + chat)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = viva(tmp_path, "check", "--connect", VIVAVOCE_SERVER__PORT=port).stdout
    assert f"Warning: viva serve: Port {port} of 127.0.0.1 is not available" in said
    assert said.count(f"Warning: {tmp_path / 'cache'} cannot be written; ") == 2
    assert "Warning: [chat] http://127.0.0.1:9/v1 cannot be reached" in said


def test_a_package_adds_a_command() -> None:
    ran = CliRunner().invoke(commands([EntryPoint("ask-again", "vivavoce.cli.ask:ask", GROUP)]), ["--help"])
    assert "\n  ask-again  Ask a recorded question" in ran.stdout


def test_without_the_package_of_a_command_viva_names_it() -> None:
    with pytest.raises(ConfigError, match="pip install vivavoce-bench"):
        CliRunner().invoke(commands([]), ["bench", "latency", "--turns", "2"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--host", "0.0.0.0"], ["0.0.0.0", "VIVAVOCE_KEYS="]),  # noqa: S104
        (["serve", "--preset", "parrot"], ["'parrot'", "scripted"]),
        (["serve", "--config", "nowhere.toml"], ["nowhere.toml"]),
        (["serve", "--port", "70000"], ["port", "65535"]),
        (["serve", "--preset", "scripted", "--host", "no.such.host.invalid"], ["no.such.host.invalid"]),
        (["serve", "--preset", "scripted", "--port", "0"], ["viva models pull"]),
    ],
)
def test_the_owners_mistake_is_one_sentence_and_exit_code_2(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    environment = {"VIVAVOCE_KEYS": ""} if "0.0.0.0" in arguments else {"VIVAVOCE_KEYS": "sesame"}  # noqa: S104
    done = viva(tmp_path, *arguments, **environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert [word for word in words if word not in done.stderr] == []


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = viva(tmp_path, "serve", "--preset", "scripted", "--port", port)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert port in done.stderr
    assert "--port" in done.stderr


def test_check_says_what_is_missing_and_the_line_that_brings_it(tmp_path: Path) -> None:
    (tmp_path / "vivavoce.toml").write_text("preset = 'scripted'\n[chat]\ntokens_per_second = 20\n")
    done = viva(tmp_path, "check")
    assert done.returncode == 1
    assert "preset       scripted (vivavoce.toml)" in done.stdout
    assert "tokens_per_second = 20 (vivavoce.toml)" in done.stdout
    assert "viva models pull vad/silero-v6" in done.stdout


def test_check_speaks_json(tmp_path: Path) -> None:
    facts = json.loads(viva(tmp_path, "check", "--preset", "scripted", "--json").stdout)
    assert facts["complete"] is False
    assert {part["role"]: part["provider"] for part in facts["providers"]}["chat"] == "scripted"
    missing = [each for part in facts["providers"] for each in part["missing"]]
    assert missing == [{"what": "weights vad/silero-v6", "write": "viva models pull vad/silero-v6"}]


def test_check_never_shows_a_key(tmp_path: Path) -> None:
    done = viva(tmp_path, "check", "--preset", "scripted", VIVAVOCE_KEYS="open-sesame")
    assert "VIVAVOCE_KEYS in the environment" in done.stdout
    assert "sesame" not in done.stdout + done.stderr


def test_check_asks_for_the_key_of_an_endpoint_and_keeps_its_headers_to_itself(tmp_path: Path) -> None:
    chat = "[chat]\nprovider = 'openai'\nkey_env = 'NO_SUCH_KEY'\nheaders = {X-Key = 'sesame'}\n"
    (tmp_path / "vivavoce.toml").write_text("preset = 'scripted'\n" + chat)
    done = viva(tmp_path, "check")
    assert done.returncode == 1
    assert "NO_SUCH_KEY=… in the environment" in done.stdout
    assert "headers = X-Key (vivavoce.toml)" in done.stdout
    assert "sesame" not in done.stdout


def test_check_says_who_answers_far_away_and_what_that_needs(tmp_path: Path) -> None:
    none = {"AZURE_OPENAI_API_KEY": "", "AZURE_OPENAI_ENDPOINT": "", "AZURE_OPENAI_AD_TOKEN": ""}
    done = viva(tmp_path, "check", "--preset", "azure-realtime", **none)
    assert done.returncode == 1
    assert "engine       remote (preset azure-realtime)" in done.stdout
    assert "You talk with gpt-realtime at Azure." in done.stdout
    assert "AZURE_OPENAI_API_KEY=… in the environment or in .env" in done.stdout
    assert "AZURE_OPENAI_ENDPOINT=https://" in done.stdout
    (tmp_path / "vivavoce.toml").write_text("engine = 'remote'\n[remote]\nserver = 'ws://voice.example.org'\n")
    done = viva(tmp_path, "check")
    assert done.returncode == 0
    assert "gpt-realtime at voice.example.org" in done.stdout
    assert "weights" not in done.stdout, "no model of this machine is needed"


def test_a_server_far_away_needs_its_key(tmp_path: Path) -> None:
    done = viva(tmp_path, "serve", "--preset", "openai-realtime", "--port", "0", OPENAI_API_KEY="")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
