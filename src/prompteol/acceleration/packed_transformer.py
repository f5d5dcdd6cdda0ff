"""Stand in for the forward of a stock ``Transformer``: packed where that gives the same, else as it was."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor
from transformers import PreTrainedModel

from prompteol.acceleration.attention_kind import is_causal
from prompteol.acceleration.heads import head_output
from prompteol.compat import forward_hooks
from prompteol.inference import SharedPrefixEngine
from prompteol.inference.comparison import largest_difference
from prompteol.inference.context import UnsupportedError
from prompteol.inference.pooling import LAST_TOKEN, PoolingMode, TokenPooling
from prompteol.inference.reference_forward import input_device
from prompteol.inference.shared_prefixes import group_by_prefix
from prompteol.inference.structure import Structure, is_training

Features = dict[str, Any]

# All that a batch of text alone may hold; the tensors are (rows, tokens).
_TENSORS = {"input_ids", "attention_mask", "token_type_ids"}
_SETTINGS = {"modality", "prompt_length", "logits_to_keep"}


class PackedTransformer:
    """Return one state per row, the one that the next module reads, as the only column of the output.

    A ``Pooling`` or ``LogitScore`` of one column gives that column. The modules that follow stay as they are.
    """

    def __init__(self, transformer: Transformer, pooling: Pooling | None, *, attention: str = "auto") -> None:
        self.transformer = transformer
        self.pooling = pooling
        self.attention = attention
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """Keep engines and what was found out with them out of pickles and copies."""
        return {"transformer": self.transformer, "pooling": self.pooling, "attention": self.attention}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._device: torch.device | None = None
        self._engines: dict[TokenPooling, SharedPrefixEngine] = {}
        self._proven: dict[TokenPooling, _Proof] = {}
        self._causal: bool | None = None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, features: Features, packed: int | None = None, **kwargs: Any) -> Features:
        """Do what the stock forward does.

        Args:
            features: what ``preprocess`` gave; changed.
            packed: how many rows the stock forward would get at once, from ``encode`` and ``predict``; None where
                anybody else calls, who gets the stock forward.
            kwargs: what goes to the stock forward besides.
        """
        if packed is None:
            return self._stock(features, **kwargs)
        backbone = self.transformer.model
        if kwargs or torch.is_grad_enabled() or is_training(backbone) or not self._is_plain(features):
            return self._in_batches(features, packed, **kwargs)
        try:
            features[self._output] = self._packed(features)
        except UnsupportedError:
            return self._in_batches(features, packed)
        features.pop("prompt_length", None)
        return features

    def _stock(self, features: Features, **kwargs: Any) -> Features:
        return type(self.transformer).forward(self.transformer, features, **kwargs)

    @property
    def _output(self) -> str:
        return str(self.transformer.module_output_name)

    def _is_plain(self, features: Features) -> bool:
        """Return whether a batch is text alone, and nobody watches the modules that it goes through."""
        tensors = {name for name, value in features.items() if isinstance(value, Tensor)}
        types = features.get("token_type_ids")
        return (
            {"input_ids", "attention_mask"} <= tensors <= _TENSORS
            and set(features) <= _TENSORS | _SETTINGS
            and (types is None or not bool(types.any()))
            and bool(features["attention_mask"].any(1).all())
            and not any(any(forward_hooks(module)) for module in (self.transformer, self.pooling) if module is not None)
        )

    def _packed(self, features: Features) -> Tensor:
        pooling, layer = self._what_is_read(features)
        rows = [ids[mask].tolist() for ids, mask in zip(*_on_cpu(features), strict=True)]
        if len(set(map(tuple, rows))) == 1:
            raise UnsupportedError("a row alone has no padding and shares nothing")
        if min(map(len, rows)) <= pooling.skipped:
            raise UnsupportedError("a prompt that is left out leaves nothing of a row")
        engine = self._engine(pooling)
        proof = self._proven.get(pooling)
        settings = self._settings(features, layer)
        if proof is not None and proof.reason and proof.covers(_Proof(engine.current_structure(), settings)):
            raise UnsupportedError(proof.reason)
        found = self._outputs(engine, layer, rows)
        self._prove(engine, features, rows, layer, settings)
        return found

    def _outputs(self, engine: SharedPrefixEngine, layer: int, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the output of each row, (rows, 1, width) or the (rows, labels) of a classifier."""
        alone: list[tuple[tuple[int, ...], list[int]]] = [((), list(range(len(rows))))]
        groups = group_by_prefix(rows) if self._is_causal() else alone
        if engine.pooling.mode == "cls" and self._is_causal():
            raise UnsupportedError("the first token of a causal backbone has seen nothing of its text")
        parts = [
            engine.last_token_states([rows[place] for place in places], prefix=prefix, layer=layer)
            for prefix, places in groups
        ]
        order = torch.tensor([place for _, places in groups for place in places]).argsort()
        states = torch.cat(parts)[order.to(parts[0].device)]
        return states[:, None] if self.pooling is not None else head_output(self.transformer.model, states)

    def _what_is_read(self, features: Features) -> tuple[TokenPooling, int]:
        """Return what a vector is made of, and of which layer."""
        if self.pooling is None:
            return LAST_TOKEN, -1
        mode = cast("PoolingMode", self.pooling.pooling_mode)
        prompt = 0 if self.pooling.include_prompt or mode == "lasttoken" else int(features.get("prompt_length") or 0)
        output = self.transformer.modality_config[features.get("modality", "text")]
        path: Any = output["method_output_name"]
        depth = self.transformer.config.get_text_config().num_hidden_layers
        if output["method"] != "forward" or self._output != "token_embeddings":
            raise UnsupportedError("the module reads no states of tokens")
        if path == "last_hidden_state":
            return TokenPooling(mode, prompt), -1
        if isinstance(path, (list, tuple)) and len(path) == 2 and path[0] == "hidden_states":
            return TokenPooling(mode, prompt), path[1] if path[1] < 0 else path[1] - depth - 1
        raise UnsupportedError(f"the output {path!r} is no layer")

    def _engine(self, pooling: TokenPooling) -> SharedPrefixEngine:
        model = self.transformer.model
        backbone = model if self.pooling is not None else cast("PreTrainedModel", model.base_model)
        device = input_device(backbone)
        if self._device != device or any(engine.backbone is not backbone for engine in self._engines.values()):
            self._forget()
            self._device = device
        if pooling not in self._engines:
            self._engines[pooling] = SharedPrefixEngine(
                backbone, attention=self.attention, pooling=pooling, strict=True
            )
        return self._engines[pooling]

    def _is_causal(self) -> bool:
        if self._causal is None:
            self._causal = is_causal(self.transformer.model)
        return self._causal

    def _prove(
        self,
        engine: SharedPrefixEngine,
        features: Features,
        rows: Sequence[Sequence[int]],
        layer: int,
        settings: tuple[Any, ...],
    ) -> None:
        """Compare the shortest row, the longest and one between with the stock modules; raise where they differ.

        The engine has compared the packed forward with one that pads on the right; what sentence-transformers does
        beside that, padding on the left for one, is compared here.
        """
        found = _Proof(engine.structure, settings, max(map(len, rows)))
        proof = self._proven.get(engine.pooling)
        if proof is not None and not proof.reason and proof.covers(found):
            return
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        few = sorted({order[0], order[len(order) // 2], order[-1]})
        ours = self._outputs(engine, layer, [rows[place] for place in few])
        together = self._stock_output(_rows(features, few))
        alone = torch.cat([self._stock_output(_rows(features, [place])) for place in few])
        found.reason = largest_difference(ours, together, alone)
        self._proven[engine.pooling] = found
        if found.reason:
            backbone = type(self.transformer.model).__name__
            warnings.warn(
                f"this model is not accelerated: sentence-transformers runs {backbone} so that results are others "
                f"({found.reason}); it runs as before",
                RuntimeWarning,
                stacklevel=2,
            )
            raise UnsupportedError(found.reason)

    def _settings(self, features: Features, layer: int) -> tuple[Any, ...]:
        """Return what stock modules do beside running the backbone: where rows are padded, and how they are pooled."""
        padded_left = bool((features["attention_mask"][:, 0] == 0).any())
        prompt = bool(features.get("prompt_length")) and self.pooling is not None and not self.pooling.include_prompt
        return layer, padded_left, prompt, features.get("modality"), "token_type_ids" in features

    def _stock_output(self, features: Features, **kwargs: Any) -> Tensor:
        """Return what the packed forward gives of each row, by the stock modules."""
        features = self._stock(features, **kwargs)
        if self.pooling is None:
            output: Tensor = features[self._output]
            return output
        pooled: Tensor = type(self.pooling).forward(self.pooling, features)["sentence_embedding"]
        return pooled[:, None]

    def _in_batches(self, features: Features, size: int, **kwargs: Any) -> Features:
        """Run the stock modules on as many rows at once as they would have got, padded as they would have been."""
        count = len(features.get("input_ids", ()))
        if count <= size:
            return self._stock(features, **kwargs)
        starts = range(0, count, size)
        parts = [_rows(features, range(start, min(count, start + size))) for start in starts]
        features[self._output] = torch.cat([self._stock_output(part, **kwargs) for part in parts])
        features.pop("prompt_length", None)
        return features


class _Proof:
    """Remember for which structure, settings and lengths the stock modules were compared, and how they differed."""

    def __init__(self, structure: Structure | None, settings: tuple[Any, ...], longest: int = 0) -> None:
        self.structure = structure
        self.settings = settings
        self.longest = longest
        self.reason = ""

    def covers(self, other: _Proof) -> bool:
        same = self.structure is other.structure and self.settings == other.settings
        return same and (bool(self.reason) or other.longest <= 2 * self.longest)


def _on_cpu(features: Features) -> tuple[Tensor, Tensor]:
    return features["input_ids"].cpu(), features["attention_mask"].cpu().bool()


def _rows(features: Features, places: Sequence[int]) -> Features:
    """Return some rows of a batch, without the columns that are padding in all of them."""
    count = len(features["input_ids"])
    index = torch.tensor(list(places), device=features["input_ids"].device)
    part = {
        name: value.index_select(0, index) if isinstance(value, Tensor) and value.shape[:1] == (count,) else value
        for name, value in features.items()
    }
    if "attention_mask" in part:
        used = part["attention_mask"].any(0)
        part |= {name: part[name][:, used] for name in _TENSORS & set(part)}
    return part
