"""Read and write ``prompteol.json``, and refuse a saved model whose other files contradict it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import PreTrainedTokenizerBase

from prompteol.errors import ArtifactError, PromptEOLError
from prompteol.files.model_folders import MANIFEST
from prompteol.model import ModelSource
from prompteol.prompts import Demonstration, PromptTemplate, RetrievalTemplate, Template, compile_chat_template

#: Lies in a folder while a model is being saved there.
UNFINISHED = f"{MANIFEST}.partial"
#: The record of a folder that was exported for servers, and is no model to be prompted.
EXPORTED = "export.json"
_FORMAT = 1
_TRANSFORMER, _POOLING = "sentence_bert_config.json", "1_Pooling/config.json"


@dataclass(frozen=True)
class Manifest:
    """Describe a saved model, beside the files that stock loaders read: its prompt, its layer and how they came to be.

    ``bos`` and ``bos_separator`` say how its prompts begin; ``fingerprint`` is that of the time of saving;
    ``technique`` has the name and the options of a forward technique, and is None in the portable form.
    """

    template: Template
    layer: int
    bos: bool
    bos_separator: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    technique: Mapping[str, Any] | None = None

    @property
    def chat_template(self) -> str:
        """The Jinja source that the tokenizer of the same folder must carry."""
        return compile_chat_template(self.template, bos=self.bos, bos_separator=self.bos_separator)

    def write(self, folder: str | Path) -> None:
        """Write ``prompteol.json`` whole or not at all."""
        record = {"format": _FORMAT, **asdict(self)}
        if self.technique is None:
            del record["technique"]
        path = Path(folder) / MANIFEST
        draft = path.with_name(UNFINISHED)
        draft.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(draft, path)

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read ``prompteol.json``; ArtifactError where it is damaged, or of a later format."""
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            if record["format"] > _FORMAT:
                later = record["format"]
                raise ArtifactError(f"{path} has format {later}, not up to {_FORMAT}: pip install -U prompteol")
            values = {"technique": None, **record}
            values = {one.name: values[one.name] for one in fields(cls)}
            return cls(**{**values, "template": _template(record["template"])})
        except PromptEOLError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error!r}): save the model again") from error

    def check(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raise ArtifactError where stock loaders would see another template; both are shown."""
        if tokenizer.chat_template != self.chat_template:
            raise ArtifactError(
                f"{MANIFEST} and the chat template of {tokenizer.name_or_path!r} are not the same prompt.\n"
                f"--- chat template compiled from {MANIFEST}\n{self.chat_template}\n"
                f"--- chat template of the tokenizer\n{tokenizer.chat_template}\n"
                "Pass template=... to decide, and save the model again"
            )

    def check_start(self, bos: bool, bos_separator: str, name: str) -> None:
        """Raise ArtifactError where the tokenizer begins prompts otherwise than when the model was saved."""
        if (bos, bos_separator) != (self.bos, self.bos_separator):
            raise ArtifactError(
                f"{name!r}: {MANIFEST} has prompts begin with bos={self.bos}, bos_separator={self.bos_separator!r}, "
                f"and the tokenizer with {bos}, {bos_separator!r}: restore its files, or save the model again"
            )


def _template(record: Mapping[str, Any]) -> Template:
    if "query" in record:
        return RetrievalTemplate(_prompt(record["query"]), _prompt(record["document"]))
    return _prompt(record)


def _prompt(record: Mapping[str, Any]) -> PromptTemplate:
    shown = tuple(Demonstration(**item) for item in record["demonstrations"])
    return PromptTemplate(**{**record, "demonstrations": shown})


def check_truncation(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ArtifactError where stock loaders would cut the beginning of a long prompt off, not the end of its text."""
    if tokenizer.truncation_side != "right":
        raise ArtifactError(
            f"the tokenizer of {tokenizer.name_or_path!r} has truncation_side={tokenizer.truncation_side!r}, so that "
            "stock loaders cut the prompt off a long text: set it to 'right' in tokenizer_config.json (direction: "
            "Right in tokenizer.json), or pass template=... and save the model"
        )


def check_stock_settings(transformer: Transformer, pooling: Pooling, source: ModelSource) -> None:
    """Raise ArtifactError where a saved model's stock modules would do something else than this package."""
    for file, name, found, ours in _settings(transformer, pooling):
        if found != ours:
            raise ArtifactError(
                f"{source.name!r}: a PromptEOL model ({MANIFEST}) has {name}={ours!r} in {file}, and here it is "
                f"{found!r}; set it back, or pass template=... and save the model, or load it with SentenceTransformer"
            )


def _settings(transformer: Transformer, pooling: Pooling) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield file and name of each setting, what it is and what it must be."""
    yield _POOLING, "pooling_mode", pooling.pooling_mode, "lasttoken"
    yield _POOLING, "include_prompt", pooling.include_prompt, True
    yield _TRANSFORMER, "query_length", transformer.query_length, None
    yield _TRANSFORMER, "document_length", transformer.document_length, None
    yield _TRANSFORMER, "module_output_name", transformer.module_output_name, "token_embeddings"
    # Token types are left out of GPT-2's rows, see the module.
    text = (transformer.processing_kwargs or {}).get("text") or {}
    others = {name: value for name, value in text.items() if name != "return_token_type_ids"}
    yield _TRANSFORMER, "processing_kwargs", others, {}
    # Without this modality stock loaders do not render the chat template, which is the prompt.
    message: Mapping[str, Any] = transformer.modality_config.get("message") or {}
    yield _TRANSFORMER, "message format", message.get("format"), "flat"
    outputs = [modality.get("method_output_name") for modality in transformer.modality_config.values()]
    for output in outputs:
        known = output == "last_hidden_state" or (isinstance(output, list) and output[:1] == ["hidden_states"])
        yield _TRANSFORMER, "method_output_name", output, outputs[0] if known else "last_hidden_state"
