// Wire the page: load the model when asked, embed what is written, show a demonstration's effect.
import { nearest, same } from './engine.js'
import { Model } from './model.js'
import { demonstrationFault, render, strip } from './prompt.js'
import { card, drawChanges, drawMoves, drawSimilarity, make } from './views.js'

const MOST_TEXTS = 16
const WORDS = 5
const NEIGHBORS = 3
const WHAT = { runtime: 'ONNX Runtime, which computes', tokenizer: 'the tokenizer', graph: 'the model', corpus: 'vectors of the sample corpus' }

const at = id => document.getElementById(id)
const EFFECT = 'effect-'
const megabytes = bytes => (bytes / 1e6).toFixed(1)
// What is said stands beside the button that was pressed: of section 2, or of section 4.
const say = (text, where = '') => { at(`${where}status`).textContent = text }
const complain = (text, where = '') => { at(`${where}fault`).textContent = text }

let page, model, corpus
let last = null

/** Run some work with the buttons off, and put what fails in one line. */
async function working(work, where = '') {
  const buttons = [at('compare'), at('show')]
  buttons.forEach(button => (button.disabled = true))
  for (const place of ['', EFFECT]) {
    say('', place)
    complain('', place)
  }
  try {
    await work()
  } catch (error) {
    say('', where)
    complain(error.message, where)
  } finally {
    buttons.forEach(button => (button.disabled = !model))
  }
}

/** Return the sentences that are written, and say what is left out. */
function written() {
  const lines = at('texts').value.split('\n').filter(line => strip(line))
  if (!lines.length) throw new Error('There is no sentence yet: write one, or several, one a line.')
  return { texts: lines.slice(0, MOST_TEXTS), left: Math.max(0, lines.length - MOST_TEXTS) }
}

async function embed(texts, demonstrations = []) {
  const where = demonstrations.length ? EFFECT : ''
  const progress = ({ embedded, of }) => say(`${embedded} of ${of} sentences are ready…`, where)
  return model.embed(texts, { demonstrations, words: WORDS }, progress)
}

async function compare() {
  const { texts, left } = written()
  const start = performance.now()
  say('Computing…')
  const found = await embed(texts)
  last = { texts, found }
  drawSimilarity(at('similarity'), texts, found.map(({ vector }) => vector))
  at('cards').replaceChildren(
    ...texts.map((text, place) =>
      card(text, place + 1, found[place], nearest(found[place].vector, page.corpus, corpus, NEIGHBORS))),
  )
  at('nothing').hidden = true
  at('shown').hidden = false
  at('effect').hidden = true
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const many = texts.length === 1 ? '1 sentence' : `${texts.length} sentences`
  const cut = found.filter(one => one.cut).length
  say(`${many} embedded in ${seconds} s; the results are below.` +
    (left ? ` ${left} more were left out.` : '') + (cut ? ` ${cut} of them were cut to what the model takes.` : ''))
}

async function showEffect() {
  const { texts } = written()
  const demonstration = { sentence: strip(at('sentence').value), word: strip(at('word').value) }
  const fault = demonstrationFault(demonstration)
  if (fault) throw new Error(fault)
  if (!last || !same(last.texts, texts)) await compare()
  say('Computing with the demonstration…', EFFECT)
  const after = await embed(texts, [demonstration])
  drawMoves(at('moves'), texts, last.found, after)
  drawChanges(at('changes'), texts, last.found, after)
  at('changes-title').hidden = at('changes').hidden = texts.length < 2
  at('prompt').textContent = render(page, texts[0], [demonstration])
  at('effect').hidden = false
  say('What the demonstration changes is shown below.', EFFECT)
}

async function load() {
  at('load').disabled = true
  at('bar').hidden = false
  complain('')
  const loading = new Model()
  try {
    const { check, corpus: vectors } = await loading.load(page, ({ loaded, total }) => {
      at('progress').value = loaded / total
      at('amount').textContent = loaded < total ? `${megabytes(loaded)} of ${megabytes(total)} MB` : `${megabytes(total)} MB, starting…`
    })
    ;[model, corpus] = [loading, vectors]
    at('amount').textContent = `${megabytes(page.files.reduce((sum, file) => sum + file.bytes, 0))} MB, ready`
    say(check.right === check.of
      ? `The model is ready. All ${check.of} check texts have the tokens that Python gives them.`
      : `The model is ready, but ${check.of - check.right} of ${check.of} check texts have other tokens than in Python: vectors may differ.`)
    for (const id of ['compare', 'show']) at(id).disabled = false
    at('compare').focus()
  } catch (error) {
    at('bar').hidden = true
    at('load').disabled = false
    complain(`The model was not loaded: ${error.message}`)
  }
}

const answer = await fetch(new URL('./config.json', import.meta.url))
page = await answer.json()
at('name').textContent = page.name
const total = page.files.reduce((sum, { bytes }) => sum + bytes, 0)
at('sizes').textContent = `It has ${page.dimension} numbers a vector. Loading downloads ${megabytes(total)} MB at most; a host that compresses sends less.`
at('files').replaceChildren(
  ...page.files.map(({ path, role, bytes }) => make('li', {}, `${megabytes(bytes)} MB: ${WHAT[role]} (${path})`)))
at('about').textContent = page.about
at('load').textContent = `Load the model (${megabytes(total)} MB)`
at('load').disabled = false
at('load').onclick = load
at('form').onsubmit = event => { event.preventDefault(); working(compare) }
at('texts').onkeydown = event => { if (event.ctrlKey && event.key === 'Enter' && model) working(compare) }
at('demonstration').onsubmit = event => { event.preventDefault(); working(showEffect, EFFECT) }

// For other scripts, and the console: vectors of length 1.
globalThis.embedAll = async (texts, demonstrations = []) =>
  (await model.embed(texts, { demonstrations })).map(({ vector }) => vector)
globalThis.embed = async text => (await globalThis.embedAll([text]))[0]
