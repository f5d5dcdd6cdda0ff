"""Serve a GGUF file with llama.cpp's server, as llama-server --embedding --pooling last -c N does: file, port, N."""

import sys
import threading

import xllamacpp

file, port, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params = xllamacpp.CommonParams()
params.model.path = file
params.port = port
params.embedding = True
params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
params.n_ctx = params.n_batch = params.n_ubatch = context
params.n_parallel = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
threading.Event().wait()
