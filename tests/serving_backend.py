"""A small HTTP server that embeds with transformers alone, well or with a fault."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


class Backend:
    """Embed as a server does, from the files of a saved model; ``fault`` says what goes wrong."""

    def __init__(self, folder, fault="", dtype=torch.float32, bakes_prompt=True, limit=512):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=dtype)
        self.fault, self.bakes_prompt, self.limit = fault, bakes_prompt, limit
        self.key, self.seen = "", []
        one, other = (self.rendered([{"role": "user", "content": text}])[::-1] for text in ("0", "1 2 3 4"))
        self.tail = next(place for place, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1)

    def rendered(self, messages):
        """Token ids of a conversation, by the chat template."""
        written = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return self.tokenizer(written, add_special_tokens=False)["input_ids"]

    def row(self, text):
        """Token ids of a plain text, as a tokenizer with the prompt in it makes them, or one without."""
        if self.fault == "prompt lost" or not self.bakes_prompt:
            return self.tokenizer(text)["input_ids"]
        if self.fault == "prompt twice":
            text = self.tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
            text = text.removeprefix(self.tokenizer.bos_token or "")
        if self.fault == "normalization lost":
            whole = self.tokenizer.apply_chat_template([{"role": "user", "content": "X"}], tokenize=False)
            return self.tokenizer(whole.replace("X.", text), add_special_tokens=False)["input_ids"]
        row = self.rendered([{"role": "user", "content": text}])
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        if self.fault == "tail cut":
            return row[: len(row) - self.tail]
        changed = {"BOS twice": [bos, *row], "BOS added": [bos, *row], "no BOS": row[1:], "EOS added": [*row, eos]}
        return changed.get(self.fault, row)

    def vector(self, row):
        if len(row) > self.limit:
            # An exported tokenizer keeps the tail but for the piece that stands next to the text.
            kept = {"cuts the end": 0, "cuts as an export": self.tail - 1}.get(self.fault, self.tail)
            row = row[: self.limit - kept] + row[len(row) - kept :]
        with torch.inference_mode():
            states = self.model(input_ids=torch.tensor([row])).last_hidden_state[0].float()
        return {"wrong pooling": states.mean(0)}.get(self.fault, states[-1]).numpy()

    def rows(self, body):
        if "messages" in body:
            return [self.rendered(body["messages"])]
        inputs = body.get("input", body.get("inputs"))
        inputs = [inputs] if isinstance(inputs, str) else inputs
        return [self.row(one) if isinstance(one, str) else one for one in inputs]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, value):
        payload = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        with suppress(BrokenPipeError):  # the client may have stopped waiting
            self.wfile.write(payload)

    def do_GET(self):
        self.answer(200, {"data": [{"id": "served"}]} if self.path == "/v1/models" else b"hello")

    def do_POST(self):
        backend = self.server.backend
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        backend.seen.append((self.path, dict(self.headers), body))
        if callable(backend.fault):
            self.answer(*backend.fault(self, body))
            return
        if backend.key and self.headers.get("Authorization") != f"Bearer {backend.key}":
            self.answer(401, {"error": f"wrong key {self.headers.get('Authorization')}"})
            return
        if ("messages" in body and not getattr(backend, "chats", True)) or self.path not in (
            "/v1/embeddings",
            "/embed",
        ):
            self.answer(400, {"error": "no messages here"})
            return
        rows = backend.rows(body)
        vectors = [backend.vector(row) for row in rows]
        if backend.fault == "batch differs" and len(vectors) > 1:
            vectors = [vector + 0.05 * vectors[0] for vector in vectors]
        vectors = [vector / np.linalg.norm(vector) for vector in vectors]
        if "dimensions" in body and backend.fault != "dimensions ignored":
            vectors = [vector[: body["dimensions"]] for vector in vectors]
        if self.path == "/embed":
            self.answer(200, [vector.tolist() for vector in vectors])
            return
        coded = [
            base64.b64encode(vector.astype("<f4").tobytes()).decode()
            if body.get("encoding_format") == "base64"
            else vector.tolist()
            for vector in vectors
        ]
        # Not in their order: the index counts.
        data = [{"index": index, "embedding": one} for index, one in enumerate(coded)][::-1]
        tokens = sum(min(len(row), backend.limit) for row in rows)
        self.answer(200, {"data": data, "usage": {"prompt_tokens": tokens}})


@contextmanager
def running(backend) -> Iterator[str]:
    """Serve on a free port of this machine, and yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.backend = backend
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
