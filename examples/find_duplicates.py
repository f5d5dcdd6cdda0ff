"""Group lines that say the same in other words.

python find_duplicates.py [FILE] [THRESHOLD]
"""

import sys
from pathlib import Path

from sentence_transformers.util import community_detection

from prompteol import PromptEOL

file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "texts" / "reports.txt"
# Look at some pairs of your own texts first: each model has a cosine of its own for "the same".
threshold = float(sys.argv[2]) if len(sys.argv) > 2 else 0.75

model = PromptEOL()
texts = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
vectors = model.encode(texts, convert_to_tensor=True)

groups = community_detection(vectors, threshold=threshold, min_community_size=2)
for group in groups:
    print("these say the same:")
    for place in group:
        print(f"  line {place + 1}: {texts[place]}")

repeated = sum(len(group) - 1 for group in groups)
print(f"{len(texts)} lines, {len(texts) - repeated} without repetitions")
