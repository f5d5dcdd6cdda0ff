"""The teacher's vectors: computed once and kept on disk, then brought to the student's dimension."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prompteol.errors import ModelError, TrainingError
from prompteol.files import atomic_write, chunks
from prompteol.saving import fingerprint
from prompteol.validation import check_finite

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "Advance",
    "KnownTeacher",
    "Teacher",
    "Vectors",
    "content_digest",
    "fit_dimension",
    "given_vectors",
    "kept_vectors",
    "teacher_vectors",
]

Vectors: TypeAlias = NDArray[np.floating[Any]]
Teacher: TypeAlias = "str | Path | SentenceTransformer | Vectors"
Advance = Callable[[int, int], None]

_CHUNK = 4096


@dataclass(frozen=True)
class KnownTeacher:
    """A teacher that is loaded, known by its content: a path may hold another model tomorrow.

    Args:
        name: what it is called.
        model: or the vectors that stand for it.
        digest: hex digits over what decides its vectors; ``None`` where its weights cannot be read.
    """

    name: str
    model: SentenceTransformer | Vectors
    digest: str | None

    @classmethod
    def load(cls, teacher: Teacher, device: str | None = None) -> KnownTeacher:
        """Load what a path or name stands for.

        Raises:
            TrainingError: there is no such model or file.
        """
        if isinstance(teacher, (str, Path)):
            model = _read_npy(Path(teacher)) if Path(teacher).suffix == ".npy" else _load(teacher, device)
            return cls(str(teacher), model, content_digest(model))
        if isinstance(teacher, np.ndarray):
            return cls("given vectors", teacher, content_digest(teacher))
        name = str(teacher.model_card_data.model_name or type(teacher).__name__)
        return cls(name, teacher, content_digest(teacher))

    @property
    def described(self) -> str:
        """Name and fingerprint, as Markdown."""
        return f"`{self.name}`" + (f", fingerprint `{self.digest[:16]}`" if self.digest else "")

    def vectors(self, texts: Sequence[str], kept: Path, advance: Advance | None = None) -> Vectors:
        """Return the vectors of texts, from disk where this teacher has embedded these texts before."""
        if isinstance(self.model, np.ndarray):
            return _checked(self.model, texts, self.name)
        about = {"teacher": self.digest or "", "texts": _digest(texts)}
        if self.digest and (found := _read(kept, about)) is not None:
            return found
        vectors = _encode(self.model, texts, advance)
        from safetensors.numpy import save_file

        with atomic_write(kept) as partial:
            save_file({"vectors": vectors}, partial, metadata=about)
        return vectors


def teacher_vectors(
    teacher: Teacher, texts: Sequence[str], kept: Path, *, device: str | None = None, advance: Advance | None = None
) -> Vectors:
    """Return a teacher's vectors of texts, from disk where this teacher has embedded these texts before.

    Args:
        teacher: a sentence-transformers model, its folder or Hub name; or vectors that somebody computed, a row a
            text: an array, or a ``.npy`` file such as ``prompteol encode`` writes.
        texts: that the student is trained on.
        kept: a ``.safetensors`` file, in which they are kept as float16, with the fingerprint of the teacher and the
            digest of the texts. A teacher whose weights cannot be read is asked again each time.
        device: for a teacher that is loaded here.
        advance: called with how many texts are done, and of how many.

    Returns:
        An array of shape (texts, dimension), float16 or as it was given.

    Raises:
        TrainingError: the teacher cannot be loaded; given vectors are of another number of texts, or not finite.
    """
    return KnownTeacher.load(teacher, device).vectors(texts, kept, advance)


def kept_vectors(texts: Sequence[str], kept: Path) -> Vectors:
    """Return the vectors that the first process has just written, without the teacher.

    Raises:
        TrainingError: the file is not there, or is of other texts.
    """
    found = _read(kept, {"texts": _digest(texts)})
    if found is None:
        raise TrainingError(f"{str(kept)!r} holds no vectors of these texts; all machines must share one folder")
    return found


def content_digest(teacher: SentenceTransformer | Vectors) -> str | None:
    """Return hex digits over what decides a teacher's vectors, or ``None`` where its weights cannot be read."""
    if not isinstance(teacher, np.ndarray):
        try:
            return fingerprint(teacher)
        except ModelError:
            return None
    digest = hashlib.sha256(str((teacher.dtype, teacher.shape)).encode())
    for start in range(0, len(teacher), _CHUNK):
        digest.update(teacher[start : start + _CHUNK].tobytes())
    return digest.hexdigest()


def given_vectors(teacher: Teacher, texts: Sequence[str]) -> Vectors | None:
    """Return the vectors that stand for a teacher, or ``None`` for a teacher that has to be asked.

    Raises:
        TrainingError: they are of another number of texts, or not finite.
    """
    if isinstance(teacher, np.ndarray):
        return _checked(teacher, texts, "the given vectors")
    if isinstance(teacher, (str, Path)) and Path(teacher).suffix == ".npy":
        return _checked(_read_npy(Path(teacher)), texts, str(teacher))
    return None


def fit_dimension(vectors: Vectors, dimension: int, seed: int) -> Vectors:
    """Bring vectors to another dimension with as little change to their cosines as may be.

    The directions of largest variance about the origin are kept (uncentered PCA, so that a cosine stays a cosine), then
    turned by a random rotation: without it the first dimensions would hold nearly everything. Into a larger dimension
    vectors are turned as they are, and no cosine changes.

    Args:
        vectors: of shape (texts, their dimension).
        dimension: the student's.
        seed: of the rotation.

    Returns:
        Unit vectors of shape (texts, dimension), float32.
    """
    units = np.asarray(vectors, dtype=np.float32)
    units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    if units.shape[1] > dimension:
        units = _principal(units, min(dimension, len(units)), seed)
    rotation = _rotation(dimension, seed)[: units.shape[1]]
    turned = units @ rotation
    fitted: Vectors = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    return fitted


def _principal(units: Vectors, dimension: int, seed: int) -> Vectors:
    from sklearn.decomposition import TruncatedSVD

    projected: Vectors = TruncatedSVD(dimension, random_state=seed).fit_transform(units)
    return projected


def _rotation(dimension: int, seed: int) -> Vectors:
    """Draw an orthogonal matrix uniformly: QR of a Gaussian one, the signs made those of the diagonal."""
    gaussian = np.random.default_rng(seed).standard_normal((dimension, dimension))
    q, r = np.linalg.qr(gaussian)
    rotation: Vectors = (q * np.sign(np.diag(r))).astype(np.float32)
    return rotation


def _load(name: str | Path, device: str | None) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(str(name), device=device)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"the teacher {str(name)!r} cannot be loaded as a sentence-transformers model: "
            f"{' '.join(str(error).split())}"
        ) from error


def _encode(model: SentenceTransformer, texts: Sequence[str], advance: Advance | None) -> Vectors:
    done: list[Vectors] = []
    for batch in chunks(texts, _CHUNK):
        vectors = model.encode(batch, normalize_embeddings=True, show_progress_bar=False)
        check_finite(vectors, batch)
        done.append(vectors.astype(np.float16))
        if advance is not None:
            advance(sum(map(len, done)), len(texts))
    return np.concatenate(done)


def _read(kept: Path, about: Mapping[str, str]) -> Vectors | None:
    """Return what is kept, if it is of the same teacher and texts."""
    from safetensors import safe_open

    if not kept.is_file():
        return None
    with safe_open(kept, framework="numpy") as file:
        known = file.metadata() or {}
        if any(known.get(name) != value for name, value in about.items()):
            return None
        vectors: Vectors = file.get_tensor("vectors")
    return vectors


def _read_npy(path: Path) -> Vectors:
    try:
        vectors: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{str(path)!r} holds no vectors: {error}") from error
    return vectors


def _checked(vectors: Vectors, texts: Sequence[str], name: str) -> Vectors:
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise TrainingError(f"{name} have shape {vectors.shape}; expected {len(texts)} rows, one for each text")
    for start in range(0, len(vectors), _CHUNK):
        finite = np.isfinite(vectors[start : start + _CHUNK]).all(axis=1)
        if not finite.all():
            raise TrainingError(f"{name}: row {start + int(np.argmin(finite))} holds NaN or infinity")
    return vectors


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
