"""Write the commands that serve an exported folder."""

from __future__ import annotations

import shlex

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
