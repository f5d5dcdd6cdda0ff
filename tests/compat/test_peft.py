"""Canaries: each says what peft changed that its public interface does not promise."""

import peft
from transformers import AutoModelForCausalLM

from prompteol.compat import PEFT_PREFIX, adapter_layer_types


def test_peft_names_and_wraps_modules_as_expected(tiny):
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny("llama")), peft.LoraConfig(r=2))
    found = f"peft {peft.__version__}"
    assert all(name.startswith(PEFT_PREFIX) for name in model.state_dict()), f"{found} puts another prefix before names"
    wrapped = [part for part in model.modules() if isinstance(part, adapter_layer_types())]
    assert wrapped, f"{found} has another base class of adapter layers"
