/** Contract: a random history in which an engine and we write in turn is after every step what a model in memory says. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { field, type Lake } from '../helpers/delta.ts'
import { comparable, readByUs, type Cell } from './cells.ts'
import type { Engine, Rows } from './engine.ts'

const FIELDS = [field('id', 'long'), field('site', 'string'), field('x', 'double')]
const SITES = [null, 'a', "b'/%", 'ç d']

interface Row {
  readonly id: number
  readonly site: string | null
  readonly x: number | null
}

/** `LAGOA_TEST_OPERATIONS` and `LAGOA_TEST_SEED` make it longer, or the one that failed. */
export function keepsRandomHistories(lake: Lake, engine: Engine, operations: number): void {
  describe('a random history of both', () => {
    const steps = Number(process.env.LAGOA_TEST_OPERATIONS ?? operations)
    const seed = Number(process.env.LAGOA_TEST_SEED ?? Math.floor(Math.random() * 1_000_000))
    test.each(MAKES)(`is what a model says after each of ${steps} steps, partitioned by %j with %j (seed ${seed})`, async (partitionBy, configuration) => {
      const random = randomFrom(seed)
      const upTo = (bound: number): number => Math.floor(random() * bound)
      const root = `silver/history_${partitionBy.length}_${Object.keys(configuration).length}`
      const path = join(lake.folder, root)
      const table = lake.table(root)
      await table.create({ fields: FIELDS, partitionBy, configuration: { ...configuration, 'delta.checkpointInterval': '7' } })
      const states: Row[][] = [[]]
      let model: Row[] = []
      const newRow = (id: number): Row => ({ id, site: SITES[upTo(SITES.length)] ?? null, x: [null, 0.5, -1e300, 1e-9, upTo(100)][upTo(5)] ?? null })
      const distinct = (count: number): Row[] => [...new Set(Array.from({ length: count }, () => upTo(40)))].map(newRow)
      const done: string[] = []
      for (let step = 0; step < steps; step++) {
        const rows = distinct(1 + upTo(6))
        const low = upTo(40)
        const high = low + upTo(12)
        const inside = (row: Row): boolean => row.id >= low && row.id <= high
        const where = `id between ${low} and ${high}`
        const merged = (): Row[] => {
          const news = new Map(rows.map((row) => [row.id, row]))
          const known = new Set(model.map((row) => row.id))
          return [...model.map((row) => news.get(row.id) ?? row), ...rows.filter((row) => !known.has(row.id))]
        }
        const replacing = rows.filter(inside)
        const choices: readonly (readonly [string, Row[], () => Promise<unknown>])[] = [
          ['our append', [...model, ...rows], () => table.append(lake.select(sqlOf(rows)))],
          ['our merge', merged(), () => table.merge(lake.select(sqlOf(rows)), { keys: ['id'] })],
          [
            `our overwrite where ${where}`,
            [...model.filter((row) => !inside(row)), ...replacing],
            () => table.overwrite(lake.select(sqlOf(replacing)), { where }),
          ],
          [`our delete ${where}`, model.filter((row) => !inside(row)), () => table.delete(where)],
          [`our update ${where}`, model.map((row) => (inside(row) ? { ...row, x: -row.id } : row)), () => table.update({ set: { x: '-id' }, where })],
          ['our merge by a condition', mergedByClauses(model, rows, inside), () => table.merge(lake.select(sqlOf(rows)), { ...CLAUSES, ...bySource(where) })],
          ['append', [...model, ...rows], () => engine.write(path, rowsOf(rows))],
          ['merge', merged(), () => engine.merge(path, ['id'], rowsOf(rows))],
          [`delete ${where}`, model.filter((row) => !inside(row)), () => engine.delete(path, where)],
          [`update ${where}`, model.map((row) => (inside(row) ? { ...row, x: -row.id } : row)), () => engine.update(path, { x: 'cast(-id as double)' }, where)],
          ['optimize', model, () => engine.optimize(path)],
          ['our optimize', model, () => table.optimize()],
          ['checkpoint', model, () => engine.checkpoint(path)],
          ...(step % 10 === 9
            ? ([
                ['our overwrite', rows, () => table.overwrite(lake.select(sqlOf(rows)))],
                ['overwrite', rows, () => engine.write(path, { ...rowsOf(rows), mode: 'overwrite' })],
              ] satisfies (readonly [string, Row[], () => Promise<unknown>])[])
            : []),
        ]
        const [name, next, act] = choices[upTo(choices.length)]!
        done.push(name)
        const told = `seed ${seed}, after ${done.join('; ')}`
        await act().catch((cause: unknown) => {
          throw new Error(told, { cause })
        })
        model = next
        const wanted = expected(model)
        const version = (await table.snapshot())?.version ?? 0
        for (let one = states.length; one <= version; one++) states[one] = model
        expect(comparable(await readByUs(lake.connection, table)), told).toEqual(wanted)
        expect(comparable(await engine.read(path)), told).toEqual(wanted)
        if (step % 5 === 0) expect(comparable(await readByUs(lake.connection, lake.table(root))), `${told}; opened anew`).toEqual(wanted)
        const earlier = upTo(states.length)
        expect(comparable(await readByUs(lake.connection, table, { version: earlier })), `${told}; version ${earlier}`).toEqual(expected(states[earlier] ?? []))
      }
    })
  })
}

const MAKES: [string[], Readonly<Record<string, string>>][] = [
  [[], {}],
  [['site'], {}],
  [[], { 'delta.enableDeletionVectors': 'true' }],
  [['site'], { 'delta.enableDeletionVectors': 'true', 'delta.enableChangeDataFeed': 'true' }],
]

const CLAUSES = {
  on: 't.id = s.id',
  whenMatched: [{ and: 's.x is null', delete: true }, { update: 'all' }],
  whenNotMatched: [{ and: 's.id % 2 = 0', insert: 'all' }, { insert: { id: 's.id', site: "'a'" } }],
} as const

function bySource(where: string) {
  return { whenNotMatchedBySource: [{ and: where, update: { x: 't.id + 0.25::double' } }] }
}

function mergedByClauses(model: readonly Row[], rows: readonly Row[], inside: (row: Row) => boolean): Row[] {
  const news = new Map(rows.map((row) => [row.id, row]))
  const known = new Set(model.map((row) => row.id))
  const kept = model.flatMap((row): Row[] => {
    const matched = news.get(row.id)
    if (matched) return matched.x === null ? [] : [matched]
    return [inside(row) ? { ...row, x: row.id + 0.25 } : row]
  })
  return [...kept, ...rows.flatMap((row): Row[] => (known.has(row.id) ? [] : [row.id % 2 === 0 ? row : { id: row.id, site: 'a', x: null }]))]
}

function expected(rows: readonly Row[]): ReturnType<typeof comparable> {
  return comparable({ schema: FIELDS, rows: rowsOf(rows).rows })
}

function rowsOf(rows: readonly Row[]): Rows {
  return { fields: FIELDS, rows: rows.map((row): Cell[] => [String(row.id), row.site, row.x]) }
}

function sqlOf(rows: readonly Row[]): string {
  const text = (value: string | null): string => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`)
  if (rows.length === 0) return "select 0::bigint as id, '' as site, 0::double as x where false"
  return rows.map((row) => `select ${row.id}::bigint as id, ${text(row.site)}::varchar as site, ${row.x ?? 'null'}::double as x`).join(' union all ')
}

/** Mulberry32: the same numbers for the same seed on every machine. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
