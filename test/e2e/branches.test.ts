/** Branches in the console: made, looked at, merged and dropped in a real browser, over a project whose SQL was changed in one of them. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readings, writeReadings } from '../examples/readings.ts'
import { fitsItsWidth, launch, type Look, LOOKS, openPage, type Opened, violations } from '../helpers/browser.ts'
import { EXAMPLE, good, lagoa, newHome, once, serve, temporaryFolder, type Served } from '../helpers/cli.ts'

let lake: Served
let browser: Browser

beforeAll(async () => {
  const home = newHome()
  const folder = temporaryFolder('branches')
  const project = join(folder, 'project')
  cpSync(EXAMPLE, project, { recursive: true })
  const csv = join(folder, 'small.csv')
  writeReadings(csv, readings(300))
  await once(['--data', csv], { home })
  const run = async (...args: string[]): Promise<unknown> => good(await lagoa([...args, '--project', project, '--json'], { home }))
  await run('branch', 'create', 'warmer', 'silver.readings', 'gold.air_hourly')
  await run('branch', 'create', 'idle', 'silver.readings')
  const file = join(project, 'tables', 'silver.ts')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replace('nullif(${raw.c.temperature}, -200)', 'nullif(${raw.c.temperature}, -200) + 1000'))
  await run('refresh', 'silver.readings', '--branch', 'warmer')
  writeFileSync(file, text)
  lake = await serve('start', ['--project', project, '--data', csv], { home })
  browser = await launch()
}, 240_000)

afterAll(async () => {
  await browser?.close()
  await lake?.kill('SIGTERM')
})

const open = (path: string, look: Look = {}): Promise<Opened> => openPage(browser, lake.url + path, look)

describe.each(LOOKS)('with dark=$dark narrow=$narrow language=$language', (look) => {
  test.each(['/lake/branches', '/lake/branches/warmer', '/lake/branches/warmer?table=gold.air_hourly'])(
    '%s shows itself without a fault, and axe finds nothing',
    async (path) => {
      const { page, faults, close } = await open(path, look)
      try {
        await page.waitForTimeout(700)
        expect(await violations(page)).toEqual([])
        expect(faults).toEqual([])
        expect(await fitsItsWidth(page)).toBe(true)
      } finally {
        await close()
      }
    },
  )
})

test('a difference strikes out what was and shows what is, and marks nothing else', async () => {
  const { page, close } = await open('/lake/branches/warmer')
  try {
    await page.getByRole('heading', { level: 1, name: /^silver\.readings differs in \d+ rows\.$/ }).waitFor()
    const cells = page.locator('td.differs')
    const [before, after] = [await cells.first().locator('del').textContent(), await cells.first().locator('ins').textContent()]
    const number = (text: string | null): number => Number(text?.replaceAll(',', ''))
    expect(number(after) - number(before)).toBeCloseTo(1000, 1)
    const rows = await page.locator('tr.changed').count()
    expect(rows).toBeGreaterThan(100)
    expect(await cells.count()).toBe(rows)
    expect(await page.locator('tr.changed .sign').first().textContent()).toBe('~changed')
    await page.getByRole('link', { name: /gold\.air_hourly/ }).click()
    await page.getByRole('heading', { name: 'Nothing is changed here' }).waitFor()
    expect(new URL(page.url()).searchParams.get('table')).toBe('gold.air_hourly')
  } finally {
    await close()
  }
})

test('a branch is made of chosen tables, and a mistake is said beside its field', async () => {
  const { page, close } = await open('/lake/branches')
  try {
    await page.getByRole('button', { name: 'New branch' }).click()
    const dialog = page.getByRole('dialog', { name: 'New branch' })
    await dialog.getByRole('button', { name: 'Make branch' }).click()
    await dialog.getByText('Give it a name.').waitFor()
    await dialog.getByText('Choose at least one table.').waitFor()
    expect(await violations(page)).toEqual([])
    await dialog.getByRole('textbox', { name: 'Name' }).fill('idle')
    await dialog.getByText('There is a branch of this name already.').waitFor()
    await dialog.getByRole('textbox', { name: 'Name' }).fill('fix-air')
    await dialog.getByRole('checkbox', { name: /gold\.air_hourly/ }).check()
    await dialog.getByRole('button', { name: 'Make branch' }).click()
    await page.getByRole('heading', { level: 1, name: 'gold.air_hourly is as it was forked.' }).waitFor()
    expect((await lake.get<{ tables: { table: string }[] }>('/api/v1/branches/fix-air')).tables.map(({ table }) => table)).toEqual(['gold.air_hourly'])
  } finally {
    await close()
  }
})

test('a branch is dropped once that is said twice', async () => {
  const { page, close } = await open('/lake/branches/idle')
  try {
    await page.getByRole('button', { name: 'Drop' }).click()
    const dialog = page.getByRole('dialog', { name: 'Drop idle?' })
    expect(await violations(page)).toEqual([])
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await dialog.waitFor({ state: 'detached' })
    expect(await lake.get('/api/v1/branches/idle')).toMatchObject({ name: 'idle' })
    await page.getByRole('button', { name: 'Drop' }).click()
    await dialog.getByRole('button', { name: 'Drop branch' }).click()
    await page.getByText('Branch idle is dropped').waitFor()
    const { items } = await lake.get<{ items: { name: string }[] }>('/api/v1/branches')
    expect(items.map(({ name }) => name)).not.toContain('idle')
  } finally {
    await close()
  }
})

test('a branch is merged after its dry run, and the lake has its rows', async () => {
  const { page, faults, close } = await open('/lake/branches/warmer')
  try {
    const warm = async (): Promise<unknown> =>
      (await lake.post<{ rows: unknown[][] }>('/api/v1/query', { sql: 'select max(temperature) > 1000 from silver.readings' })).rows[0]?.[0]
    await page.getByRole('button', { name: 'Merge' }).click()
    const dialog = page.getByRole('dialog', { name: 'Merge warmer into the lake' })
    await dialog.getByText('No conflict was found.').waitFor()
    expect(await dialog.getByRole('listitem').allTextContents()).toEqual([
      expect.stringMatching(/silver\.readings.*files in/),
      expect.stringMatching(/gold\.air_hourly.*unchanged/),
    ])
    expect(await violations(page)).toEqual([])
    expect(await warm()).toBe(false)
    await dialog.getByRole('button', { name: 'Merge now' }).click()
    await page.getByText('Branch warmer is merged').waitFor()
    expect(await warm()).toBe(true)
    expect(faults).toEqual([])
  } finally {
    await close()
  }
})
