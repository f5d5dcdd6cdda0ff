"""Set prompt, layer, tokenizer and dimension of a loaded model, and check them first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import PreTrainedTokenizerBase

from prompteol.errors import ModelError
from prompteol.model.backbone import check_device
from prompteol.model.module import PromptEOLModule
from prompteol.prompts import (
    DemonstrationsLike,
    NormalizationMode,
    Template,
    TemplateLike,
    choose_prompt,
    keep_valid_provenance,
    prompts_for,
)
from prompteol.validation import check_count, check_dimension, check_prompts

logger = logging.getLogger(__name__)


class SettableModel(SentenceTransformer):
    """Check what is set on a model before it takes effect; what is refused leaves the model as it was."""

    #: How template, demonstrations and layer came to be.
    provenance: dict[str, Any]

    @property
    def module(self) -> PromptEOLModule:
        """The first module, which renders, tokenizes and runs the backbone."""
        return self[0]  # type: ignore[return-value]

    @property
    def template(self) -> Template:
        """The template that texts are rendered with, demonstrations included; set as by :meth:`set_template`."""
        return self.module.template

    @template.setter
    def template(self, template: TemplateLike) -> None:
        self.set_template(template)

    @property
    def layer(self) -> int:
        """The layer that gives the embedding, as a negative index; set as by :meth:`set_template`."""
        return self.module.layer

    @layer.setter
    def layer(self, layer: int | float) -> None:
        self.set_template(layer=layer)

    @property
    def technique(self) -> Any:
        """The forward technique that texts are embedded by, or ``None``; see :data:`prompteol.TECHNIQUES`."""
        return self.module.technique

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer, which carries the template; another one with the same tokens may be set."""
        return self.module.tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.module.tokenizer = tokenizer
        self.model_card_data.base_model_revision = None

    def set_template(
        self,
        template: TemplateLike | None = None,
        *,
        demonstrations: DemonstrationsLike | None = None,
        normalization: NormalizationMode | None = None,
        layer: int | float | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Put another prompt around the same weights, in place.

        Args:
            template, demonstrations, normalization, layer: as for the constructor; ``None`` leaves each as it is, but
                demonstrations come with the template that shows them.
            provenance: how they came to be, for ``prompteol.json`` and the model card; added to :attr:`provenance`.

        Raises:
            TemplateError: the template cannot be used with this model's tokenizer.
            LayerError: the layer is outside the backbone.
        """
        old = self.module
        new, how = choose_prompt(
            old.template, {}, template=template, demonstrations=demonstrations, normalization=normalization
        )
        depth = old.layer if layer is None else layer
        options: dict[str, Any] = {"engine": old.engine, "attention": old.attention}
        options |= {"technique": old.technique} if old.technique is not None else {}
        self[0] = type(old)(old.transformer, new, layer=depth, **options)
        if new == old.template:
            how = {}
        if self.layer != old.layer:
            how["layer"] = "given"
        self.prompts = prompts_for(new, old.template, self.prompts)
        self.provenance = {**keep_valid_provenance(self.provenance, old.template, new), **how, **(provenance or {})}
        # Results would be filed under the old prompt's revision.
        self.model_card_data.base_model_revision = None

    @property
    def truncate_dim(self) -> int | None:
        """The dimension that vectors are cut to; ``None``: they are not."""
        return self._truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, dimension: int | None) -> None:
        longest = None
        # sentence-transformers sets it first of all, before there are modules.
        with suppress(AttributeError):
            longest = self.full_dimension
        check_dimension(dimension, longest)
        self._truncate_dim = dimension

    @property
    def full_dimension(self) -> int:
        """The dimension of vectors that are not cut."""
        found = (getattr(module, "get_embedding_dimension", None) for module in reversed(list(self.children())))
        return next(int(dimension()) for dimension in found if callable(dimension))

    def _check_call(
        self, name: Any, prompt: Any, batch_size: Any, truncate_dim: Any = None, device: Any = None, **_: Any
    ) -> None:
        """Refuse arguments of ``encode`` that are outside what they may be, and a second pooling."""
        again = next((place for place, module in enumerate(self) if isinstance(module, Pooling)), None)
        if again is not None:
            raise ModelError(
                f"module {again} is a Pooling, and module 0 gives the last token's state already, one vector a text: "
                f"take it out with del model[{again}]"
            )
        check_dimension(truncate_dim, self.full_dimension)
        check_device(device)
        check_count("batch_size", batch_size)
        name = self.default_prompt_name if name is None else name
        check_prompts(self.prompts, name if prompt is None else None, prompt)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the reference forward, as ``torch.nn.Module.compile`` does; ``engine="stock"`` runs it."""
        super().compile(*args, **kwargs)  # type: ignore[no-untyped-call]
        if self.module.engine != "stock":
            logger.warning("the shared-prefix engine runs uncompiled; encode(engine='stock') runs what was compiled")
