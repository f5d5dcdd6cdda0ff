// Print the vectors that onnxruntime-node gives of the rows of transformers.js: a folder, then texts as JSON on standard input.
import fs from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(`${process.cwd()}/`)
const ort = require('onnxruntime-node')
const { PreTrainedTokenizer } = require('@huggingface/transformers')

const folder = process.argv[2]
const json = file => JSON.parse(fs.readFileSync(file, 'utf8'))
const tokenizer = new PreTrainedTokenizer(json(`${folder}/tokenizer.json`), json(`${folder}/tokenizer_config.json`))
const session = await ort.InferenceSession.create(`${folder}/onnx/model.onnx`)
const vectors = []
for (const text of json(0)) {
  const row = tokenizer(text, { return_tensor: false }).input_ids
  const tensor = values => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, row.length])
  const { sentence_embedding } = await session.run({ input_ids: tensor(row), attention_mask: tensor(row.map(() => 1)) })
  vectors.push(Array.from(sentence_embedding.data))
}
console.log(JSON.stringify(vectors))
