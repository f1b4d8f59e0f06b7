/** Every command that changes rows against a model in memory, on tables of every make: what is there, what is counted and what is told of it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CommitResult, DeltaTable, InsertClause, MatchedClause } from '../../../src/lake/delta/index.ts'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()

interface Row {
  readonly id: number | null
  readonly site: string | null
  readonly x: number
}

const FIELDS = [field('id', 'long'), field('site', 'string'), field('x', 'integer')]

const row: fc.Arbitrary<Row> = fc.record({
  id: fc.option(fc.nat(9), { freq: 9 }),
  site: fc.option(fc.constantFrom('a', "b'", 'ç%'), { freq: 6 }),
  x: fc.nat(50),
})
const rows = fc.array(row, { maxLength: 8 })

/** A condition in SQL, and what it means: true, or false for both false and null. */
interface Condition<T> {
  readonly sql: string
  readonly is: (row: T) => boolean
}

const conditions = (prefix: string = ''): fc.Arbitrary<Condition<Row>> =>
  fc.oneof(
    fc.tuple(fc.nat(9), fc.nat(5)).map(([low, more]) => ({
      sql: `${prefix}id between ${low} and ${low + more}`,
      is: ({ id }: Row) => id !== null && id >= low && id <= low + more,
    })),
    fc.nat(50).map((limit) => ({ sql: `${prefix}x >= ${limit}`, is: ({ x }: Row) => x >= limit })),
    fc.nat(50).map((limit) => ({ sql: `${prefix}x % 3 = 0 or ${prefix}x < ${limit}`, is: ({ x }: Row) => x % 3 === 0 || x < limit })),
    fc.constantFrom('a', "b'").map((wanted) => ({ sql: `${prefix}site = '${wanted.replaceAll("'", "''")}'`, is: ({ site }: Row) => site === wanted })),
    fc.constant({ sql: `${prefix}site is null`, is: ({ site }: Row) => site === null }),
    fc.constant({ sql: `${prefix}id is not null`, is: ({ id }: Row) => id !== null }),
    fc.constant({ sql: 'true', is: () => true }),
    fc.constant({ sql: `${prefix}x < 0`, is: () => false }),
  )

interface Outcome {
  readonly rows: readonly Row[]
  readonly deleted: number
  readonly updated: number
  readonly inserted: number
  /** The command is refused, and the table stays. */
  readonly refused?: string
}

interface Command {
  readonly name: string
  run(table: DeltaTable): Promise<CommitResult>
  model(rows: readonly Row[]): Outcome
  /** What the metrics of the commit call these. */
  readonly counts?: (metrics: Readonly<Record<string, number>>) => Partial<Outcome>
}

const text = (value: string | null): string => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`)
function sqlOf(of: readonly Row[]): string {
  if (of.length === 0) return 'select null::bigint as id, null::varchar as site, 0::integer as x where false'
  return `select * from (values ${of.map((one) => `(${one.id ?? 'null'}::bigint, ${text(one.site)}::varchar, ${one.x}::integer)`).join(', ')}) r(id, site, x)`
}

const append = rows.map((news): Command => ({
  name: `append ${news.length}`,
  run: (table) => table.append(lake.select(sqlOf(news))),
  model: (old) => ({ rows: [...old, ...news], deleted: 0, updated: 0, inserted: news.length }),
}))

const remove = fc.option(conditions(), { freq: 12 }).map((where): Command => ({
  name: `delete where ${where?.sql}`,
  run: (table) => table.delete(where?.sql),
  model: (old) => {
    const left = old.filter((one) => where !== null && !where.is(one))
    return { rows: left, deleted: old.length - left.length, updated: 0, inserted: 0 }
  },
  counts: (metrics) => ({ deleted: metrics.numDeletedRows ?? 0 }),
}))

const setters: readonly { readonly set: Readonly<Record<string, string>>; readonly to: (one: Row) => Row }[] = [
  { set: { x: 'x + 1' }, to: (one) => ({ ...one, x: one.x + 1 }) },
  { set: { site: "'new'", X: 'x * 2' }, to: (one) => ({ ...one, site: 'new', x: one.x * 2 }) },
  { set: { site: 'null', id: 'x' }, to: (one) => ({ ...one, site: null, id: one.x }) },
]

const update = fc.tuple(fc.option(conditions(), { freq: 12 }), fc.constantFrom(...setters)).map(([where, { set, to }]): Command => ({
  name: `update ${JSON.stringify(set)} where ${where?.sql}`,
  run: (table) => table.update({ set, ...(where ? { where: where.sql } : {}) }),
  model: (old) => {
    const is = (one: Row): boolean => where === null || where.is(one)
    return { rows: old.map((one) => (is(one) ? to(one) : one)), deleted: 0, updated: old.filter(is).length, inserted: 0 }
  },
  counts: (metrics) => ({ updated: metrics.numUpdatedRows ?? 0 }),
}))

const overwrite = fc.tuple(conditions(), rows).map(([where, all]): Command => {
  const news = all.filter(where.is)
  return {
    name: `overwrite where ${where.sql}`,
    run: (table) => table.overwrite(lake.select(sqlOf(news)), { where: where.sql }),
    model: (old) => {
      const left = old.filter((one) => !where.is(one))
      return { rows: [...left, ...news], deleted: old.length - left.length, updated: 0, inserted: news.length }
    },
  }
})

const upsert = rows.map((all): Command => {
  const news = [...new Map(all.map((one) => [one.id, one])).values()]
  return {
    name: `merge by id ${news.length}`,
    run: (table) => table.merge(lake.select(sqlOf(all)), { keys: ['id'], duplicates: 'last' }),
    model: (old) => {
      const byId = new Map(news.map((one) => [one.id, one]))
      const known = new Set(old.map(({ id }) => id))
      const inserted = news.filter(({ id }) => !known.has(id))
      return {
        rows: [...old.map((one) => byId.get(one.id) ?? one), ...inserted],
        deleted: 0,
        updated: old.filter(({ id }) => byId.has(id)).length,
        inserted: inserted.length,
      }
    },
    counts: (metrics) => ({ updated: metrics.numTargetRowsUpdated ?? 0, inserted: metrics.numTargetRowsInserted ?? 0 }),
  }
})

/** A clause, and what it makes of a pair of rows: null deletes, undefined when it does not apply. */
interface ModelClause<T> {
  readonly clause: T
  readonly apply: (target: Row, source: Row) => Row | null | undefined
}

const bothConditions: fc.Arbitrary<Condition<{ t: Row; s: Row }>> = fc.oneof(
  conditions('t.').map(({ sql, is }) => ({ sql, is: ({ t }: { t: Row }) => is(t) })),
  conditions('s.').map(({ sql, is }) => ({ sql, is: ({ s }: { s: Row }) => is(s) })),
  fc.constant({ sql: 't.x < s.x', is: ({ t, s }: { t: Row; s: Row }) => t.x < s.x }),
)

function changing<C>(condition: fc.Arbitrary<Condition<C>>, pair: (t: Row, s: Row) => C, bySource: boolean): fc.Arbitrary<ModelClause<MatchedClause>> {
  const actions: readonly { readonly clause: MatchedClause; readonly to: (t: Row, s: Row) => Row | null }[] = [
    { clause: { delete: true }, to: () => null },
    { clause: { update: { x: bySource ? 'x + 100' : 't.x + 100' } }, to: (t) => ({ ...t, x: t.x + 100 }) },
    ...(bySource
      ? []
      : [
          { clause: { update: 'all' as const }, to: (_: Row, s: Row) => s },
          { clause: { update: { x: 't.x + s.x', site: 's.site' } }, to: (t: Row, s: Row) => ({ ...t, x: t.x + s.x, site: s.site }) },
        ]),
  ]
  return fc.tuple(condition, fc.constantFrom(...actions)).map(([and, { clause, to }]) => ({
    clause: { ...clause, and: and.sql },
    apply: (t, s) => (and.is(pair(t, s)) ? to(t, s) : undefined),
  }))
}

/** The same clause for every row: only the last may be one. */
const unconditional = <T extends { readonly and?: string }>({ clause, apply }: ModelClause<T>): ModelClause<T> => {
  const { and: _and, ...bare } = clause
  return { clause: bare as T, apply }
}

const inserting: fc.Arbitrary<ModelClause<InsertClause>> = fc.tuple(conditions('s.'), fc.boolean()).map(([and, all]) => ({
  clause: { and: and.sql, insert: all ? 'all' : { id: 's.id', x: 's.x * 10' } },
  apply: (_, s) => (and.is(s) ? (all ? s : { id: s.id, site: null, x: s.x * 10 }) : undefined),
}))

const ons: readonly Condition<{ t: Row; s: Row }>[] = [
  { sql: 't.id = s.id', is: ({ t, s }) => t.id !== null && t.id === s.id },
  { sql: 's.id is not distinct from t.id and t.x < 40', is: ({ t, s }) => t.id === s.id && t.x < 40 },
  { sql: "t.id = s.id and t.site = 'a'", is: ({ t, s }) => t.id !== null && t.id === s.id && t.site === 'a' },
  { sql: 't.id = s.id and t.site is not distinct from s.site', is: ({ t, s }) => t.id !== null && t.id === s.id && t.site === s.site },
]

const mergeInto = fc
  .record({
    source: rows,
    on: fc.constantFrom(...ons),
    matched: fc.array(
      changing(bothConditions, (t, s) => ({ t, s }), false),
      { maxLength: 3 },
    ),
    notMatched: fc.array(inserting, { maxLength: 2 }),
    bySource: fc.array(
      changing(conditions('t.'), (t) => t, true),
      { maxLength: 2 },
    ),
    bare: fc.boolean(),
  })
  .filter(({ matched, notMatched, bySource }) => matched.length + notMatched.length + bySource.length > 0)
  .map(({ source, on, matched, notMatched, bySource, bare }): Command => {
    const last = matched.at(-1)
    // Without its condition the last clause applies to every row: its model is asked with one that is true.
    const clauses = bare && last && 'delete' in last.clause && matched.length === 1 ? [{ ...unconditional(last), apply: () => null }] : matched
    const first = <T>(of: readonly ModelClause<T>[], t: Row, s: Row): Row | null | undefined =>
      of.map(({ apply }) => apply(t, s)).find((made) => made !== undefined)
    return {
      name: `merge on ${on.sql} ${JSON.stringify([clauses, notMatched, bySource].map((of) => of.map(({ clause }) => clause)))} of ${JSON.stringify(source)}`,
      run: (table) =>
        table.merge(lake.select(sqlOf(source)), {
          on: on.sql,
          whenMatched: clauses.map(({ clause }) => clause),
          whenNotMatched: notMatched.map(({ clause }) => clause),
          whenNotMatchedBySource: bySource.map(({ clause }) => clause),
        }),
      model: (old) => {
        const counts = { deleted: 0, updated: 0 }
        let refused: string | undefined
        const onlyDelete = clauses.length === 1 && clauses[0] !== undefined && 'delete' in clauses[0].clause && clauses[0].clause.and === undefined
        const left = old.flatMap((t) => {
          const matches = source.filter((s) => on.is({ t, s }))
          const made =
            matches.length > 0
              ? matches.map((s) => first(clauses, t, s)).filter((one) => one !== undefined)
              : [first(bySource, t, t)].filter((one) => one !== undefined)
          if (made.length > 1 && !onlyDelete) refused = 'lake.ambiguous_merge'
          const [one] = made
          if (one === undefined) return [t]
          if (one === null) {
            counts.deleted++
            return []
          }
          counts.updated++
          return [one]
        })
        const news = source.flatMap((s) => (old.some((t) => on.is({ t, s })) ? [] : (first(notMatched, s, s) ?? [])))
        if (refused !== undefined) return { rows: old, deleted: 0, updated: 0, inserted: 0, refused }
        return { rows: [...left, ...news], ...counts, inserted: news.length }
      },
      counts: (metrics) => ({
        deleted: metrics.numTargetRowsDeleted ?? 0,
        updated: metrics.numTargetRowsUpdated ?? 0,
        inserted: metrics.numTargetRowsInserted ?? 0,
      }),
    }
  })

const optimize: fc.Arbitrary<Command> = fc.constant({
  name: 'optimize',
  run: (table) => table.optimize(),
  model: (old) => ({ rows: old, deleted: 0, updated: 0, inserted: 0 }),
})

const commands = fc.array(
  fc.oneof(
    { arbitrary: append, weight: 3 },
    { arbitrary: remove, weight: 3 },
    { arbitrary: update, weight: 3 },
    { arbitrary: overwrite, weight: 2 },
    { arbitrary: upsert, weight: 2 },
    { arbitrary: mergeInto, weight: 5 },
    { arbitrary: optimize, weight: 1 },
  ),
  { minLength: 2, maxLength: 7 },
)

const sorted = (of: readonly Row[]): string[] => of.map((one) => JSON.stringify([one.id === null ? null : String(one.id), one.site, one.x])).sort()

let made = 0

describe('commands that change rows', () => {
  const makes: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['a plain table', {}],
    ['one with deletion vectors', { 'delta.enableDeletionVectors': 'true' }],
    ['one with a change feed', { 'delta.enableChangeDataFeed': 'true' }],
    [
      'one with deletion vectors, a change feed and mapped columns',
      { 'delta.enableDeletionVectors': 'true', 'delta.enableChangeDataFeed': 'true', 'delta.columnMapping.mode': 'name' },
    ],
  ]
  test.each(makes)('agree with a model on %s, and tell what they did', { timeout: 120_000 }, async (_, configuration) => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), commands, async (partitioned, all) => {
        const root = `silver/commands${++made}`
        const table = lake.table(root)
        await table.create({
          fields: FIELDS,
          configuration: { ...configuration, 'delta.checkpointInterval': '3' },
          ...(partitioned ? { partitionBy: ['site'] } : {}),
        })
        let model: readonly Row[] = []
        for (const command of all) {
          const before = (await table.snapshot())!
          const outcome = command.model(model)
          const result = await command.run(table).catch((error: unknown) => error)
          const after = (await table.snapshot())!
          if (outcome.refused !== undefined) {
            expect(result, command.name).toMatchObject({ code: outcome.refused })
            expect(after.version).toBe(before.version)
            continue
          }
          if (result instanceof Error) throw new Error(command.name, { cause: result })
          expect(result, command.name).toMatchObject({ skipped: after.version === before.version })
          model = outcome.rows
          const content = async (of: DeltaTable): Promise<string[]> =>
            (await lake.rows(await of.scan((await of.snapshot())!))).map((cells) => JSON.stringify(cells)).sort()
          expect(await content(table), command.name).toEqual(sorted(model))
          expect(await content(lake.table(root)), `${command.name}, opened anew`).toEqual(sorted(model))
          expect(after.rowCount, command.name).toBe(model.length)
          const { deleted, updated, inserted } = outcome
          const metrics = (result as CommitResult).metrics
          if (after.version > before.version && command.counts)
            expect({ deleted, updated, inserted, ...command.counts(metrics) }, command.name).toEqual({ deleted, updated, inserted })
          if (deleted + updated + inserted === 0 || after.version === before.version) continue
          // Whoever follows the table finds what came and went in what it is told, perhaps with rows that stayed.
          const changes = await table.changes(before.version, after)
          expect(changes.appendOnly).toBe(deleted + updated === 0)
          const [gone, came] = [await told(await changes.gone()), await told(changes.sql)]
          const untouched = minus(await told(await table.scan(before)), gone)
          if (!changes.appendOnly) expect(untouched.concat(came).sort(), command.name).toEqual(sorted(model))
          if (configuration['delta.enableChangeDataFeed'] !== 'true') continue
          const feed = await table.changeFeed({ version: after.version })
          const by = async (...types: string[]): Promise<string[]> =>
            told(`select id, site, x from (${feed.sql}) where _change_type in (${types.map(text).join(', ')}) and _commit_version = ${after.version}`)
          expect(
            { deleted: (await by('delete')).length, updated: (await by('update_preimage')).length, inserted: (await by('insert')).length },
            command.name,
          ).toEqual({ deleted, updated, inserted })
          const rest = minus(await told(await table.scan(before)), await by('delete', 'update_preimage'))
          expect(rest.concat(await by('insert', 'update_postimage')).sort(), command.name).toEqual(sorted(model))
        }
      }),
      { numRuns: 12 },
    )
  })
})

async function told(sql: string): Promise<string[]> {
  return (await lake.rows(sql)).map((cells) => JSON.stringify(cells))
}

/** Each row as often as it is in `all` and not in `gone`; those that are only in `gone` are an error. */
function minus(all: readonly string[], gone: readonly string[]): string[] {
  const left = [...all]
  for (const one of gone) {
    const at = left.indexOf(one)
    if (at < 0) throw new Error(`${one} was not there`)
    left.splice(at, 1)
  }
  return left
}
