"""The description of all endpoints: complete, valid, and that of the program."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Mount

import vivavoce.web
from store.played import recorder
from vivavoce.config.schema import Config
from vivavoce.runtime import Runtime
from vivavoce.store import tables
from vivavoce.web.api_page import api_page
from vivavoce.web.app import Web
from vivavoce.web.endpoints import history_schema
from vivavoce.web.history_routes import handlers
from vivavoce.web.openapi import canonical, described, openapi
from vivavoce.web.operations import OPERATIONS, PROBLEMS
from web.stored import SCRIPTED

DOCS = Path(__file__).parents[2] / "docs"
WEB = Path(vivavoce.web.__file__).parent
NEAR = ("conditional.py", "ranges.py", "store_access.py", "history_routes.py")
KEYS = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in ("keys.md", "reference/endpoints.md"))
ROUTES = Web(Runtime(Config.model_validate(SCRIPTED))).application.routes
DOCUMENT = json.loads(msgspec.json.encode(openapi(ROUTES)))


def test_it_is_valid() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_route_is_described_and_nothing_else_is() -> None:
    found = {(method, path) for method, path in described(ROUTES)}
    paths = {path for _, path in found}
    assert paths == set(DOCUMENT["paths"])
    assert {f"{method} {canonical(path)}" for method, path in found} == set(OPERATIONS)
    assert all(hasattr(route, "path") for route in ROUTES if not isinstance(route, Mount))


def test_the_page_about_endpoints_names_the_same_methods() -> None:
    text = (DOCS / "reference/endpoints.md").read_text(encoding="utf-8")
    for operation in OPERATIONS:
        method, path = operation.split()
        assert re.search(rf"`{method} {re.escape(path)}[`?]", text) or path == "/v1/realtime", operation


def test_the_page_shows_every_endpoint_type_and_problem_without_a_script() -> None:
    page = api_page(DOCUMENT)
    anchors = set(re.findall(r' id="([\w-]+)"', page))
    assert set(re.findall(r' href="#([\w-]+)"', page)) <= anchors
    assert {*DOCUMENT["components"]["schemas"], *PROBLEMS} <= anchors
    for path in DOCUMENT["paths"]:
        assert (f"<code>{path}</code>" in page) == (path == canonical(path)), path
    assert not re.search(r"<script|<style| style=| on\w+=", page), "the content security policy allows none"


def test_every_problem_is_on_the_page_about_history() -> None:
    text = (DOCS / "history.md").read_text(encoding="utf-8")
    files = ("history", "history_sound", "history_export")
    sources = [*(WEB / "endpoints" / f"{name}.py" for name in files), *map(WEB.joinpath, NEAR)]
    raised = set(re.findall(r'\bcode="(\w+)"', "\n".join(path.read_text(encoding="utf-8") for path in sources)))
    assert raised <= set(PROBLEMS)
    assert [code for code in PROBLEMS if f"`{code}`" not in text and f"`{code}`" not in KEYS] == []


def test_every_operation_has_a_name_of_its_own() -> None:
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))
    assert all(one["summary"] and one["tags"] for one in operations)


def test_queries_are_described_as_they_are_read(tmp_path: Path) -> None:
    found = handlers(
        recorder("sqlite:///unused.db", tmp_path), Runtime(Config.model_validate(SCRIPTED)).config.limits
    )
    read = {name: list(inspect.signature(one).parameters.values())[1].annotation for name, one in found.items()}
    assert read == {name: OPERATIONS[name].query for name in found}
    assert set(found) == {name for name in OPERATIONS if "/v1/history" in name}


def test_every_column_is_shown_or_left_out_on_purpose() -> None:
    shown: dict[str, Any] = {
        "conversations": history_schema.StoredConversation,
        "items": history_schema.StoredItem,
        "usage": history_schema.UsageOfModel,
        "gaps": history_schema.StoredGap,
    }
    hidden = {"journal_id", "row", "position", "folded", "tokens", "conversation_id"}
    for name, kind in shown.items():
        columns = {column.name for column in tables.metadata.tables[name].columns}
        assert columns - hidden <= set(kind.__struct_fields__), name
