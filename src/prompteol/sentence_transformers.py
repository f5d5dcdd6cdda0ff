"""Wrap a causal language model as a ``SentenceTransformer``: the class ``PromptEOL``.

The module's path holds the word ``sentence_transformers`` because KeyBERT and BERTopic look for it in the type of the
object they are given, and quietly use another model where they do not find it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import get_device_name
from sentence_transformers.util.decorators import deprecated_kwargs
from sentence_transformers.util.quantization import quantize_embeddings

from prompteol.errors import SettingError
from prompteol.loading import PromptConfig, load_model
from prompteol.model import LoadOptions, portable_transformer
from prompteol.model.module import Engine
from prompteol.model.pools import remember_pool, using_pool
from prompteol.prompts import DemonstrationsLike, NormalizationMode, TemplateLike
from prompteol.saving import Manifest, fingerprint, save_portable, training_notes, warn_of_lost_edits
from prompteol.saving.pushing import PushableModel
from prompteol.techniques import Technique
from prompteol.techniques.fitting import fit_readout
from prompteol.techniques.registry import split_techniques, to_record
from prompteol.validation import as_texts, check_dimension, check_finite, check_prompts

__all__ = ["PromptEOL"]

# Enough for full packs on any accelerator; bounds the memory of token ids.
_TEXTS_AT_ONCE = 4096


class PromptEOL(PushableModel):
    """Embed texts with a causal language model: fill a prompt, take the last token's hidden state.

    What is saved is made of stock modules: any sentence-transformers loads it, without this package and without a
    flag, with the same vectors.

    Args:
        model_name_or_path: a base language model (``"facebook/opt-1.3b"``), a LoRA adapter
            (``"royokong/prompteol-opt-2.7b"``), or a saved PromptEOL model; a folder or a Hub name, or a
            ``.gguf`` file. ``None`` is the small model that ships with this package.
        template: a preset's name, a string with one ``{text}``, or a template. Default: a saved model's own, else
            ``"prompteol"``. See :data:`prompteol.prompts.TEMPLATES`.
        demonstrations: a preset's name such as ``"opt-2.7b"``, or (sentence, word) pairs. Default: a saved model's
            own, else none.
        normalization: ``"paper"``, ``"plain"`` or ``"none"``: what is done to a text before it fills the template.
            Default: the template's own.
        layer: a negative index (``-1``: the last, after the final norm), or a fraction of depth in (0, 1]. Default: a
            saved model's own, else ``-1``.
        technique: a name such as ``"metaeol"``, a configuration, or several; see :data:`prompteol.TECHNIQUES`. Default:
            a saved model's own, else none; ``()`` is none. Those that are fitted on texts: :func:`fit_readout`.
        engine: ``"auto"`` runs the shared-prefix engine wherever it is proven equal to the stock one; ``"stock"``
            never does.
        device: for instance ``"cuda"``; default: the best there is.
        gguf_file: the name of a GGUF file in that folder or repository, to take the weights from.
        prompts, default_prompt_name, similarity_fn_name, truncate_dim, model_card_data: see ``SentenceTransformer``.
        cache_folder, trust_remote_code, revision, local_files_only, token: see ``SentenceTransformer``.
        processor_kwargs, config_kwargs: see ``SentenceTransformer``.
        model_kwargs: go to the backbone's ``from_pretrained``. Without ``dtype``, a CPU computes in fp32 and an
            accelerator in the checkpoint's dtype.

    Raises:
        ModelError: there is no such model, or it is no causal language model.
        TemplateError: the template or a demonstration cannot be used.
        LayerError: the layer is outside the backbone.
        ArtifactError: the files of a saved model contradict each other.
    """

    def __init__(
        self,
        model_name_or_path: str | Path | None = None,
        *,
        template: TemplateLike | None = None,
        demonstrations: DemonstrationsLike | None = None,
        normalization: NormalizationMode | None = None,
        layer: int | float | None = None,
        technique: str | Technique | Iterable[str | Technique] | None = None,
        engine: Engine = "auto",
        device: str | None = None,
        gguf_file: str | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: Any = None,
        truncate_dim: int | None = None,
        cache_folder: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
        model_card_data: Any = None,
    ) -> None:
        check_dimension(truncate_dim)
        check_prompts(prompts or {})
        forward, readouts = split_techniques(technique)
        device = device or get_device_name()
        parts = load_model(
            model_name_or_path,
            PromptConfig(template, demonstrations, layer, engine, normalization, forward),
            LoadOptions(model_kwargs or {}, processor_kwargs or {}, config_kwargs or {}, trust_remote_code),
            device=device,
            gguf_file=gguf_file,
            revision=revision,
            token=token,
            cache_folder=cache_folder,
            local_files_only=local_files_only,
        )
        given = {
            "prompts": prompts,
            "default_prompt_name": default_prompt_name,
            "similarity_fn_name": similarity_fn_name,
            "truncate_dim": truncate_dim,
        }
        super().__init__(
            modules=[parts.module, *parts.after],
            # A device map has placed the backbone already, and is not to be undone.
            device=str(parts.module.transformer.model.device) if "device_map" in (model_kwargs or {}) else device,
            model_card_data=model_card_data,
            trust_remote_code=trust_remote_code,
            **parts.settings_with(given),
        )
        # One that a saved model has, or that was given before there was a module.
        check_dimension(self.truncate_dim, self.full_dimension)
        card = self.model_card_data
        card.model_name = card.model_name or parts.model_name
        card.base_model_revision = card.base_model_revision or parts.revision_with(given)
        card.license, card.base_model = card.license or parts.license, card.base_model or parts.base_model
        card.language = card.language or parts.language
        self._source, self._card, self._saved_fingerprint = parts.source, parts.kept_card, parts.fingerprint
        self.provenance = parts.provenance
        #: Markdown for the model card: how the weights came to be.
        self.training_notes = training_notes(parts.card or "")
        if readouts:
            fit_readout(self, technique=readouts)

    def train(self, mode: bool = True) -> PromptEOL:
        """Set training mode; from then on the weights may not be those that a revision was saved of."""
        if mode and hasattr(self, "_saved_fingerprint"):
            self.model_card_data.base_model_revision = None
        return super().train(mode)  # type: ignore[no-any-return]

    def fingerprint(self) -> str:
        """Return 64 hex digits over everything that decides the vectors; see :func:`prompteol.fingerprint`."""
        return fingerprint(self)

    if not TYPE_CHECKING:  # To type checkers the overloads of SentenceTransformer are visible, which hold here.

        @deprecated_kwargs(sentences="inputs")
        def encode(
            self,
            inputs,
            prompt_name=None,
            prompt=None,
            batch_size=None,
            show_progress_bar=None,
            output_value="sentence_embedding",
            precision="float32",
            convert_to_numpy=True,
            convert_to_tensor=False,
            **kwargs,
        ):
            """Embed texts, as ``SentenceTransformer.encode`` does, and check what goes in and what comes out.

            The arguments are its own but for ``batch_size``: how many texts are handed over at once. By default these
            are 32 to the stock engine, and 4,096 to the shared-prefix engine, which packs them by tokens; 256 where a
            progress bar is shown. Equal texts are embedded once.

            Raises:
                InputError: an item is no string, or no Unicode; the message has its index.
                SettingError: an argument is outside what it may be, such as ``truncate_dim``, or names no prompt.
                NonFiniteError: an embedding holds NaN or infinity; the message has its index.
            """
            engine = kwargs.pop("engine", None) or self.module.engine
            if output_value != "sentence_embedding":
                if self.technique is not None:
                    raise SettingError(f"output_value={output_value!r}: {self.technique} has no tokens of one prompt")
                engine = "stock"
            self._check_call(prompt_name, prompt, batch_size, **kwargs)
            texts, single = as_texts(inputs)
            distinct = list(dict.fromkeys(texts)) if output_value == "sentence_embedding" else texts
            if batch_size is None:
                batch_size = 32 if engine == "stock" else 256 if show_progress_bar else _TEXTS_AT_ONCE
            pool = kwargs.pop("pool", None)
            with nullcontext() if pool is None else using_pool(pool, self) as pool:
                vectors = super().encode(
                    distinct,
                    prompt_name=prompt_name,
                    prompt=prompt,
                    batch_size=batch_size,
                    show_progress_bar=show_progress_bar,
                    output_value=output_value,
                    convert_to_numpy=convert_to_numpy,
                    convert_to_tensor=convert_to_tensor,
                    pool=pool,
                    engine=engine,
                    **kwargs,
                )
            if len(distinct) < len(texts):
                place = {text: row for row, text in enumerate(distinct)}
                rows = [place[text] for text in texts]
                vectors = [vectors[row] for row in rows] if isinstance(vectors, list) else vectors[rows]
            check_finite(vectors, texts)
            if precision not in (None, "float32") and texts:
                vectors = quantize_embeddings(vectors, precision=precision)
                vectors = torch.as_tensor(vectors) if convert_to_tensor else vectors
            return vectors[0] if single else vectors

        def encode_query(self, *args, **kwargs):
            """Embed queries, as ``SentenceTransformer.encode_query`` does; ``batch_size`` as in :meth:`encode`."""
            return super().encode_query(*args, **kwargs if len(args) > 3 else {"batch_size": None, **kwargs})

        def encode_document(self, *args, **kwargs):
            """Embed documents, as ``SentenceTransformer.encode_document`` does; ``batch_size`` as in :meth:`encode`."""
            return super().encode_document(*args, **kwargs if len(args) > 3 else {"batch_size": None, **kwargs})

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Render and tokenize texts; the stock method first asks each whether it is an image or a sound."""
        return self.module.preprocess(inputs, prompt, **kwargs) if len(inputs) else {}

    def start_multi_process_pool(self, target_devices: list[str] | None = None) -> dict[Any, Any]:
        """Start workers for ``encode(pool=...)``; threads may share them.

        The workers hold the model as it is now: once it has changed, ``encode`` refuses the pool.
        """
        pool: dict[Any, Any] = super().start_multi_process_pool(target_devices)
        remember_pool(pool, self, target_devices)
        return pool

    def save(  # type: ignore[override]
        self, path: str | Path, model_name: str | None = None, create_model_card: bool = True, **options: Any
    ) -> None:
        """Save in the portable form: stock modules, the prompt as chat template, ``prompteol.json`` beside them.

        With a forward technique a module of this package is saved, as no stock one holds it; the card says so.

        The arguments are those of ``SentenceTransformer.save``. An adapter is saved as an adapter where stock loaders
        read back what was saved, else merged into its base, with a warning; one names an edit that no file holds.

        Raises:
            ModelError: stock loaders would read another adapter, and it cannot be merged.
        """
        prompter = self.module.prompter
        prompter.settle()
        transformer, pooling = self.module.stock_modules
        portable = portable_transformer(transformer, self._source.hub_kwargs | {"revision": "main"})
        warn_of_lost_edits(portable.model, [*self.children(), portable, pooling])
        first = [portable, pooling] if self.technique is None else [self.module.around(portable)]
        stock = SentenceTransformer(
            modules=[*first, *list(self.children())[1:]],
            device=str(self.device),
            prompts={name: prompt or "" for name, prompt in self.prompts.items()},
            default_prompt_name=self.default_prompt_name,
            similarity_fn_name=self.similarity_fn_name,
            truncate_dim=self.truncate_dim,
            model_card_data=self.model_card_data,
        )
        digest = fingerprint(self if portable is transformer else stock)
        parts = prompter.bos, prompter.bos_separator, self.provenance, digest
        manifest = Manifest(self.template, self.layer, *parts, self.technique and to_record(self.technique))
        card = create_model_card and ((digest == self._saved_fingerprint and self._card) or True)
        options |= {"training_notes": self.training_notes, "model_name": model_name}
        save_portable(stock, path, manifest, card=card, **options)
        self.model_card_data.register_model(self)

    def save_pretrained(self, path: str | Path, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Do the same as :meth:`save`."""
        self.save(path, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_head": None}  # type: ignore[no-untyped-call]
