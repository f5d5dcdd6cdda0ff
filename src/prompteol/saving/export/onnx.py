"""Write a model as one ONNX graph: backbone, last-token pooling and the modules behind it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prompteol.extras import check_extra
from prompteol.files import chunks
from prompteol.saving.export.report import Vectors
from prompteol.tokenization import TokenRows

#: Where servers and libraries look for it.
ONNX_FILE = "onnx/model.onnx"
_INPUTS, _OUTPUTS = ("input_ids", "attention_mask"), ("last_hidden_state", "sentence_embedding")
_WORDS = ("word_ids", "word_probabilities")
# A protocol buffer holds 2 GiB; the graph itself wants some of it.
_LARGEST_FILE = 2**31 - 2**26
# Smaller tensors are not worth a node.
_WORTH_CASTING = 1024
# Tokens before those that spell one word are added up, as many as in :mod:`prompteol.model.words`.
_CANDIDATES = 512


class _Graph(nn.Module):
    """Give the last hidden state, for servers that pool themselves, and the embedding, for those that do not.

    With ``words`` also the likeliest next tokens and their probabilities, by the token embeddings as the LM head.
    """

    def __init__(self, backbone: Any, after: Sequence[nn.Module], *, words: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.after = nn.ModuleList(after)
        self.words = words

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, return_dict=True)
        states: Tensor = output.last_hidden_state
        last = (attention_mask.sum(dim=1) - 1)[:, None, None].expand(-1, 1, states.shape[-1])
        state = states.gather(1, last)[:, 0]
        features = {"sentence_embedding": state}
        for module in self.after:
            features = module(features)
        embedding: Tensor = features["sentence_embedding"]
        if not self.words:
            return states, embedding
        weight = self.backbone.get_input_embeddings().weight
        likely = nn.functional.linear(state, weight).softmax(dim=-1).topk(min(_CANDIDATES, weight.shape[0]))
        return states, embedding, likely.indices, likely.values


def check_onnx() -> None:
    """Raise where a package of the extra ``onnx`` is absent, before anything is written."""
    check_extra("onnx", "onnx", "onnx_ir", "onnxruntime", "onnxscript")


def write_onnx(
    folder: Path,
    backbone: nn.Module,
    after: Sequence[nn.Module],
    rows: Sequence[Sequence[int]],
    *,
    words: bool = False,
) -> dict[str, Any]:
    """Export the graph to ``onnx/model.onnx``, and return what ``export.json`` says of it.

    It computes in fp32. Weights that fp16 holds exactly are stored in it, with a Cast behind each. ``rows`` are token
    ids to trace with. ``words`` adds the next words, by token embeddings that are the LM head too.
    """
    import onnx_ir
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    copies = [deepcopy(module).float().cpu() for module in (backbone, *after)]
    graph = _Graph(copies[0], copies[1:], words=words).eval()
    outputs = _OUTPUTS + _WORDS * words
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    features = TokenRows(rows, (), 0).padded()
    with _quiet(), torch.inference_mode():
        program: Any = torch.onnx.export(
            graph,
            tuple(features[name] for name in _INPUTS),
            dynamo=True,
            input_names=list(_INPUTS),
            output_names=list(outputs),
            dynamic_shapes=(sizes, sizes),
            verbose=False,
        )
    # Where in torch's code each node comes from: half a megabyte.
    ClearMetadataAndDocStringPass()(program.model)
    casts = _store_in_half(program.model)
    size = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    file = folder / ONNX_FILE
    file.parent.mkdir(exist_ok=True)
    onnx_ir.save(program.model, file, external_data=f"{file.name}_data" if size > _LARGEST_FILE else None)
    return {
        "file": ONNX_FILE,
        "opset": program.model.opset_imports[""],
        "inputs": _INPUTS,
        "outputs": outputs,
        "weights_in_float16": casts,
        "bytes": sum(part.stat().st_size for part in file.parent.iterdir()),
    }


def _store_in_half(model: Any) -> int:
    """Store each weight that fp16 holds exactly in fp16, with a Cast to fp32 behind it; return how many there are."""
    import onnx_ir as ir

    graph, casts = model.graph, []
    for name, value in list(graph.initializers.items()):
        if value.const_value.dtype != ir.DataType.FLOAT or value.const_value.size < _WORTH_CASTING:
            continue
        whole = value.const_value.numpy()
        with np.errstate(over="ignore"):
            half = whole.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), whole):
            continue
        tensor = ir.Tensor(half, name=f"{name}_float16")
        stored = ir.Value(name=tensor.name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        cast = ir.node("Cast", [stored], attributes={"to": ir.DataType.FLOAT}, name=f"{name}_cast")
        ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        cast.outputs[0].name = f"{name}_float32"
        del graph.initializers[name]
        graph.register_initializer(stored)
        casts.append(cast)
    if casts:
        graph.insert_before(graph[0], casts)
    return len(casts)


class OnnxModel:
    """Compute the embeddings of token rows by ONNX Runtime, on a CPU."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def vectors(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """Return one vector a row, (rows, dimension)."""
        found = []
        for part in chunks(rows, 8):
            features = TokenRows(part, (), 0).padded()
            inputs = {name: tensor.numpy() for name, tensor in features.items()}
            found += self._session.run(["sentence_embedding"], inputs)
        vectors: Vectors = np.concatenate(found)
        return vectors


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch's exporter says of its own parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
