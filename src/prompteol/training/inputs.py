"""Make what goes into a training, and check that it fits together: rows, development pairs, and the student."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from prompteol.data import ScoredPairs, TrainingExamples, read_examples, read_pairs
from prompteol.errors import ModelError, SettingError, TrainingError
from prompteol.extras import check_extra
from prompteol.files import chunks
from prompteol.model import has_adapter
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.lora import Lora, read_adapter
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Teacher, given_vectors
from prompteol.training.trainer import launched_processes

if TYPE_CHECKING:
    from datasets import Dataset


def read_inputs(
    data: TrainingExamples | str | Path,
    recipe: Recipe,
    *,
    dev: ScoredPairs | str | Path | None,
    teachers: Sequence[Teacher],
) -> tuple[TrainingExamples, ScoredPairs | None]:
    """Read examples and development pairs, and check that they fit the recipe."""
    examples = data if isinstance(data, TrainingExamples) else read_examples(data, recipe.objective, seed=recipe.seed)
    pairs = dev if isinstance(dev, ScoredPairs) or dev is None else read_pairs(dev)
    if pairs is not None:
        _check_scored(pairs)
    one_column = "text" in examples.columns
    if one_column == (recipe.objective == "contrastive"):
        expected = "anchor and positive" if one_column else "text alone"
        takes = f"{recipe.objective} training takes {expected}, not {list(examples.columns)}"
        raise TrainingError(f"{examples.name}: {takes}")
    if "query" in examples.columns and recipe.objective != "distillation":
        raise TrainingError(
            f"{examples.name}: queries are for distillation; {recipe.objective} training takes text alone, "
            f"not {list(examples.columns)}"
        )
    if len(examples) < recipe.batch_size:
        rows = f"the {len(examples)} rows of {examples.name}"
        raise SettingError(f"batch_size={recipe.batch_size} is more than {rows}; lower it")
    if bool(teachers) != (recipe.objective == "distillation"):
        fault = "has no use for a teacher" if teachers else "needs a teacher"
        raise SettingError(f"objective={recipe.objective!r} {fault}")
    if recipe.patience and pairs is None:
        raise SettingError(f"patience={recipe.patience} needs development pairs: give dev (--dev), or leave it out")
    for teacher in teachers:
        given_vectors(teacher, taught_texts(examples))
    return examples, pairs


def taught_texts(examples: TrainingExamples) -> list[str]:
    """Return the texts that a teacher embeds: those of all rows, then the queries of those that have one."""
    return [*examples.columns["text"], *filter(None, examples.columns.get("query", ()))]


def query_places(examples: TrainingExamples) -> list[int]:
    """Return the place of each row's query among the queries, or -1 where it has none; nothing of rows without."""
    counted = count()
    return [next(counted) if query else -1 for query in examples.columns.get("query", ())]


def _check_scored(pairs: ScoredPairs) -> None:
    if pairs.scores is None:
        raise TrainingError(f"{pairs.name}: the development pairs have no scores; add a third column, called score")
    for index, pair in enumerate(zip(pairs.first, pairs.second, strict=True)):
        if not all(text.strip() for text in pair):
            raise TrainingError(f"{pairs.name}: pair {index} has an empty sentence; remove it")


def training_dataset(examples: TrainingExamples, model: PromptEOL, recipe: Recipe) -> Dataset:
    """Return the rows in the columns that the losses take, each text cut before it meets the template.

    Distillation's label is the row, by which the loss finds the teacher's vector.
    """
    from datasets import Dataset

    columns: dict[str, Sequence[str] | Sequence[int]] = {
        name: _truncate(texts, model.tokenizer, recipe.max_text_tokens) for name, texts in examples.columns.items()
    }
    if recipe.objective == "unsupervised":
        _check_dropout(model)
        columns = {"anchor": columns["text"], "positive": columns["text"]}
    elif recipe.objective == "distillation":
        columns["label"] = range(len(examples))
    return Dataset.from_dict(columns)


def _check_dropout(model: PromptEOL) -> None:
    """Refuse a model without dropout, whose two embeddings of a text would be one."""
    modules = any(module.p > 0 for module in model.modules() if isinstance(module, nn.Dropout))
    # Some settings name a dropout of heads that embedding has no use for.
    settings = model.module.config.get_text_config().to_dict().items()
    heads = ("classifier", "summary")
    if not modules and not any(value for name, value in settings if "drop" in name and not name.startswith(heads)):
        fix = "train an adapter with dropout above 0 (--lora-rank, --lora-dropout)"
        raise SettingError(f"unsupervised training needs dropout, and this model has none: {fix}")


def _truncate(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, tokens: int) -> list[str]:
    """Return each text up to the end of its ``tokens``-th token.

    A fast tokenizer tells where a token ends, so that what is left is letter for letter the beginning of the text; a
    slow one decodes, as the authors do.
    """
    short: list[str] = []
    for batch in chunks(texts, 4096):
        options = {"return_attention_mask": False, "return_offsets_mapping": tokenizer.is_fast, "verbose": False}
        encoded = tokenizer(batch, add_special_tokens=False, truncation=False, padding=False, **options)
        for row, (text, ids) in enumerate(zip(batch, encoded["input_ids"], strict=True)):
            if len(ids) <= tokens:
                short.append(text)
            elif tokenizer.is_fast:
                offsets = encoded["offset_mapping"][row]
                start, end = offsets[tokens - 1]
                # Never within a character that is several tokens.
                short.append(text[: start if start > 0 and offsets[tokens][0] < end else end])
            else:
                short.append(str(tokenizer.decode(ids[:tokens])))
    return short


def load_student(
    model: str | Path | PromptEOL | None, lora: Lora | None, device: str | None, options: dict[str, Any]
) -> PromptEOL:
    """Load a model for training, quantized where its adapter asks for that; one that is loaded stays as it is."""
    if isinstance(model, PromptEOL):
        if options:
            raise SettingError(f"{', '.join(options)}: the model is loaded already; give that to PromptEOL(...)")
        return model
    if torch.cuda.is_available() and launched_processes() > 1:
        # The base is quantized where it is loaded: each process on its own device.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if model is not None and os.path.isdir(model):
        # An adapter names its base, and is looked at from other folders too.
        model = Path(model).resolve()
    return PromptEOL(model, device=device, **{"model_kwargs": _base_options(lora, device), **options})


def _base_options(lora: Lora | None, device: str | None) -> dict[str, Any]:
    """Return how the base is loaded: in the paper's 4 bits under an adapter where that works, else in fp32."""
    asked = lora is not None and lora.quantize
    cuda = torch.cuda.is_available() and (device or "cuda").startswith("cuda")
    if asked and not cuda:
        # On a CPU bitsandbytes warns of silently incorrect gradients.
        raise SettingError("quantize=True: training on a 4-bit base needs a CUDA device; leave it out")
    if lora is None or lora.quantize is False or not (asked or (cuda and find_spec("bitsandbytes"))):
        return {"dtype": torch.float32}
    check_extra("quantization", "bitsandbytes")
    from transformers import BitsAndBytesConfig

    half = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=half
    )
    return {"quantization_config": nf4, "dtype": torch.float32}


def check_trainable(model: PromptEOL, lora: Lora | None) -> Lora | None:
    """Refuse an adapter, or half precision without one; return the LoRA settings with ``quantize`` as it is."""
    if has_adapter(model.module):
        fix = "merge it first (prompteol merge -m ADAPTER -o MERGED), then train that"
        raise ModelError(f"this model is an adapter already: {fix}")
    dtype = model.module.transformer.model.dtype
    if lora is None and dtype != torch.float32:
        fix = 'load the model with model_kwargs={"dtype": "float32"}, or train an adapter'
        raise SettingError(f"the weights are in {dtype}, in which small steps are lost: {fix}")
    return lora and replace(lora, quantize=getattr(model.module.config, "quantization_config", None) is not None)


def restore(model: PromptEOL, checkpoint: str) -> None:
    """Give a model the weights of one of its checkpoints; of an adapter's, the adapter alone is read."""
    if has_adapter(model.module):
        read_adapter(model.module.transformer.model, checkpoint)
        return
    saved = type(model)(checkpoint, device="cpu", trust_remote_code=model.trust_remote_code)
    model.load_state_dict(saved.state_dict())
