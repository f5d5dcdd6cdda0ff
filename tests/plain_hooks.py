"""A plain transformers model with hooks, to which techniques are compared."""

from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from torch.nn import functional
from transformers import AttentionInterface, AutoModel, AutoTokenizer

LAYERS = {"llama": "layers", "qwen2": "layers", "opt": "decoder.layers", "gpt2": "h"}
ATTENTION = {"llama": "self_attn", "qwen2": "self_attn", "opt": "self_attn", "gpt2": "attn"}
PROJECTION = {"llama": "o_proj", "qwen2": "o_proj", "opt": "out_proj", "gpt2": "c_proj"}


@cache
def _load(folder):
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    return AutoTokenizer.from_pretrained(folder), model


class Plain:
    """Run one row of token ids after the other."""

    def __init__(self, folder, architecture):
        self.tokenizer, self.model = _load(folder)
        self.architecture = architecture
        self.layers = self.model.get_submodule(LAYERS[architecture])
        pad = self.tokenizer.pad_token_id
        self.pad = self.tokenizer.eos_token_id if pad is None else pad

    def ids(self, prompt):
        return self.tokenizer(prompt)["input_ids"]

    def states(self, ids, layer):
        return self.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0]

    def attention(self, layer):
        return layer.get_submodule(ATTENTION[self.architecture])

    def projection(self, index):
        return self.attention(self.layers[index]).get_submodule(PROJECTION[self.architecture])

    @contextmanager
    def hooks(self, *wanted):
        with ExitStack() as stack:
            for module, kind, hook in wanted:
                register = module.register_forward_pre_hook if kind == "pre" else module.register_forward_hook
                stack.callback(register(hook).remove)
            yield

    @contextmanager
    def seeing(self, modules):
        """Collect what modules give, in the order in which they run."""
        seen = []
        hooks = [(one, "post", lambda module, arguments, output: seen.append(output)) for one in modules]
        with self.hooks(*hooks):
            yield seen

    @contextmanager
    def attention_function(self, bias_of):
        """Attend by softmax, in some layers with the last token's key and value in front, at a bias."""

        def attend(module, query, key, value, mask, scaling=None, **_):
            bias = bias_of(module.layer_idx)
            scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
            tokens = query.shape[2]
            added = torch.full((tokens, tokens), -torch.inf).triu(1)
            if bias is not None:
                key, value = (torch.cat([part[:, :, -1:], part], 2) for part in (key, value))
                added = functional.pad(added, (1, 0), value=bias)
            groups = query.shape[1] // key.shape[1]
            key, value = (part.repeat_interleave(groups, 1) for part in (key, value))
            weights = (query @ key.transpose(2, 3) * scaling + added).softmax(-1)
            return (weights @ value).transpose(1, 2), None

        AttentionInterface.register("plain_softmax", attend)
        self.model.set_attn_implementation("plain_softmax")
        try:
            yield
        finally:
            self.model.set_attn_implementation("eager")
