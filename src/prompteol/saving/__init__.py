"""Save a model in the form that every sentence-transformers loads, with ``prompteol.json`` and a fingerprint."""

from prompteol.saving.card import TRAINING_HEADING, stated_license, training_notes
from prompteol.saving.fingerprint import fingerprint, remembering_frozen_weights
from prompteol.saving.manifest import UNFINISHED, Manifest
from prompteol.saving.portable import save_portable, with_modules
from prompteol.saving.stock_settings import check_stock_settings

__all__ = [
    "TRAINING_HEADING",
    "UNFINISHED",
    "Manifest",
    "check_stock_settings",
    "fingerprint",
    "remembering_frozen_weights",
    "save_portable",
    "stated_license",
    "training_notes",
    "with_modules",
]
