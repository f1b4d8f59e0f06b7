/** The console in a real browser against the real server: every screen works, in both languages and themes, and axe finds nothing. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE, eventually, newHome, start, type Started } from '../helpers/cli.ts'

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => exists(path))
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let lagoa: Started
let url: string
let browser: Browser

beforeAll(async () => {
  lagoa = start(['start', '--project', EXAMPLE, '--port', '0', '--json', '--rate', '60'], { home: newHome(), timeoutMs: 600_000 })
  url = String((await lagoa.line('url')).url)
  if (CHROMIUM === undefined) throw new Error('There is no Chromium; run: apt-get install -y chromium')
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
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
  '/alerts',
  '/sql',
  '/nowhere',
]

async function open(
  path: string,
  options: { dark?: boolean; narrow?: boolean; language?: string } = {},
): Promise<{ page: Page; faults: string[]; close: () => Promise<void> }> {
  const context = await browser.newContext({
    viewport: options.narrow ? { width: 390, height: 844 } : { width: 1440, height: 900 },
    colorScheme: options.dark ? 'dark' : 'light',
    locale: options.language ?? 'en',
    reducedMotion: 'reduce',
  })
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text())
  })
  page.on('response', (response) => {
    if (response.status() >= 400) faults.push(`${response.status()} ${response.url()}`)
  })
  await page.goto(url + path)
  await page.getByRole('heading', { level: 1 }).waitFor()
  return { page, faults, close: () => context.close() }
}

describe.each([
  { dark: false, narrow: false, language: 'en' },
  { dark: true, narrow: false, language: 'pt-BR' },
  { dark: true, narrow: true, language: 'en' },
  { dark: false, narrow: true, language: 'pt-BR' },
])('with dark=$dark narrow=$narrow language=$language', (look) => {
  test.each(SCREENS)('%s shows itself without a fault, and axe finds nothing', async (path) => {
    const { page, faults, close } = await open(path, look)
    try {
      await page.waitForTimeout(700)
      await page.evaluate(AXE)
      const violations = await page.evaluate(async () => {
        const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }
        return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)
      })
      expect(violations).toEqual([])
      expect(faults).toEqual([])
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth)).toBe(true)
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

function exists(path: string): boolean {
  try {
    readFileSync(path, { flag: 'r' })
    return true
  } catch {
    return false
  }
}
