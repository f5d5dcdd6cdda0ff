// Drive the exported page in a browser, every request beside its own files refused: URL, browser, a folder for
// screenshots or nothing; on standard input {texts, demonstration} as JSON. Prints what was found as one line of JSON.
import fs from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(`${process.cwd()}/`)
const puppeteer = require('puppeteer-core')

const [url, executablePath, pictures] = process.argv.slice(2)
const { texts, demonstration } = JSON.parse(fs.readFileSync(0, 'utf8'))
// Its sandbox refuses to run as root, as in a container.
const sandbox = process.getuid() === 0 ? ['--no-sandbox'] : []
// Every other host is unknown to the whole browser, the page's worker included.
const ALONE = ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']
const browser = await puppeteer.launch({ executablePath, args: [...sandbox, ...ALONE, '--disable-dev-shm-usage'], protocolTimeout: 300_000 })
const refused = [], errors = []

async function opened() {
  const page = await browser.newPage()
  page.on('pageerror', error => errors.push(String(error)))
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  page.on('requestfailed', request => errors.push(`${request.url()} ${request.failure().errorText}`))
  page.on('request', request => request.url().startsWith(url) || refused.push(request.url()))
  return page
}

/** Wait until the buttons can be used, or until the page says why they cannot. */
async function ready(page, { faulty = false } = {}) {
  const said = () => [...document.querySelectorAll('[role=alert]')].map(element => element.textContent).join('')
  await page.waitForFunction(`(${said})() || !document.getElementById("compare").disabled`, { timeout: 60_000 })
  const fault = await page.evaluate(said)
  if (fault && !faulty) throw new Error(`${fault} ${errors.join(' ')}`)
}

/** Return axe's serious findings, where axe-core is installed. */
async function accessibility(page) {
  let source
  try {
    source = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
  } catch {
    return null
  }
  await page.evaluate(source)
  const { violations } = await page.evaluate(() => axe.run())
  return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(node => node.html.slice(0, 120)).join(' | ')}`)
}

try {
  const page = await opened()
  await page.goto(url)
  await page.waitForFunction(() => !document.getElementById('load').disabled)
  const start = performance.now()
  await page.click('#load')
  await ready(page)
  const loaded = performance.now() - start
  const status = await page.$eval('#status', element => element.textContent)
  const single = await page.evaluate(async texts => {
    const found = []
    for (const text of texts) found.push(await embed(text))
    return found
  }, texts)
  const each = (performance.now() - start - loaded) / texts.length
  const batch = await page.evaluate(texts => embedAll(texts), texts)
  const shown = await page.evaluate((texts, one) => embedAll(texts, [one]), texts, demonstration)

  const click = async (id, options) => {
    await page.click(id)
    await ready(page, options)
  }
  await click('#show')
  const words = await page.$$eval('.card', cards => cards.map(card => [...card.querySelectorAll('.words span:nth-of-type(2)')].map(word => word.textContent)))
  const nearest = await page.$eval('.near li', element => element.textContent)
  const axe = []
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
    await page.$$eval('details', all => all.forEach(one => (one.open = true)))
    axe.push(...((await accessibility(page)) ?? ['axe-core is not installed']))
    for (const width of [360, 768, 1280]) {
      await page.setViewport({ width, height: 900 })
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      if (wide > width) errors.push(`at ${width} px the page is ${wide} px wide`)
      if (pictures) await page.screenshot({ path: `${pictures}/${scheme}-${width}.png`, fullPage: true })
    }
  }
  // Two texts, then one that is theirs with a comma between them, and back.
  const write = text => page.$eval('#texts', (element, text) => (element.value = text), text)
  const commas = []
  await write('the cat\nthe dog')
  await click('#compare')
  for (const text of ['the cat,the dog', 'the cat\nthe dog']) {
    await write(text)
    await click('#show')
    const [rows, shown] = await page.evaluate(() => [
      [...document.querySelectorAll('#moves tbody th')].map(head => head.textContent.slice(3)),
      document.querySelectorAll('.card').length,
    ])
    commas.push(rows)
    if (rows.length !== shown) errors.push(`the effect on ${rows.length} texts beside ${shown} of before`)
  }
  await write(Array.from({ length: 16 }, (_, at) => `Line ${at} of a river that flows to the sea, which is long, ${'x'.repeat(80)}.`).join('\n'))
  await click('#compare')
  const wide = {}
  for (const width of [360, 768]) {
    await page.setViewport({ width, height: 900 })
    wide[width] = await page.evaluate(() => document.scrollingElement.scrollWidth)
  }
  await write('  \n')
  await click('#compare', { faulty: true })
  const blank = await page.$eval('#fault', element => element.textContent)
  const stored = await page.evaluate(async () => [localStorage.length, sessionStorage.length, document.cookie.length, (await indexedDB.databases()).length, (await caches.keys()).length])
  console.log(JSON.stringify({
    single, batch, shown, words, nearest, status, blank, commas, wide, stored, axe, refused, errors,
    ready: loaded, each, browser: await browser.version(),
  }))
} finally {
  await browser.close()
}
