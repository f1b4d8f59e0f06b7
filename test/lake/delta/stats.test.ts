/** Statistics may only ever exclude files that hold no matching row. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DeltaTable } from '../../../src/lake/delta/index.ts'
import { compareText, lowerBound, upperBound } from '../../../src/lake/delta/stats.ts'
import { commitFile, field, openLake, untext } from '../../helpers/delta.ts'

const lake = await openLake()
const FIELDS = [
  field('l', 'long'),
  field('i', 'integer'),
  field('x', 'double'),
  field('f', 'float'),
  field('s', 'string'),
  field('t', 'timestamp'),
  field('d', 'date'),
  field('c', 'decimal(20,3)'),
  field('b', 'boolean'),
  field('p', 'string'),
  field('q', 'timestamp'),
]

const quoted = (value: string): string => `'${value.replaceAll("'", "''")}'`
const number = fc.oneof(
  fc.integer({ min: -5, max: 5 }).map(String),
  fc.constantFrom('9007199254740993', '9007199254740992', '-9223372036854775807', '9223372036854775807'),
)
const double = fc.oneof(
  fc.constantFrom('NaN', 'inf', '-inf', '-0.0', '0.0', '0.1', '1e300', '-1e-300', '0.30000000000000004'),
  fc.integer({ min: -3, max: 3 }).map(String),
)
const string = fc
  .oneof(
    fc.constantFrom('', 'a', 'b', '\u{10ffff}', '\ufffd', '\u{1f600}', 'a\nb', `"`, "'"),
    fc.string({ unit: 'grapheme', maxLength: 6 }),
    fc
      .tuple(fc.constantFrom('é', 'a', '\u{1f600}', '\u{10ffff}'), fc.integer({ min: 30, max: 400 }), fc.constantFrom('', 'x', 'y', '\u{10ffff}'))
      .map(([c, n, tail]) => c.repeat(n) + tail),
  )
  .map((text) => text.replaceAll('\0', ''))
const instant = fc
  .tuple(
    fc.constantFrom('1969-12-31 23:59:59', '2024-01-01 00:00:00', '2024-01-01 00:00:01', '9999-12-31 23:59:59', '0001-01-01 00:00:00'),
    fc.constantFrom('', '.5', '.000001', '.999999', '.123456', '.123'),
  )
  .map(([a, b]) => `${a}${b}+00`)
const day = fc.constantFrom('2024-01-01', '2024-01-02', '1969-12-31', '0001-01-01')
const decimal = fc.constantFrom('0.001', '-0.001', '1.5', '12345678901234567.891', '12345678901234567.890')

/** SQL literals by column, and whether the column compares with <, = and so on. */
const literals: Readonly<Record<string, fc.Arbitrary<string>>> = {
  l: number.map((text) => `${text}::bigint`),
  i: fc.integer({ min: -5, max: 5 }).map((value) => `${value}::integer`),
  x: double.map((text) => `${quoted(text)}::double`),
  f: double.map((text) => `${quoted(text)}::double::varchar::double`).map((sql) => `try_cast(${sql} as float)`),
  s: string.map((text) => `${quoted(text)}::varchar`),
  t: instant.map((text) => `timestamptz ${quoted(text)}`),
  d: day.map((text) => `date ${quoted(text)}`),
  c: decimal.map((text) => `${text}::decimal(20,3)`),
  b: fc.boolean().map((value) => `${value}`),
  p: fc.constantFrom('x', 'y/z', ' ').map((text) => `${quoted(text)}::varchar`),
  q: instant.map((text) => `timestamptz ${quoted(text)}`),
}
/** Constants as people write them: bare numbers, bare text, typed literals. */
const constants: Readonly<Record<string, fc.Arbitrary<string>>> = {
  l: fc.oneof(number, fc.constantFrom('0.5', '1e0', "'2'", '9007199254740992.0')),
  i: fc.oneof(fc.integer({ min: -5, max: 5 }).map(String), fc.constantFrom('0.5', '-1.5')),
  x: fc.oneof(
    fc.constantFrom('0', '0.1', '0.3', '-1', '1e300', "'NaN'", "'inf'", "'NaN'::double", '0.30000000000000004'),
    fc.integer({ min: -3, max: 3 }).map(String),
  ),
  f: fc.constantFrom('0', '0.1', '0.1::float', '0.5', '-1'),
  s: string.map(quoted),
  t: fc.oneof(
    instant.map(quoted),
    instant.map((text) => `timestamptz ${quoted(text)}`),
    day.map((text) => `date ${quoted(text)}`),
    instant.map((text) => `timestamp ${quoted(text.slice(0, -3))}`),
  ),
  d: fc.oneof(
    day.map(quoted),
    day.map((text) => `date ${quoted(text)}`),
    fc.constant("timestamp '2024-01-01 12:00:00'"),
  ),
  c: fc.oneof(decimal, fc.constantFrom('1', '0', '12345678901234567.8905', '1.5::double')),
  b: fc.constantFrom('true', 'false'),
  p: fc.constantFrom("'x'", "'y/z'", "''", "'z'"),
  q: instant.map(quoted),
}
const columns = Object.keys(literals)

const rows = fc.array(fc.tuple(...columns.map((name) => fc.option(literals[name] ?? fc.constant('null'), { nil: 'null', freq: 4 }))), {
  minLength: 1,
  maxLength: 5,
})

const comparison: fc.Arbitrary<string> = fc.constantFrom(...columns).chain((name) => {
  const constant = constants[name] ?? fc.constant('null')
  return fc.oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constantFrom('=', '<>', '<', '<=', '>', '>='), constant).map(([operator, value]) => `"${name}" ${operator} ${value}`) },
    fc.tuple(fc.constantFrom('=', '<', '>='), constant).map(([operator, value]) => `${value} ${operator} "${name}"`),
    fc.tuple(constant, constant).map(([low, high]) => `"${name}" between ${low} and ${high}`),
    fc.array(constant, { minLength: 1, maxLength: 3 }).map((list) => `"${name}" in (${list.join(', ')})`),
    fc.constantFrom('is null', 'is not null').map((what) => `"${name}" ${what}`),
    constant.map((value) => `"${name}" is not distinct from ${value}`),
  )
})
const condition: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: comparison },
  fc.tuple(comparison, fc.constantFrom('and', 'or'), comparison).map(([a, word, b]) => `(${a}) ${word} (${b})`),
  comparison.map((a) => `not (${a})`),
)

const filesIn = (sql: string): number => sql.split('.parquet').length - 1

/** Gives the files of a log the statistics that Spark would have written: times cut to milliseconds, text to 32 characters, NaN as the greatest. */
async function restateAsSpark(root: string, versions: number): Promise<void> {
  const cut = (value: string): string =>
    value
      .replace(' ', 'T')
      .replace(/(\.\d{1,3})\d*/, '$1')
      .replace(/\+00$/, 'Z')
  const shorter = (value: string, isMax: boolean): string => {
    const characters = [...value]
    const next = characters[32]
    if (next === undefined) return value
    if (!isMax) return characters.slice(0, 32).join('')
    const end = characters.findIndex((character, i) => i >= 32 && character !== '\u{10ffff}')
    return end === -1 ? value : characters.slice(0, end).join('') + ((characters[end] ?? '') < '\x7f' ? '\x7f' : '\u{10ffff}')
  }
  const jsonOf = (column: string, value: unknown, isMax: boolean): string | null => {
    if (value === null) return null
    const text = String(value)
    if (column === 's' || column === 'p') return JSON.stringify(shorter(text, isMax))
    if (column === 't' || column === 'q') return JSON.stringify(cut(text))
    if (column === 'd') return JSON.stringify(text)
    return /^-?[\d.]+(e[+-]?\d+)?$/.test(text) ? text : JSON.stringify(text.replace('nan', 'NaN').replace('inf', 'Infinity'))
  }
  for (let version = 1; version <= versions; version++) {
    const actions = untext(await lake.objects.get(commitFile(root, version)))
      .trimEnd()
      .split('\n')
    const restated = await Promise.all(
      actions.map(async (line) => {
        if (!line.startsWith('{"add"')) return line
        const { add } = JSON.parse(line) as { add: { path: string; stats: string } }
        const file = `${lake.folder}/${root}/${decodeURIComponent(add.path)}`
        const stored = (await lake.rows(`describe from '${file}'`)).map(([name]) => String(name)).filter((name) => name !== 'b')
        const cells = stored.flatMap((name) => [`min("${name}")::varchar`, `max("${name}")::varchar`, `count(*) - count("${name}")`])
        const [values = []] = await lake.rows(`select count(*), ${cells.join(', ')} from '${file}'`)
        const entries = (offset: number, isMax: boolean): string =>
          stored
            .flatMap((name, i) => {
              const value = jsonOf(name, values[1 + 3 * i + offset], isMax)
              return value === null ? [] : [`"${name}":${value}`]
            })
            .join(',')
        const nulls = stored.map((name, i) => `"${name}":${String(values[3 + 3 * i])}`).join(',')
        add.stats = `{"numRecords":${String(values[0])},"minValues":{${entries(0, false)}},"maxValues":{${entries(1, true)}},"nullCount":{${nulls}}}`
        return JSON.stringify({ add })
      }),
    )
    await lake.objects.put(commitFile(root, version), new TextEncoder().encode(restated.join('\n') + '\n'))
  }
  for (const path of await lake.paths(`${root}/_delta_log/`)) if (/checkpoint|\.crc$/.test(path)) await lake.objects.delete(path)
}

describe('pruning', () => {
  test('concludes nothing from times whose microseconds a double cannot tell apart', async () => {
    for (const partitionBy of [[], ['q']]) {
      const table = lake.table(`stats/early${partitionBy.length}`)
      await table.create({
        fields: [
          { name: 'q', type: 'timestamp', nullable: true, metadata: {} },
          { name: 'n', type: 'long', nullable: true, metadata: {} },
        ],
        partitionBy,
      })
      await table.append(lake.select("select timestamptz '0001-01-01 00:00:00.000001+00' as q, 1::bigint as n"))
      const where = `'0001-01-01 00:00:00+00' < "q"`
      expect(await lake.rows(`select count(*) from (${await table.scan((await table.snapshot())!, { where })}) where ${where}`)).toEqual([['1']])
    }
  })

  test('never loses a row, whatever the values, the condition and the writer, in memory and in a checkpoint', { timeout: 180_000 }, async () => {
    let run = 0
    let pruned = 0
    let kept = 0
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(rows, { minLength: 1, maxLength: 3 }),
        fc.array(condition, { minLength: 8, maxLength: 8 }),
        async (partitioned, batches, conditions) => {
          const root = `stats/t${++run}`
          const table = lake.table(root)
          await table.create({
            fields: FIELDS,
            configuration: { 'delta.checkpointInterval': '1' },
            ...(partitioned ? { partitionBy: ['p', 'q'] } : {}),
          })
          for (const batch of batches)
            await table.append(
              lake.select(
                `select * from (values ${batch.map((cells) => `(${cells.join(', ')})`).join(', ')}) r(${columns.map((name) => `"${name}"`).join(', ')})`,
              ),
            )
          const count = async (sql: string, where: string): Promise<unknown> =>
            (await lake.rows(`select count(*) from (select * from (${sql})) where ${where}`).catch(() => [['fails']]))[0]
          const scanned = async (handle: DeltaTable, where?: string): Promise<string> =>
            handle.scan((await handle.snapshot())!, where === undefined ? {} : { where })
          const check = async (): Promise<void> => {
            const [inMemory, inCheckpoint] = [lake.table(root), lake.large(root)]
            const all = await scanned(inMemory)
            for (const where of conditions) {
              const some = new Set([await scanned(inMemory, where), await scanned(inCheckpoint, where)])
              for (const sql of some) {
                if (sql === all) continue
                pruned++
                if (filesIn(sql) > 0) kept++
                expect(await count(sql, where), where).toEqual(await count(all, where))
              }
            }
          }
          await check()
          await restateAsSpark(root, batches.length)
          await table.append(lake.select(`select null::bigint as l where false`), { txn: { appId: 'checkpoint', version: 1 } })
          await check()
        },
      ),
      { numRuns: 40 },
    )
    expect(pruned).toBeGreaterThan(50)
    expect(kept).toBeGreaterThan(10)
  })
  test('does leave files out: by range, by null, by partition', async () => {
    const table = lake.table('stats/ranges')
    await table.create({ fields: [field('id', 'long'), field('x', 'double'), field('at', 'timestamp'), field('day', 'date')], partitionBy: ['day'] })
    for (let i = 0; i < 4; i++)
      await table.append(
        lake.select(
          `select ${i} * 10 + k as id, ${i === 3 ? "'NaN'::double" : 'k'} as x, timestamptz '2024-01-01 00:00:00+00' + to_hours(${i}) as "at", date '2024-01-01' + ${i} as day from range(10) r(k)`,
        ),
      )
    const snapshot = (await table.snapshot())!
    const files = async (where: string): Promise<number> => (await table.scan(snapshot, { where })).split('.parquet').length - 1
    expect(await files('id = 15')).toBe(1)
    expect(await files('15 > id and id >= 5')).toBe(2)
    expect(await files('id in (1, 39)')).toBe(2)
    expect(await files("day = '2024-01-02'")).toBe(1)
    expect(await files(`"at" > timestamptz '2024-01-01 02:30:00+00'`)).toBe(1)
    expect(await files('id is null')).toBe(0)
    // A file with NaN stays in for what is above its numbers.
    expect(await files('x > 100')).toBe(1)
    expect(await files('abs(id) = 15')).toBe(4)
    expect(await files('this does not parse')).toBe(4)
  })
})

describe('bounds', () => {
  test('bounds of text hold it between them, in the order of its bytes, and stay short', () => {
    fc.assert(
      fc.property(string, (value) => {
        const low = lowerBound('string', value)
        const high = upperBound('string', value)
        if (low !== null) {
          expect(compareText(JSON.parse(low) as string, value)).toBeLessThanOrEqual(0)
          expect([...(JSON.parse(low) as string)].length).toBeLessThanOrEqual(33)
        }
        if (high !== null) expect(compareText(JSON.parse(high) as string, value)).toBeGreaterThanOrEqual(0)
      }),
    )
  })
  test('text is ordered like its UTF-8 bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        expect(Math.sign(compareText(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))))
      }),
    )
  })
  test('timestamps are floored and ceiled to milliseconds, NaN and infinity give no bounds, floats are exact', async () => {
    const table = lake.table('stats/exact')
    await table.create({
      fields: [
        field('t', 'timestamp'),
        field('x', 'double'),
        field('y', 'double'),
        field('f', 'float'),
        field('l', 'long'),
        field('n', 'integer'),
        field('o', { type: 'struct', fields: [field('k', 'integer')] }),
        field('a', { type: 'array', elementType: 'integer', containsNull: true }),
      ],
    })
    await table.append(
      lake.select(
        `select * from (values (timestamptz '2024-01-01 00:00:00.0005+00', 'NaN'::double, 'inf'::double, 0.1::float, 9223372036854775807::bigint, null::integer, {k: 1}, [1]), (timestamptz '2024-01-01 00:00:01.0005+00', 1, 2, 0.1::float, 1, null, null, [2, 3])) r(t, x, y, f, l, n, o, a)`,
      ),
    )
    const line =
      untext(await lake.objects.get(commitFile('stats/exact', 1)))
        .split('\n')
        .find((one) => one.startsWith('{"add"')) ?? ''
    const { stats } = (JSON.parse(line) as { add: { stats: string } }).add
    expect(stats).toContain('"l":9223372036854775807')
    expect(JSON.parse(stats)).toMatchObject({
      numRecords: 2,
      minValues: { t: '2024-01-01T00:00:00.000Z', y: 2, f: Math.fround(0.1), o: { k: 1 } },
      maxValues: { t: '2024-01-01T00:00:01.001Z', f: Math.fround(0.1) },
      nullCount: { t: 0, x: 0, y: 0, f: 0, l: 0, n: 2, o: { k: 1 } },
    })
    const parsed = JSON.parse(stats) as { minValues: object; maxValues: object; nullCount: object }
    expect(parsed.minValues).not.toHaveProperty('x')
    expect(parsed.maxValues).not.toHaveProperty('y')
    expect(parsed.nullCount).not.toHaveProperty('a')
  })
})
