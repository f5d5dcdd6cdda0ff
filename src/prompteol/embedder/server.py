"""Ask an embedding server for vectors, by OpenAI's interface or by that of Text Embeddings Inference."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompteol.errors import ServerError, SettingError
from prompteol.extras import check_extra

API_KEY = "PROMPTEOL_API_KEY"
"""The environment variable that holds the key of a server."""

Vectors = NDArray[np.float32]
_SHOWN = 200


@dataclass(frozen=True)
class Answer:
    """Hold the vectors of one request, and how many tokens the server says it read."""

    vectors: Vectors
    tokens: int | None


@dataclass
class EmbeddingServer:
    """Send texts, token ids or messages to a server, and return what it answers as float32.

    Args:
        url: the server's URL (``http://localhost:8000``), or that of the interface: a path that ends in ``/embed`` is
            that of Text Embeddings Inference, any other is OpenAI's, below ``/v1`` where the URL has no path.
        name: the model's name on the server; some servers check it.
        api_key: sent as a bearer token, and never shown; ``None`` takes the environment variable PROMPTEOL_API_KEY.
        timeout: seconds to wait for an answer.

    Raises:
        SettingError: the URL or the key cannot be used.
        MissingExtraError: httpx2 is not installed.
    """

    url: str
    name: str = ""
    api_key: InitVar[str | None] = None
    timeout: float = 60.0

    def __post_init__(self, api_key: str | None) -> None:
        check_extra("server", "httpx2")
        import httpx2

        try:
            parsed = httpx2.URL(self.url)
        except (httpx2.InvalidURL, TypeError):
            parsed = httpx2.URL()
        if parsed.scheme not in ("http", "https") or not parsed.host:
            # Not shown: it may hold a password.
            raise SettingError("the URL of the server lacks http:// or a host: give one such as http://localhost:8000")
        if parsed.userinfo:
            raise SettingError(f"the URL of the server holds a password: leave it out, and set {API_KEY}")
        self.address = _address(parsed)
        self._key = (os.environ.get(API_KEY, "") if api_key is None else api_key).strip()
        if not (self._key.isascii() and self._key.isprintable()):
            # Not shown: an HTTP library would, in the error that it raises of such a header.
            raise SettingError(f"the API key holds a character that no header may: set {API_KEY} anew")

    @property
    def speaks_openai(self) -> bool:
        """Whether requests are OpenAI's, and not those of Text Embeddings Inference."""
        return not self.address.endswith("/embed")

    def embed(self, inputs: Sequence[str] | Sequence[Sequence[int]], **options: Any) -> Answer:
        """Return the vectors of texts or of rows of token ids, in their order.

        ``options`` are fields of the request, such as ``encoding_format`` and ``dimensions``.

        Raises:
            ServerError: there is no answer, the server refuses, or it answers with no vectors.
        """
        return self._read(self._post(self._body("input", list(inputs), options)), len(inputs))

    async def aembed(self, inputs: Sequence[str] | Sequence[Sequence[int]], **options: Any) -> Answer:
        """Do what :meth:`embed` does while the event loop goes on."""
        import httpx2

        body = self._body("input", list(inputs), options)
        try:
            async with httpx2.AsyncClient(**self._settings()) as client:
                response = await client.post(self.address, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(error) from None
        return self._read(self._checked(response), len(inputs))

    def embed_messages(self, messages: Sequence[Mapping[str, str]], **options: Any) -> Answer:
        """Return the vector of one conversation, which the server renders with the model's chat template."""
        return self._read(self._post(self._body("messages", list(messages), options)), 1)

    def adopt_name(self) -> None:
        """Take the name of the first model that the server lists, where it lists any."""
        import httpx2

        with suppress(httpx2.HTTPError, ValueError, LookupError, TypeError):
            with httpx2.Client(**self._settings()) as client:
                listed = client.get(self.address.removesuffix("/embeddings") + "/models").json()
            self.name = str(listed["data"][0]["id"])

    def _body(self, key: str, inputs: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        if self.speaks_openai:
            return {"model": self.name, key: inputs, "encoding_format": "float", **options}
        return {"inputs": inputs, "normalize": True, "truncate": False, **options}

    def _settings(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return {"headers": headers, "timeout": self.timeout}

    def _post(self, body: Mapping[str, Any]) -> Any:
        import httpx2

        try:
            with httpx2.Client(**self._settings()) as client:
                response = client.post(self.address, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # Not as its cause: that holds the request, and the request the key.
            raise self._unreachable(error) from None
        return self._checked(response)

    def _unreachable(self, error: Exception) -> ServerError:
        import httpx2

        if isinstance(error, httpx2.TimeoutException):
            return ServerError(f"{self.address} gave no answer within {self.timeout:g} s: is it still loading?")
        return ServerError(f"{self.address} cannot be reached ({self._safe(str(error))}): is the server running?")

    def _checked(self, response: Any) -> Any:
        """Return the JSON of an answer, or raise for one that is none."""
        status = int(response.status_code)
        if status != 200:
            advice = {401: f": set {API_KEY}", 403: f": set {API_KEY}", 404: ": check the URL, and the model's name"}
            said = self._safe(response.text) or "nothing"
            raise ServerError(f"{self.address} answered HTTP {status} ({said}){advice.get(status, '')}", status)
        try:
            return response.json()
        except ValueError:
            said = self._safe(response.text) or "nothing"
            raise ServerError(f"{self.address} answered no JSON but {said!r}: give the URL of the API") from None

    def _read(self, answer: Any, count: int) -> Answer:
        try:
            if not self.speaks_openai:
                return Answer(_matrix(answer, count), None)
            rows = sorted(answer["data"], key=lambda row: row.get("index", 0))
            indices = [row["index"] for row in rows if "index" in row]
            if len(set(indices)) < len(indices):
                raise ValueError(f"rows share an index: {indices}")
            vectors = _matrix([_vector(row["embedding"]) for row in rows], count)
            tokens = (answer.get("usage") or {}).get("prompt_tokens")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = self._safe(json.dumps(answer))
            raise ServerError(
                f"{self.address} answered without {count} vectors ({said}): give the URL of an embedding API"
            ) from error
        return Answer(vectors, tokens if isinstance(tokens, int) and tokens > 0 else None)

    def _safe(self, text: str) -> str:
        """Shorten what came from outside to a line, with the key taken out: servers repeat it in refusals."""
        for key in (self._key, json.dumps(self._key)[1:-1]) if self._key else ():
            text = text.replace(key, "***")
        # What is not printable may be a command to the terminal.
        return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_SHOWN]


def _address(url: Any) -> str:
    path = url.path.rstrip("/")
    if path.endswith(("/embeddings", "/embed")):
        return str(url.copy_with(path=path))
    return str(url.copy_with(path=f"{path or '/v1'}/embeddings"))


def _vector(embedding: Any) -> Any:
    return np.frombuffer(base64.b64decode(embedding), dtype="<f4") if isinstance(embedding, str) else embedding


def _matrix(rows: Any, count: int) -> Vectors:
    matrix = np.asarray(rows, dtype=np.float32)
    if matrix.shape[:1] != (count,) or matrix.ndim != 2 or not matrix.shape[1]:
        raise ValueError(f"{matrix.shape} is no matrix of {count} rows")
    return matrix
