"""Find the nearest texts to a question by exact search, over blocks of vectors that are read one after another."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prompteol.corpus.embed import embed_corpus, load_model
from prompteol.corpus.inputs import find_sources
from prompteol.corpus.manifest import MANIFEST, CorpusManifest
from prompteol.corpus.opened import Corpus, open_corpus
from prompteol.corpus.planning import computed_by
from prompteol.corpus.progress import CorpusProgress
from prompteol.corpus.storage import CorpusFolder, is_url
from prompteol.embedder import lock_for
from prompteol.errors import CorpusError, IndexMismatchError, InputError, SettingError
from prompteol.vectors import unit

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_BLOCK_ROWS = 65_536
# From this many texts on, FAISS is faster in spite of its import.
_LARGE = 100_000
# These options decide how a corpus is embedded, but not what it holds.
_OF_NO_EFFECT = {"device", "workers", "threads", "resume", "ray"}


@dataclass(frozen=True)
class Hit:
    """Hold a text that is near a question: cosine, place in the input from 0, kept ``id`` or that place, kept text."""

    score: float
    row: int
    id: Any
    text: str | None


class CorpusSearch:
    """Search a corpus with the model that embedded it, question after question; refuse another model."""

    def __init__(self, model: SentenceTransformer, corpus: Corpus) -> None:
        from prompteol.saving import fingerprint

        self.model = model
        self.corpus = corpus
        built_by, current = corpus.manifest["model"]["fingerprint"], fingerprint(model)
        if built_by != current:
            name = corpus.manifest["model"]["name"] or "the model that ships with the package"
            raise IndexMismatchError(
                f"{corpus!r} was embedded with {name} ({built_by}), but the question would be with {current}: give "
                "that model with --model, or embed the texts again"
            )

    def find(self, questions: str | Sequence[str], k: int = 5) -> list[list[Hit]]:
        """Return for each question its ``k`` nearest texts, nearest first."""
        if k < 1:
            raise SettingError(f"k={k} asks for no text; give 1 or more")
        texts = [questions] if isinstance(questions, str) else list(questions)
        if not texts or not all(text.strip() for text in texts):
            raise InputError(f"{questions!r:.60} is no question; give one or more, in words")
        with lock_for(self.model):
            vectors = self.model.encode_query(
                texts, truncate_dim=self.corpus.manifest["truncate_dim"], show_progress_bar=False
            )
        scores, places = _nearest(unit(vectors), self.corpus, min(k, len(self.corpus)))
        rows = dict(zip(places.ravel().tolist(), self.corpus.rows(places.ravel().tolist()), strict=True))
        return [
            [self._hit(score, rows[place]) for score, place in zip(one.tolist(), which.tolist(), strict=True)]
            for one, which in zip(scores, places, strict=True)
        ]

    def _hit(self, score: float, row: dict[str, Any]) -> Hit:
        manifest = self.corpus.manifest
        column = manifest["column"] if manifest["column"] in row else "text"
        return Hit(score, row["row"], row.get("id", row["row"]), row.get(column))


def search_corpus(
    questions: str | Sequence[str],
    corpus: str | os.PathLike[str] | Corpus | Iterable[Any],
    *,
    model: str | SentenceTransformer | None = None,
    k: int = 5,
    **options: Any,
) -> list[list[Hit]]:
    """Return for each question the nearest texts of a corpus or of files, nearest first.

    Questions take the model's prompt for queries; texts that are embedded here take the prompt for documents.

    Args:
        questions: one question or several.
        corpus: a folder that :func:`prompteol.embed_corpus` wrote, or its inputs, which are embedded now and kept in a
            cache under their content and the model's fingerprint.
        model: a model or its name; ``None`` takes the corpus's model, else the one that ships with the package.
        k: the number of texts per question.
        options: arguments for :func:`prompteol.embed_corpus`, such as ``column`` and ``device``.

    Raises:
        IndexMismatchError: another model embedded the corpus.
        CorpusError: the files cannot be read.
    """
    return open_search(corpus, model, **options).find(questions, k)


def open_search(
    corpus: str | os.PathLike[str] | Corpus | Iterable[Any],
    model: Any = None,
    *,
    load: Callable[[str | None], Any] | None = None,
    progress: Callable[[CorpusProgress], None] | None = None,
    **options: Any,
) -> CorpusSearch:
    """Open a corpus for questions; embed its inputs first where it is not a corpus yet."""
    found = corpus if isinstance(corpus, Corpus) else _finished_corpus(corpus)
    if found is not None and model is None:
        model = found.manifest["model"]["name"]
    if model is None or isinstance(model, (str, os.PathLike)):
        model = (load or load_model)(None if model is None else os.fspath(model))
    if found is None:
        found = _embedded(corpus, model, progress, options)
    return CorpusSearch(model, found)


def _cache_folder() -> Path:
    base = os.environ.get("PROMPTEOL_CACHE")
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base or Path(user, "prompteol"), "corpora")


def _finished_corpus(corpus: Any) -> Corpus | None:
    if isinstance(corpus, (list, tuple)) and len(corpus) == 1:
        corpus = corpus[0]
    if not isinstance(corpus, (str, os.PathLike)) or os.fspath(corpus) == "-":
        return None
    name = os.fspath(corpus)
    there = is_url(name) or os.path.isdir(name)
    return open_corpus(name) if there and CorpusFolder(name).exists(MANIFEST) else None


def _embedded(
    inputs: Any, model: Any, progress: Callable[[CorpusProgress], None] | None, options: dict[str, Any]
) -> Corpus:
    from prompteol.saving import fingerprint

    sources = find_sources(inputs, options.get("format"), options.get("delimiter"))
    if not all(source.is_file for source in sources):
        raise CorpusError("a search keeps the vectors of files; embed a pipe or a data set into a folder first")
    described = (source.description()[0] for source in sources)
    contents = [[said["sha256"], said["format"]] for said in described]
    settings = {name: value for name, value in options.items() if name not in _OF_NO_EFFECT and value is not None}
    # The text is kept, as a hit shows it.
    settings = {"keep": [settings.get("column", "text")], "normalize": True, "task": "document", **settings}
    # Only this module reads the cache, so .npy will do where pyarrow is not installed.
    settings = {"output_format": "parquet" if find_spec("pyarrow") else "npy", **settings}
    key = json.dumps([fingerprint(model), computed_by(model), contents, settings], sort_keys=True, default=str)
    folder = _cache_folder() / hashlib.sha256(key.encode()).hexdigest()[:32]
    manifest = CorpusManifest.read(CorpusFolder(folder))
    if manifest is not None and manifest.is_complete:
        return open_corpus(folder)
    return embed_corpus(model, inputs, folder, progress=progress, **{**options, **settings})


def _nearest(questions: NDArray[np.float32], corpus: Corpus, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return scores and places, (questions, k), of the largest cosines over all blocks."""
    compare = _faiss if len(corpus) >= _LARGE and find_spec("faiss") else _numpy
    scores = np.empty((len(questions), 0), dtype=np.float32)
    places = np.empty((len(questions), 0), dtype=np.int64)
    for first, block in corpus.restored(_BLOCK_ROWS):
        near, where = compare(questions, unit(block), min(k, len(block)))
        scores = np.concatenate([scores, near], axis=1)
        places = np.concatenate([places, where + first], axis=1)
        # The sort is stable, so that among equal texts the first comes first.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, places = np.take_along_axis(scores, best, 1), np.take_along_axis(places, best, 1)
    return scores, places


def _numpy(questions: NDArray[np.float32], block: NDArray[np.float32], k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    scores = questions @ block.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, best, 1), best


def _faiss(questions: NDArray[np.float32], block: NDArray[np.float32], k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    import faiss

    found: tuple[NDArray[Any], NDArray[Any]] = faiss.knn(questions, block, k, metric=faiss.METRIC_INNER_PRODUCT)
    return found
