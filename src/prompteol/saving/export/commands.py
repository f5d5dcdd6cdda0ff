"""Write the commands that serve an exported folder, and the card that holds them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCardData

from prompteol.saving.card import code_block
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.saving.export.report import ExportComparison

_CLIENT = """\
ids = model.preprocess([text])["input_ids"][0].tolist()  # model = PromptEOL(...), the one that was exported
answer = requests.post("http://127.0.0.1:8080/v1/embeddings", json={"input": ids}).json()
vector = answer["data"][0]["embedding"]"""


def llama_cpp_commands(folder: str, max_length: int) -> dict[str, str]:
    """Return the commands that serve a folder with llama.cpp, and the lines of its client."""
    length = f" -c {max_length}" if max_length < 2**31 - 1 else ""
    return {
        "convert": f"python convert_hf_to_gguf.py {shlex.quote(folder)} --outtype f32 --outfile model.gguf",
        # A cache in fp16, and flash attention, which computes in fp16, each cost three digits.
        "llama.cpp": (
            f"llama-server -m model.gguf --embedding --pooling last{length} "
            "--cache-type-k f32 --cache-type-v f32 --flash-attn off"
        ),
        "client": _CLIENT,
    }


def serving_commands(folder: str, *, tokenizer: str | None, dtype: str, revision: str | None = None) -> dict[str, str]:
    """Return the command of each server; ``tokenizer`` is a folder of its own where the model's loses the prompt."""
    other = f" --tokenizer {shlex.quote(tokenizer)}" if tokenizer else ""
    folder = shlex.quote(folder) + (f" --revision {shlex.quote(revision)}" if revision else "")
    commands = {
        "vLLM": f"vllm serve {folder}{other} --runner pooling --dtype {dtype}",
        "Text Embeddings Inference": (
            f"text-embeddings-router --model-id {folder} --pooling last-token --dtype {_tei(dtype)}"
        ),
    }
    if tokenizer is None:
        commands["infinity"] = (
            f"infinity_emb v2 --model-id {folder} --engine torch --dtype {dtype} --no-bettertransformer "
            "--url-prefix /v1"
        )
    return commands


def _tei(dtype: str) -> str:
    return dtype if dtype in ("float32", "float16") else "float16"


def table(comparisons: Sequence[ExportComparison]) -> list[tuple[str, ...]]:
    """Return the rows of a table of comparisons, its header first."""
    rows: list[tuple[str, ...]] = [("loaded by", "texts", "count", "identical rows", "lowest cosine", "difference")]
    for one in comparisons:
        figures = f"{one.identical:.0%}", f"{one.lowest_cosine:.6f}", f"{one.difference:.1e}"
        rows.append((one.loaded, one.kind, str(one.texts), *figures))
    return rows


_BY_TOKENIZER = """\
Send plain text: the tokenizer writes the prompt around it. Add no prompt, and ask for no chat template."""
_BY_CLIENT = """\
llama.cpp reads no prompt from a tokenizer, so the client writes it. Send token ids, which are the model's own for every
text that fits. The converter knows the pre-tokenizers of released models only, and stops at any other."""


def card(
    prompt: ExportedPrompt, record: Mapping[str, Any], comparisons: Sequence[ExportComparison], license: str | None
) -> str:
    """Return the text of ``README.md``."""
    metadata = ModelCardData(
        license=license if license and "," not in license else None,
        pipeline_tag="sentence-similarity",
        library_name="sentence-transformers",
        tags=["sentence-transformers", "sentence-similarity", "prompteol"],
    )
    commands = "\n".join(command for name, command in record["commands"].items() if name != "client")
    client = record["commands"].get("client")
    lines_of_client = f"```python\n{client}\n```\n" if client else ""
    header, *rows = table(comparisons)
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    tokenizer = record["tokenizer"]
    lost = (
        "\nOf this architecture `AutoTokenizer` loses the prompt that `tokenizer.json` holds, so another folder is\n"
        "the tokenizer, as the commands say. In sentence-transformers:\n\n"
        f"```python\nmodel[0].processor = AutoTokenizer.from_pretrained({json.dumps(tokenizer)})\n```\n"
        if tokenizer
        else ""
    )
    return f"""\
---
{metadata.to_yaml()}
---

# An embedding model for servers

{_BY_CLIENT if record.get("server") else _BY_TOKENIZER}

{code_block(str(prompt.template))}

```bash
{commands}
```
{lost}{lines_of_client}
At most {record["max_seq_length"]:,} tokens fit, the prompt's included. vLLM refuses longer texts unless a request says
`"truncate_prompt_tokens": -1`.

## Compared with the model that it was made of

{chr(10).join(lines)}

A text that is cut loses the piece of the prompt next to it; one with the literal text of a special token is split
there before it is normalized. `export.json` holds these figures, and the fingerprint of the model, which begins with
`{record["fingerprint"][:12]}`.
"""
