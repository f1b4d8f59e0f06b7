/** The console in a real browser against the real server: every screen works, in both languages and themes, and axe finds nothing. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fitsItsWidth, launch, type Look, LOOKS, openPage, type Opened, violations } from '../helpers/browser.ts'
import { EXAMPLE, eventually, newHome, start, type Started } from '../helpers/cli.ts'

let lagoa: Started
let url: string
let browser: Browser

beforeAll(async () => {
  lagoa = start(['start', '--project', EXAMPLE, '--port', '0', '--json', '--rate', '60'], { home: newHome(), timeoutMs: 900_000 })
  url = String((await lagoa.line('url')).url)
  browser = await launch()
  // The screens are looked at once gold has rows.
  await eventually(
    'gold has rows',
    async () => (((await (await fetch(`${url}/api/v1/tables/gold.air_hourly`)).json()) as { rows: number | null }).rows ?? 0) > 0,
    30_000,
  )
})

afterAll(async () => {
  await browser?.close()
  await lagoa?.kill('SIGTERM')
})

const SCREENS = [
  '/',
  '/live',
  '/lake',
  '/lake/silver.readings',
  '/lake/silver.readings?tab=schema',
  '/lake/silver.readings?tab=history',
  '/lake/silver.readings?tab=quality',
  '/lake/branches',
  '/alerts',
  '/sql',
  '/lineage',
  '/lineage?asset=table:silver.readings&column=co',
  '/lineage?asset=stream:sensor_raw&panel=impact&view=list',
  '/nowhere',
]

const open = (path: string, look: Look = {}): Promise<Opened> => openPage(browser, url + path, look)

describe.each(LOOKS)('with dark=$dark narrow=$narrow language=$language', (look) => {
  test.each(SCREENS)('%s shows itself without a fault, and axe finds nothing', async (path) => {
    const { page, faults, close } = await open(path, look)
    try {
      await page.waitForTimeout(700)
      expect(await violations(page)).toEqual([])
      expect(faults).toEqual([])
      expect(await fitsItsWidth(page)).toBe(true)
      expect(await page.getAttribute('html', 'lang')).toBe(look.language)
    } finally {
      await close()
    }
  })
})

test('a reading that is sent appears on the live screen at once', async () => {
  const { page, close } = await open('/live')
  try {
    const began = Date.now()
    const answer = await fetch(`${url}/api/v1/streams/sensor_raw/records`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([{ sensor: 'Rooftop', at: new Date().toISOString(), co: 11.5, no2: 20 }]),
    })
    expect(answer.status).toBe(200)
    const tile = page.getByRole('listitem').filter({ hasText: 'Rooftop' }).first()
    await tile.filter({ hasText: 'over limit' }).waitFor({ timeout: 5000 })
    expect(Date.now() - began).toBeLessThan(5000)
  } finally {
    await close()
  }
})

test('the table page refreshes on demand and travels in time', async () => {
  const { page, close } = await open('/lake/silver.readings')
  try {
    await page.getByRole('button', { name: 'Refresh now' }).click()
    await page
      .getByText(/up to date|new rows|refreshed/i)
      .first()
      .waitFor({ timeout: 10_000 })
    await page.goto(`${url}/lake/silver.readings?version=1`)
    await page
      .getByText(/version 1\b/i)
      .first()
      .waitFor({ timeout: 10_000 })
  } finally {
    await close()
  }
})

test('a query is answered, and a faulty one is explained', async () => {
  const { page, close } = await open('/sql')
  try {
    const editor = page.getByRole('textbox').first()
    await editor.fill("select count(*) as n from silver.readings where sensor = 'Mooca'")
    await editor.press('Control+Enter')
    await page.getByRole('columnheader', { name: /n/ }).first().waitFor({ timeout: 10_000 })
    await editor.fill('select * from silver.raedings')
    await editor.press('Control+Enter')
    await page
      .getByText(/silver\.readings/)
      .last()
      .waitFor({ timeout: 10_000 })
    await page.getByText(/no table silver\.raedings/i).waitFor({ timeout: 10_000 })
  } finally {
    await close()
  }
})

test('the graph traces a column both ways, opens a table, and keeps all of it in the address', async () => {
  const { page, faults, close } = await open('/lineage?asset=table:silver.readings')
  try {
    const graph = page.getByRole('region', { name: 'Graph of what is made of what' })
    const row = (table: string, column: string) =>
      graph.getByRole('list', { name: `Columns of ${table}`, exact: true }).getByRole('button', { name: column, exact: true })
    await row('silver.readings', 'co').click({ timeout: 20_000 })
    await page.getByText('Tracing silver.readings.co: 2 upstream, 6 downstream').waitFor()
    expect(await row('silver.readings', 'co').getAttribute('aria-pressed')).toBe('true')
    expect(new URL(page.url()).searchParams.get('column')).toBe('co')
    // The way is drawn, and a value goes from column to column.
    await graph.locator('.line.traced').first().waitFor({ state: 'attached' })
    expect(await graph.locator('.line.traced').count()).toBe(8)
    expect((await graph.locator('.box-row.traced').allTextContents()).toSorted()).toEqual([
      '_failed',
      'co',
      'co',
      'co',
      'co',
      'co_above_10',
      'co_max',
      'co_mean',
      'co_p95',
    ])
    await graph.getByRole('button', { name: '2 more columns' }).click()
    await row('bronze.sensor', '_offset').waitFor()
    await row('gold.air_hourly', 'no2_max').click()
    await page.getByText('Tracing gold.air_hourly.no2_max: 3 upstream, 0 downstream').waitFor()
    const address = page.url()
    await page.reload()
    await page.getByText('Tracing gold.air_hourly.no2_max: 3 upstream, 0 downstream').waitFor()
    await row('bronze.sensor', '_offset').waitFor({ timeout: 20_000 })
    expect(page.url()).toBe(address)
    await page.goBack()
    await page.getByText('Tracing silver.readings.co').waitFor()
    expect(faults).toEqual([])
  } finally {
    await close()
  }
})

test('the impact of a column is told in the language of the reader, and marked in the graph', async () => {
  const { page, close } = await open('/lineage?asset=stream:sensor_raw&column=co', { language: 'pt-BR' })
  try {
    await page.getByRole('tab', { name: 'Impacto' }).click()
    await page.getByRole('heading', { name: '3 quebram' }).waitFor()
    await page.getByText('a condição de encerramento lê sensor_raw.co').waitFor()
    await page.getByText('o SQL cita bronze.sensor.co').waitFor()
    const box = page.getByRole('button', { name: /air_critical.*Alerta.*quebra/ })
    await box.click({ timeout: 20_000 })
    await page.getByRole('region', { name: 'Sobre air_critical' }).getByRole('link', { name: 'Abrir alerta' }).waitFor()
  } finally {
    await close()
  }
})

test('a narrow screen, or a reader without a pointer, gets the graph as a list', async () => {
  const { page, close } = await open('/lineage?asset=gold.air_hourly', { narrow: true })
  try {
    const step = page.getByRole('region', { name: '1 step up' })
    await step.getByRole('button', { name: 'silver.readings' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('region', { name: 'About silver.readings' }).getByRole('button', { name: /^co / }).press('Enter')
    await page.getByText('Tracing silver.readings.co').waitFor()
    await page.getByText('computed from bronze.sensor.co').first().waitFor()
  } finally {
    await close()
  }
})

test('what is not in the catalogue is said, with a way back', async () => {
  const { page, close } = await open('/lineage?asset=table:silver.raedings')
  try {
    await page
      .getByText(/silver\.readings/)
      .first()
      .waitFor()
    await page.getByRole('link', { name: 'See all assets' }).click()
    await page.getByRole('searchbox', { name: 'Find an asset or a column' }).fill('nitrogen')
    await page.getByRole('link', { name: '.no2' }).first().click()
    await page.getByText(/Tracing .*no2/).waitFor()
  } finally {
    await close()
  }
})

test('the palette finds a column by its description, over a page that stays in sight', async () => {
  const { page, close } = await open('/')
  try {
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('carbon')
    await page
      .getByRole('option', { name: /sensor_raw\.co\b.*Column/ })
      .first()
      .waitFor()
    expect(await page.evaluate(() => getComputedStyle(document.querySelector('.mantine-Modal-inner') ?? document.body).backgroundColor)).toBe(
      'rgba(0, 0, 0, 0)',
    )
    await page.getByRole('option', { name: /bronze\.sensor\.co\b.*Column/ }).click()
    await page.getByText('Tracing bronze.sensor.co').waitFor()
  } finally {
    await close()
  }
})

test('tables and alerts lead to their lineage', async () => {
  const { page, close } = await open('/lake/silver.readings')
  try {
    await page.getByRole('main').getByRole('link', { name: 'Lineage' }).click()
    await page.getByRole('heading', { level: 1, name: 'silver.readings comes from 2 assets and feeds 3 assets.' }).waitFor()
    await page.goto(`${url}/alerts?tab=rules`)
    await page.getByRole('link', { name: 'Lineage air_critical' }).click()
    await page.getByRole('heading', { level: 1, name: 'air_critical comes from 1 asset and feeds 1 asset.' }).waitFor()
  } finally {
    await close()
  }
})
