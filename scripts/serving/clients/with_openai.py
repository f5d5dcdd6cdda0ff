"""Print the vectors that a server gives through the package openai: URL, then texts as JSON on standard input."""

import json
import sys

from openai import OpenAI

client = OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none")
name = client.models.list().data[0].id
answer = client.embeddings.create(model=name, input=json.load(sys.stdin))
print(json.dumps([row.embedding for row in answer.data]))
