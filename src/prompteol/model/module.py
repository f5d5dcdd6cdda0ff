"""The first module of a PromptEOL model: texts in, the last token's hidden state out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal, get_args

import torch
from sentence_transformers.base.modules import InputModule, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from prompteol.errors import ModelError, SettingError
from prompteol.inference import SharedPrefixEngine
from prompteol.inference.reference_forward import ReferenceForward, input_device, sharing_copy
from prompteol.inference.structure import foreign_code
from prompteol.model.layers import read_from_layer, resolve_layer
from prompteol.model.positions import positions_in_table
from prompteol.prompts import PromptTask, PromptTemplate, RetrievalTemplate
from prompteol.tokenization import PromptTokenizer

__all__ = ["Engine", "PromptEOLModule"]

Engine = Literal["auto", "stock"]

# How transformers writes that a tokenizer has no limit.
_NO_LIMIT = int(1e30)


class PromptEOLModule(InputModule):
    """Fill the template with each text, run the backbone, and keep the state of the last token.

    Holds the two stock modules that it is saved as: a ``Transformer`` whose chat template is the prompt, and a
    ``Pooling`` of the last token.

    Args:
        transformer: a stock module with a causal backbone. Its tokenizer gets the chat template.
        template: to render texts with.
        layer: negative index or fraction of depth; see :func:`prompteol.model.layers.resolve_layer`.
        engine: ``"stock"`` runs the stock modules; ``"auto"`` the shared-prefix engine wherever it is proven equal.
    """

    forward_kwargs: ClassVar[set[str]] = {"engine"}  # type: ignore[misc]
    save_in_root = True

    def __init__(
        self,
        transformer: Transformer,
        template: PromptTemplate | RetrievalTemplate,
        *,
        layer: int | float = -1,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        _check_engine(engine)
        if not isinstance(transformer.processor, PreTrainedTokenizerBase):
            raise ModelError(
                f"{type(transformer.processor).__name__} is no tokenizer: PromptEOL embeds text, give a text-only model"
            )
        self.transformer = transformer
        self._layer = resolve_layer(layer, transformer.config)
        self._positions = positions_in_table(transformer.model)
        self.engine: Engine = engine
        self._engine: SharedPrefixEngine | None = None
        self.prompter = PromptTokenizer(transformer.processor, template)
        _read_prompts_alone(transformer)
        read_from_layer(transformer, self.layer)
        if self.max_seq_length is not None:
            self._checked_limit("max_seq_length", self.max_seq_length)
        self.pooling = Pooling(self._probe_dimension(), "lasttoken")

    @property
    def template(self) -> PromptTemplate | RetrievalTemplate:
        """The template that texts are rendered with."""
        return self.prompter.template

    @property
    def layer(self) -> int:
        """The layer that gives the embedding, as a negative index; both engines were told of it once."""
        return self._layer

    @property
    def stock_modules(self) -> tuple[Transformer, Pooling]:
        """The two modules of sentence-transformers that this one is saved as, with the same weights."""
        return self._stock_transformer(), self.pooling

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:  # type: ignore[override]
        """The backbone's tokenizer, which carries the template as its chat template; another one may be set."""
        return self.prompter.tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise SettingError(
                f"tokenizer={tokenizer!r:.60} is {type(tokenizer).__name__}: give one of transformers', as "
                "AutoTokenizer.from_pretrained returns it"
            )
        embeddings: Any = self.transformer.model.get_input_embeddings()
        rows = embeddings.weight.shape[0]
        if len(tokenizer) > rows:
            raise SettingError(
                f"the tokenizer {tokenizer.name_or_path!r} has {len(tokenizer)} tokens, and the backbone embeddings "
                f"of {rows}: set one that was made for it, or call model[0].transformer.model.resize_token_embeddings"
            )
        limit = self.max_seq_length
        self.prompter = PromptTokenizer(tokenizer, self.template)
        self.transformer.processor = tokenizer
        _read_prompts_alone(self.transformer)
        self.max_seq_length = limit

    @property
    def processor(self) -> PreTrainedTokenizerBase:
        """The tokenizer, under the name that trainers look for."""
        return self.tokenizer

    @property
    def config(self) -> PretrainedConfig:
        """The backbone's configuration."""
        return self.transformer.config

    @property
    def max_seq_length(self) -> int | None:
        """How many tokens a prompt may have, the template's included; longer text is cut, the template never.

        Set to ``None`` it is as many as the backbone was made for.
        """
        return self.transformer.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        if value is None:
            made_for = getattr(self.config.get_text_config(), "max_position_embeddings", None)
            value = made_for if isinstance(made_for, int) and made_for > 0 else _NO_LIMIT
        self.transformer.max_seq_length = self._checked_limit("max_seq_length", value)

    def get_embedding_dimension(self) -> int:
        """Return the length of an embedding."""
        return int(self.pooling.get_embedding_dimension())

    def preprocess(  # type: ignore[override]
        self,
        inputs: Sequence[str],
        prompt: str | None = None,
        *,
        task: PromptTask | None = None,
        max_length: int | None = None,
        processing_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        **_: Any,
    ) -> dict[str, Tensor]:
        """Render and tokenize texts.

        Args:
            inputs: the texts.
            prompt: a sentence-transformers prompt, put in front of everything but BOS.
            task: ``"query"`` or ``"document"`` chooses the template of a pair.
            max_length: in place of :attr:`max_seq_length`.
            processing_kwargs: ``{"text": {"max_length": ...}}``, the same as sentence-transformers says it.

        Returns:
            ``input_ids`` and ``attention_mask``, both of shape (texts, tokens), padded on the right; outside training
            also ``prefix_ids``, of shape (tokens), with which ordinary prompts begin.
        """
        asked = max_length if max_length is not None else _max_length(processing_kwargs)
        longest = self._checked_limit("max_length", asked) if asked is not None else self.max_seq_length or 2**31
        texts = [inputs] if isinstance(inputs, str) else inputs
        rows = self.prompter(texts, task=task, prompt=prompt or "", max_length=longest)
        ids = [torch.tensor(row) for row in rows]
        mask = [torch.ones_like(row) for row in ids]
        pad = torch.nn.utils.rnn.pad_sequence
        features = {
            "input_ids": pad(ids, batch_first=True, padding_value=self.tokenizer.pad_token_id),
            "attention_mask": pad(mask, batch_first=True),
        }
        if not self.training:
            features["prefix_ids"] = torch.tensor(self.prompter.head(task, prompt or ""), dtype=torch.long)
        return features

    def forward(self, features: dict[str, Any], engine: Engine | None = None, **_: Any) -> dict[str, Any]:
        """Embed what :meth:`preprocess` returned.

        Args:
            features: gets ``sentence_embedding`` of shape (texts, dimension), and from the stock engine also
                ``token_embeddings``.
            engine: in place of the module's own.

        Returns:
            ``features``.
        """
        if engine is not None:
            _check_engine(engine)
        if (engine or self.engine) == "stock" or torch.is_grad_enabled() or not self._run_engine(features):
            stock = {name: features[name] for name in ("input_ids", "attention_mask")}
            features |= self.pooling(self._stock_transformer()(stock))
        return features

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _run_engine(self, features: dict[str, Any]) -> bool:
        """Embed by the shared-prefix engine; return whether that does what the two stock modules do."""
        around = (self.transformer, self.pooling)
        if "prefix_ids" not in features or self.pooling.pooling_mode != "lasttoken" or foreign_code(around):
            return False
        lengths = features["attention_mask"].sum(dim=1).tolist()
        rows = [row[:length] for row, length in zip(features["input_ids"].tolist(), lengths, strict=True)]
        features["sentence_embedding"] = self._shared_prefix_engine().last_token_states(
            rows, prefix=features["prefix_ids"].tolist(), layer=self.layer
        )
        return True

    def _checked_limit(self, name: str, value: Any) -> int:
        """Return a limit of length as an int, or say why a row of that many tokens cannot be."""
        if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 1:
            raise SettingError(f"{name}={value!r} is no number of tokens: give a whole number above 0, or None")
        if self._positions is not None and int(value) > self._positions:
            backbone = type(self.transformer.model).__name__
            raise SettingError(
                f"{name}={value} is more than the {self._positions} positions that {backbone} has a table of: give "
                f"{self._positions} or less"
            )
        return int(value)

    def __repr__(self) -> str:
        name, backbone = type(self).__name__, type(self.transformer.model).__name__
        dimension = self.get_embedding_dimension()
        return f"{name}({backbone}, template={str(self.template)!r}, layer={self.layer}, dimension={dimension})"

    def _stock_transformer(self) -> Transformer:
        """Return the stock module, or what may be hooked in its place.

        Asked for hidden states, transformers hooks every layer with a local function for good, and then the model can
        no longer be sent to another process.
        """
        if self.layer == -1:
            return self.transformer
        return sharing_copy(self.transformer, self.tokenizer, self.config)

    def _shared_prefix_engine(self) -> SharedPrefixEngine:
        backbone = self.transformer.model
        if self._engine is None or self._engine.backbone is not backbone:
            self._engine = SharedPrefixEngine(backbone)
        return self._engine

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the stock ``Transformer`` module that this one holds; ``PromptEOL.save`` writes the whole."""
        self.transformer.save(output_path, *args, safe_serialization=safe_serialization, **kwargs)

    def _probe_dimension(self) -> int:
        # Not the configuration's hidden size: OPT-350m's last layer is narrower than the others.
        backbone = self.transformer.model
        with torch.inference_mode():
            (states,) = ReferenceForward(backbone, input_device(backbone)).states([[0]], [self.layer])
        return int(states.shape[-1])


def _read_prompts_alone(transformer: Transformer) -> None:
    """Leave out of a stock module what would make other rows of a text than :meth:`PromptEOLModule.preprocess` does."""
    transformer.query_length = transformer.document_length = None
    # GPT-2 would add the first token's embedding to every position.
    typed = "token_type_ids" in transformer.processor.model_input_names
    transformer.processing_kwargs = {"text": {"return_token_type_ids": False}} if typed else {}


def _check_engine(engine: str) -> None:
    if engine not in get_args(Engine):
        raise ModelError(f"engine={engine!r} is none of {', '.join(map(repr, get_args(Engine)))}")


def _max_length(processing_kwargs: Mapping[str, Mapping[str, Any]] | None) -> int | None:
    """Return the length that ``encode(processing_kwargs={"text": {"max_length": ...}})`` asks for."""
    text = (processing_kwargs or {}).get("text", {})
    unknown = [*(set(processing_kwargs or {}) - {"text"}), *(set(text) - {"max_length", "truncation"})]
    if unknown or text.get("truncation", True) is not True:
        raise SettingError(
            f"processing_kwargs={processing_kwargs!r}: PromptEOL tokenizes whole prompts, and takes "
            '{"text": {"max_length": ...}} alone'
        )
    return text.get("max_length")
