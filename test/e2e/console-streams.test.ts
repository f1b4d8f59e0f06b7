/** Streams and alerts in the console, in a real browser: followed, filtered, mended, sent again, silenced, over a stream some of whose records are bad. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fitsItsWidth, launch, type Look, LOOKS, openPage, type Opened, violations } from '../helpers/browser.ts'
import { EXAMPLE, eventually, newHome, serve, temporaryFolder, type Served } from '../helpers/cli.ts'

let lagoa: Served
let browser: Browser

interface Letters {
  readonly items: readonly { readonly offset: number; readonly text: string; readonly resent: boolean }[]
  readonly kept: number
}
const letters = (): Promise<Letters> => lagoa.get('/api/v1/streams/sensor_raw/dead-letters?limit=200')
const found = async (filter: string): Promise<unknown[]> =>
  (await lagoa.get<{ items: unknown[] }>(`/api/v1/streams/sensor_raw/records?offset=0&limit=1000&filter=${encodeURIComponent(filter)}`)).items
const send = (sensor: string, co: number): Promise<unknown> =>
  lagoa.post('/api/v1/streams/sensor_raw/records', [{ sensor, at: new Date().toISOString(), co, no2: 20 }])

beforeAll(async () => {
  const folder = join(temporaryFolder('console-streams'), 'project')
  cpSync(EXAMPLE, folder, { recursive: true })
  // The stations now and then send a word where a number belongs.
  const stations = join(folder, 'streams', 'stations.ts')
  writeFileSync(stations, readFileSync(stations, 'utf8').replace('co: gap ? -200 :', "co: random(11) < 0.04 ? ('n/a' as unknown as number) : gap ? -200 :"))
  lagoa = await serve('start', ['--project', folder, '--rate', '500', '--count', '400'], { home: newHome() })
  browser = await launch()
  await eventually(
    'there are dead letters, and no more to come',
    async () => {
      const { sinks, source } = await lagoa.get<{ sinks: { lag: number }[]; source: { state: string } }>('/api/v1/streams/sensor_raw')
      return source.state === 'ended' && sinks.every(({ lag }) => lag === 0) && (await letters()).kept > 5
    },
    60_000,
  )
}, 120_000)

afterAll(async () => {
  await browser?.close()
  await lagoa?.kill()
})

const open = (path: string, look: Look = {}): Promise<Opened> => openPage(browser, lagoa.url + path, look)
const patience = { timeout: 20_000 }

describe.each(LOOKS)('with dark=$dark narrow=$narrow language=$language', (look) => {
  test.each([
    '/streams',
    '/streams/sensor_raw',
    '/streams/sensor_raw?tab=records',
    '/streams/sensor_raw?tab=records&partition=0&offset=3&open=0-4',
    '/streams/sensor_raw?tab=letters',
    '/streams/sensor_raw?tab=letters&letter=1',
    '/alerts?tab=history',
    '/alerts?tab=rules',
    '/alerts?tab=silences',
  ])('%s shows itself without a fault, and axe finds nothing', async (path) => {
    const { page, faults, close } = await open(path, look)
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

/** The texts of the records that the list draws. */
const drawn = (page: Page): Promise<string[]> => page.getByRole('region', { name: 'Records of sensor_raw' }).locator('.row-open').allTextContents()

describe('the records of a stream', () => {
  test('appear as they come, only those that meet the filter, and open as JSON', async () => {
    const { page, close } = await open('/streams')
    try {
      await page.getByRole('link', { name: /^sensor_raw/ }).click()
      await page.getByRole('tab', { name: /^Records/ }).click()
      await page
        .getByRole('button', { name: /^Open record/ })
        .first()
        .waitFor(patience)
      const filter = page.getByRole('searchbox', { name: 'Filter' })
      await filter.fill("sensor == 'Rooftop' && co > 3.0")
      await filter.press('Enter')
      await page.getByRole('heading', { name: 'No record meets the filter' }).waitFor(patience)
      for (const [sensor, co] of [
        ['Rooftop', 1],
        ['Mooca', 5],
        ['Rooftop', 7.25],
      ] as const)
        await send(sensor, co)
      const row = page.getByRole('button', { name: /^Open record/ })
      await row.first().waitFor(patience)
      expect((await drawn(page)).map((text) => text.replace(/^.*?\{/, '{'))).toEqual([expect.stringMatching(/"sensor":"Rooftop".*"co":7\.25/)])
      await row.first().click()
      const dialog = page.getByRole('dialog', { name: /^Record \d/ })
      await dialog.getByText('"co": 7.25').waitFor(patience)
      // All of it is in the address.
      await page.reload()
      await dialog.getByText('"co": 7.25').waitFor(patience)
      await dialog.getByRole('button', { name: 'Before' }).click()
      await dialog.getByText('"sensor": "Mooca"').waitFor(patience)
      expect(new URL(page.url()).searchParams.get('filter')).toBe("sensor == 'Rooftop' && co > 3.0")
    } finally {
      await close()
    }
  })

  test('are not hidden by a condition that is wrong: what is wrong is said beside it', async () => {
    const { page, close } = await open('/streams/sensor_raw?tab=records')
    try {
      const filter = page.getByRole('searchbox', { name: 'Filter' })
      await filter.fill('humidity > 3')
      await page.getByRole('button', { name: 'Apply' }).click()
      await page
        .getByRole('alert')
        .getByText(/humidity/)
        .first()
        .waitFor(patience)
      await filter.fill('')
      await page
        .getByRole('button', { name: /^Open record/ })
        .first()
        .waitFor(patience)
    } finally {
      await close()
    }
  })

  test('are read on from an offset, page by page, and stand still while they are paused', async () => {
    const { page, close } = await open('/streams/sensor_raw?tab=records&partition=0&offset=7')
    try {
      await page.getByText('200 records read').waitFor(patience)
      expect((await drawn(page))[0]).toMatch(/^Open record 7:/)
      await page.getByRole('button', { name: 'Read on' }).click()
      await page.getByText(/^(39\d|40\d) records read/).waitFor(patience)
      await page.getByText('As they come').click()
      await page.getByRole('button', { name: 'Pause' }).click()
      const before = await drawn(page)
      await send('Harbour', 2)
      await page.waitForTimeout(2500)
      expect(await drawn(page)).toEqual(before)
      await page.getByRole('button', { name: 'Resume' }).click()
      await page.getByRole('button', { name: /"sensor":"Harbour"/ }).waitFor(patience)
    } finally {
      await close()
    }
  })
})

describe('a dead letter', () => {
  test('is mended by hand once it is right, arrives in the stream, and is marked', async () => {
    const { page, faults, close } = await open('/streams/sensor_raw?tab=letters')
    try {
      const [newest] = (await letters()).items
      await page.getByRole('button', { name: `Open letter ${newest?.offset}:` }).click(patience)
      const dialog = page.getByRole('dialog', { name: `Dead letter ${newest?.offset}` })
      await dialog.getByText('a finite number is wanted').waitFor(patience)
      await dialog.getByText('Hexadecimal').click()
      await dialog.getByText('00000000 7b 22').waitFor(patience)
      await dialog.getByRole('button', { name: 'Edit' }).click()
      const draft = dialog.getByRole('textbox', { name: 'The record as it should be' })
      expect(await violations(page)).toEqual([])
      await dialog.getByRole('button', { name: 'Check and send' }).click()
      await dialog
        .getByRole('alert')
        .getByText(/still not right: co:/)
        .waitFor(patience)
      await draft.fill((await draft.inputValue()).replace('"n/a"', '4.125'))
      await dialog.getByRole('button', { name: 'Check and send' }).click()
      await page.getByText('The mended record is in the stream').waitFor(patience)
      expect(await found('co = 4.125')).toHaveLength(1)
      await page.getByRole('row', { name: new RegExp(`Open letter ${newest?.offset}:.*sent again`) }).waitFor(patience)
      // The first try was refused, as it should be.
      expect(faults.filter((fault) => !fault.includes('400'))).toEqual([])
    } finally {
      await close()
    }
  })

  test('is sent again with others once that was confirmed, and then all that are left', async () => {
    const { page, close } = await open('/streams/sensor_raw?tab=letters')
    try {
      const before = await letters()
      const [second, third] = before.items.slice(1)
      const waiting = await found('co >= 0.0')
      for (const letter of [second, third]) await page.getByRole('checkbox', { name: `Choose letter ${letter?.offset}`, exact: true }).check(patience)
      await page.getByRole('button', { name: 'Send chosen again' }).click()
      const dialog = page.getByRole('dialog', { name: 'Send 2 dead letters again?' })
      expect(await violations(page)).toEqual([])
      await dialog.getByRole('button', { name: 'Cancel' }).click()
      expect((await letters()).items.filter(({ resent }) => resent)).toHaveLength(1)
      await page.getByRole('button', { name: 'Send chosen again' }).click()
      await dialog.getByRole('button', { name: 'Send 2 again' }).click()
      await dialog.getByText('2 of 2 sent again.').waitFor(patience)
      await dialog.getByRole('button', { name: 'Close' }).last().click()
      // Their cause is not mended: each is a new letter, under its own offset.
      await eventually('the new letters', async () => (await letters()).kept === before.kept + 2, 20_000)
      expect(await found('co >= 0.0')).toHaveLength(waiting.length)
      await page.getByRole('row', { name: new RegExp(`Open letter ${second?.offset}:.*sent again`) }).waitFor(patience)
      const { kept } = await letters()
      await page.getByRole('button', { name: `Send all ${kept} again` }).click(patience)
      const all = page.getByRole('dialog', { name: `Send ${kept} dead letters again?` })
      await all.getByRole('button', { name: `Send ${kept} again` }).click()
      await all.getByText(`${kept - 3} of ${kept} sent again. 3 had been sent before.`).waitFor(patience)
      expect((await letters()).items.filter(({ offset }) => offset < kept).every(({ resent }) => resent)).toBe(true)
    } finally {
      await close()
    }
  })
})

test('a rule is silenced with a reason, its alerts are marked, and the silence is extended and ended', async () => {
  const { page, faults, close } = await open('/alerts?tab=rules')
  try {
    await page.getByRole('button', { name: 'Silence air_critical' }).click(patience)
    const dialog = page.getByRole('dialog', { name: 'Silence air_critical' })
    await dialog.getByText('8 h').click()
    await dialog.getByRole('button', { name: 'Silence' }).click()
    await dialog.getByText('Say why, for those who wonder later.').waitFor(patience)
    expect(await violations(page)).toEqual([])
    await dialog.getByRole('textbox', { name: 'Reason' }).fill('sensor 4 is being replaced')
    await dialog.getByRole('textbox', { name: 'By' }).fill('Ana')
    await dialog.getByRole('button', { name: 'Silence' }).click()
    await page.getByText(/^silent until/).waitFor(patience)
    await send('Tunnel', 50)
    await page.getByRole('tab', { name: 'History' }).click()
    await page
      .getByRole('listitem')
      .filter({ hasText: /CO 50 .*air_critical · fired · silenced/ })
      .waitFor(patience)
    await page.getByRole('tab', { name: /^Firing now/ }).click()
    const firing = page.getByRole('region', { name: 'air_episode' }).getByRole('listitem').filter({ hasText: 'Tunnel' })
    await firing.filter({ hasText: /firing for .* · sent/ }).waitFor(patience)
    await page.getByRole('tab', { name: /^Silences/ }).click()
    const row = page.getByRole('row', { name: /air_critical sensor 4 is being replaced Ana/ })
    await row.filter({ hasText: /7 h 5\d min left/ }).waitFor(patience)
    await row.getByRole('button', { name: 'Extend air_critical' }).click()
    const longer = page.getByRole('dialog', { name: 'Extend the silence of air_critical' })
    await longer.getByText('7 days').click()
    await longer.getByRole('button', { name: 'Extend' }).click()
    await row.filter({ hasText: /6 d 23 h left/ }).waitFor(patience)
    await row.getByRole('button', { name: 'End air_critical', exact: true }).click()
    await row.filter({ hasText: 'ended early' }).waitFor(patience)
    const { items } = await lagoa.get<{ items: { rule: string; active: boolean; by: string }[] }>('/api/v1/silences')
    expect(items).toMatchObject([{ rule: 'air_critical', active: false, by: 'Ana' }])
    expect(faults).toEqual([])
  } finally {
    await close()
  }
})

test('the palette leads to a stream, and the overview to what its sources are', async () => {
  const { page, close } = await open('/')
  try {
    await page
      .getByRole('main')
      .getByRole('link', { name: /^sensor_raw/ })
      .click(patience)
    await page.getByRole('heading', { level: 1, name: 'sensor_raw' }).waitFor(patience)
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('air_epi')
    await page
      .getByRole('option', { name: /^air_episode/ })
      .first()
      .click(patience)
    await page.getByText('One alert from the first reading above a limit').waitFor(patience)
    expect(new URL(page.url()).search).toBe('?tab=rules&rule=air_episode')
  } finally {
    await close()
  }
})
