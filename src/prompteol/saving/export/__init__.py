"""Export a model to one folder that gives its vectors for plain text, wherever its tokenizer is read."""

from prompteol.saving.export.exporting import Export, export
from prompteol.saving.export.hub import check_push, push
from prompteol.saving.export.report import ExportComparison

__all__ = ["Export", "ExportComparison", "check_push", "export", "push"]
