"""A LoRA adapter on a backbone, over a 4-bit base where the machine has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prompteol.errors import ModelError, SettingError
from prompteol.extras import check_extra
from prompteol.model import has_adapter
from prompteol.training.recipe import Lora

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

__all__ = [
    "ExactAdapter",
    "attach_adapter",
    "base_options",
    "check_trainable",
    "restore",
]


def base_options(lora: Lora | None, device: str | None) -> dict[str, Any]:
    """Return how the base is loaded for training: in 4 bits under an adapter where that works, else in fp32.

    NF4 with double quantization is the paper's; all that is trained stays in fp32.

    Args:
        lora: the adapter, if there will be one.
        device: that was asked for; ``None`` is the best there is.

    Raises:
        SettingError: 4 bits were asked for, and the device is no CUDA device.
        MissingExtraError: 4 bits were asked for, and bitsandbytes is not installed.
    """
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
    """Make sure that a training can change this model, and say of the adapter whether its base is quantized.

    Raises:
        ModelError: there is an adapter on it already.
        SettingError: all its weights are to be trained, and they are in half precision.
    """
    if has_adapter(model.module):
        raise ModelError(
            "this model is an adapter already: merge it first (prompteol merge ADAPTER -o MERGED), then train that"
        )
    dtype = model.module.transformer.model.dtype
    if lora is None and dtype != torch.float32:
        raise SettingError(
            f"the weights are in {str(dtype).removeprefix('torch.')}, in which small steps are lost: load the model "
            'with model_kwargs={"dtype": "float32"}, or train an adapter'
        )
    return lora and replace(lora, quantize=getattr(model.module.config, "quantization_config", None) is not None)


def attach_adapter(model: PromptEOL, lora: Lora) -> None:
    """Put a fresh adapter in fp32 on all linear layers of the backbone, and freeze everything else."""
    from peft import LoraConfig

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.add_adapter(
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            bias="none",
            target_modules="all-linear",
            task_type="FEATURE_EXTRACTION",
        )
    )
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.register_load_state_dict_pre_hook(_keep_the_base)  # type: ignore[no-untyped-call]


def restore(model: PromptEOL, checkpoint: str) -> None:
    """Give a model the weights of one of its checkpoints; of an adapter's, the adapter alone is read."""
    if not has_adapter(model.module):
        saved = type(model)(checkpoint, device="cpu", trust_remote_code=model.trust_remote_code)
        model.load_state_dict(saved.state_dict())
        return
    from peft import load_peft_weights, set_peft_model_state_dict

    weights = load_peft_weights(checkpoint, device="cpu")
    inner = {name.removeprefix("base_model.model."): value for name, value in weights.items()}
    read: Any = set_peft_model_state_dict(model.module.transformer.model, inner)
    if read.unexpected_keys:
        raise ModelError(f"checkpoint {checkpoint!r} does not fit the model: it holds {read.unexpected_keys[0]!r}")


class ExactAdapter(TrainerCallback):
    """Go on from an adapter as its checkpoint has it: the trainer reads it in the precision of the base."""

    def __init__(self, model: PromptEOL, checkpoint: str) -> None:
        self.model = model
        self.checkpoint = checkpoint

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Read it once more, after the trainer has."""
        restore(self.model, self.checkpoint)


def _keep_the_base(module: nn.Module, state: dict[str, Any], *_: object) -> None:
    """Read back only what is trained; the base is frozen, and where it is quantized no checkpoint fits it."""
    own = module.state_dict()
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    read = {name: value for name, value in state.items() if name in trained}
    state.clear()
    state.update(_plain(own, module) | read)


def _plain(state: Mapping[str, Any], module: nn.Module) -> dict[str, Any]:
    """Leave out what bitsandbytes adds to a state but does not read back."""
    known = {name for name, _ in [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]}
    return {name: value for name, value in state.items() if name in known}
