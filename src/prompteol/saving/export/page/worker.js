// Load the model and compute beside the page, so that it stays quick: messages in, results and progress out.
import * as ort from '../vendor/ort.wasm.bundle.min.js'
import { Tokenizer } from '../vendor/tokenizers.min.js'
import { Engine, rowsOf } from './engine.js'

let engine

/** Fetch a file of the page's own, and report each piece that arrives. */
async function download({ path, bytes }, arrived) {
  const response = await fetch(new URL(`../${path}`, import.meta.url))
  if (!response.ok) throw new Error(`${path} is not there: the server answers ${response.status}.`)
  const whole = new Uint8Array(bytes)
  const reader = response.body.getReader()
  for (let at = 0; ; ) {
    const { done, value } = await reader.read()
    if (done) {
      if (at !== bytes) throw new Error(`${path} has ${at} bytes where ${bytes} were exported: upload the folder again.`)
      return whole.buffer
    }
    if (at + value.length > bytes) throw new Error(`${path} is longer than what was exported: upload the folder again.`)
    whole.set(value, at)
    at += value.length
    arrived(value.length)
  }
}

const commands = {
  async load({ page }, report) {
    let loaded = 0
    const total = page.files.reduce((sum, { bytes }) => sum + bytes, 0)
    const arrived = length => report({ loaded: (loaded += length), total })
    const files = {}
    for (const file of page.files) files[file.role] = await download(file, arrived)
    const text = new TextDecoder().decode(files.tokenizer)
    const tokenizer = new Tokenizer(JSON.parse(text), { clean_up_tokenization_spaces: page.clean_up })
    // Threads would need headers that a static host does not send.
    Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: files.runtime })
    const session = await ort.InferenceSession.create(new Uint8Array(files.graph))
    engine = new Engine(page, tokenizer, ort, session)
    return { check: engine.check(), corpus: rowsOf(files.corpus, page.dimension).map(row => Array.from(row)) }
  },
  embed({ texts, options }, report) {
    return engine.embed(texts, { ...options, done: count => report({ embedded: count, of: texts.length }) })
  },
}

self.onmessage = async ({ data: { id, command, ...input } }) => {
  const report = progress => self.postMessage({ id, progress })
  try {
    self.postMessage({ id, result: await commands[command](input, report) })
  } catch (error) {
    self.postMessage({ id, error: error.message || String(error) })
  }
}
