// Embed texts: rows of tokens to unit vectors and next words, by a session of ONNX Runtime that the caller made.
import { PromptTokenizer, strip } from './prompt.js'

const TEXTS_AT_ONCE = 8
const NO_WORD = /[\u0000-\u001f\u007f-\u009f\ufffd]/

/** Scale a vector to length 1. */
export const unit = vector => {
  const length = Math.hypot(...vector) || 1
  return Array.from(vector, entry => entry / length)
}

/** Return the cosine of two unit vectors. */
export const cosine = (one, other) => one.reduce((sum, entry, place) => sum + entry * other[place], 0)

/** Return whether two lists have equal entries: as strings, ['a,b'] and ['a', 'b'] would be one. */
export const same = (one, other) => one.length === other.length && one.every((entry, place) => entry === other[place])

/** Return the texts nearest to a vector, nearest first: [{ text, score }]. */
export const nearest = (vector, texts, vectors, k) =>
  texts
    .map((text, place) => ({ text, score: cosine(vector, vectors[place]) }))
    .sort((one, other) => other.score - one.score)
    .slice(0, k)

/** Add up the probabilities of tokens that spell one word, as Python does; return the k likeliest words. */
export function spell(ids, probabilities, decode, k) {
  const total = new Map()
  ids.forEach((id, place) => {
    const word = strip(decode(id))
    if (word && !NO_WORD.test(word)) total.set(word, (total.get(word) ?? 0) + probabilities[place])
  })
  return [...total]
    .sort((one, other) => other[1] - one[1])
    .slice(0, k)
    .map(([word, probability]) => ({ word, probability }))
}

/** Split the flat matrix of corpus.f32 into vectors. */
export const rowsOf = (buffer, dimension) => {
  const flat = new Float32Array(buffer)
  return Array.from({ length: flat.length / dimension }, (_, row) => flat.subarray(row * dimension, (row + 1) * dimension))
}

export class Engine {
  /** Take the page's configuration, a tokenizer, ONNX Runtime's module and a session of the graph. */
  constructor(page, tokenizer, ort, session) {
    this.page = page
    this.tokens = new PromptTokenizer(tokenizer, page)
    this.ort = ort
    this.session = session
  }

  /** Return how many of the texts that Python tokenized get the same tokens here: { right, of }. */
  check() {
    const rows = this.tokens.rows(this.page.checks.map(({ text }) => text))
    const right = rows.filter(({ ids }, place) => same(ids, this.page.checks[place].ids)).length
    return { right, of: rows.length }
  }

  /** Embed texts: [{ vector, words, tokens, cut }], in their order. `done` hears how many are ready. */
  async embed(texts, { demonstrations = [], words = 0, done = () => {} } = {}) {
    const lone = texts.findIndex(text => /\p{Surrogate}/u.test(text))
    if (lone >= 0) throw new Error(`Text ${lone + 1} holds half of a character: paste it again.`)
    const rows = this.tokens.rows(texts, demonstrations)
    // Texts of one length side by side: the padding of a batch costs as much as text.
    const order = rows.map((_, place) => place).sort((one, other) => rows[one].ids.length - rows[other].ids.length)
    const found = Array(rows.length)
    for (let start = 0; start < order.length; start += TEXTS_AT_ONCE) {
      const places = order.slice(start, start + TEXTS_AT_ONCE)
      const outputs = await this.run(places.map(place => rows[place].ids), words > 0)
      places.forEach((place, at) => {
        found[place] = { ...this.tokensOf(rows[place]), ...this.output(outputs, at, words) }
      })
      done(Math.min(start + TEXTS_AT_ONCE, order.length))
    }
    return found
  }

  /** Run the graph on rows, padded on the right: with causal attention that is exact. */
  async run(rows, withWords) {
    const width = Math.max(...rows.map(row => row.length))
    const tensor = fill => {
      const values = rows.flatMap(row => Array.from({ length: width }, (_, place) => BigInt(fill(row, place))))
      return new this.ort.Tensor('int64', BigInt64Array.from(values), [rows.length, width])
    }
    const inputs = {
      input_ids: tensor((row, place) => row[place] ?? 0),
      attention_mask: tensor((row, place) => Number(place < row.length)),
    }
    const words = withWords && this.page.words ? ['word_ids', 'word_probabilities'] : []
    return this.session.run(inputs, ['sentence_embedding', ...words])
  }

  output(outputs, at, words) {
    const row = name => {
      const { data, dims } = outputs[name]
      return Array.from(data.subarray(at * dims[1], (at + 1) * dims[1]), Number)
    }
    const vector = unit(row('sentence_embedding'))
    if (!outputs.word_ids) return { vector, words: [] }
    const decode = id => this.tokens.decode(id)
    return { vector, words: spell(row('word_ids'), row('word_probabilities'), decode, words) }
  }

  tokensOf({ ids, cut, head, tail }) {
    const last = ids.length - tail
    const part = place => (place < head || place >= last ? 'template' : 'text')
    return { cut, tokens: ids.map((id, place) => ({ id, piece: this.tokens.piece(id), part: part(place) })) }
  }
}
