"""Distill a bag of tokens: a vector for every piece, so that a sentence's sum points where the teacher's does."""

from __future__ import annotations

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

_EPOCHS, _BATCH, _RATE = 6, 1024, 3e-3
_SIF = 1e-3


def distill(rows: list[list[int]], targets: np.ndarray, table: np.ndarray, seed: int = 0) -> Tensor:
    """Return ``table``, of shape (pieces, dimension), trained so that the sum of a row's pieces points at its target.

    Loss and its weight are those of the training that follows: 1 - cosine, and 20 times the squared error between the
    cosines within a batch.
    """
    counts = torch.bincount(torch.tensor([i for row in rows for i in row]), minlength=len(table)).double() + 1
    weight = _SIF / (_SIF + counts / counts.sum())
    bag = nn.EmbeddingBag.from_pretrained((torch.from_numpy(table) * weight[:, None]).float(), freeze=False, mode="sum")
    optimizer = torch.optim.Adam(bag.parameters(), lr=_RATE)
    generator = torch.Generator().manual_seed(seed)
    steps = _EPOCHS * (len(rows) // _BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
    flat = torch.tensor([i for row in rows for i in row])
    lengths = torch.tensor([len(row) for row in rows])
    starts = lengths.cumsum(0) - lengths
    goal = torch.from_numpy(targets)
    order = torch.empty(0, dtype=torch.long)
    for _ in track(range(steps), "bag of tokens"):
        if len(order) < _BATCH:
            order = torch.randperm(len(rows), generator=generator)
        batch, order = order[:_BATCH], order[_BATCH:]
        ids = torch.cat([flat[starts[i] : starts[i] + lengths[i]] for i in batch])
        offsets = lengths[batch].cumsum(0) - lengths[batch]
        ours, theirs = functional.normalize(bag(ids, offsets), dim=1), goal[batch].float()
        loss = (1 - (ours * theirs).sum(1)).mean() + 20 * functional.mse_loss(ours @ ours.T, theirs @ theirs.T)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return bag.weight.detach()
