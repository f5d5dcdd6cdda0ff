"""Define every error that this package raises on purpose.

    PromptEOLError
    ├── TemplateError         a prompt template or demonstration that cannot be used
    ├── InputError            a text that cannot be embedded
    ├── NonFiniteError        an embedding with NaN or infinity in it
    ├── ModelError            a model that cannot be a PromptEOL backbone
    │   ├── ModelNotFoundError  nothing lies at that path or name
    │   └── LayerError        a layer outside the backbone
    ├── ArtifactError         a saved model whose files contradict each other
    ├── ExportError           a model that no server would serve with its own vectors
    ├── HubError              a request that the Hub refuses, or that does not reach it
    ├── SettingError          an argument outside what it may be
    ├── IndexMismatchError    a search index that another model built
    ├── CorpusError           a file of texts or vectors that cannot be read or written
    ├── TuningError           a tuning run that has nothing to compare, or whose results belong to another one
    ├── EvaluationError       a task, its data or its results that cannot be used
    ├── TrainingError         a training whose recipe or data cannot be used
    ├── ServerError           a server of embeddings that cannot be reached, refuses, or answers with no vectors
    ├── MissingExtraError     an optional dependency that is not installed
    └── IncompatibleVersionError  installed packages of versions that exclude each other

Each message names the offending value, what was expected and what to type next. Where users would catch a
built-in error, the class is one too. None is a ``TypeError`` or ``AttributeError``: sentence-transformers
catches those two while preprocessing and silently retries without the prompt.
"""

__all__ = [
    "ArtifactError",
    "CorpusError",
    "EvaluationError",
    "ExportError",
    "HubError",
    "IncompatibleVersionError",
    "IndexMismatchError",
    "InputError",
    "LayerError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "NonFiniteError",
    "PromptEOLError",
    "ServerError",
    "SettingError",
    "TemplateError",
    "TrainingError",
    "TuningError",
]


class PromptEOLError(Exception):
    """The root: catch this to catch everything below."""


class TemplateError(PromptEOLError, ValueError):
    """A prompt template or a demonstration cannot be used.

    Write ``{text}`` once and words behind it; a demonstration is a sentence and exactly one word.
    """


class InputError(PromptEOLError, ValueError):
    """A text cannot be embedded.

    Texts are strings: convert or leave out what is none, such as ``None`` and numbers of a table.
    """


class NonFiniteError(PromptEOLError, ArithmeticError):
    """An embedding holds NaN or infinity.

    Mostly fp16 overflowed: compute in bfloat16 or float32, with ``dtype``.
    """


class ModelError(PromptEOLError, ValueError):
    """A model cannot be a PromptEOL backbone.

    Give a causal language model, an adapter of one, or a saved model; ``prompteol check`` says more of it.
    """


class ModelNotFoundError(ModelError, FileNotFoundError):
    """Nothing lies at that path or name.

    Look for a typing error; for a gated model log in with ``hf auth login``; offline, download it before.
    """


class LayerError(ModelError, IndexError):
    """A layer lies outside the backbone.

    Count from the end, ``-1`` to minus the number of layers, or give a share of the depth such as ``0.9``.
    """


class ArtifactError(PromptEOLError, ValueError):
    """The files of a saved model contradict each other.

    Somebody edited one of them: save the model anew, or take the edit back.
    """


class ExportError(PromptEOLError, ValueError):
    """A model cannot be exported so that servers give its vectors.

    Serve the saved folder and send token ids; ``--allow-inexact`` writes an export whose texts differ.
    """


class HubError(PromptEOLError, OSError):
    """The Hub refuses a request, or is not reached.

    The message says which address was asked and what to do.
    """


class SettingError(PromptEOLError, ValueError):
    """An argument lies outside what it may be.

    The message says what it may be.
    """


class IndexMismatchError(PromptEOLError, ValueError):
    """A search index was built by another model than the one that is about to query it.

    Load the model with the settings that built the index, or build the index anew.
    """


class CorpusError(PromptEOLError, ValueError):
    """A file of texts or vectors cannot be read or written.

    The message names file and line; ``--on-error skip`` leaves such rows of a corpus out, and lists them.
    """


class TuningError(PromptEOLError, ValueError):
    """A tuning run has nothing to compare, or its results belong to another one.

    Give pairs and candidates, or another file of results with ``--results``.
    """


class EvaluationError(PromptEOLError, ValueError):
    """A task, its data or its results cannot be used.

    Compare the folder with the layout of SentEval's ``data/downstream``.
    """


class TrainingError(PromptEOLError, ValueError):
    """A training has a recipe or data that cannot be used, or belongs to another one.

    Mend the row that the message names; to begin another training, give another folder.
    """


class ServerError(PromptEOLError, ConnectionError):
    """A server of embeddings cannot be reached, refuses a request, or answers with no vectors.

    ``status`` is the HTTP status of its answer; ``None`` where there was no answer, or one that cannot be read.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class MissingExtraError(PromptEOLError, ImportError):
    """An optional dependency is not installed.

    Run the command that the message ends in.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package!r} is needed here: pip install "prompteol[{extra}]"', name=package)


class IncompatibleVersionError(PromptEOLError, ImportError):
    """Installed packages are of versions that exclude each other.

    Install with ``--constraint constraints.txt``, or the versions that the message names.
    """
