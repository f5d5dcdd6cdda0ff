"""Register attention kernels under a name, ours and those of others."""

from __future__ import annotations

from collections.abc import Callable

from prompteol.errors import SettingError
from prompteol.inference.attention.context import Attention
from prompteol.inference.attention.grouped import GroupedAttention
from prompteol.inference.attention.varlen import VariableLengthAttention

__all__ = ["AUTO", "attention_kernels", "check_attention", "register_attention"]

AUTO = "auto"

_factories: dict[str, Callable[[], Attention]] = {
    "sdpa": lambda: GroupedAttention("sdpa"),
    "varlen": VariableLengthAttention,
}


def register_attention(name: str, factory: Callable[[], Attention]) -> None:
    """Make an attention kernel selectable by name.

    It is compared with the ordinary forward before its results are used, as our own kernels are, and left out with a
    warning where it differs.

    Args:
        name: what ``attention=`` takes. A registered kernel of that name is replaced.
        factory: returns the kernel; called once for each check of a backbone.

    Raises:
        SettingError: the name is empty or taken by one of ours.
    """
    if not name or name in (AUTO, "sdpa", "varlen"):
        raise SettingError(f"attention {name!r} cannot be registered: give a name of your own, such as 'my_kernel'")
    _factories[name] = factory


def check_attention(name: str) -> None:
    """Refuse a name that no kernel has.

    Raises:
        SettingError: naming it, and the names there are.
    """
    if name not in (AUTO, *_factories):
        raise SettingError(
            f"attention={name!r} is none of {', '.join(map(repr, (AUTO, *_factories)))}: leave it out for the fastest, "
            "or register yours with prompteol.register_attention"
        )


def attention_kernels(name: str) -> list[Attention]:
    """Return the kernels that a name stands for, best first."""
    if name in (AUTO, "sdpa"):
        # Soft-capping and attention sinks are known to the architecture's eager function alone.
        return [GroupedAttention("sdpa"), GroupedAttention("eager")]
    return [_factories[name]()]
