"""List the known faults of servers, and what to change for each."""

from __future__ import annotations

from collections.abc import Mapping

FAULTS: Mapping[str, str] = {
    "prompt lost": 'send chat messages ({"messages": [{"role": "user", "content": TEXT}]}) or token ids; for plain '
    "text serve a folder whose tokenizer holds the prompt, as prompteol export writes",
    "prompt twice": "send plain text where the tokenizer holds the prompt, or serve the saved folder and send messages",
    "BOS twice": 'send "add_special_tokens": false, or serve a tokenizer that adds no BOS to the prompt\'s own',
    "no BOS": 'send "add_special_tokens": true, or token ids; llama.cpp: convert with add_bos_token',
    "BOS added": 'send "add_special_tokens": false, or token ids; set add_bos_token to false in tokenizer_config.json',
    "normalization lost": "send messages or token ids, or normalize texts first: model.template.normalize(TEXT)",
    "tail cut": 'shorten texts, raise --max-model-len, or serve an exported folder with "truncate_prompt_tokens": -1; '
    "the end of a saved folder's prompt is lost by any cut of the server's",
    "tail shortened": "shorten texts, or send token ids: an exported tokenizer cuts what stands next to the text",
    "beginning cut": "set truncation_side to right in tokenizer_config.json",
    "text cut elsewhere": "set the server's limit to the model's: --max-model-len, or max_seq_length",
    "text not cut": "set the server's limit to the model's: --max-model-len, or max_seq_length",
    "wrong pooling": "pool the last token: --pooling last-token (TEI), --pooling last (llama.cpp), "
    '--pooler-config \'{"pooling_type": "LAST"}\' (vLLM)',
    "prompt lost, and wrong pooling": "serve a folder with the prompt and 1_Pooling in it, and pool the last token: "
    "--pooling last-token (TEI), --pooling last (llama.cpp)",
    "EOS added": "set add_eos_token to false in tokenizer_config.json, or send token ids",
    "another dtype": "--dtype float32 (llama.cpp: --cache-type-k f32 --cache-type-v f32 --flash-attn off), or "
    "--tolerance to accept it",
    "wrong layer": "serve with sentence-transformers, or export a backbone that ends at the layer",
    "modules lost": "serve with sentence-transformers or vLLM, which run the modules after the pooling",
    "the other task's prompt": "serve a folder for this task, or send token ids",
    "another model": "serve the model of --model, in the revision that prompteol info -m MODEL --fingerprint shows",
    "batch differs": "--dtype float32, and padding on the right; or send one text at a time",
    "base64 differs": "ask for encoding_format float",
    "dimensions ignored": "cut vectors yourself, then scale them to length 1",
    "refused": "shorten texts, or send a field that has the server cut them: truncate_prompt_tokens (vLLM)",
}
"""Each fault, and the flag, field or file that mends it."""
