"""Small packages that carry parts of a model, built on the spot, and what the manifest says of them."""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

from vivavoce.weights.manifest import Manifest, Model, ModelFile, PackageSource, Source, WeightsPart
from vivavoce.weights.sources import Installer


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(folder: Path, project: str, data: bytes, *, member: str = "part.bin") -> WeightsPart:
    """Build a wheel that pip accepts, and that must never be imported."""
    name, info = f"{project}-1.0-py3-none-any.whl", f"{project}-1.0.dist-info"
    contents = {
        f"{project}/__init__.py": b"raise SystemExit('somebody ran me')\n",
        f"{project}/{member}": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    with ZipFile(folder / name, "w") as archive:
        for path, content in {**contents, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(path, content)
    packed = (folder / name).read_bytes()
    return WeightsPart(project, "1.0", name, len(packed), sha256(packed), f"{project}/{member}")


def packages(folder: Path, pieces: Sequence[bytes], *, project: str = "weights") -> PackageSource:
    """Build a wheel for each piece."""
    return PackageSource(tuple(wheel(folder, f"{project}_part{n}", piece) for n, piece in enumerate(pieces, 1)))


def file(data: bytes, *sources: Source, name: str = "model.bin") -> ModelFile:
    return ModelFile(name, len(data), sha256(data), upstream_verified=True, sources=sources)


def manifest(*files: ModelFile, id: str = "chat/small") -> Manifest:
    model = Model(id, "chat", "A small model", "MIT", ("en",), "For tests.", files)
    return Manifest(schema=1, sets={"default": (id,)}, models=(model,))


def copying(folder: Path, log: Path) -> Installer:
    """Fetch a wheel as pip would, only faster, and write down that it was fetched."""
    program = (
        "import sys, pathlib, shutil; _, source, folder, log = sys.argv; pathlib.Path(folder).mkdir();"
        "shutil.copy(source, folder); open(log, 'a').write(pathlib.Path(source).name + '\\n')"
    )

    def command(part: WeightsPart, wanted: Path, into: Path) -> Sequence[str]:
        return [sys.executable, "-I", "-S", "-c", program, str(folder / part.wheel), str(into), str(log)]

    return command


def install(site: Path, folder: Path, part: WeightsPart) -> None:
    """Unpack a wheel where Python looks for packages."""
    shutil.unpack_archive(folder / part.wheel, site, "zip")


def as_json(manifest: Manifest) -> str:
    import msgspec

    return json.dumps(msgspec.to_builtins(manifest))
