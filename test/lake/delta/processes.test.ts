/** Several processes and one table: nothing acknowledged is lost, nothing half done is seen. */
import { spawn, type ChildProcess } from 'node:child_process'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()
const WRITER = fileURLToPath(new URL('./writer.ts', import.meta.url))

interface Writer {
  readonly child: ChildProcess
  /** Numbers that were acknowledged. */
  readonly acknowledged: number[]
  readonly ended: Promise<number | null>
}

type Mode = 'append' | 'merge' | 'overwrite' | 'delete' | 'update' | 'optimize' | 'vacuum'

/** Of each of the four processes; `LAGOA_TEST_COMMITS=1000` is the long run. */
const COMMITS = Number(process.env.LAGOA_TEST_COMMITS ?? 250)

function startWriter(mode: Mode, root: string, from: number, count: number): Writer {
  const child = spawn(process.execPath, [WRITER, lake.folder, join(lake.folder, '..', `spill${from}`), mode, root, String(from), String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const acknowledged: number[] = []
  let rest = ''
  child.stdout?.on('data', (data: Buffer) => {
    const parts = (rest + data.toString()).split('\n')
    rest = parts.pop() ?? ''
    acknowledged.push(...parts.map(Number))
  })
  return { child, acknowledged, ended: new Promise((resolve) => child.on('close', (code) => resolve(code))) }
}

describe('processes', () => {
  test(`four processes append ${COMMITS} times each to one table and lose none`, { timeout: 120_000 + 1000 * COMMITS }, async () => {
    const root = 'bronze/four'
    await lake.table(root).create({ fields: [field('id', 'long')] })
    const writers = [0, 1, 2, 3].map((n) => startWriter('append', root, n * COMMITS, COMMITS))
    expect(await Promise.all(writers.map((writer) => writer.ended))).toEqual([0, 0, 0, 0])
    const snapshot = await lake.table(root).snapshot()
    expect(snapshot).toMatchObject({ version: 4 * COMMITS, rowCount: 4 * COMMITS })
    expect(await lake.content(lake.table(root), 'count(distinct id), count(*)')).toEqual([[String(4 * COMMITS), String(4 * COMMITS)]])
  })
  test.each(['false', 'true'])(
    'processes that append, delete and update rows of one table at once agree with each of them having run alone (vectors: %s)',
    { timeout: 120_000 },
    async (vectors) => {
      const root = `bronze/crowd_${vectors}`
      const table = lake.table(root)
      await table.create({ fields: [field('id', 'long')], configuration: { 'delta.enableDeletionVectors': vectors, 'delta.enableChangeDataFeed': 'true' } })
      for (let part = 0; part < 4; part++) await table.append(lake.select(`select range::bigint as id from range(${100 * part}, ${100 * part + 100})`))
      const writers = [
        startWriter('append', root, 1000, 40),
        startWriter('delete', root, 0, 30),
        startWriter('delete', root, 80, 30),
        startWriter('update', root, 40, 30),
        startWriter('update', root, 250, 30),
      ]
      expect(await Promise.all(writers.map((writer) => writer.ended))).toEqual([0, 0, 0, 0, 0])
      const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i)
      const deleted = new Set([...range(0, 30), ...range(80, 30)])
      const updated = new Set([...range(40, 30), ...range(250, 30)])
      const expected = [...range(0, 400), ...range(1000, 40)].filter((id) => !deleted.has(id)).map((id) => (updated.has(id) ? -id : id))
      const ids = async (sql: string): Promise<number[]> => (await lake.rows(`select id from (${sql}) order by id`)).map(([id]) => Number(id))
      const snapshot = (await lake.table(root).snapshot())!
      expect(await ids(await lake.table(root).scan(snapshot))).toEqual(expected.sort((a, b) => a - b))
      expect(snapshot.version).toBe(4 + 40 + 60 + 60)
      const { sql } = await lake.table(root).changeFeed({ version: 0 })
      const told = await lake.rows(`select _change_type, count(*) from (${sql}) group by all order by all`)
      expect(told).toEqual([
        ['delete', '60'],
        ['insert', '440'],
        ['update_postimage', '60'],
        ['update_preimage', '60'],
      ])
    },
  )
  test.each(['false', 'true'])(
    'what is acknowledged stays when rows come and go while others pack the table and vacuum old files (vectors: %s)',
    { timeout: 180_000 },
    async (vectors) => {
      const root = `bronze/mixed_${vectors}`
      const table = lake.table(root)
      await table.create({ fields: [field('id', 'long')], configuration: { 'delta.enableDeletionVectors': vectors } })
      for (let part = 0; part < 4; part++) await table.append(lake.select(`select range::bigint as id from range(${100 * part}, ${100 * part + 100})`))
      // Files of writers that were killed long ago.
      const orphans = Array.from({ length: 20 }, (_, i) => `${root}/part-orphan${i}.parquet`)
      const longAgo = Date.now() / 1000 - 86_400
      for (const path of orphans) {
        await lake.objects.put(path, new Uint8Array(10))
        await utimes(await lake.objects.localFile(path), longAgo, longAgo)
      }
      const writers = [
        startWriter('append', root, 1000, 25),
        startWriter('merge', root, 2000, 25),
        startWriter('delete', root, 90, 25),
        startWriter('optimize', root, 3000, 6),
        startWriter('vacuum', root, 4000, 6),
      ]
      expect(await Promise.all(writers.map((writer) => writer.ended))).toEqual([0, 0, 0, 0, 0])
      const range = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i))
      const expected = [...range(0, 90), ...range(115, 400), ...range(1000, 1025), ...range(2000, 2025)]
      const ids = (await lake.rows(`select id from (${await lake.table(root).scan((await lake.table(root).snapshot())!)}) order by id`)).map(([id]) => id)
      expect(ids).toEqual(expected)
      expect(await Promise.all(orphans.map((path) => lake.objects.head(path)))).toEqual(orphans.map(() => null))
      const history = await lake.table(root).history(1000)
      expect(history.filter(({ operation }) => operation === 'MERGE')).toHaveLength(25)
      expect(history.some(({ operation }) => operation === 'OPTIMIZE')).toBe(true)
      expect(history.some(({ operation }) => operation === 'VACUUM END')).toBe(true)
    },
  )
  test('a process killed while it deletes rows leaves each row there or gone, and the table readable', { timeout: 120_000 }, async () => {
    const root = 'bronze/killed_delete'
    const configuration = { 'delta.enableDeletionVectors': 'true', 'delta.enableChangeDataFeed': 'true' }
    await lake.table(root).create({ fields: [field('id', 'long')], configuration })
    await lake.table(root).append(lake.select('select range::bigint as id from range(10000)'))
    let next = 0
    for (let round = 0; round < 6; round++) {
      const writer = startWriter('delete', root, next, 10_000)
      while (writer.acknowledged.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      await new Promise((resolve) => setTimeout(resolve, 23 * round))
      writer.child.kill('SIGKILL')
      await writer.ended
      const table = lake.table(root)
      const [first] = (await lake.content(table, 'min(id), max(id), count(*)'))[0] ?? []
      const last = Math.max(...writer.acknowledged)
      // One delete may have been committed whose acknowledgement did not get out.
      expect([last + 1, last + 2]).toContain(Number(first))
      next = Number(first)
      expect(await lake.content(table, 'max(id), count(*)')).toEqual([['9999', String(10_000 - next)]])
    }
  })
  test('a process killed while it commits leaves the old version or the new one, and every acknowledged row', { timeout: 120_000 }, async () => {
    for (const mode of ['append', 'overwrite', 'merge'] as const) {
      const root = `bronze/killed_${mode}`
      await lake.table(root).create({ fields: [field('id', 'long')] })
      let next = 1
      const acknowledged = new Set<number>()
      for (let round = 0; round < 6; round++) {
        const writer = startWriter(mode, root, next, 10_000)
        while (writer.acknowledged.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
        await new Promise((resolve) => setTimeout(resolve, 37 * round))
        writer.child.kill('SIGKILL')
        await writer.ended
        for (const id of writer.acknowledged) acknowledged.add(id)
        const last = Math.max(...acknowledged)
        const table = lake.table(root)
        const ids = (await lake.rows(`select id from (${await table.scan((await table.snapshot())!)})`)).map(([id]) => Number(id))
        // One write may have been committed whose acknowledgement did not get out.
        if (mode === 'overwrite') expect([[last], [last + 1]]).toContainEqual(ids)
        else {
          expect(new Set(ids).size).toBe(ids.length)
          expect([...acknowledged].filter((id) => !ids.includes(id))).toEqual([])
          expect(ids.length).toBeLessThanOrEqual(acknowledged.size + round + 1)
        }
        next = Math.max(...ids) + 1
      }
    }
  })
})
