"""Write a model of transformers' form as a GGUF file, as llama.cpp's converter does for Qwen 2."""

import json
from pathlib import Path

import gguf
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def write_gguf(folder: str, path: Path, kind: gguf.GGMLQuantizationType, **metadata: object) -> Path:
    """Quantize the matrices of a Qwen 2 model to ``kind``; ``metadata`` is added under ``general.``."""
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    weights = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").state_dict()
    writer = gguf.GGUFWriter(path, "qwen2")
    for key, value in metadata.items():
        writer.add_string(f"general.{key}", str(value))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    special = set(tokenizer.all_special_ids)
    kinds = [gguf.TokenType.CONTROL if id in special else gguf.TokenType.NORMAL for id in range(len(model["vocab"]))]
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for name, tensor in weights.items():
        stem, _, end = name.rpartition(".")
        if stem == "lm_head" and config.tie_word_embeddings:
            continue
        array = tensor.numpy()
        raw = kind if array.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(f"{names.get_name(stem)}.{end}", gguf.quantize(array, raw), raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
