"""Find the lines of a folder of text files that mean what you ask.

python search_files.py "how do I protect young plants from the cold" [FOLDER]
"""

import sys
from pathlib import Path

from prompteol import PromptEOL

question = sys.argv[1] if len(sys.argv) > 1 else "how do I protect young plants from the cold"
folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "texts" / "notes"

model = PromptEOL()  # or a larger one: PromptEOL("facebook/opt-1.3b")

# Where each line comes from, and the line.
lines = [
    (file.name, number, line)
    for file in sorted(folder.glob("*.txt"))
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    if line.strip()
]

query = model.encode_query(question)
documents = model.encode_document([line for _, _, line in lines])
scores = model.similarity(query, documents)[0]

for place in scores.argsort(descending=True)[:3].tolist():
    name, number, line = lines[place]
    print(f"{scores[place]:.2f}  {name}:{number}  {line}")
