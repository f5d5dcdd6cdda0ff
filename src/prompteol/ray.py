"""Embed a Ray data set with an actor pool, one model per actor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prompteol.corpus.embed import load_model
from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.manifest import Settings
from prompteol.errors import CorpusError, NonFiniteError
from prompteol.extras import check_extra
from prompteol.prompts import PromptTask
from prompteol.validation import check_count

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset


def embed(
    dataset: Dataset,
    *,
    model: Any = None,
    column: str = "text",
    output_column: str = "embedding",
    concurrency: int | tuple[int, int] | None = None,
    num_gpus: float | None = None,
    num_cpus: float | None = None,
    rows_per_batch: int = 4096,
    task: PromptTask | None = None,
    normalize: bool = False,
    truncate_dim: int | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    **map_options: Any,
) -> Dataset:
    """Add a column of embeddings to a Ray data set, lazily.

    The other arguments are those of :func:`prompteol.embed_corpus`.

    Args:
        dataset: a data set with a column of texts.
        model: a name or folder that every machine can load, ``None`` for the one that ships with the package, or a
            model to send to the actors.
        output_column: the name of the column of embeddings, fixed-size lists of float32.
        concurrency: the number of actors, or the least and the most; by default one.
        num_gpus: the GPUs per actor; a fraction puts several actors on one GPU.
        num_cpus: the CPUs per actor; by default ``threads``, else 1.
        rows_per_batch: rows handed to an actor at once; there they are sorted by length and packed by tokens.
        map_options: arguments for ``Dataset.map_batches``, such as ``max_restarts``.

    Returns:
        The data set with ``output_column``, in the order that ``map_batches`` keeps: that of its blocks where
        ``DataContext.execution_options.preserve_order`` is set.
    """
    check_extra("ray", "ray", "pyarrow")
    check_count("rows_per_batch", rows_per_batch, "rows")
    from ray.data import ActorPoolStrategy

    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency or 1,) * 2
    if num_cpus is None and not num_gpus:
        num_cpus = threads or 1
    _check_room(least, num_cpus or 0)
    settings = Settings(
        column, normalize=normalize, truncate_dim=truncate_dim, task=task, batch_size=batch_size, threads=threads
    )
    return dataset.map_batches(
        _Embedder,
        fn_constructor_args=(model, dict(model_options or {}), settings, output_column, device),
        compute=ActorPoolStrategy(min_size=least, max_size=most),
        num_gpus=num_gpus,
        num_cpus=num_cpus,
        batch_size=rows_per_batch,
        batch_format="pyarrow",
        **map_options,
    )


def _check_room(actors: int, num_cpus: float) -> None:
    """Warn if the actors would hold every CPU, as the tasks that read for them would silently wait forever."""
    import ray

    there = ray.cluster_resources().get("CPU", 0) if ray.is_initialized() else 0
    if there and actors * num_cpus >= there:
        warnings.warn(
            f"{actors} actors of {num_cpus:g} CPUs leave none of the cluster's {there:g} for reading, so that Ray may "
            "wait forever: lower concurrency, threads or num_cpus",
            stacklevel=3,
        )


class _Embedder:
    """Embed batches in one actor with one model."""

    def __init__(
        self, model: Any, options: dict[str, Any], settings: Settings, output_column: str, device: str | None
    ) -> None:
        import torch

        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        if model is None or isinstance(model, str):
            model = load_model(model, device=device, **options)
        self._encoder = CorpusEncoder(model if device is None else model.to(device), settings)
        self._column = settings.column or "text"
        self._output = output_column

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        if self._column not in batch.column_names:
            raise CorpusError(f"the data set has no column {self._column!r}; its columns: {batch.column_names}")
        texts = batch.column(self._column).to_pylist()
        for text in texts:
            if not isinstance(text, str):
                raise CorpusError(f"{self._column!r} holds {text!r:.60}, not a string; filter such rows out first")
        vectors, faults = self._encoder.vectors(texts)
        if faults:
            raise NonFiniteError(f"the embedding of {texts[faults[0]]!r:.60} holds NaN or infinity: compute in fp32")
        values = pa.array(vectors.ravel(), pa.float32())
        embedding = pa.FixedSizeListArray.from_arrays(values, max(1, vectors.shape[1]))
        return batch.append_column(self._output, embedding)
