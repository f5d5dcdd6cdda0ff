"""``prompteol.json``: what a saved model's chat template was compiled from, and how it was chosen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from prompteol.errors import ArtifactError, PromptEOLError
from prompteol.model import MANIFEST
from prompteol.prompts import Demonstration, PromptTemplate, RetrievalTemplate, compile_chat_template

__all__ = ["UNFINISHED", "Manifest"]

#: Stands in a folder while a model is being saved there.
UNFINISHED = f"{MANIFEST}.partial"
_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """Describe a saved model, beside the files that stock loaders read.

    Args:
        template: that texts are rendered with, demonstrations included.
        layer: negative index.
        bos: whether the prompts start with BOS.
        gap: what stands between BOS and prompt.
        chosen: how template, demonstrations and layer came to be, for people and the model card.
        fingerprint: of weights, template, layer and pooling at the time of saving.
    """

    template: PromptTemplate | RetrievalTemplate
    layer: int
    bos: bool
    bos_separator: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def chat_template(self) -> str:
        """The Jinja source that the tokenizer of the same folder must carry."""
        return compile_chat_template(self.template, bos=self.bos, bos_separator=self.bos_separator)

    def write(self, folder: str | Path) -> None:
        """Write ``prompteol.json`` whole or not at all."""
        record = {
            "format": _FORMAT,
            "template": _template_to_json(self.template),
            "layer": self.layer,
            "bos": self.bos,
            "bos_separator": self.bos_separator,
            "provenance": dict(self.provenance),
            "fingerprint": self.fingerprint,
        }
        path = Path(folder) / MANIFEST
        draft = path.with_name(UNFINISHED)
        draft.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(draft, path)

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read ``prompteol.json``.

        Raises:
            ArtifactError: it is damaged, or of a later format.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            if record["format"] > _FORMAT:
                raise ArtifactError(
                    f"{path} has format {record['format']}, this version reads up to {_FORMAT}: "
                    "pip install -U prompteol"
                )
            return cls(
                template=_template_from_json(record["template"]),
                layer=record["layer"],
                bos=record["bos"],
                bos_separator=record["bos_separator"],
                provenance=record["provenance"],
                fingerprint=record["fingerprint"],
            )
        except PromptEOLError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error!r}): save the model again") from error

    def check(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Make sure that stock loaders see the same template.

        Raises:
            ArtifactError: the chat template beside this manifest is another one; both are shown.
        """
        if tokenizer.chat_template != self.chat_template:
            raise ArtifactError(
                f"{MANIFEST} and the chat template of {tokenizer.name_or_path!r} are not the same prompt.\n"
                f"--- chat template compiled from {MANIFEST}\n{self.chat_template}\n"
                f"--- chat template of the tokenizer\n{tokenizer.chat_template}\n"
                "Pass template=... to decide, and save the model again"
            )

    def check_start(self, bos: bool, bos_separator: str, name: str) -> None:
        """Make sure that the tokenizer begins prompts as it did when the model was saved.

        Raises:
            ArtifactError: it does not; its files are not those that were saved.
        """
        if (bos, bos_separator) != (self.bos, self.bos_separator):
            raise ArtifactError(
                f"{name!r}: {MANIFEST} has prompts begin with bos={self.bos}, bos_separator={self.bos_separator!r}, "
                f"and the tokenizer with bos={bos}, bos_separator={bos_separator!r}: restore its files "
                "(tokenizer.json, tokenizer_config.json), or save the model again"
            )


def _template_to_json(template: PromptTemplate | RetrievalTemplate) -> dict[str, Any]:
    if isinstance(template, RetrievalTemplate):
        return {"query": asdict(template.query), "document": asdict(template.document)}
    return asdict(template)


def _template_from_json(record: Mapping[str, Any]) -> PromptTemplate | RetrievalTemplate:
    if "query" in record:
        return RetrievalTemplate(_prompt_from_json(record["query"]), _prompt_from_json(record["document"]))
    return _prompt_from_json(record)


def _prompt_from_json(record: Mapping[str, Any]) -> PromptTemplate:
    shown = tuple(Demonstration(**item) for item in record["demonstrations"])
    return PromptTemplate(**{**record, "demonstrations": shown})
