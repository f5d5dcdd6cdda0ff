"""Check a local model: its prompt, its numerics, its saved form, and what each server would do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from prompteol.errors import ArtifactError, NonFiniteError, TemplateError
from prompteol.serving.servers import server_notes
from prompteol.serving.variants import LocalModel, Variant, Vectors
from prompteol.vectors import tolerance as tolerance_of
from prompteol.vectors import unit

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

_TEXTS = (
    "A man is playing a guitar.",
    "the president is riding a horse",
    "Who is the president of the small country that lies between the two large ones?",
    'He said "two dogs" and ran in the snow',
    "",
)
_MOST_TOKENS = 4096


@dataclass(frozen=True)
class ModelFinding:
    """Hold the result of one check of a model; a note is neither right nor wrong."""

    check: str
    verdict: Literal["right", "fault", "note"]
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True)
class ModelCheck:
    """Hold all findings for a model; it is ``healthy`` if no check found a fault."""

    findings: tuple[ModelFinding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def faults(self) -> list[str]:
        """The names of the checks that found a fault."""
        return [found.check for found in self.findings if found.verdict == "fault"]

    def as_record(self) -> dict[str, Any]:
        """Return everything ready for JSON."""
        return {"healthy": self.healthy, "findings": [asdict(found) for found in self.findings]}


def check(model: PromptEOL | str | Path | None = None, *, load: Callable[[Any], PromptEOL] | None = None) -> ModelCheck:
    """Check a model before it is used or served.

    Compared are its files, pad token and BOS, the prompt's end behind a long text, a batch and single texts, the
    packed forward against the reference forward, coarser dtypes, the saved form in this package and in stock
    sentence-transformers, and what each server would do with it.

    Args:
        model: a model, or its name as :class:`prompteol.PromptEOL` takes it; ``None`` is the one that ships.
        load: loads a model by name; ``None`` is :class:`prompteol.PromptEOL`.

    Raises:
        ModelError: there is no such model, or it is no causal language model.
    """
    if model is None or isinstance(model, (str, Path)):
        from prompteol.sentence_transformers import PromptEOL

        try:
            model = (load or PromptEOL)(model)
        except (ArtifactError, TemplateError) as error:
            return ModelCheck((ModelFinding("files", "fault", str(error), "see there"),))
    return ModelCheck((ModelFinding("files", "right", "they agree"), *_findings(model)))


def _findings(model: PromptEOL) -> Iterator[ModelFinding]:
    yield _pad(model)
    tolerance = tolerance_of(model.module.transformer.model.dtype)
    if _embedded(model) < len(model.tokenizer):
        return
    yield _bos(model)
    yield _suffix(model)
    try:
        together = unit(model.encode(list(_TEXTS)))
    except NonFiniteError as error:
        yield ModelFinding("finite numbers", "fault", str(error), "--dtype float32")
        return
    alone = unit(np.stack([model.encode(text) for text in _TEXTS]))
    yield _equal("batch and single texts", together, alone, tolerance, "--dtype float32")
    reference = unit(model.encode(list(_TEXTS), engine="stock"))
    yield _equal("packed and reference forward", together, reference, tolerance, "--engine stock")
    if model.technique is None:
        yield from _dtypes(model)
    yield from _saved(model, together, tolerance)
    for server, note in server_notes(model):
        yield ModelFinding(server, "note", note)


def _pad(model: PromptEOL) -> ModelFinding:
    tokenizer, rows = model.tokenizer, _embedded(model)
    pad, name = tokenizer.pad_token_id, tokenizer.pad_token
    mend = "set pad_token in tokenizer_config.json to a special token of the vocabulary, such as the EOS token"
    if pad is None or pad >= rows or len(tokenizer) > rows:
        seen = f"{name!r} is token {pad} of {len(tokenizer)}, and the backbone embeds {rows}"
        return ModelFinding("pad token", "fault", seen, mend)
    read = {token for row in model.module.prompter(list(_TEXTS), max_length=_MOST_TOKENS) for token in row[1:]}
    if pad in read:
        return ModelFinding("pad token", "fault", f"{name!r} (token {pad}) is also a word of prompts", mend)
    return ModelFinding("pad token", "right", f"{name!r}, token {pad}, on the right")


def _embedded(model: PromptEOL) -> int:
    """Return how many tokens the backbone has embeddings of."""
    embeddings: Any = model.module.transformer.model.get_input_embeddings()
    return int(embeddings.weight.shape[0])


def _bos(model: PromptEOL) -> ModelFinding:
    prompter, tokenizer = model.module.prompter, model.tokenizer
    row = prompter(["A man is playing a guitar."], max_length=_MOST_TOKENS)[0]
    bos = tokenizer.bos_token_id
    leading = next((place for place, token in enumerate(row) if token != bos), 0)
    added = tokenizer("text")["input_ids"][:1] == [bos] and bos is not None
    if leading > 1:
        return ModelFinding("BOS", "fault", f"it stands {leading} times in front", "remove it from the template")
    if added != (leading == 1):
        seen = f"the tokenizer {'adds' if added else 'adds no'} BOS, and the prompt has {leading or 'none'}"
        return ModelFinding("BOS", "note", f"{seen}, as its template asks")
    return ModelFinding("BOS", "right", f"{tokenizer.bos_token!r}, once" if leading else "none, as the tokenizer does")


def _suffix(model: PromptEOL) -> ModelFinding:
    prompter, limit = model.module.prompter, int(min(model.max_seq_length or _MOST_TOKENS, _MOST_TOKENS))
    (row,) = prompter(["The cat sat on the mat. " * limit], max_length=limit)
    tail = prompter.tail()
    if len(row) > limit or row[-len(tail) :] != tail:
        return ModelFinding("end of the prompt", "fault", "a long text cuts it off", "set truncation_side to right")
    return ModelFinding("end of the prompt", "right", f"{len(tail)} tokens, kept behind a text cut at {limit} tokens")


def _equal(check: str, one: Vectors, other: Vectors, tolerance: float, mend: str) -> ModelFinding:
    difference = float(np.abs(one - other).max())
    seen = f"largest difference {difference:.0e} on vectors of length 1"
    if not difference <= tolerance:
        return ModelFinding(check, "fault", f"{seen}, at most {tolerance:.0e} is expected", mend)
    return ModelFinding(check, "right", seen)


def _dtypes(model: PromptEOL) -> Iterator[ModelFinding]:
    local = LocalModel(model)
    right = Variant("", local.rows(_TEXTS))
    own = local.vectors(right)
    for dtype in (torch.bfloat16, torch.float16):
        if dtype == model.module.transformer.model.dtype:
            continue
        name, found = str(dtype).removeprefix("torch."), local.vectors_in(dtype, right)
        cosine = float((own * found).sum(axis=1).min())
        if np.isfinite(found).all():
            yield ModelFinding(f"in {name}", "note", f"lowest cosine {cosine:.5f} to {str(model.dtype)[6:]}")
        else:
            yield ModelFinding(f"in {name}", "note", "it overflows: serve in another dtype")


def _saved(model: PromptEOL, vectors: Vectors, tolerance: float) -> Iterator[ModelFinding]:
    options: dict[str, Any] = {"device": str(model.device), "model_kwargs": {"dtype": model.dtype}}
    with TemporaryDirectory(prefix="prompteol-check-") as folder:
        model.save(folder, create_model_card=False)
        loaded = type(model)(folder, **options)
        if loaded.fingerprint() != model.fingerprint():
            yield ModelFinding("save and load", "fault", "another fingerprint", "see the warnings of model.save")
        else:
            again = unit(loaded.encode(list(_TEXTS)))
            yield _equal("save and load", vectors, again, tolerance, "see the warnings of model.save")
        if model.technique is None:
            stock = SentenceTransformer(folder, **options)
            found = unit(stock.encode(list(_TEXTS), show_progress_bar=False))
            yield _equal("stock sentence-transformers", vectors, found, tolerance, "load it with PromptEOL")
