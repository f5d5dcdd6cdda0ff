// Run the page's own JavaScript on standard input: {page, texts, demonstration, words, tokenizer, model} as JSON.
// Beside a package.json of type "module" lie prompt.js and engine.js; with a tokenizer, npm's packages in modules.
import fs from 'node:fs'
import { createRequire } from 'node:module'
import { demonstrationFault, normalize, render } from './prompt.js'
import { Engine, nearest, rowsOf, same, spell } from './engine.js'

const given = JSON.parse(fs.readFileSync(0, 'utf8'))
const { page, texts, demonstrations } = given
const found = {
  normalized: given.rewrites?.map(rewrites => texts.map(text => normalize(text, rewrites))),
  rendered: page && texts.map(text => render(page, text, demonstrations)),
  faults: given.pairs?.map(([sentence, word]) => demonstrationFault({ sentence, word })),
  spelled: given.tokens && spell(given.tokens.map((_, id) => id), given.probabilities, id => given.tokens[id], 3),
}
found.same = given.lists?.map(([one, other]) => same(one, other))
if (given.tokenizer) {
  const { Tokenizer } = createRequire(`${given.modules}/`)('@huggingface/tokenizers')
  const tokenizer = new Tokenizer(JSON.parse(fs.readFileSync(given.tokenizer, 'utf8')), {})
  const ids = text => tokenizer.encode(text, { add_special_tokens: false }).ids
  found.ids = texts.map(text => ids(text).filter(id => id !== undefined))
}
if (given.folder) {
  const require = createRequire(`${given.modules}/`)
  const { Tokenizer } = require('@huggingface/tokenizers')
  const ort = require('onnxruntime-node')
  const json = name => JSON.parse(fs.readFileSync(`${given.folder}/${name}`, 'utf8'))
  const tokenizer = new Tokenizer(json('page/tokenizer.json'), { clean_up_tokenization_spaces: page.clean_up })
  const session = await ort.InferenceSession.create(`${given.folder}/onnx/model.onnx`)
  const engine = new Engine(page, tokenizer, ort, session)
  found.check = engine.check()
  found.rows = engine.tokens.rows(texts, demonstrations).map(({ ids }) => ids)
  const batch = await engine.embed(texts, { demonstrations, words: 5 })
  found.batch = batch.map(({ vector }) => vector)
  found.words = batch.map(({ words }) => words.map(({ word }) => word))
  found.single = []
  for (const text of texts) found.single.push((await engine.embed([text], { demonstrations }))[0].vector)
  const corpus = rowsOf(fs.readFileSync(`${given.folder}/page/corpus.f32`).buffer.slice(0), page.dimension)
  found.nearest = batch.map(({ vector }) => nearest(vector, page.corpus, corpus, 3).map(({ text }) => text))
}
console.log(JSON.stringify(found))
