"""What is saved: the stock form that everybody loads, ``prompteol.json`` beside it, and the fingerprint."""

from prompteol.artefact.card import TRAINING_HEADING, stated_licence, training_notes
from prompteol.artefact.fingerprint import fingerprint
from prompteol.artefact.manifest import UNFINISHED, Manifest
from prompteol.artefact.portable import save_portable
from prompteol.artefact.stock_settings import check_stock_settings

__all__ = [
    "TRAINING_HEADING",
    "UNFINISHED",
    "Manifest",
    "check_stock_settings",
    "fingerprint",
    "save_portable",
    "stated_licence",
    "training_notes",
]
