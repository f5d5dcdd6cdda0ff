"""Fetch the two JavaScript libraries that an exported page is served with, from npm or from a folder at hand."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from prompteol.errors import ExportError
from prompteol.files.atomic import atomic_write

_REGISTRY = "https://registry.npmjs.org"
_SECONDS = 60


@dataclass(frozen=True)
class JavaScriptLibrary:
    """Name an npm package, its version, the hash that npm publishes of it, and the files that a page needs."""

    name: str
    version: str
    license: str
    sha512: str
    files: tuple[str, ...]

    @property
    def address(self) -> str:
        """Where npm, or the registry that ``$NPM_CONFIG_REGISTRY`` names, has the package."""
        registry = os.environ.get("NPM_CONFIG_REGISTRY", _REGISTRY).rstrip("/")
        return f"{registry}/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


LIBRARIES = (
    JavaScriptLibrary(
        "onnxruntime-web",
        "1.30.0",
        "MIT",
        "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"),
    ),
    JavaScriptLibrary(
        "@huggingface/tokenizers",
        "0.2.0",
        "Apache-2.0",
        "LidMHe1FpcSYH4vcSjXooda34pC0M8m1gmDOv7SQi6Iv+ib1zX7J3sHBCC9/3FPCkn2k1b55FneVqMRxrr99pg==",
        ("dist/tokenizers.min.mjs", "LICENSE"),
    ),
)
_INSTALL = "npm install --ignore-scripts " + " ".join(f"{one.name}@{one.version}" for one in LIBRARIES)


def library_files(folder: Path | None = None) -> list[Path]:
    """Return the libraries' files: of a ``node_modules`` folder, else of the cache, which is filled where it is empty.

    Raises:
        ExportError: the folder does not hold them, or the registry cannot be reached or sends other bytes.
    """
    if folder is not None:
        files = [folder / library.name / file for library in LIBRARIES for file in library.files]
        if missing := [file for file in files if not file.is_file()]:
            raise ExportError(f"{str(missing[0])!r} is not there: give the node_modules of {_INSTALL}")
        return files
    return [file for library in LIBRARIES for file in _cached(library)]


def write_libraries(files: list[Path], folder: Path) -> None:
    """Copy the libraries' files, with a note of where they come from and under which license."""
    folder.mkdir()
    for file in files:
        shutil.copyfile(file, folder / _served(file.name))
    lines = [
        f"{one.name} {one.version}, {one.license}, https://www.npmjs.com/package/{one.name}: "
        + ", ".join(_served(Path(file).name) for file in one.files)
        for one in LIBRARIES
    ]
    (folder / "NOTICE.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")


def _served(name: str) -> str:
    """Return a name that every static host sends as JavaScript."""
    return name.removesuffix(".mjs") + ".js" if name.endswith(".mjs") else name


def _cached(library: JavaScriptLibrary) -> list[Path]:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "prompteol" / "web" / f"{library.name.replace('/', '-')}-{library.version}"
    files = [folder / Path(file).name for file in library.files]
    if not all(file.is_file() for file in files):
        archive = _downloaded(library)
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            for name, file in zip(library.files, files, strict=True):
                member = packed.extractfile(f"package/{name}")
                if member is None:
                    raise ExportError(f"{library.address} holds no {name}: run {_INSTALL}")
                with atomic_write(file, force=True) as partial:
                    partial.write_bytes(member.read())
    return files


def _downloaded(library: JavaScriptLibrary) -> bytes:
    """Return a package whose hash is the one that is expected."""
    mend = f"; or run {_INSTALL} elsewhere, and give its node_modules: --web-libraries FOLDER"
    if not library.address.startswith("https://"):
        raise ExportError(f"the registry of {library.address!r} is not reached by https{mend}")
    try:
        with urlopen(Request(library.address), timeout=_SECONDS) as answer:  # noqa: S310
            archive: bytes = answer.read()
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise ExportError(f"{library.address} cannot be fetched: {reason}{mend}") from error
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != library.sha512:
        raise ExportError(f"{library.address} has the SHA-512 {found!r}, not {library.sha512!r}: it was changed{mend}")
    return archive
