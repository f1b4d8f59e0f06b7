/** Flows and runs in the console, in a real browser: asked for with a form, followed as they go, paused, cancelled, retried, over flows of many shapes. */
import { rmSync, writeFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fitsItsWidth, launch, type Look, LOOKS, openPage, type Opened, violations } from '../helpers/browser.ts'
import { eventually, newHome, project, serve, type Served } from '../helpers/cli.ts'

const ELEMENTS = 2_000

const FLOWS = `
import { existsSync } from 'node:fs'
import { flow, task, z } from 'lagoa'

const pause = (ms, signal) =>
  new Promise((done, fail) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', () => { clearTimeout(timer); fail(signal.reason) }, { once: true })
  })

export const inner = flow('inner', { description: 'A small flow that others run', params: z.object({ factor: z.number().default(2) }) }, (p) => {
  task('double', { with: { factor: p.factor }, run: ({ factor }) => factor * 2 })
})

export const report = flow(
  'report',
  {
    description: 'Works on every element of a list, then goes one of two ways',
    owner: 'air quality team',
    tags: ['nightly'],
    cron: '0 3 * * *',
    timeZone: 'America/Sao_Paulo',
    scheduleParams: { source: 'all' },
    params: z.object({
      source: z.string().describe('Where the list comes from'),
      count: z.number().int().min(1).max(5000).default(8),
      mode: z.enum(['fast', 'slow']).default('fast'),
      dry: z.boolean().default(false),
      day: z.iso.date().optional(),
      sensors: z.array(z.string()).default([]),
      code: z.string().regex(/^[A-Z]{3}$/, 'three capital letters are wanted').optional(),
    }),
  },
  (p) => {
    const list = task('list', { with: { count: p.count }, run: ({ count }, ctx) => { ctx.log('a list of ' + count); return Array.from({ length: count }, (_, i) => i) } })
    const squares = task('square', { map: list, run: ({ item }, ctx) => { if (item === 7) ctx.log('seven is odd', 'warn'); return { of: item, is: item * item } } })
    const other = task.flow('ask_inner', { flow: inner, with: { factor: 4 } })
    const way = task.branch('which_way', { with: { squares, mode: p.mode }, choose: ({ mode }) => mode + '_way' })
    const slow = task('slow_way', {
      after: [way],
      async run(_, ctx) {
        for (let i = 1; i <= 600; i++) {
          await pause(100, ctx.signal)
          ctx.progress(i, 600)
          if (i % 5 === 0) ctx.log('step ' + i)
        }
      },
    })
    const fast = task('fast_way', { after: [way], run: () => 'quick' })
    task('publish', { after: [slow, fast, other], when: 'none_failed', run: () => ({ pages: 3 }) })
  },
)

export const load = flow('load', { description: 'Fails until somebody mends it' }, () => {
  const begin = task('begin', { run: () => 1 })
  const mended = task('ask_service', {
    with: { begin },
    retries: 1,
    retryDelay: '200ms',
    run(_, ctx) {
      if (!existsSync(process.env.MENDED)) throw new Error('The token expired (try ' + ctx.attempt + ')')
      return 'welcome'
    },
  })
  task('tell', { after: [mended], run: () => 'told' })
})

export const daily = flow('daily', { description: 'Counts what a day brought', partition: 'day', params: z.object({ factor: z.number().default(1) }) }, (p) => {
  task('count', { with: { factor: p.factor }, async run(_, ctx) { await pause(300, ctx.signal); return ctx.run.partition } })
})

export const outer = flow('outer', {}, () => {
  task.flow('run_load', { flow: load })
})
`

let lagoa: Served
let browser: Browser
let mended: string
let done: string
let failed: string

interface Run {
  readonly id: string
  readonly state: string
  readonly paused: boolean
  readonly params: Readonly<Record<string, unknown>>
}
const ask = async (flow: string, params: unknown = {}): Promise<string> => (await lagoa.post<Run>(`/api/v1/flows/${flow}/runs`, { params })).id
const runOf = (id: string): Promise<Run> => lagoa.get<Run>(`/api/v1/runs/${id}`)
const until = (id: string, state: string): Promise<unknown> => eventually(`run ${id} is ${state}`, async () => (await runOf(id)).state === state, 60_000)

beforeAll(async () => {
  const folder = project({ 'lagoa.config.ts': "import { defineConfig } from 'lagoa'\nexport default defineConfig({})\n", 'flows/all.ts': FLOWS })
  mended = `${folder}/mended`
  lagoa = await serve('start', ['--project', folder], { home: newHome(), env: { MENDED: mended } })
  browser = await launch()
  done = await ask('report', { source: 'there', count: ELEMENTS })
  failed = await ask('load')
  await until(failed, 'failed')
  await until(done, 'succeeded')
}, 120_000)

afterAll(async () => {
  await browser?.close()
  await lagoa?.kill()
})

const open = (path: string, look: Look = {}): Promise<Opened> => openPage(browser, lagoa.url + path, look)
const patience = { timeout: 20_000 }

describe.each(LOOKS)('with dark=$dark narrow=$narrow language=$language', (look) => {
  test.each([
    ['the flows', () => '/flows'],
    ['a flow', () => '/flows/report'],
    ['its tasks', () => '/flows/report?tab=tasks'],
    ['the runs', () => '/runs'],
    ['a run', () => `/runs/${done}`],
    ['an element of many', () => `/runs/${done}?task=1`],
    ['a run as a graph', () => `/runs/${done}?tab=graph`],
    ['the params of a run', () => `/runs/${done}?tab=params`],
    ['a task that failed', () => `/runs/${failed}?task=1`],
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

describe('the form of a flow', () => {
  test('says what is wrong at its field, then asks for the run and follows it to its end', async () => {
    const { page, faults, close } = await open('/flows/report')
    try {
      await page.getByRole('button', { name: 'Run', exact: true }).click(patience)
      const dialog = page.getByRole('dialog', { name: 'Run report' })
      const submit = dialog.getByRole('button', { name: 'Run', exact: true })
      await dialog.getByLabel('count').fill('9000')
      await dialog.getByLabel('sensors').fill('[1')
      await submit.click()
      await dialog.getByText('This is needed.').waitFor(patience)
      await dialog.getByText('It must be at most 5,000.').waitFor(patience)
      await dialog.getByText('This is not JSON. Text stands in quotes.').waitFor(patience)
      // The keyboard is where the first of them is.
      expect(await dialog.getByLabel('source').evaluate((input) => input === document.activeElement)).toBe(true)
      expect(await violations(page)).toEqual([])
      await dialog.getByLabel('source').fill('here')
      await dialog.getByLabel('count').fill('12')
      await dialog.getByLabel('sensors').fill('["Mooca"]')
      await dialog.getByLabel('dry').selectOption('true')
      await dialog.getByLabel('day').fill('2026-11-20')
      await dialog.getByLabel('code').fill('abc')
      await submit.click()
      // What only the server can know stands at its field, too.
      await dialog.locator('.field', { hasText: 'code' }).getByText('three capital letters are wanted').waitFor(patience)
      await dialog.getByLabel('code').fill('ABC')
      await submit.click()
      await page.getByRole('heading', { level: 1, name: /^report (is running|waits|succeeded)/ }).waitFor(patience)
      await page.getByRole('heading', { level: 1, name: 'report succeeded.' }).waitFor(patience)
      const id = new URL(page.url()).pathname.split('/').at(-1) ?? ''
      expect((await runOf(id)).params).toEqual({ source: 'here', count: 12, mode: 'fast', dry: true, day: '2026-11-20', sensors: ['Mooca'], code: 'ABC' })
      await page.getByRole('tab', { name: 'Params' }).click()
      await page.getByText('"Mooca"').waitFor(patience)
      // The one refusal is the one that was meant.
      expect(faults.filter((fault) => !fault.includes('400'))).toEqual([])
    } finally {
      await close()
    }
  })

  test('pauses the schedule and lets it go on', async () => {
    const { page, close } = await open('/flows/report')
    try {
      await page.getByText('daily 03:00').waitFor(patience)
      await page.getByRole('button', { name: 'Pause schedule' }).click()
      await page.getByRole('button', { name: 'Resume schedule' }).waitFor(patience)
      const { schedule } = await lagoa.get<{ schedule: { paused: boolean } }>('/api/v1/flows/report')
      expect(schedule.paused).toBe(true)
      await page.getByRole('button', { name: 'Resume schedule' }).click()
      await page.getByRole('button', { name: 'Pause schedule' }).waitFor(patience)
    } finally {
      await close()
    }
  })
})

describe('a run that goes on', () => {
  test('shows how far its task is and what it says, and can be paused, resumed and cancelled', async () => {
    const id = await ask('report', { source: 'live', mode: 'slow' })
    const { page, faults, close } = await open(`/runs/${id}`)
    try {
      await page.getByRole('heading', { level: 1, name: 'report is running.' }).waitFor(patience)
      const log = page.getByRole('region', { name: 'Lines of the log' })
      await log.getByText('step 5', { exact: true }).waitFor(patience)
      await log.getByText('step 15', { exact: true }).waitFor(patience)
      const row = page.getByRole('button', { name: /^running slow_way/ })
      await row.filter({ hasText: /[1-9]\d? ?%/ }).waitFor(patience)
      await row.click()
      const panel = page.getByRole('region', { name: 'Task slow_way' })
      await panel.getByText(/^\d+ of 600 \(\d+%\)$/).waitFor(patience)
      await page.getByRole('tab', { name: 'Graph' }).click()
      await page
        .getByRole('region', { name: /^Graph of the tasks/ })
        .getByText(/^running \d+%$/)
        .waitFor(patience)

      await page.getByRole('button', { name: 'Pause', exact: true }).click()
      await page.getByRole('heading', { level: 1, name: 'report is paused.' }).waitFor(patience)
      expect((await runOf(id)).paused).toBe(true)
      await page.getByRole('button', { name: 'Resume' }).click()
      await page.getByRole('heading', { level: 1, name: 'report is running.' }).waitFor(patience)

      await page.getByRole('button', { name: 'Cancel run' }).click()
      const dialog = page.getByRole('dialog', { name: 'Cancel this run of report?' })
      await dialog.getByText(/^One task is running/).waitFor(patience)
      expect(await violations(page)).toEqual([])
      await dialog.getByRole('button', { name: 'Cancel', exact: true }).click()
      expect((await runOf(id)).state).toBe('running')
      await page.getByRole('button', { name: 'Cancel run' }).click()
      await dialog.getByRole('button', { name: 'Cancel run' }).click()
      await page.getByRole('heading', { level: 1, name: 'report was cancelled.' }).waitFor(patience)
      expect(faults).toEqual([])
    } finally {
      await close()
    }
  })

  test('is in the list of runs without a reload, and leaves it when a filter says so', async () => {
    const { page, close } = await open('/runs?flow=inner')
    try {
      const rows = page.getByRole('row', { name: /by the API/ })
      await page
        .getByRole('row', { name: /by another run/ })
        .first()
        .waitFor(patience)
      expect(await rows.count()).toBe(0)
      await ask('inner')
      await rows.first().waitFor(patience)
      await page.getByText('failed', { exact: true }).click()
      await page.getByRole('heading', { name: 'No run matches' }).waitFor(patience)
      expect(new URL(page.url()).searchParams.get('state')).toBe('failed')
    } finally {
      await close()
    }
  })
})

describe('a run of thousands of elements', () => {
  test('counts them by state, draws only those in sight, and opens any of them', async () => {
    const { page, close } = await open(`/runs/${done}`)
    try {
      await page.getByText('2,000/2,000').waitFor(patience)
      await page
        .getByRole('button', { name: /square/ })
        .first()
        .click()
      const panel = page.getByRole('region', { name: 'Task square' })
      await panel.getByText('2,000 elements').waitFor(patience)
      const list = panel.getByRole('region', { name: 'Elements of square' })
      await list.getByRole('button', { name: 'square 0', exact: true }).waitFor(patience)
      expect(await list.locator('tbody tr').count()).toBeLessThan(60)
      // Going down fetches what is wanted there.
      await eventually(
        'the last element is there',
        async () => {
          await list.evaluate((box) => box.scrollTo(0, box.scrollHeight))
          return (await list.getByRole('button', { name: 'square 1,999', exact: true }).count()) === 1
        },
        20_000,
        200,
      )
      await list.getByRole('button', { name: 'square 1,999', exact: true }).click()
      const element = page.getByRole('region', { name: 'Task square[1999]' })
      await element.getByText('"is": 3996001').waitFor(patience)
      await element.getByRole('button', { name: 'All elements of square' }).click()
      await panel.getByText('2,000 elements').waitFor(patience)
    } finally {
      await close()
    }
  })

  test('marks the path that decided how long it took', async () => {
    const { page, close } = await open(`/runs/${done}`)
    try {
      await page.getByRole('button', { name: 'Critical path' }).click(patience)
      const names = await page.locator('.timeline-row.critical .timeline-name .cut').allTextContents()
      expect(names).toEqual(['list', 'square', 'which_way', 'fast_way', 'publish'])
    } finally {
      await close()
    }
  })

  test('has a log that is searched and filtered by level, with all of it in the address', async () => {
    const { page, close } = await open(`/runs/${done}`)
    try {
      const log = page.getByRole('region', { name: 'Lines of the log' })
      await log.getByText(`a list of ${ELEMENTS}`).waitFor(patience)
      await page
        .getByRole('radiogroup', { name: 'Least level' })
        .getByText(/^Warnings/)
        .click()
      await log.getByText('seven is odd').waitFor(patience)
      await eventually('only warnings are left', async () => (await log.locator('.log-line').count()) === 1)
      expect(await log.locator('.log-task').textContent()).toBe('square[7]')
      await page.getByRole('searchbox', { name: 'Find in log' }).fill('EVEN is')
      await page.getByText('1 line', { exact: true }).waitFor(patience)
      expect(await log.locator('mark').textContent()).toBe('even is')
      await page.reload()
      await log.locator('mark').waitFor(patience)
      await page.getByRole('searchbox', { name: 'Find in log' }).fill('nobody said this')
      await page.getByText('No line matches.').waitFor(patience)
    } finally {
      await close()
    }
  })
})

describe('a run that failed', () => {
  test('says why, shows its tries, and goes on from there once it was retried', async () => {
    const { page, faults, close } = await open(`/runs/${failed}`)
    try {
      await page.getByRole('heading', { level: 1, name: 'load failed at ask_service.' }).waitFor(patience)
      expect(await page.locator('.timeline-bar.failed').count()).toBe(2)
      await page.getByRole('button', { name: 'See task' }).click()
      const panel = page.getByRole('region', { name: 'Task ask_service' })
      await panel.getByText('Try 1 failed').waitFor(patience)
      await panel.getByText('Try 2 failed').waitFor(patience)
      await panel.getByText('The token expired (try 1)').waitFor(patience)
      await page.getByRole('button', { name: 'Retry failed' }).click()
      const dialog = page.getByRole('dialog', { name: 'Retry what failed in load?' })
      await dialog.getByText('2 tasks run anew: ask_service, tell.').waitFor(patience)
      writeFileSync(mended, '')
      await dialog.getByRole('button', { name: 'Retry failed' }).click()
      await page.getByRole('heading', { level: 1, name: 'load succeeded.' }).waitFor(patience)
      await panel.getByText('"welcome"').waitFor(patience)
      expect(faults).toEqual([])
    } finally {
      await close()
    }
  })

  test('is run anew from one of its tasks, after a warning that names what is lost', async () => {
    const id = await ask('load')
    await until(id, 'succeeded')
    const { page, close } = await open(`/runs/${id}?task=1`)
    try {
      await page.getByRole('button', { name: 'Retry from here' }).click(patience)
      const dialog = page.getByRole('dialog', { name: 'Retry from ask_service?' })
      await dialog.getByText('2 tasks run anew: ask_service, tell. What they answered before is lost.').waitFor(patience)
      await dialog.getByRole('button', { name: 'Retry from here' }).click()
      await page.getByText('The run goes on').waitFor(patience)
      await eventually('both ran twice', async () => {
        const { items } = await lagoa.get<{ items: { tries: unknown[] }[] }>(`/api/v1/runs/${id}/nodes`)
        return items.map(({ tries }) => tries.length).join(' ') === '1 2 2'
      })
    } finally {
      await close()
    }
  })

  test('of a sub-flow asks for a new run of it when it is retried', async () => {
    rmSync(mended)
    const id = await ask('outer')
    await until(id, 'failed')
    writeFileSync(mended, '')
    await lagoa.post(`/api/v1/runs/${id}/retry`, {})
    await until(id, 'succeeded')
    // What it asked for stands beside it among the newest, not somewhere by chance.
    const { items } = await lagoa.get<{ items: { flow: string }[] }>('/api/v1/runs?limit=3')
    expect(items.map(({ flow }) => flow).toSorted()).toEqual(['load', 'load', 'outer'])
  })
})

describe('a backfill', () => {
  test('shows what it would run, runs it, is paused, resumed and cancelled, and its runs are found', async () => {
    const { page, faults, close } = await open('/flows/daily')
    try {
      await page.getByRole('button', { name: 'Backfill' }).click(patience)
      const dialog = page.getByRole('dialog', { name: 'Backfill daily' })
      await dialog.getByRole('button', { name: 'Backfill' }).click()
      await dialog.getByText('This is needed.').waitFor(patience)
      await dialog.getByLabel('From').fill('2026-01-01')
      await dialog.getByLabel(/^To/).fill('2026-03-31')
      await dialog.getByText('90 runs: 2026-01-01 to 2026-03-31.').waitFor(patience)
      await dialog.getByLabel('Runs at a time').fill('2')
      expect(await violations(page)).toEqual([])
      await dialog.getByRole('button', { name: 'Begin 90 runs' }).click()
      const item = page.getByRole('listitem').filter({ hasText: '2026-01-01 to 2026-03-31' })
      await item.getByText('2 at a time').waitFor(patience)
      await item.getByText(/^[1-9]\d* of 90 done/).waitFor(patience)
      await item.getByRole('button', { name: /^Pause/ }).click()
      await item.getByText('paused', { exact: true }).waitFor(patience)
      await item.getByRole('button', { name: /^Resume/ }).click()
      await item.getByText('running', { exact: true }).waitFor(patience)
      expect(await violations(page)).toEqual([])
      await item.getByRole('button', { name: /^Cancel/ }).click()
      const sure = page.getByRole('dialog', { name: /^Cancel the backfill/ })
      await sure.getByRole('button', { name: 'Cancel backfill' }).click()
      await item.getByText('cancelled', { exact: true }).first().waitFor(patience)
      await item.getByRole('link', { name: '2026-01-01 to 2026-03-31' }).click()
      await page.getByRole('row', { name: /2026-03-31/ }).waitFor(patience)
      // The heading, and a page of runs that are all of it.
      expect(await page.getByRole('row').count()).toBe(51)
      expect(await page.getByRole('row', { name: /a backfill/ }).count()).toBe(50)
      // A second one leaves out what has succeeded.
      await page.goto(`${lagoa.url}/flows/daily`)
      await page.getByRole('button', { name: 'Backfill' }).click(patience)
      await dialog.getByLabel('From').fill('2026-01-01')
      await dialog.getByLabel(/^To/).fill('2026-01-02')
      await dialog.getByText(/left out/).waitFor(patience)
      expect(faults).toEqual([])
    } finally {
      await close()
    }
  })

  test('is not offered for a flow without partitions, and a single run of one with them asks which', async () => {
    const { page, close } = await open('/flows/report')
    try {
      await page.getByRole('button', { name: 'Run', exact: true }).waitFor(patience)
      expect(await page.getByRole('button', { name: 'Backfill' }).count()).toBe(0)
      await page.goto(`${lagoa.url}/flows/daily`)
      await page.getByRole('button', { name: 'Run', exact: true }).click(patience)
      const dialog = page.getByRole('dialog', { name: 'Run daily' })
      await dialog.getByRole('button', { name: 'Run', exact: true }).click()
      await dialog.getByText('This is needed.').waitFor(patience)
      await dialog.getByLabel('Day').fill('2026-06-01')
      await dialog.getByRole('button', { name: 'Run', exact: true }).click()
      await page.getByRole('heading', { level: 1, name: 'daily succeeded.' }).waitFor(patience)
      await page.getByText('2026-06-01').first().waitFor(patience)
    } finally {
      await close()
    }
  })
})

test('the palette leads to a flow, and its graph is reached with the keyboard', async () => {
  const { page, close } = await open('/')
  try {
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('repo')
    await page
      .getByRole('option', { name: /^report/ })
      .first()
      .click(patience)
    await page.getByRole('heading', { level: 1, name: 'report' }).waitFor(patience)
    await page.goto(`${lagoa.url}/runs/${done}?tab=graph`)
    const box = page.getByRole('button', { name: /^which_way/ })
    await box.waitFor(patience)
    await box.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('region', { name: 'Task which_way' }).getByText('"fast_way"').waitFor(patience)
  } finally {
    await close()
  }
})
