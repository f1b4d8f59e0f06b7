/** Transforms in the console, in a real browser, behind real walls: findings beside the code, a run with its log and result, saved and begun from. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fitsItsWidth, launch, type Look, LOOKS, openPage, type Opened, violations } from '../helpers/browser.ts'
import { eventually, newHome, project, serve, type Served } from '../helpers/cli.ts'
import { missingSandbox } from '../helpers/sandbox.ts'

let lagoa: Served
let browser: Browser
let failed: string
const patience = { timeout: 30_000 }
const open = (path: string, look: Look = {}): Promise<Opened> => openPage(browser, lagoa.url + path, look)
const code = (page: Page): ReturnType<Page['getByLabel']> => page.getByRole('textbox', { name: 'Python code' })

describe.skipIf(missingSandbox !== null)(`transforms ${missingSandbox ?? ''}`, () => {
  beforeAll(async () => {
    const home = newHome()
    const folder = project({ 'flows/one.ts': "import { flow, task } from 'lagoa'\nexport const one = flow('one', () => { task('first', { run: () => 1 }) })" })
    lagoa = await serve('start', ['--project', folder], { home })
    mkdirSync(join(home, 'objects', 'meu-bucket', 'dados'), { recursive: true })
    writeFileSync(join(home, 'objects', 'meu-bucket', 'dados', 'vendas.csv'), `valor\n${Array.from({ length: 30 }, (_, i) => i + 1).join('\n')}\n`)
    browser = await launch()
    const body = { dataset_path: 'meu-bucket/dados/vendas.csv', code: "def process(df):\n    print('here')\n    return df['gone']\n" }
    const answer = await fetch(`${lagoa.url}/api/v1/process`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    failed = ((await answer.json()) as { job_id: string }).job_id
    // What was waited for is in the history a moment after its end.
    await eventually('the job is kept', async () => (await fetch(`${lagoa.url}/api/v1/process/jobs/${failed}`)).ok)
  }, 120_000)
  afterAll(async () => {
    await browser?.close()
    await lagoa?.kill()
  })

  test.each(LOOKS)('show themselves without a fault with dark=$dark narrow=$narrow language=$language, and axe finds nothing', async (look) => {
    const { page, faults, close } = await open(`/transforms?job=${failed}`, look)
    try {
      await page.locator('.transform-trace').waitFor(patience)
      await page.waitForTimeout(500)
      if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/t-${JSON.stringify(look).replaceAll(/[^a-z-A-Z]/g, '')}.png`, fullPage: true })
      expect(await violations(page)).toEqual([])
      expect(faults).toEqual([])
      expect(await fitsItsWidth(page)).toBe(true)
    } finally {
      await close()
    }
  })

  test('are told what would be refused while they are written, and where', async () => {
    const { page, faults, close } = await open('/transforms')
    try {
      await page.getByText('Nothing in this code would be refused').waitFor(patience)
      await code(page).fill('import os\n\ndef process(df):\n    open("x")\n    return df\n')
      await page.getByRole('button', { name: 'line 1' }).waitFor(patience)
      await eventually('both are marked where they stand', async () => (await page.locator('.code-text mark').count()) >= 2)
      await page.getByRole('button', { name: 'line 4' }).click()
      if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/findings.png` })
      const at = await code(page).evaluate((area) => (area instanceof HTMLTextAreaElement ? area.selectionStart : -1))
      expect(at).toBe('import os\n\ndef process(df):\n'.length)
      expect(faults).toEqual([])
    } finally {
      await close()
    }
  })

  test('run the first example, show its rows, and are saved and begun from again', async () => {
    const { page, faults, close } = await open('/transforms')
    try {
      expect(await page.getByRole('button', { name: 'Run', exact: true }).isDisabled()).toBe(true)
      await page.getByLabel('Data set').fill('meu-bucket/dados/vendas.csv')
      await code(page).press('Control+Enter')
      await page.getByText('It succeeded').waitFor(patience)
      const result = page.getByRole('region', { name: 'Result', exact: true })
      await result.getByText('rolling_mean').first().waitFor(patience)
      expect(await result.innerText()).toContain('The first 20 rows')
      expect(await result.innerText()).toMatch(/Rows\s+28/)
      if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/transforms.png` })
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await page.getByRole('dialog').getByLabel('Name').fill('mean of three')
      await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
      await page.getByText('mean of three is saved').waitFor(patience)
      await code(page).fill('def process(df):\n    return df\n')
      await page.getByLabel('Start from').selectOption({ label: 'mean of three' })
      expect(await code(page).inputValue()).toContain('rolling_mean')
      expect(faults).toEqual([])
    } finally {
      await close()
    }
  })

  test('that fail say where, and lead there; one that does not end is cancelled', async () => {
    const { page, faults, close } = await open('/transforms')
    try {
      await page.getByLabel('Data set').fill('meu-bucket/dados/vendas.csv')
      await code(page).fill("def process(df):\n    print('so far')\n    return df['gone']\n")
      await page.getByRole('button', { name: 'Run', exact: true }).click()
      await page.getByRole('button', { name: 'Go to line 3' }).waitFor(patience)
      expect(await page.getByRole('log').innerText()).toContain('so far')
      await code(page).fill("def process(df):\n    print('for ever')\n    while True:\n        pass\n")
      await page.getByRole('button', { name: 'Run', exact: true }).click()
      await page.getByRole('log').getByText('for ever').waitFor(patience)
      await page.getByRole('button', { name: 'Cancel' }).click()
      await page.getByText('It was cancelled').first().waitFor(patience)
      expect(faults).toEqual([])
    } finally {
      await close()
    }
  })
})
