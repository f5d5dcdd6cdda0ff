"""Canaries: each says which dependency changed what its public interface does not promise."""

import peft
import sentence_transformers
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol.compat import PEFT_PREFIX, adapter_layer_types, forward_hooks, renames_weights, reusing_tokenizer


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


def test_peft_names_and_wraps_modules_as_expected(tiny):
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny("llama")), peft.LoraConfig(r=2))
    found = f"peft {peft.__version__}"
    assert all(name.startswith(PEFT_PREFIX) for name in model.state_dict()), f"{found} puts another prefix before names"
    wrapped = [part for part in model.modules() if isinstance(part, adapter_layer_types())]
    assert wrapped, f"{found} has another base class of adapter layers"


def test_transformers_says_which_weights_it_renames():
    found = f"transformers {transformers.__version__}"
    assert not renames_weights("llama"), f"{found} renames the weights of llama, or says so in another way"
    assert renames_weights("mixtral"), f"{found} no longer renames the weights of mixtral, or says so in another way"


def test_sentence_transformers_takes_a_tokenizer_that_was_read_already(tiny):
    folder = tiny("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with reusing_tokenizer(tokenizer, folder):
        taken = sentence_transformers.base.modules.Transformer(folder).tokenizer
    found = f"sentence-transformers {sentence_transformers.__version__}"
    assert taken is tokenizer, f"{found} reads a tokenizer in another way, so its files are opened twice"
    assert sentence_transformers.base.modules.Transformer(folder).tokenizer is not tokenizer
