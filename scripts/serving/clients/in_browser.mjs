// Print the vectors that the exported page gives in a browser: URL, browser, then texts as JSON on standard input.
import fs from 'node:fs'
import { createRequire } from 'node:module'

const puppeteer = createRequire(`${process.cwd()}/`)('puppeteer-core')

const [url, executablePath] = process.argv.slice(2)
const texts = JSON.parse(fs.readFileSync(0, 'utf8'))
// Its sandbox refuses to run as root, as in a container.
const sandbox = process.getuid() === 0 ? ['--no-sandbox'] : []
const browser = await puppeteer.launch({ executablePath, args: [...sandbox, '--disable-dev-shm-usage'] })
try {
  const page = await browser.newPage()
  page.on('pageerror', error => console.error(error))
  page.on('requestfailed', request => console.error(request.url(), request.failure().errorText))
  const start = performance.now()
  await page.goto(url)
  await page.waitForFunction(() => !document.getElementById('compare').disabled, { timeout: 120_000 })
  const ready = performance.now() - start
  const vectors = await page.evaluate(async texts => {
    const found = []
    for (const text of texts) found.push(await embed(text))
    return found
  }, texts)
  const each = (performance.now() - start - ready) / texts.length
  await page.click('#compare')
  await page.waitForFunction(() => document.querySelectorAll('#result tr').length === 3)
  const nearest = await page.$eval('#result tr', row => row.textContent)
  console.log(JSON.stringify({ vectors, ready, each, nearest, browser: await browser.version() }))
} finally {
  await browser.close()
}
