// Talk to the worker: one promise for each request.

/** Ask the worker for commands; `progress` hears what it reports meanwhile. */
export class Model {
  #worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
  #waiting = new Map()
  #last = 0

  constructor() {
    this.#worker.onmessage = ({ data: { id, progress, result, error } }) => {
      const request = this.#waiting.get(id)
      if (progress) return request.progress(progress)
      this.#waiting.delete(id)
      error === undefined ? request.resolve(result) : request.reject(new Error(error))
    }
    this.#worker.onerror = event => {
      const error = new Error(event.message || 'The libraries in vendor/ were not loaded.')
      for (const request of this.#waiting.values()) request.reject(error)
      this.#waiting.clear()
    }
  }

  #ask(command, input, progress = () => {}) {
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, progress })
      this.#worker.postMessage({ id, command, ...input })
    })
  }

  /** Load the files that the configuration lists: the check of its tokens, and the corpus's vectors. */
  load(page, progress) {
    return this.#ask('load', { page }, progress)
  }

  /** Embed texts: [{ vector, words, tokens, cut }]. */
  embed(texts, options = {}, progress) {
    return this.#ask('embed', { texts, options }, progress)
  }
}
