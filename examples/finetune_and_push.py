"""Train an adapter on pairs of texts, merge it into its base, and push the model to the Hub.

python finetune_and_push.py me/my-model [FILE]   # columns anchor and positive, and maybe negative
"""

import sys
from pathlib import Path

from prompteol import PromptEOL, merge, train
from prompteol.training import Lora, Recipe

if len(sys.argv) < 2:
    sys.exit("give the name of a repository on the Hub: python finetune_and_push.py me/my-model")
name = sys.argv[1]
file = sys.argv[2] if len(sys.argv) > 2 else str(Path(__file__).parent / "texts" / "pairs.csv")
adapter = Path(name.replace("/", "-") + "-adapter")

# For a handful of rows; Recipe() alone is the paper's, for hundreds of thousands.
recipe = Recipe(lora=Lora(rank=8), batch_size=8, epochs=8, warmup_steps=0.1, learning_rate=1e-3)
done = train(None, adapter, file, recipe)  # None is the small default; give "facebook/opt-1.3b"
print(f"{adapter}: the weights of step {done.step}; its card has the loss by step")

merged = merge(adapter)
print(f"merged; it differs from base plus adapter by {merged.from_parts:.1e}, from the base by {merged.from_base:.1e}")

# The token is that of `hf auth login`, or HF_TOKEN. One commit, or none.
print(merged.model.push_to_hub(name, private=True))

model = PromptEOL(name)  # and SentenceTransformer(name), anywhere
print(model.similarity(model.encode("The lift is stuck."), model.encode("The elevator does not move.")))
