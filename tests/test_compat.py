"""Canaries: each says which dependency changed what its public interface does not promise."""

import torch

from prompteol.compat import forward_hooks


def test_torch_keeps_forward_hooks_where_they_are_looked_for():
    module = torch.nn.Linear(1, 1)
    hooks = [lambda *_: None for _ in range(3)]
    handles = [
        module.register_forward_pre_hook(hooks[0]),
        module.register_forward_hook(hooks[1], with_kwargs=True, always_call=True),
        torch.nn.modules.module.register_module_forward_hook(hooks[2]),
    ]
    try:
        found = [*forward_hooks(module), *forward_hooks(None)]
    finally:
        for handle in handles:
            handle.remove()
    assert found == hooks, f"torch {torch.__version__} keeps forward hooks elsewhere"
