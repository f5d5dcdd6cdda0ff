// Render prompts and cut token rows exactly as Python does: the text is data, and the template's end always stays.

// The characters that Python's str.split takes for whitespace.
const SPACE = '\\u0009-\\u000d\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const SOME_SPACE = new RegExp(`[${SPACE}]`, 'u')
const AROUND = new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, 'gu')

// Two texts with nothing in common: what their rows end with is the template's own.
const FILLERS = ['0', '1 2 3 4']
const BEGINNINGS = ['A man', 'the', '1', 'Élan', '文字']

/** Remove whitespace at both ends, as Python's str.strip does. */
export const strip = text => text.replace(AROUND, '')

/** Normalize a text by the template's rewrites: patterns, or single characters, and what replaces them. */
export const normalize = (text, rewrites) =>
  rewrites.reduce(
    (done, [old, fresh]) => done.replaceAll(old.length > 1 ? new RegExp(old, 'gu') : old, () => fresh),
    text,
  )

/** Say in one line what is wrong with a demonstration, or return null. */
export function demonstrationFault({ sentence, word }) {
  if (!strip(sentence)) return 'The demonstration needs a sentence.'
  if (!strip(word)) return 'The demonstration needs its one word.'
  if (SOME_SPACE.test(word)) return `The demonstration needs exactly one word, not “${word}”: write a compound with a hyphen.`
  return null
}

/** Return what stands in front of a text: BOS, prompt, the demonstrations given here, the model's own, the prefix. */
export function headOf({ start, prompt, template }, demonstrations = []) {
  const [before, after] = template.around_word
  const shown = demonstrations.map(
    ({ sentence, word }) => template.prefix + sentence + template.suffix + before + word + after,
  )
  return start + prompt + shown.join('') + template.head
}

/** Return the whole prompt of a text. */
export const render = (page, text, demonstrations = []) =>
  headOf(page, demonstrations) + normalize(text, page.template.rewrites) + page.template.suffix

const commonStart = rows => {
  const [first, ...others] = rows
  const end = first.findIndex((id, place) => others.some(row => row[place] !== id))
  return end < 0 ? first : first.slice(0, end)
}
const commonEnd = rows => commonStart(rows.map(row => row.toReversed())).toReversed()

/** Make token rows with a tokenizer of @huggingface/tokenizers, and read them back. */
export class PromptTokenizer {
  constructor(tokenizer, page) {
    this.tokenizer = tokenizer
    this.page = page
  }

  /** Return the token ids of a piece of a prompt; characters that no token has are left out. */
  ids(text) {
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids.filter(id => id !== undefined)
  }

  /** Return a row of ids a text, cut to the model's length, and how many of them the template has at each side. */
  rows(texts, demonstrations = []) {
    const all = some => some.map(text => this.ids(render(this.page, text, demonstrations)))
    const [tail, head] = [commonEnd(all(FILLERS)), commonStart(all(BEGINNINGS))]
    const longest = this.page.max_length
    return all(texts).map(row => {
      const cut = row.length > longest
      if (row.length >= longest) {
        const needed = Math.max(head.length + tail.length, this.ids(render(this.page, '', demonstrations)).length)
        if (needed >= longest) throw new Error(this.tooLong(needed, demonstrations))
        row = [...row.slice(0, longest - tail.length), ...tail]
      }
      return { ids: row, cut, head: commonStart([head, row]).length, tail: tail.length }
    })
  }

  /** Say that no token of a text has room beside `needed` of the prompt, and how many a demonstration may have. */
  tooLong(needed, demonstrations) {
    const plain = this.ids(render(this.page, '')).length
    const room = this.page.max_length - 1 - plain
    if (!demonstrations.length || room < 1) return `The prompt has ${needed} tokens and the model takes ${this.page.max_length}: no text has room.`
    return `The demonstration is too long for this model: it has ${needed - plain} tokens, and there is room for ${room}.`
  }

  /** Return a token as people read it: its text, or the token's own name where it is only some bytes of a character. */
  piece(id) {
    const text = this.decode(id)
    return text.includes('\ufffd') || !text ? this.tokenizer.id_to_token(id) ?? `#${id}` : text
  }

  /** Return the text of one token. */
  decode(id) {
    return this.tokenizer.decode([id], { clean_up_tokenization_spaces: this.page.clean_up })
  }
}
