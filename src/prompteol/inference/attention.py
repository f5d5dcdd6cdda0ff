"""Compute attention of texts laid end to end by a kernel that is chosen by name, or the fastest verified one.

Grouping by length works everywhere and is used first. On CUDA, variable-length attention is tried once for each device
and dtype, on a pack that has to be computed anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from prompteol.compat import eager_attention, variable_length_kernel
from prompteol.errors import SettingError
from prompteol.inference.context import Attention, ForwardContext, UnsupportedError
from prompteol.inference.layer_hooks import reroute
from prompteol.inference.length_buckets import LengthBucket, length_buckets

StockAttention = Callable[..., tuple[Tensor, Tensor | None]]

Placement = tuple[torch.device, torch.dtype]

AUTO = "auto"
# On a CPU, grouping by length reaches 90 % of the machine's rate (docs/performance.md): there is little left to gain.
TIMED_ON = frozenset({"cuda"})
# A guess: smaller packs than this say little about larger ones.
TIMED_TOKENS = 2048


@dataclass(frozen=True)
class GroupedAttention:
    """Attend by a stock function, once for each group of texts of similar length, with the prefix before their keys.

    ``"sdpa"`` knows scaling and grouped queries and is faster; transformers' ``"eager"``
    function of the architecture's modeling file also knows soft-capping and attention sinks.
    """

    name: Literal["sdpa", "eager"]

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a boolean mask for sdpa, and numbers to add to the scores for eager."""
        if self.name == "sdpa":
            return seen
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)

    def __call__(
        self,
        context: ForwardContext,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        **kwargs: Any,
    ) -> Tensor:
        """Return (1, queries, heads, width)."""
        if self.name == "sdpa" and kwargs.get("s_aux") is not None:
            raise ValueError("transformers' sdpa ignores attention sinks")
        attention = partial(self._stock(module), module, **kwargs)
        buckets = _buckets(context, mask)
        sizes = [bucket.tokens for bucket in buckets]
        # One split instead of slices: the gradient of a slice is as large as the tensor it was cut from.
        queries = query.split([bucket.count for bucket in buckets] if context.last_only else sizes, dim=2)
        outputs = []
        for bucket, asking, keys, values in zip(
            buckets, queries, key.split(sizes, dim=2), value.split(sizes, dim=2), strict=True
        ):
            end = context.prefix_length + bucket.longest
            seen = mask[..., end - 1 if context.last_only else context.prefix_length : end, :end]
            if bucket.padded:
                padding = context.once((bucket, "padding", key.device), partial(bucket.padding, key.device))
                keys, values = keys.index_select(2, padding), values.index_select(2, padding)
                if context.last_only:
                    last = torch.tensor(bucket.lengths, device=mask.device) + (context.prefix_length - 1)
                    seen = mask.index_select(2, last)[..., :end].transpose(0, 2)
                else:
                    asking = asking.index_select(2, padding)
            asking, keys, values = (_batch(part, bucket.count) for part in (asking, keys, values))
            keys, values = context.with_prefix(module, keys, values)
            if context.rerouting is not None:
                last = torch.full((bucket.count,), end - 1)
                keys, values, seen = reroute(keys, values, seen, last, context.rerouting)
            output = attention(asking, keys, values, seen)[0].flatten(0, 1)
            if bucket.padded and not context.last_only:
                real = context.once((bucket, "real", output.device), partial(bucket.real, output.device))
                output = output.index_select(0, real)
            outputs.append(output)
        return torch.cat(outputs).unsqueeze(0)

    def _stock(self, module: nn.Module) -> StockAttention:
        if self.name == "sdpa":
            return cast("StockAttention", AttentionInterface()["sdpa"])  # type: ignore[no-untyped-call]
        eager = eager_attention(module)
        if eager is None:
            raise UnsupportedError(f"{type(module).__module__} has no eager_attention_forward")
        return eager


def _buckets(context: ForwardContext, mask: Tensor) -> list[LengthBucket]:
    """Cut the pack into batches; they may be padded if no token sees a later one, and so none sees padding."""
    # Gradients would sum over padding, and a rerouted key lies at the end of its text, behind the padding's place.
    plain = context.rerouting is None and not torch.is_grad_enabled()
    padded = plain and context.once(("causal", mask), partial(_is_causal, mask))
    make = partial(length_buckets, context.lengths, context.prefix_length, padded=padded)
    return context.once(("buckets", padded), make)


def _is_causal(mask: Tensor) -> bool:
    """Return whether no token sees a later one; a mask of numbers holds 0 where a token is seen."""
    seen = mask if mask.dtype == torch.bool else mask == 0
    return not bool(seen.triu(1).any())


def _batch(row: Tensor, count: int) -> Tensor:
    """View (1, heads, count * length, width) as (count, heads, length, width)."""
    _, heads, tokens, width = row.shape
    return row.view(heads, count, tokens // count, width).transpose(0, 1)


class VariableLengthAttention:
    """Attend by FlashAttention's variable-length kernel: all texts in one call, each with its own copy of the prefix.

    It runs on CUDA in fp16 and bf16. With masks other than the plain causal one, texts attend by groups.
    """

    name = "varlen"
    _groups = GroupedAttention("sdpa")

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the mask unchanged."""
        return seen

    def __call__(
        self,
        context: ForwardContext,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        **kwargs: Any,
    ) -> Tensor:
        """Return (1, queries, heads, width), or raise ValueError for soft-capping and attention sinks."""
        if kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None:
            raise ValueError("varlen_attn knows neither soft-capping nor sinks")
        if context.rerouting is not None or not context.once(
            mask, lambda: torch.equal(mask, torch.ones_like(mask).tril())
        ):
            # A sliding window that is shorter than some text, or one key more than the texts have tokens.
            return self._groups(context, module, query, key, value, mask, **kwargs)
        gather, query_ends, key_ends = context.once(("varlen", query.device), partial(_layout, context, query.device))
        keys, values = (
            states[0].index_select(1, gather).transpose(0, 1) for states in context.with_prefix(module, key, value)
        )
        if context.last_only:
            query_ends = torch.arange(len(query_ends), dtype=torch.int32, device=query.device)
        output: Tensor = variable_length_kernel()(
            query[0].transpose(0, 1),
            keys,
            values,
            query_ends,
            key_ends,
            1 if context.last_only else max(context.lengths),
            context.span,
            scale=kwargs.get("scaling"),
            # The causal mask is aligned at the end: a text's last query sees all of its keys.
            window_size=(-1, 0),
            enable_gqa=True,
        )
        return output.unsqueeze(0)


def _layout(context: ForwardContext, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the places of each text's keys, prefix first, and the cumulative lengths of queries and of keys."""
    lengths = torch.tensor(context.lengths)
    ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    shared = torch.arange(context.prefix_length)
    own = torch.arange(int(ends[-1])) + context.prefix_length
    gather = torch.cat([part for text in own.split(context.lengths) for part in (shared, text)])
    ends_with_prefix = ends + context.prefix_length * torch.arange(len(ends))
    return gather.to(device), ends.int().to(device), ends_with_prefix.int().to(device)


_factories: dict[str, Callable[[], Attention]] = {
    "sdpa": lambda: GroupedAttention("sdpa"),
    "varlen": VariableLengthAttention,
}


def register_attention(name: str, factory: Callable[[], Attention]) -> None:
    """Make an attention kernel selectable by name.

    It is compared with the reference forward before its results are used, and dropped with a warning if it differs.

    Args:
        name: the value for ``attention=``, and for the ``attention`` of a model's first module.
        factory: a function that returns the kernel; it is called once for each check of a backbone.

    Raises:
        SettingError: the name is empty or taken.
    """
    if not name or name in (AUTO, *_factories):
        raise SettingError(f"attention {name!r} is empty or taken: give a name of your own, such as 'my_kernel'")
    _factories[name] = factory


def check_attention(name: str) -> None:
    """Raise SettingError for a name that no kernel has."""
    if name not in (AUTO, *_factories):
        names = ", ".join(map(repr, (AUTO, *_factories)))
        raise SettingError(f"attention {name!r} is none of {names}: choose one, or call prompteol.register_attention")


class KernelSelector:
    """Remember the fastest attention kernel of each device and dtype, where ``attention`` is ``"auto"``."""

    def __init__(self, attention: str) -> None:
        check_attention(attention)
        self.attention = attention
        #: The fastest kernel where kernels were timed; None where the first one stays in use.
        self.fastest: dict[Placement, Attention | None] = {}

    def candidates(self, placement: Placement) -> list[Attention]:
        """Return the kernels to use once they are verified against the reference forward, best first."""
        if self.attention not in (AUTO, "sdpa"):
            return [_factories[self.attention]()]
        fastest = self.fastest.get(placement)
        # Only the architecture's eager function knows soft-capping and attention sinks.
        return [*([fastest] if fastest else []), GroupedAttention("sdpa"), GroupedAttention("eager")]

    def worth_timing(self, placement: Placement) -> bool:
        """Return whether there are kernels to time on a device and dtype."""
        return self.attention == AUTO and placement[0].type in TIMED_ON and placement not in self.fastest


def seconds(compute: Callable[[], list[Tensor]]) -> float:
    """Return the shortest of three times after a warm-up; each includes the copy of the result to the CPU."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        for states in compute():
            states.cpu()
        times.append(time.perf_counter() - start)
    return min(times[1:])
