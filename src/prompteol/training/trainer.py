"""Let only the first process of a training write checkpoints."""

from __future__ import annotations

from typing import Any

from sentence_transformers import SentenceTransformerTrainer

__all__ = ["OneWriterTrainer"]


class OneWriterTrainer(SentenceTransformerTrainer):  # type: ignore[misc]
    """Train as ``SentenceTransformerTrainer`` does, but save checkpoints in the first process only.

    transformers leaves the question who saves to a method that sentence-transformers 6.2 replaces without asking it:
    then every process writes the same files at the same time. Sharded weights still need all processes to save.
    """

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        """Save as the stock trainer does, where this process is one that writes."""
        if self.args.should_save or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super().save_model(*args, **kwargs)
