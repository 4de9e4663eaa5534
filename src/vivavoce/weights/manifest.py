"""The manifest of known models: their files, checksums and sources. It is data, and read once.

Files are verified by SHA-256, so their source does not matter: parts of packages in a registry, or files on a
hub. Code in those packages is never run.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec

from vivavoce.errors import ConfigError, alternatives

Role = Literal["vad", "turn", "transcriber", "chat", "synthesizer"]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Bytes = Annotated[int, msgspec.Meta(gt=0)]

HUB_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[\w./ -]+)@(?P<revision>[\w./-]+)", re.ASCII)


class WeightsPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a file: one member of a package's wheel."""

    project: str
    version: str
    wheel: str
    wheel_size: Bytes
    wheel_sha256: Sha256
    member: str


class PackageSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="package"):
    """A file in packages of the registry; its parts are concatenated."""

    parts: Annotated[tuple[WeightsPart, ...], msgspec.Meta(min_length=1)]


class HubSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="hub"):
    """A file in a repository on the hub; in the manifest `revision` is a commit, never a branch."""

    repo: str
    revision: str
    file: str


Source = PackageSource | HubSource


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model; `upstream_verified` if its authors publish the same checksum."""

    name: str
    size: Bytes
    sha256: Sha256
    upstream_verified: bool
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)]


class Bundled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights that a package contains for its own code; installing the extra installs them."""

    project: str
    version: str
    extra: str
    size: Bytes


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model with its name and description. `languages` are ISO 639-1 codes; `*` means any."""

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
        """Bytes on disk of all its files."""
        return self.bundled.size if self.bundled else sum(file.size for file in self.files)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All known models, and named sets of them."""

    schema: Literal[1]
    sets: Mapping[str, tuple[str, ...]]
    models: tuple[Model, ...]

    def model(self, id: str) -> Model:
        """Return the model with this id. Raises `ConfigError` that also says how to use a file of one's own."""
        for model in self.models:
            if model.id == id:
                return model
        ids = [model.id for model in self.models]
        raise ConfigError(
            f"There is no model {id!r}; {alternatives(id, [*ids, *self.sets])} (`viva models list`). "
            "A model of your own is a path, or hf:OWNER/REPOSITORY/FILE@REVISION."
        )

    def expand(self, names: Iterable[str]) -> tuple[str, ...]:
        """Replace names of sets by their models; remove duplicates."""
        return tuple(dict.fromkeys(model for name in names for model in self.sets.get(name, (name,))))


def parse_manifest(text: bytes | str) -> Manifest:
    """Read a manifest and check its consistency. Raises `ConfigError`."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise ConfigError(f"The models' manifest is not valid: {error}.") from error
    for problem in _problems(manifest):
        raise ConfigError(f"The models' manifest is not valid: {problem}.")
    return manifest


@cache
def built_in_manifest() -> Manifest:
    """Return the manifest of vivavoce."""
    return parse_manifest(files("vivavoce.weights").joinpath("manifest.json").read_bytes())


def parse_hub_name(name: str) -> HubSource | None:
    """Parse `hf:OWNER/REPOSITORY/FILE@REVISION`; None if the name does not start with `hf:`."""
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
