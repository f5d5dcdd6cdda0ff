"""Load the model that is trained, make sure that it can be, and bring its checkpoints back."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prompteol.errors import ModelError, SettingError
from prompteol.extras import check_extra
from prompteol.model import has_adapter
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.lora import Lora, read_adapter
from prompteol.training.trainer import launched_processes


def load_student(
    model: str | Path | PromptEOL | None, lora: Lora | None, device: str | None, options: dict[str, Any]
) -> PromptEOL:
    """Load a model for training, quantized where its adapter asks for that; one that is loaded stays as it is."""
    if isinstance(model, PromptEOL):
        if options:
            raise SettingError(f"{', '.join(options)}: the model is loaded already; give that to PromptEOL(...)")
        return model
    if torch.cuda.is_available() and launched_processes() > 1:
        # The base is quantized where it is loaded: each process on its own device.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if model is not None and os.path.isdir(model):
        # An adapter names its base, and is looked at from other folders too.
        model = Path(model).resolve()
    return PromptEOL(model, device=device, **{"model_kwargs": _base_options(lora, device), **options})


def _base_options(lora: Lora | None, device: str | None) -> dict[str, Any]:
    """Return how the base is loaded: in the paper's 4 bits under an adapter where that works, else in fp32."""
    asked = lora is not None and lora.quantize
    cuda = torch.cuda.is_available() and (device or "cuda").startswith("cuda")
    if asked and not cuda:
        # On a CPU bitsandbytes warns of silently incorrect gradients.
        raise SettingError("quantize=True: training on a 4-bit base needs a CUDA device; leave it out")
    if lora is None or lora.quantize is False or not (asked or (cuda and find_spec("bitsandbytes"))):
        return {"dtype": torch.float32}
    check_extra("quantization", "bitsandbytes")
    from transformers import BitsAndBytesConfig

    half = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=half
    )
    return {"quantization_config": nf4, "dtype": torch.float32}


def check_trainable(model: PromptEOL, lora: Lora | None) -> Lora | None:
    """Refuse an adapter, or half precision without one; return the LoRA settings with ``quantize`` as it is."""
    if has_adapter(model.module):
        raise ModelError(
            "this model is an adapter already: merge it first (prompteol merge -m ADAPTER -o MERGED), then train that"
        )
    dtype = model.module.transformer.model.dtype
    if lora is None and dtype != torch.float32:
        raise SettingError(
            f"the weights are in {str(dtype).removeprefix('torch.')}, in which small steps are lost: load the model "
            'with model_kwargs={"dtype": "float32"}, or train an adapter'
        )
    return lora and replace(lora, quantize=getattr(model.module.config, "quantization_config", None) is not None)


def restore(model: PromptEOL, checkpoint: str) -> None:
    """Give a model the weights of one of its checkpoints; of an adapter's, the adapter alone is read."""
    if has_adapter(model.module):
        read_adapter(model.module.transformer.model, checkpoint)
        return
    saved = type(model)(checkpoint, device="cpu", trust_remote_code=model.trust_remote_code)
    model.load_state_dict(saved.state_dict())


class ExactAdapter(TrainerCallback):
    """Go on from an adapter as its checkpoint has it: the trainer reads it in the precision of the base."""

    def __init__(self, model: PromptEOL, checkpoint: str) -> None:
        self.model = model
        self.checkpoint = checkpoint

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Read it once more, after the trainer has."""
        restore(self.model, self.checkpoint)
