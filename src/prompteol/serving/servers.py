"""Describe what each server would do with a model, by its architecture and its prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prompteol.prompts import RetrievalTemplate

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

# The architectures that Text Embeddings Inference 1.9 runs without ONNX on each device, according to its source.
_TEI_ON_CUDA = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma3", "gemma3_text"})
_TEI_ON_CPU = frozenset({"qwen3", "gemma3", "gemma3_text"})
# The architectures that llama.cpp's script does not convert to GGUF.
_NO_GGUF = frozenset({"opt"})


def server_notes(model: PromptEOL) -> Iterator[tuple[str, str]]:
    """Yield a server and what it does with the model's saved folder."""
    if model.technique is not None:
        yield "servers", f"none computes {model.technique}: only this package does"
        return
    kind, layer = model.module.config.model_type, model.module.layer
    pair = isinstance(model.template, RetrievalTemplate)
    if layer != -1:
        yield "layer", f"layer {layer} is read by sentence-transformers alone; vLLM, TEI and llama.cpp read the last"
    tokenizer = "; as Qwen2, it also wants --tokenizer OUT/tokenizer" if kind == "qwen2" else ""
    both = "; one export for each task" if pair else ""
    yield (
        "vLLM",
        "plain text loses the prompt in silence: send messages or token ids, or serve an export" + tokenizer + both,
    )
    yield "infinity", f"needs an export{both}; it always scales vectors to length 1"
    where = "on CUDA and CPUs" if kind in _TEI_ON_CPU else "on CUDA" if kind in _TEI_ON_CUDA else "with ONNX alone"
    yield "TEI", f"needs an export, runs {kind} {where}{both}; --pooling last-token"
    if kind in _NO_GGUF:
        yield "llama.cpp, Ollama", f"{kind} cannot be converted"
    else:
        yield "llama.cpp, Ollama", "drop the chat template, and send token ids that are shorter than its context"
