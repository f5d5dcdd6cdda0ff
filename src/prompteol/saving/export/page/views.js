// Draw results as tables and lists that a screen reader can read; every text is set as text, never as markup.
import { cosine } from './engine.js'

// Viridis, from low to high.
const COLORS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]

/** Make an element of a tag, a class and children, which are elements or texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

const shown = text => (text.trim() ? text : '(blank)')
const short = text => ([...shown(text)].length > 60 ? `${[...text].slice(0, 59).join('')}…` : shown(text))
const two = number => number.toFixed(2).replace('-', '−')

/** Return a color between two of the scale, and black or white, whichever has more contrast with it. */
export function colors(share) {
  const place = Math.min(Math.max(share, 0), 1) * (COLORS.length - 1)
  const at = Math.min(Math.floor(place), COLORS.length - 2)
  const color = COLORS[at].map((value, part) => Math.round(value + (COLORS[at + 1][part] - value) * (place - at)))
  return { color: `rgb(${color.join(' ')})`, ink: luminance(color) > 0.179 ? '#000' : '#fff' }
}

/** The relative luminance of WCAG. Above 0.179 black has more contrast, which is then 4.58 or more. */
export function luminance(color) {
  const linear = color.map(value => value / 255).map(value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

/** Fill a table with the cosine of all texts with all texts, colored over those of different texts. */
export function drawSimilarity(table, texts, vectors) {
  const scores = vectors.map(one => vectors.map(other => cosine(one, other)))
  const others = scores.flatMap((row, at) => row.filter((_, place) => place !== at))
  const [low, high] = [Math.min(...others), Math.max(...others)]
  const column = (text, at) => make('th', { scope: 'col' }, `${at + 1}`, make('span', { class: 'heard' }, `: ${short(text)}`))
  const cell = (score, row, at) => {
    if (row === at) return make('td', { class: 'number self' }, '1')
    const td = make('td', { class: 'number' }, two(score))
    const { color, ink } = colors(high > low ? (score - low) / (high - low) : 1)
    Object.assign(td.style, { background: color, color: ink })
    return td
  }
  const caption = texts.length > 1 ? `Cosine of each two vectors: from ${two(low)}, dark, to ${two(high)}, bright.` : 'Write a second sentence to compare.'
  table.replaceChildren(
    make('caption', {}, caption),
    make('thead', {}, make('tr', {}, make('td'), ...texts.map(column))),
    make('tbody', {}, ...scores.map((row, at) =>
      make('tr', {}, make('th', { scope: 'row' }, `${at + 1}. ${short(texts[at])}`), ...row.map((score, place) => cell(score, place, at))))),
  )
}

/** Return a list of words with bars of their probabilities. */
export function wordList(words) {
  const item = ({ word, probability }) => {
    const bar = make('span', { class: 'bar', 'aria-hidden': 'true' })
    bar.style.width = `${100 * probability}%`
    return make('li', {}, bar, make('span', {}, word), make('span', {}, `${(100 * probability).toFixed(1)}%`))
  }
  return make('ol', { class: 'words' }, ...words.map(item))
}

function tokenList(tokens) {
  const item = ({ id, piece, part }, place) => {
    const kind = place === tokens.length - 1 ? 'last' : part
    // A blank is part of a token, and is to be seen.
    const text = piece.replaceAll(' ', '·').replaceAll('\n', '⏎').replaceAll('\t', '⇥')
    return make('li', { class: kind, title: `token ${id}` }, text || ' ')
  }
  return make('ol', { class: 'tokens', tabindex: '0', role: 'list', 'aria-label': `${tokens.length} tokens` }, ...tokens.map(item))
}

const keyOfTokens = () =>
  make('p', { class: 'quiet key' }, make('span', { class: 'template' }, 'prompt'), ' ', make('span', { class: 'text' }, 'text'), ' ',
    make('span', { class: 'last' }, 'its state is the vector'))

/** Return a card of one text: its words, its neighbors, its tokens, its vector. */
export function card(text, number, { words, tokens, cut, vector }, neighbors) {
  const near = neighbors.map(({ text: other, score }) => make('li', {}, make('b', {}, two(score)), ` ${other}`))
  const parts = [make('h4', {}, `${number}. ${short(text)}`)]
  if (cut) parts.push(make('p', { class: 'quiet' }, 'Longer than the model takes: its end was cut off.'))
  if (words.length) parts.push(make('h4', {}, 'In one word'), wordList(words))
  parts.push(make('h4', {}, 'Nearest in the sample corpus'), make('ol', { class: 'near' }, ...near))
  parts.push(make('details', {}, make('summary', {}, `${tokens.length} tokens, as the model sees them`), keyOfTokens(), tokenList(tokens)))
  const numbers = vector.map(entry => entry.toFixed(4)).join(' ')
  parts.push(make('details', {}, make('summary', {}, `Its vector, ${vector.length} numbers`),
    make('p', { class: 'vector', tabindex: '0', role: 'region', 'aria-label': `Vector of sentence ${number}` }, numbers)))
  return make('article', { class: 'card', 'aria-label': `Sentence ${number}` }, ...parts)
}

/** Fill a table with what a demonstration changes in each text: its words, and how far its vector moved. */
export function drawMoves(table, texts, before, after) {
  const withWords = before.some(({ words }) => words.length)
  const words = ({ words: some }) => some.map(({ word, probability }) => `${word} ${(100 * probability).toFixed(0)}%`).join(', ') || '–'
  const head = ['Sentence', ...(withWords ? ['Words without', 'Words with'] : []), 'Cosine of the two vectors']
  const row = (text, at) => make('tr', {}, make('th', { scope: 'row' }, `${at + 1}. ${short(text)}`),
    ...(withWords ? [make('td', {}, words(before[at])), make('td', {}, words(after[at]))] : []),
    make('td', { class: 'number' }, two(cosine(before[at].vector, after[at].vector))))
  fill(table, 'Words and vectors without the demonstration and with it.', head, texts.map(row))
}

/** Fill a table with the similarity of each pair without a demonstration and with it. */
export function drawChanges(table, texts, before, after) {
  const pairs = texts.flatMap((_, one) => texts.slice(one + 1).map((_, step) => [one, one + 1 + step]))
  const row = ([one, other]) => {
    const [was, is] = [before, after].map(found => cosine(found[one].vector, found[other].vector))
    const sign = is >= was ? '+' : ''
    return make('tr', {}, make('th', { scope: 'row' }, `${one + 1} and ${other + 1}`),
      ...[two(was), two(is), sign + two(is - was)].map(text => make('td', { class: 'number' }, text)))
  }
  fill(table, 'The numbers are those of the sentences above.', ['Sentences', 'Without', 'With', 'Change'], pairs.map(row))
}

function fill(table, caption, head, rows) {
  table.replaceChildren(
    make('caption', {}, caption),
    make('thead', {}, make('tr', {}, ...head.map(name => make('th', { scope: 'col' }, name)))),
    make('tbody', {}, ...rows),
  )
}
