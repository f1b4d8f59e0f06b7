/** Debian's Chromium on a served console: pages in any look, what went wrong in them, and what axe finds. */
import { accessSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium, type Browser, type Page } from 'playwright-core'

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

export interface Look {
  readonly dark?: boolean
  readonly narrow?: boolean
  readonly language?: string
}

/** Every theme, width and language, each with each other at least once. */
export const LOOKS: readonly Required<Look>[] = [
  { dark: false, narrow: false, language: 'en' },
  { dark: true, narrow: false, language: 'pt-BR' },
  { dark: true, narrow: true, language: 'en' },
  { dark: false, narrow: true, language: 'pt-BR' },
]

export interface Opened {
  readonly page: Page
  /** Errors of scripts and answers of 400 and above, as they happened. */
  readonly faults: string[]
  readonly close: () => Promise<void>
}

export async function launch(): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error('There is no Chromium; run: apt-get install -y chromium')
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
}

export async function openPage(browser: Browser, address: string, look: Look = {}): Promise<Opened> {
  const context = await browser.newContext({
    viewport: look.narrow ? { width: 390, height: 844 } : { width: 1440, height: 900 },
    colorScheme: look.dark ? 'dark' : 'light',
    locale: look.language ?? 'en',
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
  await page.goto(address)
  await page.getByRole('heading', { level: 1 }).waitFor()
  return { page, faults, close: () => context.close() }
}

/** What axe has against the page as it stands. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }
    return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)
  })
}

export const fitsItsWidth = (page: Page): Promise<boolean> => page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth)

function exists(path: string): boolean {
  try {
    accessSync(path)
    return true
  } catch {
    return false
  }
}
