"""Serve a GGUF file with llama.cpp's server, as the command that an export prints does: file, port, context."""

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
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
threading.Event().wait()
