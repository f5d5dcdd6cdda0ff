"""Measure the packed forward on a GPU in under five minutes, and save the table: nothing but this script is needed.

python benchmarks/packed_on_gpu.py [--output packed_on_gpu.json] [--seconds 280]
python benchmarks/packed_on_gpu.py --tiny   # tiny shapes on a CPU, to see that it runs

In bf16, random weights of 0.6B and 7B shapes, texts as long as those of STS Benchmark and instructions of 0, 20 and 200
tokens: variable-length attention, attention by groups, and stock sentence-transformers with FlashAttention where it is
installed. Then packs of 2,048 to 65,536 tokens, and on ten architectures whether packed states equal padded ones.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from prompteol.benchmark import describe_machine
from prompteol.inference import SharedPrefixEngine
from prompteol.inference.reference_forward import reference_states

SHAPES: dict[str, dict[str, Any]] = {
    "0.6B": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "7B": {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
ARCHITECTURES = ("gemma", "gemma2", "gemma3_text", "glm4", "gpt_neox", "llama", "mistral", "olmo2", "phi3", "qwen3")
BUDGETS = (2048, 4096, 8192, 16384, 32768, 65536)
INSTRUCTIONS = (0, 20, 200)
_VOCABULARY = 1000


def backbone(kind: str, shape: dict[str, Any], device: str, dtype: torch.dtype, **options: Any) -> PreTrainedModel:
    """Build a backbone with random weights where it is to run."""
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": _VOCABULARY}
    config = AutoConfig.for_model(kind, **{**shape, **special, "max_position_embeddings": 1024})
    torch.manual_seed(0)
    with torch.device(device):
        built: PreTrainedModel = AutoModel.from_config(config, dtype=dtype, **options)
    return built.eval()


def rows(count: int, instruction: int) -> list[list[int]]:
    """Make up token ids: an instruction, and texts as long as those of STS Benchmark."""
    chance = random.Random(0)  # noqa: S311 - nothing here is a secret
    head = [chance.randrange(3, _VOCABULARY) for _ in range(instruction)]
    lengths = [max(3, round(chance.lognormvariate(2.5, 0.5))) for _ in range(count)]
    return [head + [chance.randrange(3, _VOCABULARY) for _ in range(length)] for length in lengths]


def padded(model: PreTrainedModel, texts: Sequence[list[int]], size: int = 32) -> torch.Tensor:
    """Compute last-token states in padded batches of texts of like length, as sentence-transformers does."""
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    states = [reference_states(model, [texts[place] for place in batch], [-1])[0] for batch in batches]
    return torch.cat(states)[torch.tensor(order, device=states[0].device).argsort()]


def texts_per_second(compute: Callable[[], torch.Tensor], count: int) -> float:
    """Return the median of three calls after one that does not count."""
    times = []
    for _ in range(4):
        start = perf_counter()
        compute().cpu()
        times.append(perf_counter() - start)
    return round(count / sorted(times[1:])[1], 1)


def packed(engine: SharedPrefixEngine, texts: Sequence[list[int]], instruction: int) -> torch.Tensor:
    """Compute last-token states by the packed forward."""
    return engine.last_token_states(texts, prefix=texts[0][:instruction])


def speeds(options: argparse.Namespace, left: Callable[[], float]) -> Iterator[dict[str, Any]]:
    """Yield texts a second of every way, shape and instruction, as long as there is time."""
    for name, shape in {"tiny": TINY}.items() if options.tiny else SHAPES.items():
        yield from speeds_of_shape(name, shape, options, left)
        torch.cuda.empty_cache()


def speeds_of_shape(
    name: str, shape: dict[str, Any], options: argparse.Namespace, left: Callable[[], float]
) -> Iterator[dict[str, Any]]:
    """Yield those of one shape: ways first, then sizes of packs."""
    stock = "flash_attention_2" if is_flash_attn_2_available() and options.device == "cuda" else "sdpa"
    model = backbone("qwen3", shape, options.device, options.dtype, attn_implementation=stock)
    kernels = ("sdpa", "varlen") if options.device == "cuda" else ("sdpa",)
    for instruction in INSTRUCTIONS:
        texts = rows(options.texts, instruction)
        ways = {f"stock, {stock}": partial(padded, model, texts)}
        for kernel in kernels:
            engine = SharedPrefixEngine(model, attention=kernel)
            ways[f"packed, {kernel}"] = partial(packed, engine, texts, instruction)
        for way, compute in ways.items():
            if left() > 0:
                speed = texts_per_second(compute, len(texts))
                yield {"shape": name, "instruction": instruction, "way": way, "texts_per_second": speed}
    texts = rows(4 * options.texts, 20)
    for budget in BUDGETS[:1] if options.tiny else BUDGETS:
        if left() > 0:
            engine = SharedPrefixEngine(model, token_budget=budget)
            speed = texts_per_second(partial(packed, engine, texts, 20), len(texts))
            yield {"shape": name, "budget": engine.token_budget, "texts_per_second": speed}


def equalities(options: argparse.Namespace, left: Callable[[], float]) -> Iterator[dict[str, Any]]:
    """Yield for each architecture how far packed states are from padded ones, in fp32 and in the dtype measured."""
    for kind in ARCHITECTURES:
        for dtype in dict.fromkeys((torch.float32, options.dtype)):
            if left() <= 0:
                return
            shape = {**TINY, "head_dim": 64, "hidden_size": 256} if options.device == "cuda" else TINY
            model = backbone(kind, shape, options.device, dtype)
            texts = rows(40, 20)
            engine = SharedPrefixEngine(model)
            ours = packed(engine, texts, 20)
            expected = padded(model, texts)
            yield {
                "architecture": kind,
                "dtype": str(dtype).removeprefix("torch."),
                "packed": engine.counters.stock_tokens == 0,
                "apart": float((ours - expected).abs().max() / expected.abs().max()),
            }


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print each figure as it comes, and save them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("packed_on_gpu.json"))
    parser.add_argument("--seconds", type=float, default=280)
    parser.add_argument("--texts", type=int, default=1024)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args(arguments)
    options.device = "cpu" if options.tiny else "cuda"
    options.dtype = torch.float32 if options.tiny else torch.bfloat16
    end = perf_counter() + options.seconds
    figures: dict[str, Any] = {"machine": describe_machine(torch.device(options.device)), "speeds": [], "equal": []}
    for name, measure in (("equal", equalities), ("speeds", speeds)):
        for row in measure(options, lambda: end - perf_counter()):
            print(json.dumps(row), flush=True)
            figures[name].append(row)
            # After each, so that a run that is cut short has saved what it measured.
            options.output.write_text(json.dumps(figures, indent=1, default=str))
    return figures


if __name__ == "__main__":
    main()
