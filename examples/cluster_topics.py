"""Find topics in a folder of text files with BERTopic, and name them.

python cluster_topics.py [FOLDER]
"""

import sys
from pathlib import Path

from bertopic import BERTopic
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer

from prompteol import PromptEOL

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "texts" / "notes"
texts = [
    line for file in sorted(folder.glob("*.txt")) for line in file.read_text(encoding="utf-8").splitlines() if line
]

model = PromptEOL()
vectors = model.encode(texts, normalize_embeddings=True)

# For sixty texts; with thousands leave out umap_model and hdbscan_model, and BERTopic finds how many topics there are.
topics = BERTopic(
    embedding_model=model,
    umap_model=PCA(n_components=8, random_state=0),
    hdbscan_model=KMeans(n_clusters=5, n_init=10, random_state=0),
    vectorizer_model=CountVectorizer(stop_words="english"),
)
found, _ = topics.fit_transform(texts, vectors)

for topic in sorted(set(found)):
    words = ", ".join(word for word, _ in topics.get_topic(topic)[:4])
    members = [text for text, other in zip(texts, found, strict=True) if other == topic]
    print(f"topic {topic} ({len(members)} texts): {words}")
    print(f"  {members[0]}\n  {members[-1]}")

[new], _ = topics.transform(["Jupiter and Mars are planets."])
print(f"a new text belongs to topic {new}")
