"""Answer a question from text files, and cite the lines that say so.

python answer_with_sources.py "what makes the tides"
"""

import sys
from pathlib import Path

from prompteol import PromptEOL

FOLDER = Path(__file__).parent / "texts" / "notes"
question = sys.argv[1] if len(sys.argv) > 1 else "what makes the tides"

model = PromptEOL()
passages = [
    (f"{file.name}:{number}", line)
    for file in sorted(FOLDER.glob("*.txt"))
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    if line.strip()
]
vectors = model.encode_document([line for _, line in passages])  # keep these: prompteol encode writes them to a file


def find(question: str, count: int = 3) -> list[tuple[str, str]]:
    """Return the passages nearest to a question, with where they stand."""
    scores = model.similarity(model.encode_query(question), vectors)[0]
    return [passages[place] for place in scores.argsort(descending=True)[:count].tolist()]


def ask(prompt: str) -> str | None:
    """Send a prompt to a chat model; put your own here, such as ``client.responses.create(...)``."""
    return None


sources = find(question)
numbered = "\n".join(f"[{number}] {line}" for number, (_, line) in enumerate(sources, start=1))
prompt = (
    "Answer the question from these passages alone, and put the number of the passage behind each statement. "
    f"Say so if they do not answer it.\n\n{numbered}\n\nQuestion: {question}\nAnswer:"
)

# Without a chat model the nearest passage is the answer.
print(ask(prompt) or f"{sources[0][1]} [1]")
for number, (place, line) in enumerate(sources, start=1):
    print(f"  [{number}] {place}  {line}")
