"""Print the vectors that FastEmbed gives: a folder, then texts as JSON on standard input."""

import json
import sys
from pathlib import Path

from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

folder = Path(sys.argv[1])
TextEmbedding.add_custom_model(
    model="exported",
    pooling=PoolingType.LAST_TOKEN,
    normalization=True,
    sources=ModelSource(hf="exported"),
    dim=json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"],
    model_file="onnx/model.onnx",
)
model = TextEmbedding("exported", specific_model_path=str(folder), providers=["CPUExecutionProvider"])
print(json.dumps([vector.tolist() for vector in model.embed(json.load(sys.stdin))]))
