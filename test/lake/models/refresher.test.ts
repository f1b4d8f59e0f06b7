/** The loop that keeps models fresh: order, turns, pauses, failures and the end. */
import { describe, expect, test, vi } from 'vitest'
import { silentLog, systemClock, unavailable, type Clock } from '../../../src/base/index.ts'
import { table, type Table } from '../../../src/lake/declare.ts'
import { fail, quarantine } from '../../../src/lake/expectations.ts'
import { createRefresher, type Lake, type Refresher } from '../../../src/lake/index.ts'
import { openPlace, readings, type Project } from './project.ts'

const raw = table('bronze.raw', { from: readings })
const silver = table('silver.a', { merge: ['id'], sql: 'select id, value from bronze.raw', expect: { low: quarantine('value < 50') } })
const gold = table('gold.b', { sql: 'select count(*) as n from silver.a' })
const held = table('gold.held', { sql: 'select count(*) as n from silver.a_quarantine' })

interface Started {
  readonly refresher: Refresher
  /** Names in the order in which their refreshes began, and how many ran at once at most. */
  readonly begun: string[]
  readonly most: () => number
}

function started(project: Project, options: { clock?: Clock; before?: (name: string) => Promise<void>; start?: boolean } = {}): Started {
  const begun: string[] = []
  let running = 0
  let most = 0
  const lake: Lake = {
    ...project,
    async refresh(name, signal) {
      begun.push(name)
      most = Math.max(most, ++running)
      try {
        await options.before?.(name)
        return await project.refresh(name, signal)
      } finally {
        running--
      }
    },
  }
  const refresher = createRefresher({ lake, logger: silentLog, ...(options.clock ? { clock: options.clock } : {}), onRefreshed: () => undefined })
  if (options.start !== false) void refresher.run()
  return { refresher, begun, most: () => most }
}

const project = async (...tables: Table[]): Promise<Project> => (await openPlace()).open(raw, ...tables)
const one = (id: string, value: number = 1): { id: string; minute: number; value: number } => ({ id, minute: 0, value })

describe('the refresher', () => {
  test('refreshes inputs before what is made from them, one at a time, readers of a quarantine too', async () => {
    const lake = await project(held, gold, silver)
    await lake.feed(raw, [one('a'), one('b', 99)])
    const { refresher, begun, most } = started(lake)
    await vi.waitFor(async () => expect(await lake.select('select (select n from gold.b), (select n from gold.held)')).toEqual([['1', '1']]), 5000)
    begun.length = 0
    await lake.feed(raw, [one('c'), one('d', 98)])
    refresher.changed('bronze.raw')
    await vi.waitFor(async () => expect(await lake.select('select (select n from gold.b), (select n from gold.held)')).toEqual([['2', '2']]), { timeout: 1500 })
    expect(begun[0]).toBe('silver.a')
    expect(most()).toBe(1)
    await refresher.stop()
  })
  test('takes many changes during one refresh together', async () => {
    const lake = await project(silver)
    const gate = Promise.withResolvers<void>()
    const { refresher, begun } = started(lake, { before: () => gate.promise })
    await vi.waitFor(() => expect(begun).toHaveLength(1))
    for (let i = 0; i < 20; i++) {
      await lake.feed(raw, [one(`r${i}`)])
      refresher.changed('bronze.raw')
    }
    gate.resolve()
    await vi.waitFor(async () => expect(await lake.select('select count(*) from silver.a')).toEqual([['20']]), 5000)
    expect(begun).toHaveLength(2)
    await refresher.stop()
  })
  test('refreshes a table no more often than its every, and sees what other processes wrote', { timeout: 15_000 }, async () => {
    const lake = await project(table('gold.slow', { every: '1h', sql: 'select count(*) as n from bronze.raw' }), silver)
    let now = 0
    const { refresher, begun } = started(lake, { clock: { ...systemClock, now: () => now } })
    await vi.waitFor(() => expect(begun).toHaveLength(2))
    await lake.feed(raw, [one('a')])
    now += 3000
    await vi.waitFor(() => expect(begun).toEqual(['gold.slow', 'silver.a', 'silver.a']), 5000)
    now += 3_600_000
    await vi.waitFor(() => expect(begun.filter((name) => name === 'gold.slow')).toHaveLength(2), 5000)
    await refresher.stop()
  })
  test('leaves a model that cannot work alone until an input changes, and goes on with the others', { timeout: 15_000 }, async () => {
    const bad = table('silver.bad', { sql: 'select value from bronze.raw', expect: { none: fail('value < 5') } })
    const lake = await project(bad, silver)
    await lake.feed(raw, [one('a', 9)])
    let now = 0
    const { refresher, begun } = started(lake, { clock: { ...systemClock, now: () => now } })
    await vi.waitFor(() => expect(refresher.status('silver.bad')).toMatchObject({ state: 'failed', error: { code: 'lake.expectation_failed' } }))
    await vi.waitFor(() => expect(refresher.status('silver.a').state).toBe('idle'))
    for (let i = 0; i < 3; i++) {
      now += 10_000
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(begun.filter((name) => name === 'silver.bad')).toHaveLength(1)
    await lake.feed(raw, [one('b', 9)])
    refresher.changed('bronze.raw')
    await vi.waitFor(() => expect(begun.filter((name) => name === 'silver.bad')).toHaveLength(2))
    await refresher.stop()
  })
  test('tries again by itself what may pass', async () => {
    const lake = await project(silver)
    await lake.feed(raw, [one('a')])
    let failures = 2
    const { refresher } = started(lake, {
      before: async () => {
        if (failures-- > 0) throw unavailable('storage.away', 'The store is away')
      },
    })
    await vi.waitFor(() => expect(refresher.status('silver.a').state).toBe('failed'))
    await vi.waitFor(() => expect(refresher.status('silver.a')).toMatchObject({ state: 'idle', error: undefined }), 8000)
    await refresher.stop()
  })
  test('stops in the middle of a refresh, whole or not at all, and a new one goes on', async () => {
    const place = await openPlace()
    const slow = table('silver.slow', {
      sql: 'select id, count(*) as n from bronze.raw, range(300000000) r(i) where i % 7 <> length(id) group by all',
      expect: { ok: fail('n > 0') },
    })
    const lake = await place.open(raw, slow)
    await lake.feed(raw, [one('a')])
    const { refresher, begun } = started(lake)
    await vi.waitFor(() => expect(begun).toHaveLength(1))
    await new Promise((resolve) => setTimeout(resolve, 100))
    const began = performance.now()
    await refresher.stop()
    expect(performance.now() - began).toBeLessThan(5_000)
    expect(await lake.table('silver.slow').snapshot()).toBeNull()
    const mended = await place.open(raw, table('silver.slow', { sql: 'select id from bronze.raw' }))
    expect(await mended.refresh('silver.slow')).toMatchObject({ outcome: 'rebuilt' })
  })
  test('drain refreshes everything that can be and then tells the first failure', async () => {
    const bad = table('silver.bad', { sql: 'select nowhere from bronze.raw' })
    const lake = await project(bad, gold, silver)
    await lake.feed(raw, [one('a')])
    const { refresher } = started(lake, { start: false })
    await expect(refresher.drain()).rejects.toMatchObject({ code: 'lake.refresh_sql' })
    expect(await lake.select('select n from gold.b')).toEqual([['1']])
  })
  test('refreshNow refreshes all that a table is made from first', async () => {
    const top = table('gold.top', { sql: 'select n from gold.b' })
    const lake = await project(top, gold, silver, table('gold.aside', { sql: 'select 1 as n from bronze.raw' }))
    await lake.feed(raw, [one('a'), one('b')])
    const { refresher, begun } = started(lake, { start: false })
    expect(await refresher.refreshNow('gold.top')).toMatchObject({ table: 'gold.top', outcome: 'rebuilt' })
    expect(begun).toEqual(['silver.a', 'gold.b', 'gold.top'])
    expect(await lake.select('select n from gold.top')).toEqual([['2']])
    await expect(refresher.refreshNow('bronze.raw')).rejects.toMatchObject({ code: 'lake.no_model' })
    await expect(refresher.refreshNow('gold.tpo')).rejects.toMatchObject({ code: 'lake.no_table', hint: 'Did you mean gold.top?' })
  })
  test('packs a table with many small files when nothing else is to be done, and nobody sees a change', { timeout: 30_000 }, async () => {
    const lake = await project(silver)
    for (let i = 0; i < 70; i++) await lake.feed(raw, [one(`r${i % 7}`, i % 40)])
    await lake.refresh('silver.a')
    const before = await lake.select('select * from silver.a order by all')
    const { refresher } = started(lake)
    await vi.waitFor(async () => expect(await lake.table('bronze.raw').snapshot()).toMatchObject({ fileCount: 1, rowCount: 70 }), 10_000)
    await refresher.stop()
    expect((await lake.table('bronze.raw').history(1))[0]?.operation).toBe('OPTIMIZE')
    expect(await lake.refresh('silver.a')).toMatchObject({ outcome: 'nothing' })
    expect(await lake.select('select * from silver.a order by all')).toEqual(before)
  })
})
