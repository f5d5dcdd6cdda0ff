"""Configure the removal of top components."""

from __future__ import annotations

from dataclasses import dataclass, field

from prompteol.errors import SettingError
from prompteol.techniques.protocol import FitInputs, LinearMap, Readout

__all__ = ["AllButTheTop"]


@dataclass(frozen=True)
class AllButTheTop(Readout):
    """Subtract the mean vector and remove the top principal components (Mu and Viswanath, 2018).

    Args:
        components: how many to remove.
    """

    components: int = field(default=3, metadata={"help": "how many principal components to remove"})

    def __post_init__(self) -> None:
        if not isinstance(self.components, int) or isinstance(self.components, bool) or self.components < 1:
            raise SettingError(
                f"all-but-the-top: components={self.components!r} is no number of components: give 1 or more"
            )

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return the map.

        Raises:
            SettingError: there are no more dimensions than components.
            InputError: there are no more texts than components.
        """
        from prompteol.techniques.all_but_the_top.operation import all_but_the_top

        return all_but_the_top(inputs.vectors, self.components)
