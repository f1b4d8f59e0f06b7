import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { flow, openFlows, openRetention, runMigrations, task, type Flows, type LogFilter, type RunView } from '../../src/flows/index.ts'
import { migrate, openFolderObjects, type Objects, type Records } from '../../src/storage/index.ts'
import { eventually } from '../helpers/cli.ts'
import { tempFolder } from '../helpers/folder.ts'
import { testRecords } from '../helpers/postgres.ts'
import { tools, unused } from './tools.ts'

let records: Records
let objects: Objects
let flows: Flows
let isMended = false
const forever = { runsMs: null, logsMs: null }
const signal = new AbortController().signal

const inner = flow('inner', {}, () => {
  task('only', { run: () => 'x'.repeat(50_000) })
})
const talking = flow('talking', {}, () => {
  const first = task('first', {
    run(_, ctx) {
      for (let i = 0; i < 1_200; i++) ctx.log(`line ${i}`, i % 100 === 0 ? 'warn' : 'info')
      ctx.log('Saída: água 100 %', 'error')
    },
  })
  const second = task('second', {
    after: first,
    run(_, ctx) {
      ctx.log(isMended ? 'it is mended' : 'it is broken', 'debug')
      if (!isMended) throw new Error('broken')
    },
  })
  task.flow('sub', { flow: inner, after: second })
})

beforeAll(async () => {
  ;({ records } = await testRecords())
  await migrate(records, runMigrations)
})
beforeEach(async () => {
  isMended = false
  objects = await openFolderObjects(tempFolder())
  const more = { secret: unused, folder: tempFolder(), concurrency: 4, shared: true, pools: {}, keep: forever }
  flows = openFlows({ records, objects, log: silentLog, tools, ...more })
  await flows.load([inner, talking])
  await flows.start()
})
afterEach(async () => {
  await flows.stop(1_000)
  await records.query('delete from runs')
  await records.query('delete from run_backfills')
})

async function ended(ask: () => Promise<RunView>): Promise<string> {
  const { id } = await ask()
  await flows.ended(id, AbortSignal.timeout(20_000))
  // The last lines are written behind the end of their task.
  let before = -1
  await eventually(
    'the log does not come to its end',
    async () => {
      const [row] = await records.query<{ lines: number }>('select coalesce(sum(jsonb_array_length(lines)), 0) as lines from run_logs')
      const same = row?.lines === before
      before = row?.lines ?? 0
      return same
    },
    10_000,
    400,
  )
  return id
}
const talk = (): Promise<RunView> => flows.trigger('talking', { by: 'test' })

async function lines(id: string, filter: Partial<LogFilter> = {}): Promise<string[]> {
  const found: string[] = []
  for (let cursor = ''; ;) {
    const page = await flows.logs(id, { limit: 100, ...filter, cursor })
    found.push(...page.items.map(({ n, fence, level, text }) => `${n}.${fence} ${level} ${text.split('\n')[0]}`))
    if (page.cursor === cursor) return found
    cursor = page.cursor
  }
}
const paths = async (): Promise<string[]> => {
  const found: string[] = []
  for await (const { path } of objects.list('')) found.push(path)
  return found
}
const inDatabase = async (): Promise<number> => (await records.query('select run from run_logs')).length

describe('the log of a run', () => {
  test('moves to the object store when the run is over, and reads as before', async () => {
    const id = await ended(talk)
    const before = await lines(id)
    expect(before).toHaveLength(1_203)
    expect(before).toContain('1.1 error broken')
    await openRetention({ records, objects, log: silentLog, keep: forever, settleMs: 0 }).once(signal)
    expect(await inDatabase()).toBe(0)
    expect(await lines(id)).toEqual(before)
    expect(await lines(id, { task: 1 })).toEqual(['1.1 debug it is broken', '1.1 error broken'])
    const [path = ''] = await paths()
    expect(path).toMatch(new RegExp(`^runs/${id}/log-[0-9]+-[01]-1-0\\.jsonl\\.gz$`))
    const kept = gunzipSync((await objects.get(path)) ?? '')
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object)
    expect(kept).toHaveLength(1_203)
    expect(kept).toContainEqual(expect.objectContaining({ n: 0, fence: 1, level: 'warn', text: 'line 0' }))
  })

  test('that is still growing stays in the database, also for a while after its end', async () => {
    await ended(talk)
    await openRetention({ records, objects, log: silentLog, keep: forever, settleMs: 60_000 }).once(signal)
    expect(await inDatabase()).toBeGreaterThan(0)
    expect(await paths()).toEqual([])
  })

  test('is one, in its order, when a part of it has moved and the run went on', async () => {
    const id = await ended(talk)
    const before = await lines(id)
    const retention = openRetention({ records, objects, log: silentLog, keep: forever, settleMs: 0 })
    await retention.once(signal)
    isMended = true
    await ended(() => flows.retry(id))
    const both = [...before, '1.2 debug it is mended']
    expect(await lines(id)).toEqual(both)
    await retention.once(signal)
    expect(await lines(id)).toEqual(both)
    expect((await paths()).filter((path) => path.includes('/log-'))).toHaveLength(2)
    await records.query(`insert into run_logs values ($1, 0, 1, 99, '[[1, "info", "late"]]')`, [id])
    const withLate = [...both, '0.1 info late']
    expect(await lines(id)).toEqual(withLate)
    await retention.once(signal)
    expect(await lines(id)).toEqual(withLate)
  })

  test.each([
    [{ search: 'LINE 11' }, 111, '0.1 info line 11'],
    [{ level: 'warn' as const }, 14, '0.1 warn line 0'],
    [{ level: 'error' as const, search: 'SAÍDA: á' }, 1, '0.1 error Saída: água 100 %'],
    [{ search: '100 %' }, 1, '0.1 error Saída: água 100 %'],
    [{ search: 'nowhere' }, 0, undefined],
    [{ level: 'warn' as const, task: 1 }, 1, '1.1 error broken'],
  ])('answers %j alike from the database and from the object store', async (filter, count, first) => {
    const id = await ended(talk)
    const before = await lines(id, filter)
    expect(before).toHaveLength(count)
    if (first !== undefined) expect(before).toContain(first)
    await openRetention({ records, objects, log: silentLog, keep: forever, settleMs: 0 }).once(signal)
    expect(await lines(id, filter)).toEqual(before)
  })

  test('in any parts, moved at any moments, is read whole and in order', async () => {
    const batch = fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 3 }), fc.nat(3))
    const id = await ended(talk)
    const retention = openRetention({ records, objects, log: silentLog, keep: forever, settleMs: 0 })
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(batch, { selector: String, maxLength: 30 }), fc.array(fc.nat(30), { maxLength: 3 }), async (batches, moves) => {
        await records.query('delete from run_logs')
        await records.query('delete from run_log_parts')
        for (const [i, place] of batches.entries()) {
          await records.query('insert into run_logs values ($1, $2, $3, $4, $5::jsonb)', [id, ...place, JSON.stringify([[1, 'info', place.join()]])])
          if (moves.includes(i)) await retention.once(signal)
        }
        const wanted = batches.map(([n, fence, seq]) => `${n}.${fence} info ${n},${fence},${seq}`)
        expect(await lines(id, { limit: 3 })).toEqual(wanted)
      }),
      { numRuns: 15, endOnFailure: true },
    )
  }, 60_000)

  test('refuses what is no cursor', async () => {
    const id = await ended(talk)
    await expect(flows.logs(id, { limit: 1, cursor: '1.2' })).rejects.toMatchObject({ code: 'runs.cursor', kind: 'invalid' })
  })
})

test('the upkeep of runs ends at once when it is told to, whatever it does just then', async () => {
  for (const ms of [0, 1, 5, 20, 100]) {
    const stopping = new AbortController()
    const over = openRetention({ records, objects, log: silentLog, keep: { runsMs: 0, logsMs: 0 }, everyMs: 600_000 }).run(stopping.signal)
    setTimeout(() => stopping.abort(), ms)
    await over
  }
}, 10_000)

describe('what is older than it is kept', () => {
  test('is removed: first the log, then the run, its outputs and the runs that it waited for', async () => {
    isMended = true
    const id = await ended(talk)
    await openRetention({ records, objects, log: silentLog, keep: { runsMs: 3_600_000, logsMs: 0 }, settleMs: 0 }).once(signal)
    expect(await lines(id)).toEqual([])
    expect((await flows.run(id)).state).toBe('succeeded')
    expect((await paths()).map((path) => path.split('/').at(-1))).toEqual(['output-0-1.json'])
    await openRetention({ records, objects, log: silentLog, keep: { runsMs: 0, logsMs: null }, settleMs: 0 }).once(signal)
    await expect(flows.run(id)).rejects.toMatchObject({ code: 'runs.no_run' })
    expect(await records.query('select id from runs')).toEqual([])
    expect(await records.query('select * from run_trash')).toEqual([])
    expect(await paths()).toEqual([])
  })

  test('is not the newest run of a partition that succeeded, so that a backfill still leaves it out', async () => {
    const daily = flow('daily', { partition: 'day' }, () => {
      task('only', {
        run() {
          if (!isMended) throw new Error('broken')
        },
      })
    })
    await flows.load([inner, talking, daily])
    const range = { from: '2026-01-01', to: '2026-01-03', by: 'test' }
    const over = async (): Promise<void> => {
      const { id } = await flows.backfills.create('daily', { ...range, existing: 'again' })
      await eventually('it does not end', async () => (await flows.backfills.get(id)).endedAt !== null)
    }
    await over()
    isMended = true
    await over()
    await over()
    await openRetention({ records, objects, log: silentLog, keep: { runsMs: 0, logsMs: null }, settleMs: 0 }).once(signal)
    expect(await records.query("select partition, state from runs where flow = 'daily' order by partition")).toEqual([
      { partition: '2026-01-01', state: 'succeeded' },
      { partition: '2026-01-02', state: 'succeeded' },
      { partition: '2026-01-03', state: 'succeeded' },
    ])
    expect(await flows.backfills.plan('daily', range)).toMatchObject({ partitions: 0, skipped: 3 })
    expect((await flows.backfills.list({ limit: 10 })).items).toHaveLength(1)
  })

  test('is not a run that still goes on', async () => {
    const waiting = flow('waiting', {}, () => {
      task.sensor('never', { until: () => false, every: '1h' })
    })
    await flows.load([inner, talking, waiting])
    const { id } = await flows.trigger('waiting', { by: 'test' })
    await openRetention({ records, objects, log: silentLog, keep: { runsMs: 0, logsMs: 0 }, settleMs: 0 }).once(signal)
    expect((await flows.run(id)).endedAt).toBe(null)
    await flows.cancel(id)
  })
})
