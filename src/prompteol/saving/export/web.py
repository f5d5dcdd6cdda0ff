"""Write a static page that embeds texts in a browser, from the ONNX graph and the model's own tokenizer.

The page renders the prompt and cuts long texts itself, as Python does; its files lie in ``page/`` here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prompteol.errors import ExportError, ModelError
from prompteol.model.lexical import LexicalModel
from prompteol.saving.export.browser_tokenizer import write_browser_tokenizer
from prompteol.saving.export.libraries import write_libraries
from prompteol.saving.export.onnx import ONNX_FILE
from prompteol.saving.export.plan import ExportPlan
from prompteol.saving.export.samples import samples
from prompteol.tokenization import TokenRows
from prompteol.vectors import tolerance, unit

_PAGE = Path(__file__).with_name("page")
_SENTENCES = "sentences.txt"
# A browser holds no longer array, and the graph lies in one.
_LARGEST_GRAPH = 2**31 - 2**26


def sample_corpus() -> list[str]:
    """Return everyday sentences, in which neighbors of a text are looked for."""
    return (_PAGE / _SENTENCES).read_text(encoding="utf-8").splitlines()


def embeddings_are_head(plan: ExportPlan) -> bool:
    """Return whether the token embeddings, which the graph has anyway, give the model's own next words.

    They do where the LM head is tied to them, with no scaling, bias or capping of its own behind the last layer.
    """
    model = plan.model
    if plan.model.layer != -1 or not plan.backbone.config.get_text_config().tie_word_embeddings:
        return False
    if not isinstance(model, LexicalModel):
        return False
    features = TokenRows(plan.prompt.rows(["A man is playing a guitar.", "Why?"]), (), 0).padded()
    features = {name: tensor.to(model.device) for name, tensor in features.items()}
    with torch.inference_mode():
        states = plan.backbone(**features, use_cache=False).last_hidden_state
        states = states[torch.arange(len(states)), features["attention_mask"].sum(dim=1) - 1]
        weight = plan.backbone.get_input_embeddings().weight
        if weight.shape[1] != states.shape[1]:
            return False
        try:
            theirs = model.head.logits(states, lambda: features)
        except ModelError:
            return False
        ours = nn.functional.linear(states, weight)
        return bool((ours.softmax(-1) - theirs.softmax(-1)).abs().max() <= max(1e-4, tolerance(plan.dtype)))


def write_page(folder: Path, plan: ExportPlan, outputs: Sequence[str], libraries: list[Path]) -> None:
    """Write ``index.html`` and what it reads, beside a graph with these outputs."""
    graph = folder / ONNX_FILE
    if (size := sum(file.stat().st_size for file in graph.parent.iterdir())) > _LARGEST_GRAPH:
        raise ExportError(f"the graph has {size:,} bytes, more than a browser takes: export without web, or in float16")
    page = folder / "page"
    shutil.copytree(_PAGE, page, ignore=shutil.ignore_patterns("index.html", _SENTENCES, "__pycache__"))
    shutil.copyfile(_PAGE / "index.html", folder / "index.html")
    write_libraries(libraries, folder / "vendor")
    write_browser_tokenizer(page / "tokenizer.json", plan.prompt.prompter.tokenizer)
    corpus = sample_corpus()
    vectors = unit(plan.own(corpus, plan.max_length))
    (page / "corpus.f32").write_bytes(vectors.astype("<f4").tobytes())
    read = {
        "runtime": "vendor/ort-wasm-simd-threaded.wasm",
        "tokenizer": "page/tokenizer.json",
        "graph": ONNX_FILE,
        "corpus": "page/corpus.f32",
    }
    config = {
        **_described(plan),
        "dimension": vectors.shape[1],
        "words": "word_ids" in outputs,
        "corpus": corpus,
        "files": [{"role": role, "path": path, "bytes": (folder / path).stat().st_size} for role, path in read.items()],
    }
    (page / "config.json").write_text(json.dumps(config, ensure_ascii=False) + "\n", encoding="utf-8")


def _described(plan: ExportPlan) -> Mapping[str, Any]:
    """Return what the page renders prompts by, and texts with the ids that they have here, for it to check itself."""
    prompt = plan.prompt
    template, prefix = prompt.prompter.template.route(prompt.task, prompt.prefix)
    texts = [text for some in samples(prompt).values() for text in some]
    card = plan.model.model_card_data
    # The folder of a local model may name a person's home.
    name = Path(str(card.model_name or card.base_model or "a model")).name
    license = f" License of the model: {card.license}." if isinstance(card.license, str) else ""
    return {
        "format": 1,
        "name": name,
        "about": f"Written by prompteol {version('prompteol')}.{license} Notices of the libraries: vendor/NOTICE.txt.",
        "start": prompt.prompter.start,
        "prompt": prefix,
        "template": {
            "prefix": template.prefix,
            "suffix": template.suffix,
            "head": template.head,
            "around_word": template.around_word,
            "rewrites": template.rewrites,
        },
        "max_length": plan.max_length,
        "clean_up": bool(getattr(prompt.prompter.tokenizer, "clean_up_tokenization_spaces", False)),
        "checks": [
            {"text": text, "ids": ids} for text, ids in zip(texts, prompt.rows(texts, plan.max_length), strict=True)
        ],
    }
