/** Held rows in a real browser: counted by the rules of today, then put back into the table. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, project, serve, type Served } from '../helpers/cli.ts'

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => exists(path))
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const tables = (most: number): string => `import { between, quarantine, sql, table } from 'lagoa'
import { air } from '../streams/air.ts'
export const raw = table('bronze.air', { from: air, every: '50ms', freshness: '1ms' })
export const clean = table('silver.air', {
  merge: ['sensor'],
  sql: sql\`select \${raw.c.sensor}, \${raw.c.co} from \${raw}\`,
  expect: { plausible: quarantine(between('co', 0, ${most})) },
})
`
const folder = project({
  'streams/air.ts': `import { stream, t } from 'lagoa'\nexport const air = stream('air', { key: 'sensor', schema: { sensor: t.string(), co: t.double() } })\n`,
  'tables/air.ts': tables(10),
})

let server: Served
let browser: Browser

beforeAll(async () => {
  if (CHROMIUM === undefined) throw new Error('There is no Chromium; run: apt-get install -y chromium')
  server = await serve('dev', ['--project', folder])
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic'] })
  await server.post(
    '/api/v1/streams/air/records',
    [5, 20, 30, 300].map((co, i) => ({ sensor: 'abcd'[i], co })),
  )
  await held(3)
})
afterAll(async () => {
  await browser?.close()
  await server?.kill()
})

const held = (rows: number): Promise<unknown> =>
  eventually(`${rows} rows are held`, async () => (await server.get<{ quarantined: number }>('/api/v1/tables/silver.air')).quarantined === rows)

test('are looked at first, and put back when the reader says so, in both languages', async () => {
  for (const { most, locale, look, ask, put, done, left } of [
    {
      most: 50,
      locale: 'en',
      look: 'See which pass now',
      ask: '2 of 3 held rows pass now. Put them back?',
      put: 'Put back',
      done: '2 rows are back in the table',
      left: 1,
    },
    {
      most: 500,
      locale: 'pt-BR',
      look: 'Ver quais passam agora',
      ask: '1 de 1 linhas retidas passa agora. Devolver à tabela?',
      put: 'Devolver',
      done: '1 linha voltou à tabela',
      left: 0,
    },
  ]) {
    const context = await browser.newContext({ locale, viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' })
    try {
      const page = await context.newPage()
      const faults: string[] = []
      page.on('pageerror', (error) => faults.push(error.message))
      await page.goto(`${server.url}/lake/silver.air?tab=quality`)
      await page.getByRole('button', { name: look }).click()
      const none = locale === 'en' ? 'None of them passes by the rules of today.' : 'Nenhuma delas passa pelas regras de hoje.'
      await page.getByText(none).waitFor({ timeout: 10_000 })
      writeFileSync(join(folder, 'tables/air.ts'), tables(most))
      await eventually('the new rule is loaded', async () =>
        (await server.get<{ items: { rule: string }[] }>('/api/v1/tables/silver.air/checks')).items.some(({ rule }) => rule === `co between 0 and ${most}`),
      )
      await page.getByRole('button', { name: look }).click()
      await page.getByText(ask).waitFor({ timeout: 10_000 })
      await page.evaluate(AXE)
      const found: unknown = await page.evaluate('axe.run().then(({ violations }) => violations.map(({ id }) => id))')
      expect(found).toEqual([])
      await page.getByRole('button', { name: put, exact: true }).click()
      await page.getByText(done).waitFor({ timeout: 10_000 })
      await held(left)
      expect(faults).toEqual([])
    } finally {
      await context.close()
    }
  }
})

test('a table past its freshness target is called stale, in the list and in the overview', async () => {
  const context = await browser.newContext({ locale: 'en', viewport: { width: 1440, height: 900 } })
  try {
    const page = await context.newPage()
    await page.goto(`${server.url}/lake`)
    await page.getByRole('heading', { name: 'One table has no fresh data.' }).waitFor({ timeout: 10_000 })
    await page.goto(`${server.url}/`)
    await page.getByText('bronze.air has no fresh data').first().waitFor({ timeout: 10_000 })
  } finally {
    await context.close()
  }
})

test('a field that nobody declared is told beside the columns, with what it held', async () => {
  await server.post('/api/v1/streams/air/records', [{ sensor: 'z', co: 1, note: 'from the roof' }])
  await eventually(
    'the field is noticed',
    async () => (await server.get<{ items: { changes: string[] }[] }>('/api/v1/tables/bronze.air/drift')).items.length > 0,
    30_000,
  )
  const context = await browser.newContext({ locale: 'en', viewport: { width: 390, height: 800 }, colorScheme: 'dark', reducedMotion: 'reduce' })
  try {
    const page = await context.newPage()
    await page.goto(`${server.url}/lake/bronze.air?tab=schema`)
    const panel = page.getByRole('region', { name: 'Changes of the columns' })
    await panel.getByText('field note is not in the schema; 1 record carries it').waitFor({ timeout: 20_000 })
    await panel.getByRole('cell', { name: 'from the roof' }).waitFor({ timeout: 20_000 })
    await page.evaluate(AXE)
    expect(await page.evaluate('axe.run().then(({ violations }) => violations.map(({ id }) => id))')).toEqual([])
  } finally {
    await context.close()
  }
})

function exists(path: string): boolean {
  try {
    readFileSync(path, { flag: 'r' })
    return true
  } catch {
    return false
  }
}
