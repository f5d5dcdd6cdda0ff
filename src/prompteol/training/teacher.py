"""Compute the vectors of teachers once, and keep them on disk under what they were made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prompteol.errors import ModelError, TrainingError
from prompteol.files import atomic_write, chunks
from prompteol.progress import Progress, batches, no_progress
from prompteol.saving import fingerprint
from prompteol.validation import check_finite

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


Vectors: TypeAlias = NDArray[np.floating[Any]]
Teacher: TypeAlias = "str | Path | SentenceTransformer | Vectors"
Teachers: TypeAlias = "Teacher | Sequence[Teacher] | None"

_CHUNK = 4096
# The number of texts per file in a folder of teacher vectors: the most that a stop of the embedding loses.
_PIECE = 16_384


@dataclass(frozen=True)
class KnownTeacher:
    """Identify a loaded teacher by the digest of its content, which is ``None`` where its weights cannot be read."""

    name: str
    model: SentenceTransformer | Vectors
    digest: str | None

    @classmethod
    def load(cls, teacher: Teacher, device: str | None = None) -> KnownTeacher:
        """Load a teacher from its path or name; :class:`TrainingError` where there is none."""
        given = _given(teacher)
        if given is not None:
            content = hashlib.sha256(str((given.dtype, given.shape)).encode())
            content.update(np.ascontiguousarray(given).data)
            return cls("given vectors" if given is teacher else str(teacher), given, content.hexdigest())
        named = isinstance(teacher, (str, Path))
        model: Any = _load(str(teacher), device) if named else teacher
        name = str(teacher if named else model.model_card_data.model_name or type(model).__name__)
        try:
            return cls(name, model, fingerprint(model))
        except ModelError:
            return cls(name, model, None)

    @property
    def described(self) -> str:
        """Name and fingerprint, as Markdown."""
        return f"`{self.name}`" + (f", fingerprint `{self.digest[:16]}`" if self.digest else "")

    def vectors(self, texts: Sequence[str], kept: Path, progress: Progress = no_progress) -> Vectors:
        """Return the vectors of texts, from disk where this teacher has embedded these texts before."""
        from safetensors.numpy import save_file

        if isinstance(self.model, np.ndarray):
            return _checked(self.model, texts, self.name)
        if kept.suffix != ".safetensors":
            return np.concatenate([self.vectors(piece, self._file(kept, piece), progress) for piece in _pieces(texts)])
        about = {"teacher": self.digest or "", "texts": _digest(texts)}
        if self.digest and (found := _read(kept, about)) is not None:
            return found
        done: list[Vectors] = []
        with progress("teacher", len(texts)) as advance, batches(self.model, advance) as chunk_done:
            for chunk in chunks(texts, _CHUNK):
                vectors = self.model.encode(chunk, normalize_embeddings=True, show_progress_bar=False)
                check_finite(vectors, chunk)
                done.append(vectors.astype(np.float16))
                chunk_done(len(chunk))
        embedded = np.concatenate(done)
        with atomic_write(kept) as partial:
            save_file({"vectors": embedded}, partial, metadata=about)
        return embedded

    def _file(self, folder: Path, texts: Sequence[str]) -> Path:
        """Return the file of a folder that these texts have with this teacher, whatever the two are called."""
        folder.mkdir(parents=True, exist_ok=True)
        content = hashlib.sha256(f"{self.digest or self.name} {_digest(texts)}".encode())
        return folder / f"{content.hexdigest()[:32]}.safetensors"


def teacher_vectors(
    teacher: Teacher, texts: Sequence[str], kept: Path, *, device: str | None = None, progress: Progress = no_progress
) -> Vectors:
    """Return a teacher's vectors of texts, from disk where this teacher has embedded these texts before.

    Args:
        teacher: a sentence-transformers model, its folder or Hub name; or vectors that somebody computed, a row a
            text: an array, or a ``.npy`` file such as ``prompteol encode`` writes.
        texts: that the student is trained on.
        kept: a ``.safetensors`` file, in which they are kept as float16, with the fingerprint of the teacher and the
            digest of the texts; or a folder of such files, each of 16,384 texts and named by both, which may be shared
            by teachers and data sets. A teacher whose weights cannot be read embeds the texts anew each time.
        device: for a teacher that is loaded here.
        progress: shows how many texts are done.

    Returns:
        An array of shape (texts, dimension), float16 or as it was given.
    """
    return KnownTeacher.load(teacher, device).vectors(texts, kept, progress)


def as_teachers(teachers: Teachers) -> list[Teacher]:
    """Return a list of teachers from one, several or none."""
    if teachers is None:
        return []
    return list(teachers) if isinstance(teachers, (list, tuple)) else [teachers]  # type: ignore[list-item]


def described_teachers(teachers: Sequence[KnownTeacher | None]) -> str | None:
    """Return all teachers that this process has loaded, as Markdown, or ``None``."""
    return ", ".join(one.described for one in teachers if one) or None


def given_vectors(teacher: Teacher, texts: Sequence[str]) -> Vectors | None:
    """Return the vectors that stand for a teacher, checked, or ``None`` for a teacher that has to compute them."""
    given = _given(teacher)
    return None if given is None else _checked(given, texts, "given vectors" if given is teacher else str(teacher))


def shared_vectors(
    teacher: Teacher, texts: Sequence[str], kept: Path, known: KnownTeacher | None, progress: Progress
) -> Vectors:
    """Return a teacher's vectors; the first process alone has it loaded, and the others read what that one wrote."""
    if known is not None:
        return known.vectors(texts, kept, progress)
    found = given_vectors(teacher, texts)
    if found is None:
        found = _read(kept, {"texts": _digest(texts)})
    if found is None:
        raise TrainingError(f"{str(kept)!r} holds no vectors of these texts; all machines must share one folder")
    return found


def _load(name: str, device: str | None) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(name, device=device)
    except (OSError, ValueError) as error:
        reason = f"cannot be loaded as a sentence-transformers model: {' '.join(str(error).split())}"
        raise TrainingError(f"the teacher {name!r} {reason}") from error


def _given(teacher: Teacher) -> Vectors | None:
    """Return vectors that stand for a teacher: an array, or the content of a ``.npy`` file."""
    if not isinstance(teacher, (str, Path)) or Path(teacher).suffix != ".npy":
        return teacher if isinstance(teacher, np.ndarray) else None
    try:
        vectors: Vectors = np.load(teacher, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{str(teacher)!r} holds no vectors: {error}") from error
    return vectors


def _checked(vectors: Vectors, texts: Sequence[str], name: str) -> Vectors:
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise TrainingError(f"{name} have shape {vectors.shape}; expected {len(texts)} rows, one for each text")
    for start in range(0, len(vectors), _CHUNK):
        finite = np.isfinite(vectors[start : start + _CHUNK]).all(axis=1)
        if not finite.all():
            raise TrainingError(f"{name}: row {start + int(np.argmin(finite))} holds NaN or infinity")
    return vectors


def _read(kept: Path, about: Mapping[str, str]) -> Vectors | None:
    """Return what is kept, if it is of the same teacher and texts."""
    from safetensors import safe_open

    if not kept.is_file():
        return None
    with safe_open(kept, framework="numpy") as file:
        known = file.metadata() or {}
        vectors: Vectors | None = file.get_tensor("vectors") if about.items() <= known.items() else None
    return vectors


def _pieces(texts: Sequence[str]) -> Iterator[list[str]]:
    return map(list, chunks(texts, _PIECE))


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
