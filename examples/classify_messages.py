"""Learn classes from a few labeled texts, label the others, and say where it is unsure.

python classify_messages.py [FILE]   # columns text and label; a row without a label gets one
"""

import csv
import sys
from pathlib import Path

from sklearn.linear_model import LogisticRegression

from prompteol import PromptEOL

file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "texts" / "messages.csv"
with file.open(encoding="utf-8", newline="") as rows:
    table = list(csv.DictReader(rows))
known = [row for row in table if row["label"]]
unknown = [row for row in table if not row["label"]]

model = PromptEOL()
vectors = model.encode([row["text"] for row in known], normalize_embeddings=True)

# With so few rows a linear classifier is enough; regularize more (a smaller C) if they are fewer still.
classifier = LogisticRegression(C=10, max_iter=1000)
classifier.fit(vectors, [row["label"] for row in known])

chances = classifier.predict_proba(model.encode([row["text"] for row in unknown], normalize_embeddings=True))
for row, chance in zip(unknown, chances, strict=True):
    label = classifier.classes_[chance.argmax()]
    unsure = "" if chance.max() > 0.5 else "  (unsure: look at this one)"
    print(f"{label:10} {chance.max():.2f}  {row['text']}{unsure}")
