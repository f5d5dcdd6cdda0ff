"""How many positions a backbone can read: a table of them ends, rotary angles and slopes do not."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

__all__ = ["positions_in_table"]

# Some tables hold a few rows more than there are positions, such as OPT's two.
_EXTRA_ROWS = 4


def positions_in_table(backbone: PreTrainedModel) -> int | None:
    """Return how many positions a backbone has in a table, learned or computed once; ``None`` where there is no end.

    A longer row would be an index error, and on an accelerator one that ends the process.
    """
    most = getattr(backbone.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1:
        return None
    tokens = backbone.get_input_embeddings()
    tables = [
        *(part.weight for part in backbone.modules() if isinstance(part, nn.Embedding) and part is not tokens),
        *(buffer for buffer in backbone.buffers() if buffer.ndim > 1),
    ]
    rows = range(most, most + _EXTRA_ROWS + 1)
    return most if any(size in rows for table in tables for size in table.shape[:-1]) else None
