/** Workloads in the console, in a real browser: made with a form, read page by page, changed against others, run again, cancelled, deleted. */
import { join } from 'node:path'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fitsItsWidth, launch, type Look, LOOKS, openPage, type Opened, violations } from '../helpers/browser.ts'
import { eventually, newHome, project, serve, type Served } from '../helpers/cli.ts'

const WORDS = 650

let lagoa: Served
let browser: Browser
let counted: string

interface Workload {
  readonly id: string
  readonly name: string
  readonly params: Readonly<Record<string, unknown>>
  readonly version: number
  readonly lastRun: { readonly id: string; readonly state: string } | null
}
const make = (name: string, kind: string, params: unknown): Promise<Workload> => lagoa.post<Workload>('/api/v1/workloads', { name, kind, params })
const workload = (id: string): Promise<Workload> => lagoa.get<Workload>(`/api/v1/workloads/${id}`)
const until = (id: string, state: string): Promise<unknown> =>
  eventually(`workload ${id} ${state}`, async () => (await workload(id)).lastRun?.state === state, 60_000)

beforeAll(async () => {
  const home = newHome()
  const folder = project({
    'lagoa.config.ts': "import { defineConfig } from 'lagoa'\nexport default defineConfig({})\n",
    'flows/slow.ts': `
      import { flow, task } from 'lagoa'
      export default flow('slow', {}, () => {
        task('wait', { run: (_, ctx) => new Promise((done, fail) => {
          const timer = setTimeout(done, 60_000)
          ctx.signal.addEventListener('abort', () => { clearTimeout(timer); fail(ctx.signal.reason) }, { once: true })
        }) })
      })
    `,
  })
  lagoa = await serve('start', ['--project', folder], { home })
  // The most frequent word first: w1 once, w2 twice, ...
  const text = Array.from({ length: WORDS }, (_, i) => Array.from({ length: i < 20 ? i + 2 : 1 }, () => `w${i}`).join(' ')).join('\n')
  mkdirSync(join(home, 'objects', 'texts'), { recursive: true })
  writeFileSync(join(home, 'objects', 'texts', 'words.txt'), text)
  browser = await launch()
  counted = (await make('word list', 'word_count', { source: 'texts/words.txt' })).id
  const broken = await make('broken query', 'sql', { sql: 'select * from bronze.nothing' })
  await until(broken.id, 'failed')
  await until(counted, 'succeeded')
}, 120_000)

afterAll(async () => {
  await browser?.close()
  await lagoa?.kill()
})

const open = (path: string, look: Look = {}): Promise<Opened> => openPage(browser, lagoa.url + path, look)
const patience = { timeout: 20_000 }

describe.each(LOOKS)('with dark=$dark narrow=$narrow language=$language', (look) => {
  test.each([
    ['the workloads', () => '/workloads'],
    ['a word count', () => `/workloads/${counted}`],
    ['its params', () => `/workloads/${counted}?tab=params`],
    ['its runs', () => `/workloads/${counted}?tab=runs`],
  ])('%s shows itself without a fault, and axe finds nothing', async (_, path) => {
    const { page, faults, close } = await open(path(), look)
    try {
      await page.waitForTimeout(700)
      expect(await violations(page)).toEqual([])
      expect(faults).toEqual([])
      expect(await fitsItsWidth(page)).toBe(true)
    } finally {
      await close()
    }
  })
})

test('an address that clients of the workload document use answers them with JSON, and browsers with the screen', async () => {
  const asked = async (accept: string): Promise<string | null> => (await fetch(`${lagoa.url}/workloads`, { headers: { accept } })).headers.get('content-type')
  expect(await asked('*/*')).toMatch(/^application\/json/)
  expect(await asked('application/json')).toMatch(/^application\/json/)
  expect(await asked('text/html,application/xhtml+xml,*/*;q=0.8')).toMatch(/^text\/html/)
})

test('a workload is made from the schema of its kind, runs, and shows its rows', async () => {
  const { page, faults, close } = await open('/workloads')
  try {
    await page.getByRole('button', { name: 'New workload' }).click(patience)
    const dialog = page.getByRole('dialog', { name: 'New workload' })
    await dialog.getByLabel('Kind').selectOption('sql')
    await dialog.getByText('Keeps the rows of a query').waitFor(patience)
    await dialog.getByRole('button', { name: 'Create and run' }).click()
    expect(await dialog.getByText('This is needed.').count()).toBe(2)
    expect(await violations(page)).toEqual([])
    await dialog.getByLabel('Name').fill('squares')
    await dialog.getByLabel('sql').fill('select i as n, i * i as square\nfrom range(1, 4) t(i)')
    await dialog.getByRole('button', { name: 'Create and run' }).click()
    await page.getByRole('heading', { level: 1, name: 'squares' }).waitFor(patience)
    const rows = page.getByRole('region', { name: 'Rows of squares' }).getByRole('row')
    await rows.filter({ hasText: '9' }).waitFor(patience)
    expect(await rows.allTextContents()).toEqual(['nsquare', '11', '24', '39'])
    await page.getByText('All 3 rows').waitFor(patience)
    expect(faults).toEqual([])
  } finally {
    await close()
  }
})

test('words are shown with their counts, the most frequent first, and read on further down', async () => {
  const { page, close } = await open(`/workloads/${counted}`)
  try {
    const list = page.getByRole('region', { name: 'Rows of word list' })
    await list.getByRole('row', { name: /^1 w19 21/ }).waitFor(patience)
    expect(await list.locator('.count-bar i').first().getAttribute('style')).toContain('100%')
    await page.getByText('The first 200 rows').waitFor(patience)
    await eventually(
      'the last word is there',
      async () => {
        await list.evaluate((box) => box.scrollTo(0, box.scrollHeight))
        return (await page.getByText(`All ${WORDS} rows`).count()) === 1
      },
      20_000,
      200,
    )
    expect(await list.locator('tbody tr').count()).toBeLessThan(90)
    await page.getByRole('link', { name: 'Query' }).click()
    await page.getByRole('textbox', { name: 'Query' }).filter({ hasText: 'workloads.w' }).waitFor(patience)
  } finally {
    await close()
  }
})

test('a change is saved, and refused with words when somebody was quicker', async () => {
  const { id } = await make('to be changed', 'sql', { sql: 'select 1 as n' })
  await until(id, 'succeeded')
  const { page, faults, close } = await open(`/workloads/${id}`)
  try {
    await page.getByRole('button', { name: 'Edit' }).click(patience)
    const dialog = page.getByRole('dialog', { name: 'Edit to be changed' })
    expect(await dialog.getByLabel('sql').inputValue()).toBe('select 1 as n')
    await dialog.getByLabel('sql').fill('select 2 as n')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('to be changed is changed; run it to have new results').waitFor(patience)
    expect(await workload(id)).toMatchObject({ version: 2, params: { sql: 'select 2 as n' } })

    await page.getByRole('button', { name: 'Edit' }).click()
    await dialog.getByLabel('sql').fill('select 3 as n')
    await fetch(`${lagoa.url}/api/v1/workloads/${id}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ params: { sql: 'select 99 as n' } }),
    })
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('Somebody changed this workload meanwhile').waitFor(patience)
    expect(await violations(page)).toEqual([])
    expect((await workload(id)).params).toEqual({ sql: 'select 99 as n' })
    await dialog.getByRole('button', { name: 'See what it is now' }).click()
    await page.getByRole('button', { name: 'Edit' }).click()
    await eventually('the form has what is there now', async () => (await dialog.getByLabel('sql').inputValue()) === 'select 99 as n')
    await dialog.getByRole('button', { name: 'Cancel' }).click()

    await page.getByRole('button', { name: 'Run again' }).click()
    await page.getByRole('region', { name: 'Rows of to be changed' }).getByRole('row', { name: '99' }).waitFor(patience)
    expect(faults.filter((fault) => !fault.includes('409'))).toEqual([])
  } finally {
    await close()
  }
})

test('what runs of a workload is cancelled, and it is deleted once that was confirmed', async () => {
  const { id } = await make('long one', 'flow', { flow: 'slow' })
  await until(id, 'running')
  const { page, close } = await open('/workloads?name=long')
  try {
    await page.getByRole('link', { name: 'long one' }).waitFor(patience)
    expect(await page.getByRole('row').count()).toBe(2)
    await page.getByRole('link', { name: 'long one' }).click()
    await page.getByRole('button', { name: 'Cancel run' }).click(patience)
    await page.getByRole('dialog', { name: 'Cancel what runs of long one?' }).getByRole('button', { name: 'Cancel run' }).click()
    await until(id, 'cancelled')
    await page.getByRole('button', { name: 'Run again' }).waitFor(patience)
    await page.getByRole('button', { name: 'Delete' }).click()
    const dialog = page.getByRole('dialog', { name: 'Delete long one?' })
    expect(await violations(page)).toEqual([])
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    expect((await workload(id)).name).toBe('long one')
    await page.getByRole('button', { name: 'Delete' }).click()
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await page.getByText('long one is deleted').waitFor(patience)
    expect((await fetch(`${lagoa.url}/api/v1/workloads/${id}`)).status).toBe(404)
    expect(new URL(page.url()).pathname).toBe('/workloads')
  } finally {
    await close()
  }
})
