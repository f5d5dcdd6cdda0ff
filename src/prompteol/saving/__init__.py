"""Save a model in the form that every sentence-transformers loads, with ``prompteol.json`` and a fingerprint."""

from prompteol.saving.card import TRAINING_HEADING, folder_name, named, stated, training_notes
from prompteol.saving.card_sections import SCORES_HEADING
from prompteol.saving.fingerprint import fingerprint, remembering_frozen_weights
from prompteol.saving.lost_edits import warn_of_lost_edits
from prompteol.saving.manifest import EXPORTED, UNFINISHED, Manifest, check_stock_settings, check_truncation
from prompteol.saving.saved_folder import save_portable

__all__ = [
    "EXPORTED",
    "SCORES_HEADING",
    "TRAINING_HEADING",
    "UNFINISHED",
    "Manifest",
    "check_stock_settings",
    "check_truncation",
    "fingerprint",
    "folder_name",
    "named",
    "remembering_frozen_weights",
    "save_portable",
    "stated",
    "training_notes",
    "warn_of_lost_edits",
]
