"""Embed texts with the last token's hidden state: the first module of a PromptEOL model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from sentence_transformers.base.modules import InputModule, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from prompteol.compat import read_output
from prompteol.errors import ModelError, SettingError
from prompteol.inference import SharedPrefixEngine, TrainingEngine
from prompteol.inference.attention import check_attention
from prompteol.inference.reference_forward import check_own_tokens, input_device, reference_states, sharing_copy
from prompteol.inference.structure import foreign_code
from prompteol.model.layers import positions_in_table, resolve_layer
from prompteol.prompts import PromptTask, Template
from prompteol.tokenization import PromptTokenizer, TokenRows
from prompteol.validation import check_count, check_texts

Engine = Literal["auto", "stock"]

# How transformers writes that a tokenizer has no limit.
_NO_LIMIT = int(1e30)
# The batch size of the reference forward, which pads a batch to one length.
_ROWS_AT_ONCE = 32


class PromptEOLModule(InputModule):
    """Fill the template with each text, run the backbone, and keep the state of the last token.

    Holds the two stock modules that it is saved as: a ``Transformer`` with a causal backbone, whose chat template is
    the prompt, and a ``Pooling`` of the last token. ``engine="stock"`` runs these; ``"auto"`` the shared-prefix engine,
    with the attention kernel of that name, wherever it is proven equal.
    """

    forward_kwargs: ClassVar[set[str]] = {"engine"}  # type: ignore[misc]
    save_in_root = True
    technique: Any = None

    def __init__(
        self,
        transformer: Transformer,
        template: Template,
        *,
        layer: int | float = -1,
        engine: Engine = "auto",
        attention: str = "auto",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        _check_engine(engine)
        check_attention(attention)
        self.transformer = transformer
        self._layer = resolve_layer(layer, transformer.config)
        self._positions = positions_in_table(transformer.model)
        self.engine: Engine = engine
        self._attention = attention
        self._engine: SharedPrefixEngine | None = None
        #: What embeds in training mode, in place of padded rows.
        self.training_engine: TrainingEngine | None = None
        self.prompter = PromptTokenizer(transformer.processor, template)
        _read_prompts_alone(transformer)
        # In memory and when saved.
        read_output(transformer, "last_hidden_state" if self.layer == -1 else ["hidden_states", self.layer])
        if self.max_seq_length is not None:
            self._checked_limit("max_seq_length", self.max_seq_length)
        # Not the configuration's hidden size: OPT-350m's last layer is narrower than the others.
        with torch.inference_mode():
            (states,) = reference_states(transformer.model, [[0]], [self.layer])
        self.pooling = Pooling(states.shape[-1], "lasttoken")

    @property
    def template(self) -> Template:
        """The template that texts are rendered with."""
        return self.prompter.template

    @property
    def layer(self) -> int:
        """The layer that gives the embedding, as a negative index; it is fixed for both engines."""
        return self._layer

    @property
    def attention(self) -> str:
        """The name of the engine's attention kernel, or ``"auto"``; may be set."""
        return self._attention

    @attention.setter
    def attention(self, name: str) -> None:
        check_attention(name)
        self._attention, self._engine = name, None

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
            name = type(tokenizer).__name__
            raise SettingError(
                f"tokenizer={tokenizer!r:.60} is {name}: give what AutoTokenizer.from_pretrained returns"
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

        ``None`` sets it to the number that the backbone was made for.
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
        engine: Engine | None = None,
        max_length: int | None = None,
        processing_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """Render and tokenize texts.

        ``prompt`` is put in front of everything but BOS, ``task`` selects the template of a pair, ``max_length`` stands
        in place of :attr:`max_seq_length`, also as ``processing_kwargs={"text": {"max_length": ...}}``. ``engine`` is
        given by ``encode``, which has checked the texts.

        Returns:
            ``input_ids`` and ``attention_mask``, (texts, tokens), padded on the right; with ``engine="auto"`` the
            :class:`~prompteol.tokenization.TokenRows` as ``token_rows`` in their place.
        """
        limit = max_length if max_length is not None else _max_length(processing_kwargs)
        longest = self.max_seq_length or _NO_LIMIT if limit is None else self._checked_limit("max_length", limit)
        texts = [inputs] if isinstance(inputs, str) else inputs
        if engine is None:
            check_texts(texts)
        else:
            _check_engine(engine)
        return self._features(texts, task, prompt or "", longest, engine)

    def forward(self, features: dict[str, Any], engine: Engine | None = None, **_: Any) -> dict[str, Any]:
        """Add ``sentence_embedding``, (texts, dimension), and by the stock engine ``token_embeddings``."""
        if engine is not None:
            _check_engine(engine)
        rows: TokenRows | None = features.pop("token_rows", None)
        if rows is None and self.training and self.training_engine is not None:
            rows = TokenRows.unpadded(features["input_ids"], features["attention_mask"])
        if rows is not None and (engine or self.engine) == "auto" and self._reads_last_token():
            features["sentence_embedding"] = self._packed_embeddings(rows)
            return features
        if rows is not None:
            device = input_device(self.transformer.model)
            features |= {name: tensor.to(device) for name, tensor in rows.padded().items()}
        stock = {name: features[name] for name in ("input_ids", "attention_mask")}
        features |= self.pooling(self._stock_transformer()(stock))
        return features

    def layer_states(
        self, texts: Sequence[str], layers: Sequence[int], *, task: PromptTask | None = None, prompt: str = ""
    ) -> list[Tensor]:
        """Return the states of several layers at each prompt's last token, from one pass: (texts, width) each."""
        longest = self.max_seq_length or _NO_LIMIT
        rows: TokenRows = self._features(texts, task, prompt, longest, "auto")["token_rows"]
        if self.engine == "auto" and self._reads_last_token():
            return self._shared_prefix_engine().layer_states(rows.rows, layers, prefix=rows.prefix)
        parts = [rows.rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(texts), _ROWS_AT_ONCE)]
        states = [reference_states(self.transformer.model, part, layers) for part in parts]
        return [torch.cat(layer) for layer in zip(*states, strict=True)]

    def padded_rows(
        self, texts: Sequence[str], *, task: PromptTask | None = None, prompt: str = ""
    ) -> dict[str, Tensor]:
        """Return what a language model takes: ``input_ids`` and ``attention_mask``, padded, on its device."""
        features = self._features(texts, task, prompt, self.max_seq_length or _NO_LIMIT, "stock")
        return {name: tensor.to(input_device(self.transformer.model)) for name, tensor in features.items()}

    def _features(
        self, texts: Sequence[str], task: PromptTask | None, prompt: str, max_length: int, engine: Engine | None
    ) -> dict[str, Any]:
        ids = self.prompter(texts, task=task, prompt=prompt, max_length=max_length)
        # A row alone shares nothing, nor does the reference forward.
        head = self.prompter.head(task, prompt) if len(ids) > 1 and engine == "auto" else ()
        rows = TokenRows(ids, head, self.tokenizer.pad_token_id)
        return {"token_rows": rows} if engine == "auto" else rows.padded()

    def _reads_last_token(self) -> bool:
        """Return whether the two stock modules do nothing but read the last token's state."""
        return self.pooling.pooling_mode == "lasttoken" and not foreign_code((self.transformer, self.pooling))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _packed_embeddings(self, rows: TokenRows) -> Tensor:
        return self._shared_prefix_engine().last_token_states(rows.rows, prefix=rows.prefix, layer=self.layer)

    def _checked_limit(self, name: str, value: Any) -> int:
        """Return a limit of length as an int, or say why a row of that many tokens cannot be."""
        check_count(name, value, "tokens")
        if self._positions is not None and int(value) > self._positions:
            backbone, most = type(self.transformer.model).__name__, self._positions
            raise SettingError(f"{name}={value} is more than the {most} positions of {backbone}: give {most} or less")
        return int(value)

    def __repr__(self) -> str:
        name, backbone = type(self).__name__, type(self.transformer.model).__name__
        dimension = self.get_embedding_dimension()
        return f"{name}({backbone}, template={str(self.template)!r}, layer={self.layer}, dimension={dimension})"

    def _stock_transformer(self) -> Transformer:
        """Return the stock module, or a copy that may be hooked to return hidden states."""
        check_own_tokens(self.transformer.model)
        if self.layer == -1:
            return self.transformer
        return sharing_copy(self.transformer, self.tokenizer, self.config)

    def prompt_tokenizers(self) -> Sequence[PromptTokenizer]:
        """Return one for each template that a text is put into."""
        return [self.prompter]

    def _shared_prefix_engine(self) -> SharedPrefixEngine:
        if self.training and self.training_engine is not None:
            return self.training_engine
        backbone = self.transformer.model
        if self._engine is None or self._engine.backbone is not backbone:
            self._engine = SharedPrefixEngine(backbone, attention=self._attention)
        return self._engine

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the stock ``Transformer`` module of this one; ``PromptEOL.save`` writes the whole."""
        self.transformer.save(output_path, *args, safe_serialization=safe_serialization, **kwargs)


def _read_prompts_alone(transformer: Transformer) -> None:
    """Turn off what would make a stock module's rows differ from those of :meth:`PromptEOLModule.preprocess`."""
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
        taken = '{"text": {"max_length": ...}}'
        raise SettingError(f"processing_kwargs={processing_kwargs!r}: PromptEOL takes {taken} alone")
    return text.get("max_length")
