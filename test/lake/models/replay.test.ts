/** Replay: held rows go back when the rules let them, exactly once, and never over anything newer. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { t } from '../../../src/base/index.ts'
import { table, type Table } from '../../../src/lake/declare.ts'
import { between, fail, matches, notNull, quarantine, unique, warn, type Expectation } from '../../../src/lake/expectations.ts'
import { openPlace, readings, type Place, type Project, type Reading } from './project.ts'

const raw = table('bronze.raw', { from: readings })
const CLEAN = 'select id, "at", value from bronze.raw'
const merged = (most: number | null): Table =>
  table('silver.t', { merge: ['id'], sql: CLEAN, ...(most === null ? {} : { expect: { low: quarantine(between('value', 0, most)) } }) })
const one = (id: string, value: number | null, minute: number | null = 0): Reading => ({ id, minute, value })

const content = (project: Project, columns: string = 'id, value'): Promise<unknown[][]> => project.select(`select ${columns} from silver.t order by all`)
const heldIn = (project: Project, columns: string = 'id, value'): Promise<unknown[][]> =>
  project.select(`select ${columns} from silver.t_quarantine order by all`)

describe('a replay', () => {
  test('puts back what passes now and tells the counts; a dry run only tells them', async () => {
    const place = await openPlace()
    const strict = await place.open(raw, merged(10))
    await strict.feed(raw, [one('a', 5), one('b', 20), one('c', 200), one('d', 30)])
    await strict.refresh('silver.t')
    const loose = await place.open(raw, merged(50))
    expect(await loose.refresh('silver.t')).toMatchObject({ outcome: 'nothing' })
    const version = (await loose.table('silver.t').snapshot())?.version
    const counts = { checked: 3, released: 2, stillHeld: 1, superseded: 0 }
    expect(await loose.replay('silver.t', { dryRun: true })).toEqual({ table: 'silver.t', ...counts, version, dryRun: true })
    expect(await content(loose)).toEqual([['a', 5]])
    expect(await loose.replay('silver.t')).toEqual({ table: 'silver.t', ...counts, version: (version ?? 0) + 1, dryRun: false })
    expect(await content(loose)).toEqual([
      ['a', 5],
      ['b', 20],
      ['d', 30],
    ])
    expect(await heldIn(loose, 'id, value, _failed, _replay')).toEqual([['c', 200, 'low', null]])
    expect(await loose.replay('silver.t')).toMatchObject({ checked: 1, released: 0, stillHeld: 1 })
    expect((await loose.table('silver.t').history(1))[0]?.info).toEqual({ lagoaReplay: { number: 1, released: 2, stillHeld: 1, superseded: 0 } })
  })
  test('never overwrites a newer row of its key, whether it came in the same refresh, a later one, or after the source was mended', async () => {
    const place = await openPlace()
    const strict = await place.open(raw, merged(10))
    await strict.feed(raw, [one('same', 20), one('same', 1), one('other', 5), one('other', 20), one('later', 20), one('twice', 20), one('twice', 30)])
    await strict.refresh('silver.t')
    await strict.feed(raw, [one('later', 2)])
    await strict.refresh('silver.t')
    const loose = await place.open(raw, merged(50))
    await loose.feed(raw, [one('mended', 20)])
    expect(await loose.replay('silver.t')).toMatchObject({ checked: 5, released: 2, superseded: 3, stillHeld: 0 })
    expect(await content(loose)).toEqual([
      ['later', 2],
      ['other', 20],
      ['same', 1],
      ['twice', 30],
    ])
    expect(await heldIn(loose)).toEqual([])
    await loose.refresh('silver.t')
    expect(await content(loose)).toEqual([
      ['later', 2],
      ['mended', 20],
      ['other', 20],
      ['same', 1],
      ['twice', 30],
    ])
  })
  test('leaves a newer row also when the rules of today would hold that one', async () => {
    const place = await openPlace()
    const first = await place.open(raw, table('silver.t', { merge: ['id'], sql: CLEAN, expect: { high: quarantine('value > 10') } }))
    await first.feed(raw, [one('k', 5)])
    await first.refresh('silver.t')
    await first.feed(raw, [one('k', 20)])
    await first.refresh('silver.t')
    const turned = await place.open(raw, table('silver.t', { merge: ['id'], sql: CLEAN, expect: { high: quarantine('value < 10') } }))
    expect(await turned.replay('silver.t')).toMatchObject({ checked: 1, released: 0, superseded: 1 })
    expect(await content(turned)).toEqual([['k', 20]])
    // Whoever wants what today's rules give asks for a rebuild.
    expect(await turned.refresh('silver.t', undefined, { rebuild: true })).toMatchObject({ outcome: 'rebuilt', held: 1 })
    expect(await content(turned)).toEqual([['k', 5]])
  })
  test('of a rule that was taken away altogether lets all rows in', async () => {
    const place = await openPlace()
    const strict = await place.open(raw, merged(10))
    await strict.feed(raw, [one('a', 20), one('b', 1)])
    await strict.refresh('silver.t')
    const free = await place.open(raw, merged(null))
    expect(await free.names()).toContain('silver.t_quarantine')
    await free.feed(raw, [one('c', 999)])
    await free.refresh('silver.t')
    expect(await free.replay('silver.t')).toMatchObject({ checked: 1, released: 1 })
    expect(await content(free)).toEqual([
      ['a', 20],
      ['b', 1],
      ['c', 999],
    ])
  })
  test('keeps rows that a fail rule or a column without nulls would refuse, and says why they are held now', async () => {
    const place = await openPlace()
    const columns = { id: t.string(), at: t.timestamp().nullable(), value: t.double().nullable() }
    const declared = (expect: Readonly<Record<string, Expectation>>): Table => table('silver.t', { merge: ['id'], columns, sql: CLEAN, expect })
    const strict = await place.open(raw, declared({ low: quarantine('id is not null and value < 10') }))
    await strict.feed(raw, [{ id: null, minute: 0, value: 1 }, one('a', 20), one('b', 30), one('c', 1)])
    await strict.refresh('silver.t')
    const turned = await place.open(raw, declared({ low: fail('value < 25') }))
    expect(await turned.replay('silver.t')).toMatchObject({ checked: 3, released: 1, stillHeld: 2 })
    expect(await heldIn(turned, 'id, _failed')).toEqual([
      ['b', 'low'],
      [null, 'id is null'],
    ])
  })
  test('of a computed table puts rows beside the others, and the next refresh computes them anew', async () => {
    const place = await openPlace()
    const hourly = (most: number): Table =>
      table('silver.t', {
        window: { column: 'hour', source: 'at', size: '1h' },
        sql: `select date_trunc('hour', "at") as hour, sum(value) as value from bronze.raw group by all`,
        expect: { low: quarantine(`value < ${most}`) },
      })
    const whole = (most: number): Table =>
      table('gold.w', { sql: 'select id, sum(value) as value from bronze.raw group by all', expect: { low: quarantine(`value < ${most}`) } })
    const strict = await place.open(raw, hourly(10), whole(10))
    await strict.feed(raw, [one('a', 5, 0), one('b', 20, 60), one('c', 200, 120)])
    for (const name of ['silver.t', 'gold.w']) await strict.refresh(name)
    const loose = await place.open(raw, hourly(50), whole(50))
    for (const name of ['silver.t', 'gold.w']) expect(await loose.replay(name)).toMatchObject({ checked: 2, released: 1, stillHeld: 1 })
    expect(await content(loose, 'value')).toEqual([[5], [20]])
    expect(await loose.select('select id, value from gold.w order by 1')).toEqual([
      ['a', 5],
      ['b', 20],
    ])
    await loose.feed(raw, [one('b', 1, 61)])
    for (const name of ['silver.t', 'gold.w']) await loose.refresh(name)
    expect(await content(loose, 'value')).toEqual([[5], [21]])
    expect(await loose.select('select id, value from gold.w order by 1')).toEqual([
      ['a', 5],
      ['b', 21],
    ])
    expect(await heldIn(loose, 'value')).toEqual([[200]])
  })
  test('waits for a table that has to be made anew', async () => {
    const place = await openPlace()
    const strict = await place.open(raw, merged(10))
    await strict.feed(raw, [one('a', 20)])
    await strict.refresh('silver.t')
    const other = await place.open(raw, table('silver.t', { ...merged(50).options, sql: `${CLEAN} where id <> 'x'` }))
    await expect(other.replay('silver.t')).rejects.toMatchObject({ code: 'lake.replay_outdated', hint: expect.stringContaining('refresh it') as string })
    await other.refresh('silver.t')
    expect(await other.replay('silver.t')).toMatchObject({ checked: 0 })
    await expect(other.replay('bronze.raw')).rejects.toMatchObject({ code: 'lake.no_model' })
  })
  test('judges uniqueness against the table, and lets a row in when what stood in its way is gone', async () => {
    const place = await openPlace()
    const declared = table('silver.t', { merge: ['id'], sql: CLEAN, expect: { once: quarantine(unique('value')) } })
    const project = await place.open(raw, declared)
    await project.feed(raw, [one('a', 1), one('b', 1), one('n', null), one('m', null)])
    await project.refresh('silver.t')
    await project.feed(raw, [one('c', 1), one('a', 1)])
    expect(await project.refresh('silver.t')).toMatchObject({ held: 1 })
    expect(await content(project)).toEqual([
      ['a', 1],
      ['m', null],
      ['n', null],
    ])
    await project.feed(raw, [one('a', 2)])
    await project.refresh('silver.t')
    expect(await project.replay('silver.t')).toMatchObject({ checked: 2, released: 1, stillHeld: 1 })
    expect(await content(project)).toEqual([
      ['a', 2],
      ['b', 1],
      ['m', null],
      ['n', null],
    ])
    expect(await heldIn(project, 'id, _failed')).toEqual([['c', 'once']])
  })
})

describe('a replay that is killed', () => {
  test.each(Array.from({ length: 6 }, (_, i) => i))('at moment %i between its commits puts each row back exactly once', async (moment) => {
    const place = await openPlace()
    const whole = (most: number): Table => table('silver.t', { sql: CLEAN, expect: { low: quarantine(`value < ${most}`) } })
    const strict = await place.open(raw, whole(10))
    await strict.feed(raw, [one('a', 20), one('b', 30), one('c', 1), one('d', 300)])
    await strict.refresh('silver.t')
    const loose = await place.open(raw, whole(50))
    let left = moment
    await expect(
      loose.replayCrashing('silver.t', () => {
        if (left-- === 0) throw new Error('crash')
      }),
    ).rejects.toThrow('crash')
    // The rules may have changed again before it goes on: what was decided is done.
    const again = await place.open(raw, whole(moment === 0 ? 50 : 5))
    await again.replay('silver.t')
    expect(await content(again)).toEqual([
      ['a', 20],
      ['b', 30],
      ['c', 1],
    ])
    expect(await heldIn(again)).toEqual([['d', 300]])
  })
  test('is finished by the next refresh before that looks at anything', async () => {
    const place = await openPlace()
    const strict = await place.open(raw, merged(10))
    await strict.feed(raw, [one('a', 20)])
    await strict.refresh('silver.t')
    const loose = await place.open(raw, merged(50))
    await expect(
      loose.replayCrashing('silver.t', (when, name) => {
        if (when === 'before' && name === 'silver.t') throw new Error('crash')
      }),
    ).rejects.toThrow('crash')
    await loose.feed(raw, [one('a', 1)])
    await loose.refresh('silver.t')
    expect(await content(loose)).toEqual([['a', 1]])
    expect(await heldIn(loose)).toEqual([])
  })
})

interface Held {
  readonly row: Reading
  readonly superseded: boolean
}

/** What a merged table and its quarantine hold after any sequence of steps, said without tables. */
class Reference {
  readonly rows: ReadonlyMap<string | null, Reading>
  readonly held: readonly Held[]
  readonly pending: readonly Reading[]
  constructor(rows: ReadonlyMap<string | null, Reading> = new Map(), held: readonly Held[] = [], pending: readonly Reading[] = []) {
    this.rows = rows
    this.held = held
    this.pending = pending
  }
  feed(batch: readonly Reading[]): Reference {
    return new Reference(this.rows, this.held, [...this.pending, ...batch])
  }
  refresh(most: number): Reference {
    const rows = new Map(this.rows)
    let held = [...this.held]
    for (const row of this.pending) {
      if (row.value !== null && row.value > most) held.push({ row, superseded: false })
      else {
        rows.set(row.id, row)
        held = held.map((one) => (one.row.id === row.id ? { ...one, superseded: true } : one))
      }
    }
    return new Reference(rows, held)
  }
  replay(most: number): Reference {
    const passes = ({ row }: Held): boolean => (row.value ?? 0) <= most
    const rows = new Map(this.rows)
    let held = [...this.held]
    for (const [at, one] of this.held.entries()) {
      if (!passes(one) || one.superseded) continue
      rows.set(one.row.id, one.row)
      held = held.map((other, i) => (i < at && other.row.id === one.row.id ? { ...other, superseded: true } : other))
    }
    return new Reference(
      rows,
      held.filter((one) => !passes(one)),
      this.pending,
    )
  }
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant('feed' as const),
    rows: fc.array(fc.record({ id: fc.constantFrom('a', 'b', 'c', null), minute: fc.constant(0), value: fc.nat(40) }), { minLength: 1, maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('rule' as const), most: fc.integer({ min: 5, max: 45 }) }),
  fc.record({ kind: fc.constantFrom('refresh' as const, 'replay' as const), crash: fc.option(fc.nat(6), { nil: null }) }),
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

const asText = (rows: readonly Reading[]): string[] => rows.map(({ id, value }) => JSON.stringify([id, value])).sort()
const texts = (rows: readonly unknown[][]): string[] => rows.map((row) => JSON.stringify(row)).sort()

/** After a crash either nothing was decided or all of it was, which shows when the next work is done. */
async function carryOut(place: Place, steps: readonly Step[], rules: readonly number[]): Promise<Project> {
  let possible = [new Reference()]
  let rule = 0
  let project = await place.open(raw, merged(rules[0] ?? 20))
  const limit = (): number => rules[rule] ?? 20
  for (const one of [...steps, { kind: 'refresh' as const, crash: null }]) {
    if (one.kind === 'feed') {
      await project.feed(raw, one.rows)
      possible = possible.map((reference) => reference.feed(one.rows))
    } else if (one.kind === 'rule') {
      rule++
      project = await place.open(raw, merged(limit()))
    } else {
      if (!(await project.table('bronze.raw').snapshot())) continue
      const { kind, crash } = one
      const done = possible.map((reference) => reference[kind](limit()))
      if (crash !== null) {
        let left = crash
        const crashing = (): void => {
          if (left-- === 0) throw new Error('crash')
        }
        await (kind === 'refresh' ? project.refreshCrashing('silver.t', crashing) : project.replayCrashing('silver.t', crashing)).catch((error: Error) =>
          expect(error.message).toMatch(/^crash$|has to be made anew/),
        )
        possible = [...possible, ...done]
      } else {
        const refused = await project[kind]('silver.t').then(
          () => false,
          (error: { code: string }) => kind === 'replay' && error.code === 'lake.replay_outdated',
        )
        // The first refresh was killed half-way, so there is no table yet that rows could go back to.
        if (refused) {
          expect((await project.table('silver.t').snapshot())?.metadata.configuration['lagoa.generation']).toBeUndefined()
          continue
        }
        const rows = (await project.table('silver.t').snapshot()) ? await content(project) : []
        const held = (await project.table('silver.t_quarantine').snapshot()) ? await project.select('select id, value from silver.t_quarantine') : []
        possible = done.filter((reference) => JSON.stringify(asText([...reference.rows.values()])) === JSON.stringify(texts(rows)))
        expect(possible, `${JSON.stringify(rows)} is not what could be`).not.toEqual([])
        // A refresh that was killed may have left rows in the quarantine that are ahead of the table.
        if (kind === 'refresh')
          possible = possible.filter((reference) => JSON.stringify(asText(reference.held.map(({ row }) => row))) === JSON.stringify(texts(held)))
        expect(possible, `${JSON.stringify(held)} is not what could be held`).not.toEqual([])
      }
    }
  }
  return project
}

describe('random histories', () => {
  test('of appends, changed rules, refreshes, replays and crashes hold what the words above say', { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 3, maxLength: 14 }),
        fc.array(fc.integer({ min: 5, max: 45 }), { minLength: 15, maxLength: 15 }),
        async (steps, rules) => {
          await carryOut(await openPlace(), steps, rules)
        },
      ),
      { numRuns: 25 },
    )
  })
  test('in which rules were only loosened end in the table that a rebuild with the last rules gives', { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 3, maxLength: 14 }),
        fc.array(fc.integer({ min: 5, max: 45 }), { minLength: 15, maxLength: 15 }),
        async (steps, rules) => {
          const rising = rules.toSorted((a, b) => a - b)
          const place = await openPlace()
          const project = await carryOut(place, steps, rising)
          if (!(await project.table('bronze.raw').snapshot())) return
          await project.refresh('silver.t')
          await project.replay('silver.t')
          const replayed = await content(project)
          expect(await project.refresh('silver.t', undefined, { rebuild: true })).toMatchObject({ outcome: 'rebuilt' })
          expect(replayed).toEqual(await content(project))
        },
      ),
      { numRuns: 25 },
    )
  })
})

describe('checks as values', () => {
  test('count, hold and stop as plain SQL does', async () => {
    const place = await openPlace()
    const project = await place.open(
      raw,
      table('silver.t', {
        sql: CLEAN,
        expect: { named: quarantine(notNull('id', raw.c.at)), short: quarantine(matches('id', /^[a-c]$/i)), some: warn(between('value', 0, 10)) },
      }),
    )
    await project.feed(raw, [one('A', 5), one('b', 50), one('long', 5), one('c', null, null), one('c', null)])
    const { checks } = await project.refresh('silver.t')
    expect(Object.entries(checks).map(([name, { kind, violations }]) => [name, kind, violations])).toEqual([
      ['named', 'notNull', 1],
      ['short', 'matches', 1],
      ['some', 'between', 1],
    ])
    expect(checks.some?.samples).toMatchObject([{ id: 'b', value: 50 }])
    expect(await heldIn(project, 'id, _failed')).toEqual([
      ['c', 'named'],
      ['long', 'short'],
    ])
  })
})
