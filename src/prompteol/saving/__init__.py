"""What is saved: the stock form that everybody loads, ``prompteol.json`` beside it, and the fingerprint."""

from prompteol.saving.card import TRAINING_HEADING, stated_license, training_notes
from prompteol.saving.fingerprint import fingerprint
from prompteol.saving.manifest import UNFINISHED, Manifest
from prompteol.saving.portable import save_portable
from prompteol.saving.stock_settings import check_stock_settings

__all__ = [
    "TRAINING_HEADING",
    "UNFINISHED",
    "Manifest",
    "check_stock_settings",
    "fingerprint",
    "save_portable",
    "stated_license",
    "training_notes",
]
