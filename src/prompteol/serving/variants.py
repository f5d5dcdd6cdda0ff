"""Compute the vectors that each known fault of a server gives, and name the nearest fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.modules import Pooling

from prompteol.errors import SettingError
from prompteol.inference.reference_forward import reference_states
from prompteol.prompts import PromptTask, RetrievalTemplate, prompt_of_task
from prompteol.tokenization import TokenRows
from prompteol.vectors import unit

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

Vectors = NDArray[np.float32]
Rows = list[list[int]]

# A fault is named if its vectors are this near (mean of 1 - cosine) and this many times nearer than the right ones.
_NEAR, _TIMES_NEARER = 0.02, 3
# The largest difference that another precision or quantization explains.
_PRECISION = 0.1
_TOKENS_NEXT_TO_TEXT = 3
_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True)
class Variant:
    """Describe how a server may get other vectors: the rows of token ids that it reads, and how it pools them."""

    fault: str
    rows: Rows
    pooling: str = "lasttoken"
    layer: int | None = None
    after: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """Hold the nearest explanation of a server's vectors; ``fault`` is empty where there is none."""

    fault: str
    cosine: float
    difference: float
    nearest: float
    detail: str = ""


class LocalModel:
    """Compute the vectors that a server should answer, and those that it answers with each fault."""

    def __init__(self, model: PromptEOL, task: PromptTask | None = None) -> None:
        if model.technique is not None:
            raise SettingError(
                f"the model embeds by {model.technique}, which no server computes: serve and verify it without, with "
                "technique=()"
            )
        model.eval()
        self.model, self.task = model, task
        self.prompter = model.module.prompter
        self.prompt = prompt_of_task(task, model.prompts, model.default_prompt_name)
        self.limit = int(min(model.max_seq_length or 2**31, 2**31))
        self._computed: dict[str, Vectors] = {}

    def messages(self, text: str) -> list[dict[str, str]]:
        """Return the conversation that a server renders to the prompt of a text."""
        system = [{"role": "system", "content": self.prompt}] if self.prompt else []
        return [*system, {"role": "user", "content": text}]

    def rows(self, texts: Sequence[str], limit: int | None = None) -> Rows:
        """Return the right token ids."""
        return self.prompter(texts, task=self.task, prompt=self.prompt, max_length=limit or self.limit)

    def vectors(self, variant: Variant) -> Vectors:
        """Return the unit vectors of a variant; they are computed once, as each form of a request needs them."""
        if repr(variant) not in self._computed:
            self._computed[repr(variant)] = self._vectors(self.model.module, variant)
        return self._computed[repr(variant)]

    def right(self, rows: Rows) -> Vectors:
        """Return the vectors of rows of token ids, of length 1."""
        return self.vectors(Variant("", rows))

    def vectors_in(self, dtype: torch.dtype, variant: Variant) -> Vectors:
        """Return the vectors of a variant as weights of another dtype give them."""
        cast = deepcopy(self.model.module)
        # Buffers stay: servers too keep a rotary embedding's frequencies in float32.
        for parameter in cast.parameters():
            parameter.data = parameter.data.to(dtype)
        return self._vectors(cast, variant)

    def _vectors(self, module: Any, variant: Variant) -> Vectors:
        transformer, pooling = module.stock_modules
        pool = Pooling(pooling.get_embedding_dimension(), variant.pooling)
        found = []
        with torch.inference_mode():
            # Each row runs alone, so that nothing is padded, whatever the pooling.
            for row in variant.rows:
                features: Any = TokenRows([row], (), 0).padded()
                features = {name: tensor.to(self.model.device) for name, tensor in features.items()}
                if variant.layer is None:
                    features = pool(transformer(features))
                else:
                    (state,) = reference_states(module.transformer.model, [row], [variant.layer])
                    features["sentence_embedding"] = state
                for part in list(self.model)[1:] if variant.after else ():
                    features = part(features)
                found.append(features["sentence_embedding"][0].float().cpu().numpy())
        return unit(np.stack(found))

    def variants(self, texts: Sequence[str]) -> Iterator[Variant]:
        """Yield the right way first, then each fault."""
        rows = self.rows(texts)
        yield Variant("", rows)
        tokenizer = self.prompter.tokenizer
        plain, special = (self._ids(texts, special=special) for special in (False, True))
        bare = [special] if special == plain else [special, plain]
        for ids in bare:
            yield Variant("prompt lost", ids)
        written = [self.prompter.render(text, task=self.task, prompt=self.prompt) for text in texts]
        inner = [text.removeprefix(self.prompter.start) for text in written]
        # Through the template's normalization, and around it.
        for again in (inner, written):
            yield Variant("prompt twice", self.rows(again))
        before, suffix = self._around()
        yield Variant("prompt twice", self._ids([f"{before}{text}{suffix}" for text in inner]))
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        starts = bos is not None and all(row[:1] == [bos] for row in rows)
        if starts:
            yield Variant("BOS twice", [[bos, *row] for row in rows])
            yield Variant("no BOS", [row[1:] for row in rows])
        elif bos is not None:
            yield Variant("BOS added", [[bos, *row] for row in rows])
        raw = self._ids([f"{before}{text}{suffix}" for text in texts])
        if raw != rows:
            yield Variant("normalization lost", raw)
        tail = len(self.prompter.tail(self.task, self.prompt))
        for lost in range(tail, 0, -1):
            yield Variant("tail cut", [row[:-lost] for row in rows])
        if eos is not None:
            yield Variant("EOS added", [[*row, eos] for row in rows])
            yield Variant("prompt lost", [[*row, eos] for row in plain])
        for pooling in ("mean", "cls"):
            yield Variant("wrong pooling", rows, pooling)
            for ids in bare:
                yield Variant("prompt lost, and wrong pooling", ids, pooling)
        if self.model.module.layer != -1:
            yield Variant("wrong layer", rows, layer=-1)
        if list(self.model)[1:]:
            yield Variant("modules lost", rows, after=False)
        if isinstance(self.model.template, RetrievalTemplate):
            other: PromptTask = "document" if self.task == "query" else "query"
            yield Variant("the other task's prompt", self.prompter(texts, task=other, max_length=self.limit))

    def cut_variants(self, text: str, tokens: int | None) -> Iterator[Variant]:
        """Yield the right way for a text past the length limit first, then cuts that lose something."""
        yield Variant("", self.rows([text]))
        (whole,) = self._ids([self.prompter.render(text, task=self.task, prompt=self.prompt)])
        tail = self.prompter.tail(self.task, self.prompt)
        limits = (tokens, self.limit, 128, 256, 384, 512, 1024, 2048, 4096)
        for limit in dict.fromkeys(one for one in limits if one is not None and len(tail) + 8 < one < len(whole)):
            yield Variant("tail cut", [whole[:limit]])
            yield Variant("beginning cut", [whole[-limit:]])
            yield Variant("text cut elsewhere", [whole[: limit - len(tail)] + tail])
            yield Variant("text cut elsewhere", [whole[: limit - len(tail) - 1] + tail])
            # An exported tokenizer cuts like this: tail tokens that are tokenized with the text are cut with it.
            for lost in range(1, min(_TOKENS_NEXT_TO_TEXT, len(tail) - 1) + 1):
                yield Variant("tail shortened", [whole[: limit - len(tail) + lost] + tail[lost:]])
        yield Variant("text not cut", [whole])
        plain = self._ids([text], special=True)[0][: self.limit]
        yield Variant("prompt lost", [plain])

    def diagnose(self, found: Vectors, variants: Iterator[Variant], tolerance: float) -> Diagnosis:
        """Name the fault whose vectors are nearest to those that a server gave, or none."""
        right = next(variants)
        expected = self.vectors(right)
        if found.shape[1] != expected.shape[1]:
            if list(self.model)[1:]:
                bare = self.vectors(Variant("modules lost", right.rows, after=False))
                if bare.shape == found.shape and _distance(found, bare) < _NEAR:
                    return Diagnosis("modules lost", 0.0, 1.0, 1 - _distance(found, bare))
            sizes = f"{found.shape[1]} dimensions, where the model has {expected.shape[1]}"
            return Diagnosis("another model", 0.0, 1.0, 0.0, sizes)
        if not np.isfinite(found).all():
            return Diagnosis("another dtype", 0.0, 1.0, 0.0, "numbers that are not finite, as float16 overflows to")
        difference, distance = float(np.abs(found - expected).max()), _distance(found, expected)
        if difference <= tolerance:
            return Diagnosis("", 1 - distance, difference, 1 - distance)
        fault, least = "", distance
        for variant in variants:
            vectors = self.vectors(variant)
            if vectors.shape == found.shape and (other := _distance(found, vectors)) < least:
                fault, least = variant.fault, other
        if fault and least <= _NEAR and least * _TIMES_NEARER <= distance:
            return Diagnosis(fault, 1 - distance, difference, 1 - least)
        if distance <= _PRECISION:
            return Diagnosis("another dtype", 1 - distance, difference, *self._precision(found, right, distance))
        return Diagnosis("another model", 1 - distance, difference, 1 - least, "no known fault explains it")

    def _precision(self, found: Vectors, right: Variant, distance: float) -> tuple[float, str]:
        """Return how near the vectors of the nearest other precision are, and what it is."""
        best, name = distance / _TIMES_NEARER, ""
        own = self.model.module.transformer.model.dtype
        for dtype in _DTYPES:
            if dtype != own:
                other = _distance(found, self.vectors_in(dtype, right))
                if other < best:
                    best, name = other, str(dtype).removeprefix("torch.")
        if name:
            return 1 - best, name
        return 1 - distance, "quantized weights, other kernels, or weights that differ a little"

    def _ids(self, texts: Sequence[str], *, special: bool = False) -> Rows:
        encoded = self.prompter.tokenizer(list(texts), add_special_tokens=special, verbose=False)
        return [list(ids) for ids in encoded["input_ids"]]

    def _around(self) -> tuple[str, str]:
        """Return what stands before a text and behind it."""
        template, prompt = self.prompter.template.route(self.task, self.prompt)
        return self.prompter.start + prompt + template.head, template.suffix


def _distance(one: Vectors, other: Vectors) -> float:
    return float(1 - (one.astype(np.float64) * other).sum(axis=1).mean())
