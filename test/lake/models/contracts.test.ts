/** What a table promises about itself: its columns (drift), its freshness, and checks of the table as a whole. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { emptyRows, invalid, t, unavailable, type ColumnRef, type Schema } from '../../../src/base/index.ts'
import { table, type StreamRef, type Table } from '../../../src/lake/declare.ts'
import { between, fail, fresh, matches, notNull, oneOf, quarantine, rowCount, unique, warn, type Expectation } from '../../../src/lake/expectations.ts'
import type { PythonJob, PythonRunner } from '../../../src/lake/python.ts'
import { batchOf, openPlace, readings, START, type Reading } from './project.ts'

const MINUTE = 60_000
const raw = table('bronze.raw', { from: readings })
const CLEAN = 'select id, "at", value from bronze.raw'
const one = (id: string, value: number | null, minute: number | null = 0): Reading => ({ id, minute, value })
const model = (expect: Readonly<Record<string, Expectation>>, more: object = {}): Table => table('silver.t', { sql: CLEAN, expect, ...more })

describe('checks of the whole table', () => {
  test('count the rows that the table will have, whatever mode it is refreshed in', async () => {
    const most = { few: fail(rowCount({ max: 3 })) }
    for (const more of [{}, { merge: ['id'] }]) {
      const project = await (await openPlace()).open(raw, model(most, more))
      await project.feed(raw, [one('a', 1), one('b', 1), one('c', 1)])
      expect((await project.refresh('silver.t')).checks.few).toMatchObject({ kind: 'rowCount', violations: 0, found: '3 rows' })
      await project.feed(raw, [one('c', 2)])
      if ('merge' in more) expect((await project.refresh('silver.t')).checks.few).toMatchObject({ violations: 0, found: '3 rows' })
      await project.feed(raw, [one('d', 1)])
      await expect(project.refresh('silver.t')).rejects.toMatchObject({ code: 'lake.expectation_failed', message: expect.stringContaining('rows') as string })
      expect(project.refused('silver.t')?.checks.few).toMatchObject({ violations: 1 })
      expect(await project.select('select count(*) from silver.t')).toEqual([['3']])
    }
  })
  test('ask how new the newest value is, by the clock they are given', async () => {
    let now = START + 10 * MINUTE
    const project = await (await openPlace({ now: () => now })).open(raw, model({ lately: warn(fresh('at', '15 min')) }, { merge: ['id'] }))
    await project.feed(raw, [one('a', 1, 0), one('b', 1, null)])
    expect((await project.refresh('silver.t')).checks.lately).toMatchObject({ violations: 0, found: '2024-01-01T00:00:00.000Z' })
    now += 10 * MINUTE
    await project.feed(raw, [one('b', 1, 1)])
    expect((await project.refresh('silver.t')).checks.lately).toMatchObject({ violations: 1, found: '2024-01-01T00:01:00.000Z' })
  })
  test('tell some of the rows that broke a rule, and leave the table when one must not be broken', async () => {
    const project = await (await openPlace()).open(raw, model({ known: fail(oneOf('id', ['a', 'b'])), low: warn(between('value', 0, 10)) }))
    await project.feed(raw, [one('a', 50), ...Array.from({ length: 9 }, (_, i) => one(`x${i}`, 1))])
    await expect(project.refresh('silver.t')).rejects.toMatchObject({ message: 'silver.t: 9 rows break known (id one of a, b)' })
    expect(project.refused('silver.t')?.checks.known?.samples).toHaveLength(5)
    expect(project.refused('silver.t')?.checks.low).toMatchObject({ violations: 1, samples: [{ id: 'a', value: 50 }] })
  })
  test.each([
    ['a held table', quarantine(rowCount({ min: 1 }) as never), 'lake.table_check_held', /no rows to put into quarantine.*warn/],
    ['a pattern that looks around', warn(matches('id', /(?=a)b/)), 'lake.pattern', /cannot be read.*RE2/],
    ['a pattern with a strange flag', warn(matches('id', /a/y)), 'lake.pattern', /flag y/],
    ['no values', warn(oneOf('id', [])), 'lake.empty_check', /oneOf/],
    ['bounds the wrong way round', warn(between('value', 5, 1)), 'lake.empty_range', /never be met/],
    ['a column that does not exist', warn(notNull('idd')), 'lake.unknown_column', /idd.*Did you mean id/],
    ['a column that does not exist, in unique', quarantine(unique('valeu')), 'lake.unknown_column', /valeu.*Did you mean value/],
  ] as [string, Expectation, string, RegExp][])('refuse %s when the project is loaded', async (_, expectation, code, pattern) => {
    const place = await openPlace()
    const columns = { id: t.string().nullable(), at: t.timestamp().nullable(), value: t.double().nullable() }
    await expect(place.open(raw, model({ rule: expectation }, { columns }))).rejects.toSatisfy((error: { code: string; message: string; hint: string }) => {
      expect(error.code).toBe(code)
      expect(`${error.message} | ${error.hint}`).toMatch(pattern)
      return true
    })
  })
  test('take references to columns, and refuse one that is undefined where it is written', () => {
    expect(notNull(raw.c.id, 'at')).toEqual({ kind: 'notNull', columns: ['id', 'at'] })
    const misspelled: Readonly<Record<string, ColumnRef>> = raw.c
    expect(() => between(misspelled.valeu!, 0, 1)).toThrow(/names a column that is undefined/)
  })
})

describe('freshness targets', () => {
  test('turn stale by the newest version with data, which packing is not, or by a column', async () => {
    let now = Date.now()
    const byVersion = table('silver.t', { sql: CLEAN, freshness: '15 min' })
    const byColumn = table('gold.t', { sql: CLEAN, freshness: { column: 'at', within: '2h' } })
    const project = await (await openPlace({ now: () => now })).open(raw, byVersion, byColumn)
    expect(await project.freshness('bronze.raw')).toBeNull()
    expect(await project.freshness('silver.t')).toEqual({ state: 'unknown', since: null, newest: null, withinMs: 15 * MINUTE })
    await project.feed(raw, [one('a', 1, null)])
    for (const name of ['silver.t', 'gold.t']) await project.refresh(name)
    expect(await project.freshness('gold.t')).toMatchObject({ state: 'unknown' })
    const written = (await project.table('silver.t').snapshot())?.timestamp ?? 0
    expect(await project.freshness('silver.t')).toEqual({ state: 'fresh', since: null, newest: written, withinMs: 15 * MINUTE })
    await project.table('silver.t').evolve([{ name: 'note', type: 'string', nullable: true, metadata: {} }])
    now = written + 16 * MINUTE
    expect(await project.freshness('silver.t')).toEqual({ state: 'stale', since: written + 15 * MINUTE, newest: written, withinMs: 15 * MINUTE })

    await project.feed(raw, [one('a', 1, 0), one('b', 1, 30)])
    await project.refresh('gold.t')
    now = START + 60 * MINUTE
    expect(await project.freshness('gold.t')).toMatchObject({ state: 'fresh', newest: START + 30 * MINUTE })
    now = START + 151 * MINUTE
    expect(await project.freshness('gold.t')).toMatchObject({ state: 'stale', since: START + 150 * MINUTE })
    await project.feed(raw, [one('c', 1, 140)])
    await project.refresh('gold.t')
    expect(await project.freshness('gold.t')).toMatchObject({ state: 'fresh', newest: START + 140 * MINUTE })
  })
  test.each([
    ['no duration', { freshness: 'soon' }, 'lake.duration'],
    ['no time at all', { freshness: 0 }, 'lake.duration'],
    ['an unknown column', { freshness: { column: 'att', within: '1h' } }, 'lake.unknown_column'],
    ['a column that is no time', { freshness: { column: 'id', within: '1h' } }, 'lake.freshness_column'],
  ])('with %s are refused', async (_, options, code) => {
    const place = await openPlace()
    await expect(place.open(table('bronze.raw', { from: readings, ...options }))).rejects.toMatchObject({ code })
  })
})

describe('drift', () => {
  const bronze = (schema: Schema, more: object = {}): Table => table('bronze.s', { from: { kind: 'stream', name: 's', schema } satisfies StreamRef, ...more })
  const rowsOf = (schema: Schema, values: readonly unknown[]) => {
    const rows = emptyRows(schema, 1)
    rows.columns.forEach((column, i) => {
      if (column.kind === 'text') column.values[0] = String(values[i])
      else [column.values[0], column.valid[0]] = [Number(values[i]), 1]
    })
    return rows
  }
  test('of a stream that gained a field is taken and told; a frozen table refuses it once and keeps its columns', async () => {
    const place = await openPlace()
    const [old, wide] = [{ id: t.string() }, { id: t.string(), co2: t.double().nullable() }]
    const first = bronze(old)
    await (await place.open(first)).appender(first).append(0, 1, [batchOf(rowsOf(old, ['a']), 0)])
    const frozen = bronze(wide, { schema: 'freeze' })
    const stopped = await place.open(frozen)
    for (let i = 0; i < 2; i++)
      await expect(stopped.appender(frozen).append(0, 2, [batchOf(rowsOf(wide, ['b', 4]), 1)])).rejects.toMatchObject({
        code: 'lake.schema_frozen',
        message: 'bronze.s keeps its columns, and stream s would change them: column co2 came new, as double',
      })
    expect(await stopped.drift('bronze.s')).toMatchObject([{ kind: 'refused', changes: ['column co2 came new, as double'], samples: [{ id: 'b', co2: 4 }] }])
    expect(await stopped.select('select * exclude (_ingested_at) from bronze.s')).toEqual([['a', 0, '0']])
    const open = bronze(wide)
    const project = await place.open(open)
    await project.appender(open).append(0, 2, [batchOf(rowsOf(wide, ['b', 4]), 1)])
    expect((await project.drift('bronze.s')).map(({ kind }) => kind)).toEqual(['taken', 'refused'])
    expect(await project.select('select id, co2 from bronze.s order by 1')).toEqual([
      ['a', null],
      ['b', 4],
    ])
  })
  test('of fields that the schema does not know is counted and sampled in the commits of the records', async () => {
    const place = await openPlace()
    const declared = bronze({ id: t.string() })
    const project = await place.open(declared)
    const appender = project.appender(declared)
    const unknown = (count: number, first: number) => new Map([['co2', { count, first, samples: [1, 'x'] }]])
    await appender.append(0, 1, [{ ...batchOf(rowsOf({ id: t.string() }, ['a']), 0), unknown: unknown(1, 0) }])
    await appender.append(0, 2, [{ ...batchOf(rowsOf({ id: t.string() }, ['b']), 1), unknown: unknown(1, 1) }])
    await appender.append(0, 2, [{ ...batchOf(rowsOf({ id: t.string() }, ['b']), 1), unknown: unknown(1, 1) }])
    expect(await project.drift('bronze.s')).toMatchObject([
      {
        kind: 'unknown_fields',
        version: 1,
        changes: ['field co2 is not in the schema; 2 records carry it'],
        fields: { co2: 2 },
        samples: [{ co2: 1 }, { co2: 'x' }],
      },
    ])
  })
  test('of a model is taken with words for what changed, or refused when it is frozen', async () => {
    const place = await openPlace()
    const copy = (sql: string, more: object = {}): Table => table('silver.copy', { sql, ...more })
    const project = await place.open(raw, copy('select id, value::bigint as value from bronze.raw'))
    await project.feed(raw, [one('a', 1)])
    await project.refresh('silver.copy')
    const next = 'select id, value, "at" from bronze.raw'
    const frozen = await place.open(raw, copy(next, { schema: 'freeze' }))
    await expect(frozen.refresh('silver.copy')).rejects.toMatchObject({
      code: 'lake.schema_frozen',
      hint: expect.stringContaining("schema: 'freeze'") as string,
    })
    expect(await frozen.select('select * from silver.copy')).toEqual([['a', '1']])
    const taken = await place.open(raw, copy(next))
    await taken.refresh('silver.copy')
    const changes = ['type of value went from long to double', 'column at came new, as timestamp']
    expect(await taken.drift('silver.copy')).toMatchObject([
      { kind: 'taken', changes, samples: [{ id: 'a', value: 1 }] },
      { kind: 'refused', changes },
    ])
    expect(await taken.refresh('silver.copy')).toMatchObject({ outcome: 'nothing' })
  })
})

/** A real Python without packages: it reads and writes JSON lines. It is no sandbox. */
const plainPython: PythonRunner = {
  capabilities: { name: 'python3', format: 'json' },
  run: ({ source, inputs, output, signal, onLine }: PythonJob) =>
    new Promise((resolve, reject) => {
      const script = join(output, '..', 'script.py')
      writeFileSync(script, `import json\ninputs = json.loads(${JSON.stringify(JSON.stringify(inputs))})\noutput = ${JSON.stringify(output)}\n${source}`)
      const child = spawn('python3', [script], { signal, stdio: ['ignore', 'pipe', 'pipe'] })
      let said = ''
      child.stdout.on('data', (chunk: Buffer) => onLine({ from: 'stdout', text: chunk.toString() }))
      child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
      child.once('error', (cause) => reject(signal.aborted ? signal.reason : unavailable('test.python', 'python3 cannot be run', { cause })))
      child.once('close', (code) => (code === 0 ? resolve() : reject(invalid('test.python', said.trim().split('\n').at(-1) ?? ''))))
    }),
}

describe('tables made by Python', () => {
  const scored = table('gold.scored', { from: raw, python: 'tables/score.py', columns: { id: t.string(), score: t.double() }, merge: ['id'] })
  const script = (write: string) => (file: string) => {
    expect(file).toBe('tables/score.py')
    return Promise.resolve(
      `with open(inputs['input']) as lines, open(output, 'w') as out:\n    for line in lines:\n        row = json.loads(line)\n        ${write}\n`,
    )
  }
  test('load without a runner, and say what is missing when they are refreshed', async () => {
    const project = await (await openPlace({ readScript: script('pass') })).open(raw, scored)
    await project.feed(raw, [one('a', 2)])
    await expect(project.refresh('gold.scored')).rejects.toMatchObject({
      code: 'lake.no_python',
      kind: 'unsupported',
      hint: expect.stringContaining('sandbox') as string,
    })
    const place = await openPlace()
    await expect(place.open(raw, scored)).rejects.toMatchObject({ code: 'lake.python_file' })
  })
  test('take files in and give a file out, incrementally, with the columns that they promise', async () => {
    const place = await openPlace({ python: plainPython, readScript: script("out.write(json.dumps({'id': row['id'], 'score': row['value'] * 10}) + '\\n')") })
    const project = await place.open(raw, scored)
    for (const value of [1, 2]) {
      await project.feed(raw, [one('a', value), one(`b${value}`, value)])
      expect(await project.refresh('gold.scored')).toMatchObject({ outcome: value === 1 ? 'rebuilt' : 'changed' })
    }
    expect(await project.select('select id, score from gold.scored order by 1')).toEqual([
      ['a', 20],
      ['b1', 10],
      ['b2', 20],
    ])
  })
  test.each([
    ['a script that fails', 'raise ValueError("no model")', 'test.python', /no model/],
    ['no output', 'import os; os.remove(output)', 'lake.python_output', /wrote no output/],
    ['a value of another type', "out.write(json.dumps({'id': 'a', 'score': 'high'}) + '\\n')", 'lake.python_output', /score\.py/],
    ['an output that is no table', "out.write('[[[')", 'lake.python_output', /score\.py/],
  ])('stay as they were after %s', async (_, write, code, message) => {
    const project = await (await openPlace({ python: plainPython, readScript: script(write) })).open(raw, scored)
    await project.feed(raw, [one('a', 2)])
    await expect(project.refresh('gold.scored')).rejects.toSatisfy((error: { code: string; message: string }) => {
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)])
      return true
    })
    expect(await project.table('gold.scored').snapshot()).toBeNull()
  })
})
