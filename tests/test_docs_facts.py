"""What the documentation says of the program is so: its names, values, addresses, paths and links exist."""

import ast
import importlib
import io
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import entry_points
from itertools import chain
from math import log10
from pathlib import Path

import msgspec
import pytest
from starlette.routing import Route, WebSocketRoute
from typer.core import TyperGroup
from typer.main import get_command

from refresh_samples import PAGES, ROOT
from vivavoce.assistants.greeting import SETTLED_SECONDS
from vivavoce.cli import GROUP
from vivavoce.cli import commands as viva
from vivavoce.client.realtime import GOODBYE_SECONDS
from vivavoce.config.loading import load
from vivavoce.config.schema import PRESETS, SLOTS, Config
from vivavoce.engines.cascade.leveled_detector import MAX_GAIN
from vivavoce.engines.remote.engine import CONNECT_ATTEMPTS, LOSSES_PER_MINUTE
from vivavoce.engines.speech import LONGEST
from vivavoce.limits import Limits
from vivavoce.protocol.codec import decode_client
from vivavoce.protocol.responses import METADATA_CHARS
from vivavoce.providers.base import FRAME_MS
from vivavoce.providers.local.hibari import PAUSE_SECONDS
from vivavoce.providers.local.moonshine import PIECE_SECONDS
from vivavoce.providers.openai.client import ATTEMPTS
from vivavoce.providers.qwen.tool_results import MAX_CHARS
from vivavoce.providers.registry import find, names, settings_for
from vivavoce.runtime import Runtime
from vivavoce.tools.execution import BLOCKED_SECONDS
from vivavoce.turn_taking import MODEL_WEIGHT, PAUSE_WEIGHT, TurnRules
from vivavoce.web.app import Web
from vivavoce.web.server import SHUTDOWN_SECONDS
from vivavoce.weights.manifest import built_in_manifest

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+?) \|", re.MULTILINE)
DOCS = ROOT / "docs"
NUMBERS = ("no", "one", "two", "three", "four", "five")
CODE = ("src", "bench", "examples", "tests", "scripts")
KNOWN = {".py", ".js", ".toml", ".json", ".html", ".in", ".mjs"}
OTHERS = {"delete_all", "label_name", "ip_local_port_range", "UV_DEFAULT_INDEX", "waitForSessionCreated"}
OTHERS |= {
    "user_audio",
    "assistant_audio",
    "websocket_client",
    "stream_bidirectional_mode",
    "stream_bidirectional_codec",
}
OTHERS |= {"ASR_URL", "STT_URL", "LLM_URL", "TTS_URL"}
"""words in the documentation that are nobody's names, another program's, or made of parts"""

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> Iterator[str]:
    return (code for language, code in BLOCK.findall(text) if language in languages)


def spans(text: str) -> Iterator[str]:
    """Yield what stands between single backticks, outside of blocks of code."""
    return iter(SPAN.findall(BLOCK.sub("", text)))


def lines_of_a_shell(text: str) -> list[str]:
    return [*"\n".join(blocks(text, "console", "sh", "python")).splitlines(), *spans(text)]


@cache
def words() -> frozenset[str]:
    """Return the words of all that is no documentation, these tests apart."""
    paths = chain.from_iterable((ROOT / folder).rglob("*") for folder in CODE)
    code = [path for path in paths if path.suffix in KNOWN and "node_modules" not in path.parts]
    texts = [*(path.stem for path in code), *(read(path) for path in code if path != Path(__file__))]
    return frozenset(re.findall(r"\w+", "\n".join(texts)))


@cache
def routes() -> Sequence[Route | WebSocketRoute]:
    scripted = {job: {"provider": "scripted"} for job in ("turn", "transcriber", "chat", "synthesizer")}
    application = Web(Runtime(Config.model_validate(scripted))).application
    return [route for route in application.routes if isinstance(route, Route | WebSocketRoute)]


@cache
def program() -> TyperGroup:
    command = get_command(viva(entry_points(group=GROUP)))
    assert isinstance(command, TyperGroup)
    return command


@every_page
def test_names_in_code_are_names_in_the_program(path: Path) -> None:
    if path.name == "clients.md":  # the names of other programs
        return
    named = re.findall(
        r"[A-Za-z]\w*_\w*[^\W_]|[a-z]+[A-Z]\w+|[A-Z][a-z]+[A-Z]\w+", "\n".join(spans(read(path)))
    )
    assert {name for name in named if not name.startswith("VIVAVOCE_")} - words() - OTHERS == set()


@every_page
def test_commands_and_their_options_exist(path: Path) -> None:
    for line in lines_of_a_shell(read(path)):
        for written in re.findall(r"(?:^|[\s(])viva((?: [^#|\s]+)+)", line):
            command, arguments = program(), written.split()
            while isinstance(command, TyperGroup) and arguments and arguments[0][0] != "-":
                assert arguments[0] in command.commands, line
                command = command.commands[arguments.pop(0)]
            known = {"--help"}.union(*(parameter.opts for parameter in command.params))
            assert {word for word in arguments if re.match(r"--?[a-z]", word)} <= known, line
        for preset in re.findall(r"--preset ([a-z-]+)", line):
            assert preset in PRESETS, line
        for target in re.findall(r"^(?:\$ )?make ([a-z][a-z-]*)", line):
            assert re.search(rf"^{target}:", read(ROOT / "Makefile"), re.MULTILINE), line


def test_what_the_table_of_limits_says_is_the_default() -> None:
    written = ROW.findall(read(DOCS / "reference/limits.md"))
    assert {name: float(value.replace(",", "")) for name, value in written} == {
        name: float(getattr(Limits(), name)) for name, _ in written
    }


@every_page
def test_limits_exist(path: Path) -> None:
    named = re.findall(r"\blimits\.(?!md|py|updated)(\w+)", read(path))
    for label in re.findall(r"\[([^]]*)\]\([^)]*limits\.md[^)]*\)", read(path)):
        named += SPAN.findall(label)
    assert [name for name in named if not hasattr(Limits(), name)] == []


@every_page
def test_what_is_to_be_written_into_the_configuration_is_valid(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVAVOCE_WEBHOOK_SECRET", "whsec_c2VjcmV0")
    monkeypatch.setenv("VIVAVOCE_KEYS", "some-long-secret")
    monkeypatch.setenv("VIVAVOCE_AMI_SECRET", "hush")
    for block in blocks(read(path), "toml"):
        if "entry-points" in block:  # it belongs into a pyproject.toml
            continue
        (tmp_path / "written.toml").write_text(block, encoding="utf-8")
        config = load(file=tmp_path / "written.toml", dotenv=tmp_path / ".env").config
        for role in SLOTS:
            slot = getattr(config, role)
            if slot.provider not in ("auto", "none"):
                settings_for(find(role, slot.provider), slot.settings)


def test_variables_of_the_environment_set_something(monkeypatch: pytest.MonkeyPatch) -> None:
    valid = {"ENGINE": "cascade", "SERVER__PORT": "1", "LIMITS__CONVERSATIONS": "1", "REMOTE__SERVER": "openai"}
    named = set(re.findall(r"\bVIVAVOCE_([A-Z_]*[A-Z])", "\n".join(map(read, PAGES))))
    for name in named:
        monkeypatch.setenv(f"VIVAVOCE_{name}", valid.get(name, "x"))
    origins = " ".join(load(dotenv=Path("no.env")).origins.values())
    unset = {name for name in named if f"VIVAVOCE_{name} " not in origins}
    assert unset <= {"CACHE", "OFFLINE", "REMOTE_KEY", "TEST_POSTGRESQL"}, "only these are no settings"


def test_what_the_tables_of_settings_say_is_the_default() -> None:
    sections = re.split(r"^## \[(\w+)\]$", read(DOCS / "reference/settings.md"), flags=re.MULTILINE)
    for table, text in zip(sections[1::2], sections[2::2], strict=True):
        if table not in ("tools", "limits"):
            defaults = getattr(Config(), table).model_dump(mode="json")
            assert [name for name, cell in ROW.findall(text) if not states(cell, defaults[name])] == [], table
    at_the_top = Config().model_dump(mode="json")
    assert [
        name for name, cell in ROW.findall(sections[0]) if not states(cell, at_the_top.get(name.lower()))
    ] == []


def test_the_pages_of_providers_state_the_defaults() -> None:
    for role, name in names():
        page = read(DOCS / f"providers/{name}.md")
        for setting, default in msgspec.to_builtins(find(role, name).settings()).items():
            cells = re.findall(rf"\| `{setting}` \| ([^|]*?) \|", page)
            assert not cells or any(states(cell, default) for cell in cells), f"{role} {name}: {setting}"


def states(cell: str, default: object) -> bool:
    """Whether a cell of a table states a default. A text, or nothing, may be described in words."""
    values = [code or number for code, number in re.findall(r"`([^`]+)`|(true|false|\b[0-9.]+\b)", cell)]
    if not re.match(r"`|[0-9]|true|false", cell) or values[0].isupper():
        return not default or isinstance(default, str)
    return any(value == default or _from_toml(value) == default for value in values)


def _from_toml(value: str) -> object:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return None


@every_page
def test_addresses_of_the_server_are_among_its_routes(path: Path) -> None:
    addresses = re.findall(r"(?:127\.0\.0\.1|localhost):8765(/[\w/.-]*\w)", read(path))
    for span in spans(read(path)):
        addresses += re.findall(
            r"^(?:[A-Z]+ )?(/(?:v1|openai|realtime|healthz|readyz|voice|test|ws)[\w/{}.-]*)", span
        )
    shown = [route.path.replace(":path", "") for route in routes()]
    for address in {re.sub(r"//+", "/", address).rstrip("/") for address in addresses}:
        matching = [route for route in routes() if route.path_regex.match(address)]
        assert matching or any(path.startswith(f"{address}/") for path in shown), address


def test_sizes_of_models_are_those_of_the_manifest() -> None:
    manifest, listed = built_in_manifest(), read(DOCS / "models.md")
    for model in manifest.models:
        megabytes = f"{model.size / 1e6:,.1f}" if model.size < 1e7 else f"{model.size / 1e6:,.0f}"
        assert re.search(rf"^{model.id} +{model.role} +{megabytes} +{model.licence} ", listed, re.MULTILINE)
        assert re.search(rf"^\| `{model.id}` .*\| {model.size / 1e6:,.0f} \|", listed, re.MULTILINE), model.id
    first = sum(model.size for model in manifest.models if "1.5b" not in model.id) / 1e6
    for text in map(read, [*PAGES, ROOT / "Makefile"]):
        for megabytes in re.findall(r"(\d+) MB of\s+models|models of about (\d+) MB", text):
            assert round(first, -1) == int("".join(megabytes))


@every_page
def test_paths_in_this_repository_exist(path: Path) -> None:
    shown = [*spans(read(path)), *"\n".join(blocks(read(path), "console", "sh")).split()]
    for span in shown:
        for file in re.findall(r"(?<![\w/.$~-])(?:(?:src|tests|docs|examples|scripts|bench)/[\w./-]*\w)", span):
            assert (ROOT / file.removesuffix("/CODE")).exists(), file


@every_page
def test_links_lead_somewhere_on_a_code_host_too(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", BLOCK.sub("", read(path))):
        file, _, anchor = target.partition("#")
        page = (path.parent / file) if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.resolve()), target


@cache
def anchors(page: Path) -> list[str]:
    """Return the anchors of the headings of a page as code hosts make them; those of the site are the same."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", read(page)), re.MULTILINE)
    return [re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


def test_every_error_code_is_on_a_page() -> None:
    code = "\n".join(map(read, (ROOT / "src").rglob("*.py")))
    shown = set(chain.from_iterable(map(spans, map(read, PAGES))))
    assert set(re.findall(r'\bcode="(\w+)"', code)) - shown == set()


@every_page
def test_events_in_json_are_valid(path: Path) -> None:
    for block in blocks(read(path), "json"):
        if '"type": "error"' not in block:
            assert decode_client(block)


@every_page
def test_python_can_be_compiled_and_finds_what_it_imports(path: Path) -> None:
    for block in blocks(read(path), "python"):
        for node in ast.walk(
            compile(block, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        ):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vivavoce"):
                module = importlib.import_module(str(node.module))
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("name", ["turns.md", "why/protocol.md"])
def test_what_python_prints_is_what_the_page_says(name: str) -> None:
    (code,), (printed,) = (blocks(read(DOCS / name), language) for language in ("python", ""))
    with redirect_stdout(io.StringIO()) as output:
        exec(code, {})  # noqa: S102
    assert output.getvalue() == printed


def test_the_layers_that_the_pages_draw_are_those_that_are_checked() -> None:
    settings = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["importlinter"]
    layers = [re.findall(r"\w+", layer) for layer in settings["contracts"][0]["layers"]]
    drawn = next(block for block in blocks(read(DOCS / "why/architecture.md"), "") if "runtime" in block)
    for layer, line in zip(layers, drawn.splitlines(), strict=True):
        assert set(layer) <= set(line.split()), line
    listed = re.findall(r"\w+", next(blocks(read(DOCS / "contributing.md"), "text")))
    assert set(chain.from_iterable(layers)) <= set(listed)


PHRASES = [
    ("assistants.md", f"begins {SETTLED_SECONDS} s after `session.created`"),
    ("assistants.md", f"word for word, {METADATA_CHARS} characters at most"),
    ("answers.md", f"At most {METADATA_CHARS} characters"),
    ("tools.md", f"for more than {BLOCKED_SECONDS} s is named"),
    ("serve.md", f"within {NUMBERS[SHUTDOWN_SECONDS]} seconds"),
    ("ask.md", f"by default {NUMBERS[Limits.input_buffer_seconds // 60]} minutes"),
    ("client.md", f"handlers have {NUMBERS[GOODBYE_SECONDS]} seconds to finish"),
    ("remote.md", f"lost {NUMBERS[LOSSES_PER_MINUTE]} times within a minute"),
    ("remote.md", f"for which {NUMBERS[CONNECT_ATTEMPTS]} attempts to connect fail"),
    ("providers/openai.md", f"is retried up to {NUMBERS[ATTEMPTS - 1]} times"),
    ("providers/moonshine.md", f"pieces of at most {PIECE_SECONDS:.0f} seconds"),
    ("providers/hibari.md", f"there are {PAUSE_SECONDS} seconds"),
    ("providers/silero.md", f"by up to {20 * log10(MAX_GAIN):.0f} dB"),
    ("providers/qwen.md", f"text of at most {MAX_CHARS} characters"),
    ("reference/endpoints.md", f"segments of {round(LONGEST * FRAME_MS / 1000)} seconds at most"),
    ("why/turns.md", f"{TurnRules.start_ms} ms of speech begin a turn"),
    ("why/turns.md", f"{TurnRules.suspect_ms} ms of sound pause its audio"),
    ("why/turns.md", f"nothing must last {TurnRules.backchannel_ms} ms"),
    ("why/turns.md", f"{TurnRules.wordless_ms} ms of speech interrupt"),
    ("why/turns.md", f"After {TurnRules.pause_ms} ms of silence three things"),
    ("why/turns.md", f"Its weight is {MODEL_WEIGHT} at most"),
    (
        "why/turns.md",
        f"{PAUSE_WEIGHT} × longest pause) × doubt`, and at most {TurnRules.max_silence_ms / 1000} s",
    ),
    ("why/drafts.md", f"**A pause** of {TurnRules.pause_ms} ms"),
]


@pytest.mark.parametrize(("name", "phrase"), PHRASES)
def test_numbers_in_sentences_are_those_of_the_program(name: str, phrase: str) -> None:
    assert phrase in " ".join(read(DOCS / name).split())
