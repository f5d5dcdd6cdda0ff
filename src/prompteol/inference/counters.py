"""What the engine has computed so far, in tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from prompteol.locks import Lock

__all__ = ["Counters"]


@dataclass
class Counters:
    """Tokens that went through the backbone, since the engine was made.

    Args:
        prefix_tokens: of shared prefixes; each counts once a call; a row that is alone is computed whole, as text.
        text_tokens: of what follows the prefix in each distinct row.
        stock_tokens: of rows that went down the reference forward, padding included.
        checks: how many times the two roads were compared, at most three rows each; a whole pack where ways to attend
            are timed.
        check_tokens: what those comparisons cost, padding included; not in the figures above.
    """

    prefix_tokens: int = 0
    text_tokens: int = 0
    stock_tokens: int = 0
    checks: int = 0
    check_tokens: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, *, prefix: int = 0, text: int = 0, reference: int = 0, checks: int = 0, check: int = 0) -> None:
        """Count what has just been computed, from any thread."""
        with self._lock.held():
            self.prefix_tokens += prefix
            self.text_tokens += text
            self.stock_tokens += reference
            self.checks += checks
            self.check_tokens += check
