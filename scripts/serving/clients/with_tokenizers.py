"""Print the token rows of tokenizers and of AutoTokenizer: a folder, then texts as JSON on standard input."""

import json
import sys

from tokenizers import Tokenizer
from transformers import AutoTokenizer

folder, texts = sys.argv[1], json.load(sys.stdin)
raw = [encoding.ids for encoding in Tokenizer.from_file(f"{folder}/tokenizer.json").encode_batch(texts)]
print(json.dumps({"tokenizers": raw, "AutoTokenizer": AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]}))
