"""Verify that a server gives the local model's vectors, and name the fault where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from prompteol.embedder.server import Answer, EmbeddingServer
from prompteol.errors import ServerError, SettingError
from prompteol.prompts import PromptTask
from prompteol.serving.faults import FAULTS
from prompteol.serving.variants import Diagnosis, LocalModel
from prompteol.vectors import tolerance as tolerance_of
from prompteol.vectors import unit

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

Form = Literal["plain", "messages", "tokens"]
FORMS: tuple[Form, ...] = get_args(Form)
Verdict = Literal["exact", "fault", "inexact", "refused", "not taken"]

TOLERANCE = tolerance_of(torch.float32)
"""How far entries of two vectors of length 1 may differ in fp32."""

# Ends, quotes and blanks that the normalization of texts changes, and some that it does not.
_TEXTS = (
    "A man is playing a guitar.",
    "the president is riding a horse",
    "Who is the president?",
    'He said "two dogs" and ran in the snow',
    "A storm  floods\nthe town",
    "Der Zug nach Köln fällt heute aus, sagte die Bahn.",
)
_SENTENCE = "The cat sat on the mat, and the dogs ran in the snow. "
_LONG_TOKENS = 1200
_NAMES: dict[Form, str] = {"plain": "plain text", "messages": "chat messages", "tokens": "token ids"}
# A cut in another place than the model's own is a fault only if it changes the meaning.
_SAME_MEANING = 0.998
# The lowest cosine that is accepted after the cut of an exported tokenizer.
_STILL_NEAR = 0.9
_CUTS = ("text cut elsewhere", "text not cut", "tail shortened")


@dataclass(frozen=True)
class ServerFinding:
    """Hold the result of one kind of request: the fault, its remedy, and the cosine to the right vectors.

    An ``inexact`` answer differs as much as the export's own figures say, for a long text that its tokenizer cuts.
    """

    request: str
    verdict: Verdict
    fault: str = ""
    detail: str = ""
    mend: str = ""
    cosine: float | None = None
    difference: float | None = None


@dataclass(frozen=True)
class Verification:
    """Hold all findings of a server; it is ``exact`` where no answer was wrong."""

    server: str
    findings: tuple[ServerFinding, ...]

    @property
    def exact(self) -> bool:
        """Whether every answer that was given equals the local model's."""
        return all(found.verdict != "fault" for found in self.findings)

    @property
    def faults(self) -> list[str]:
        """The names of the faults, in the order of the requests."""
        return [found.fault for found in self.findings if found.verdict == "fault"]

    def as_record(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {"server": self.server, "exact": self.exact, "findings": [asdict(found) for found in self.findings]}


def verify(
    url: str,
    model: PromptEOL | str | Path | None = None,
    *,
    inputs: Sequence[Form] = FORMS,
    task: PromptTask | None = None,
    name: str | None = None,
    api_key: str | None = None,
    tolerance: float = TOLERANCE,
    timeout: float = 60.0,
    load: Callable[[Any], PromptEOL] | None = None,
) -> Verification:
    """Compare a server's vectors with the local model's, and name the fault of each difference.

    The vectors of every known fault are computed locally, and the nearest to the server's is named.

    Args:
        url: the URL of the server, its ``/v1/embeddings``, or its ``/embed``; see :class:`EmbeddingServer`.
        model: the local model, or its name as :class:`prompteol.PromptEOL` takes it; ``None`` is the one that ships.
        inputs: the forms of a request to try: ``"plain"``, ``"messages"`` and ``"tokens"``.
        task: ``"query"`` or ``"document"`` expects the prompt of that task.
        name: the model's name on the server; ``None`` takes the name that the server lists, else the local name.
        api_key: sent as a bearer token; ``None`` takes the environment variable PROMPTEOL_API_KEY.
        tolerance: how far entries of vectors of length 1 may differ.
        timeout: seconds to wait for each answer.
        load: loads a model by name; :class:`prompteol.PromptEOL` by default.

    Raises:
        ServerError: the server cannot be reached, or takes none of the forms.
        SettingError: an argument is not valid, or no server can compute the model.
        ModelError: there is no such local model.
        MissingExtraError: httpx2 is not installed.
    """
    if not inputs or set(inputs) - set(FORMS):
        raise SettingError(f"inputs={inputs!r}: give some of {', '.join(map(repr, FORMS))}")
    server = EmbeddingServer(url, name or "", api_key, timeout)
    if name is None and server.speaks_openai:
        server.adopt_name()
    if model is None or isinstance(model, (str, Path)):
        from prompteol.sentence_transformers import PromptEOL

        model = (load or PromptEOL)(model)
    return Verification(server.address, tuple(_Comparison(server, LocalModel(model, task), tolerance).run(inputs)))


class _Comparison:
    """Send requests of each kind, and compare the answers."""

    def __init__(self, server: EmbeddingServer, local: LocalModel, tolerance: float) -> None:
        self.server, self.local, self.tolerance = server, local, tolerance

    def run(self, forms: Sequence[Form]) -> Iterator[ServerFinding]:
        """Yield a finding for each form, then those of the best form that the server takes."""
        judged: dict[Form, tuple[ServerFinding, np.ndarray[Any, Any] | None]] = {}
        for form in forms:
            judged[form] = self._form(form)
        if all(vectors is None for _, vectors in judged.values()):
            reasons = "; ".join(dict.fromkeys(found.detail for found, _ in judged.values()))
            raise ServerError(f"the server takes none of {', '.join(forms)}: {reasons}")
        for found, _ in judged.values():
            yield found
        taken = [form for form in judged if judged[form][1] is not None]
        # A request holds one conversation, so messages do not test batches.
        taken.sort(key=lambda form: (judged[form][0].verdict != "exact", form == "messages"))
        best = taken[0]
        together = judged[best][1]
        assert together is not None
        if not np.isfinite(together).all():
            return
        # If the short texts show a fault, the other requests would only repeat it.
        if judged[best][0].verdict == "exact":
            yield self._long(best)
        if best != "messages":
            yield self._same("one text at a time", "batch differs", self._alone(best), together)
        if self.server.speaks_openai:
            yield self._base64(best, together)
        yield self._dimensions(best, together)

    def _ask(self, form: Form, texts: Sequence[str], **options: Any) -> Answer:
        if form == "messages":
            answers = [self.server.embed_messages(self.local.messages(text), **options) for text in texts]
            return Answer(np.concatenate([answer.vectors for answer in answers]), answers[-1].tokens)
        return self.server.embed(texts if form == "plain" else self.local.rows(texts), **options)

    def _form(self, form: Form) -> tuple[ServerFinding, np.ndarray[Any, Any] | None]:
        request = _NAMES[form]
        if form == "messages" and not self.server.speaks_openai:
            return ServerFinding(request, "not taken", detail="the interface has none"), None
        try:
            answer = self._ask(form, _TEXTS)
        except ServerError as error:
            return _declined(request, error), None
        diagnosis = self.local.diagnose(unit(answer.vectors), self.local.variants(_TEXTS), self.tolerance)
        if diagnosis.fault and form != "messages":
            alone = self.local.diagnose(unit(self._alone(form)), self.local.variants(_TEXTS), self.tolerance)
            if not alone.fault:
                diagnosis = replace(diagnosis, fault="batch differs", detail="one text at a time is exact")
        lengths = np.linalg.norm(answer.vectors, axis=1)
        scaled = bool(np.abs(lengths - 1).max() < 1e-3)
        told = "length 1" if scaled else f"lengths {lengths.min():.3g} to {lengths.max():.3g}"
        return _finding(request, diagnosis, told), answer.vectors

    def _long(self, form: Form) -> ServerFinding:
        request, text = f"a long text, as {_NAMES[form]}", self._long_text()
        note = ""
        try:
            answer = self._ask(form, [text])
        except ServerError as error:
            option = {"truncate_prompt_tokens": -1} if self.server.speaks_openai else {"truncate": True}
            try:
                answer = self._ask(form, [text], **option)
            except ServerError as again:
                if again.status is None:
                    return ServerFinding(request, "not taken", detail=str(again))
                return ServerFinding(request, "refused", detail=str(error), mend=FAULTS["refused"])
            note = f"with {option}, else refused"
        diagnosis = self.local.diagnose(
            unit(answer.vectors), self.local.cut_variants(text, answer.tokens), self.tolerance
        )
        if diagnosis.fault in _CUTS and diagnosis.cosine >= _SAME_MEANING:
            diagnosis, note = replace(diagnosis, fault=""), f"{note} {diagnosis.fault}, which hardly shows".strip()
        found = _finding(request, diagnosis, note)
        # The server is right: every export cuts like this, and export.json holds the size of the effect.
        accepted = found.fault == "tail shortened" and diagnosis.cosine >= _STILL_NEAR
        return replace(found, verdict="inexact") if accepted else found

    def _long_text(self) -> str:
        """Return a text a little past the model's limit, or one past the usual limits of servers."""
        each = len(self.local.rows([_SENTENCE * 2], 10_000)[0]) - len(self.local.rows([_SENTENCE], 10_000)[0])
        return (_SENTENCE * (min(self.local.limit + 32, _LONG_TOKENS) // max(each, 1) + 1)).strip()

    def _alone(self, form: Form) -> np.ndarray[Any, Any]:
        return np.concatenate([self._ask(form, [text]).vectors for text in _TEXTS])

    def _base64(self, form: Form, together: np.ndarray[Any, Any]) -> ServerFinding:
        return self._optional(
            "base64", lambda: self._ask(form, _TEXTS, encoding_format="base64").vectors, "base64 differs", together
        )

    def _dimensions(self, form: Form, together: np.ndarray[Any, Any]) -> ServerFinding:
        half = together.shape[1] // 2
        return self._optional(
            f"dimensions: {half}", lambda: self._ask(form, _TEXTS, dimensions=half).vectors,
            "dimensions ignored", together[:, :half],
        )  # fmt: skip

    def _optional(
        self, request: str, ask: Callable[[], np.ndarray[Any, Any]], fault: str, expected: np.ndarray[Any, Any]
    ) -> ServerFinding:
        try:
            found = ask()
        except ServerError as error:
            return _declined(request, error)
        return self._same(request, fault, found, expected)

    def _same(
        self, request: str, fault: str, found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]
    ) -> ServerFinding:
        if found.shape != expected.shape:
            sizes = f"{found.shape[1]} dimensions, not {expected.shape[1]}"
            return ServerFinding(request, "fault", fault, sizes, FAULTS[fault])
        one, other = unit(found), unit(expected)
        if not np.isfinite(one).all():
            return ServerFinding(request, "fault", fault, "numbers that are not finite", FAULTS[fault])
        difference, cosine = float(np.abs(one - other).max()), float((one * other).sum(axis=1).min())
        # Under a coarse dtype, the neighbors of a text in its batch change its vector a little.
        if difference <= self.tolerance:
            return ServerFinding(request, "exact", cosine=cosine, difference=difference)
        return ServerFinding(request, "fault", fault, "", FAULTS[fault], cosine, difference)


def _finding(request: str, diagnosis: Diagnosis, note: str) -> ServerFinding:
    if not diagnosis.fault:
        return ServerFinding(request, "exact", "", note, "", diagnosis.cosine, diagnosis.difference)
    detail = diagnosis.detail or f"cosine {diagnosis.nearest:.5f} to the vectors with this fault"
    return ServerFinding(
        request, "fault", diagnosis.fault, "; ".join(filter(None, (detail, note))), FAULTS[diagnosis.fault],
        diagnosis.cosine, diagnosis.difference,
    )  # fmt: skip


def _declined(request: str, error: ServerError) -> ServerFinding:
    """Note that a server does not take a kind of request; raise where it would take no other either."""
    if error.status in (None, 401, 403, 404):
        raise error
    return ServerFinding(request, "not taken", detail=str(error))
