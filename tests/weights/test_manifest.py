from pathlib import Path

import pytest

from vivavoce.errors import ConfigError
from vivavoce.weights.manifest import HubSource, Manifest, PackageSource, built_in_manifest, parse_manifest
from vivavoce.weights.store import user_store
from weights.packages import as_json, file, manifest, packages

ROOT = Path(__file__).parents[2]


def test_the_default_set_is_all_that_a_first_talk_needs() -> None:
    roles = {built_in_manifest().model(name).role for name in built_in_manifest().sets["default"]}
    assert roles | {"synthesizer"} == {"vad", "turn", "transcriber", "chat", "synthesizer"}


def test_every_file_is_the_one_that_its_authors_publish() -> None:
    for model in built_in_manifest().models:
        assert all(file.upstream_verified for file in model.files), model.id


def test_every_part_of_a_package_is_pinned_by_its_checksum() -> None:
    for model in built_in_manifest().models:
        for each in model.files:
            packages = [source for source in each.sources if isinstance(source, PackageSource)]
            assert packages, f"{model.id} must come without a hub"
            for part in (part for source in packages for part in source.parts):
                assert part.wheel.startswith(f"{part.project.replace('-', '_')}-{part.version}-")


def test_the_voice_and_the_turn_detector_come_in_one_download() -> None:
    first = {
        built_in_manifest().model(name).files[0].sources[0]
        for name in ("vad/silero-v6", "turn/smart-turn-v3.2")
    }
    assert len({source.parts[0].wheel for source in first if isinstance(source, PackageSource)}) == 1


@pytest.mark.parametrize("page", ["docs/models.md", "src/vivavoce/weights/LICENSES.md"])
def test_every_model_and_its_licence_is_written_about(page: str) -> None:
    text = (ROOT / page).read_text()
    for model in built_in_manifest().models:
        line = next((line for line in text.splitlines() if f"`{model.id}`" in line), None)
        assert line, f"{page} says nothing of {model.id}"
        assert model.licence in line
    for name in built_in_manifest().sets if page.startswith("docs") else ():
        assert f"`{name}`" in text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('"schema": 1', '"schema": 2'), "not valid"),
        (('"default": ["chat/small"]', '"default": ["chat/large"]'), "the set default names chat/large"),
        (('"name": "model.bin"', '"name": "../model.bin"'), "not a plain file name"),
        (('"sha256": "', '"sha256": "X'), "sha256"),
        (('"role": "chat"', '"role": "cook"'), "role"),
        (('"kind": "package"', '"kind": "peddler"'), "peddler"),
        (('"files": [{', '"files": [], "x": [{'), "x"),
    ],
)
def test_a_manifest_that_does_not_fit_together_is_refused(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    text = as_json(manifest(file(b"data", packages(tmp_path, [b"da", b"ta"]))))
    assert parse_manifest(text).models
    assert change[0] in text
    with pytest.raises(ConfigError, match=sentence):
        parse_manifest(text.replace(*change))


def test_a_model_is_named_once_and_has_something_to_fetch() -> None:
    one = built_in_manifest().model("vad/silero-v6")
    with pytest.raises(ConfigError, match="vad/silero-v6 is there twice"):
        parse_manifest(as_json(Manifest(1, {}, (one, one))))
    with pytest.raises(ConfigError, match="needs either files or a package"):
        parse_manifest(as_json(manifest()))


def test_a_branch_of_the_hub_is_refused_in_the_manifest() -> None:
    with pytest.raises(ConfigError, match="must be a commit"):
        parse_manifest(as_json(manifest(file(b"x", HubSource("owner/models", "main", "x.bin")))))


@pytest.mark.models
def test_the_default_models_here_are_whole() -> None:
    findings = list(user_store().verify(["default"]))
    assert {finding.state for finding in findings} == {"ok"}
