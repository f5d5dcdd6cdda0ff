"""Compute a language model's logits or a classifier's scores of states that are there already, by its own code."""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast


class _GivenStates(nn.Module):
    """Stand in for a backbone: return states that were computed before."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPast:
        return BaseModelOutputWithPast(last_hidden_state=self.states)


def head_output(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Return the logits of last-token states, (rows, width): (rows, 1, vocabulary), or a classifier's (rows, labels).

    The model is copied around a stand-in for its backbone, and shares its weights with the copy: soft-capping, scaling
    and whatever else an architecture does to its logits stays its own.
    """
    backbone = model.base_model
    whole = (part for part in model.modules() if not any(part.children()))
    shared = chain(model.parameters(), model.buffers(), whole)
    memo: dict[int, Any] = {id(part): part for part in shared}
    memo[id(backbone)] = _GivenStates(states[:, None])
    # A token that no classifier takes for padding.
    token = int(model.config.get_text_config().pad_token_id == 0)
    ids = torch.full((len(states), 1), token, device=states.device)
    output: Tensor = deepcopy(model, memo)(input_ids=ids, return_dict=True).logits
    return output
