/** JSON, NDJSON and Parquet, plain and packed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { openInbox } from './place.ts'

const CSV = 'id,name\n1,Ana\n2,José\n'
const NDJSON = '{"id":1,"name":"Ana"}\n{"id":2,"name":"José"}\n'
const JSON_ARRAY = '[\n {"id": 1, "name": "Ana"},\n {"id": 2, "name": "José"}\n]'

async function parquet(inbox: Awaited<ReturnType<typeof openInbox>>, name: string, sql: string): Promise<string> {
  const file = inbox.write(name, '')
  const connection = await inbox.lake.duck.connect()
  try {
    await connection.run(`copy (${sql}) to '${file}' (format parquet)`)
  } finally {
    connection.closeSync()
  }
  return file
}

describe('each format', () => {
  test.each(['plain', 'gzip', 'zstd'] as const)('is read %s, by its name or by its content', async (packing) => {
    const inbox = await openInbox()
    const pack = (bytes: Buffer): Buffer => (packing === 'gzip' ? gzipSync(bytes) : packing === 'zstd' ? zstdCompressSync(bytes) : bytes)
    const ending = { plain: '', gzip: '.gz', zstd: '.zst' }[packing]
    const bytes = {
      csv: Buffer.from(CSV),
      ndjson: Buffer.from(NDJSON),
      json: Buffer.from(JSON_ARRAY),
      parquet: readFileSync(await parquet(inbox, 'p.parquet', "select * from (values (1::bigint, 'Ana'), (2, 'José')) t(id, name)")),
    }
    for (const [format, content] of Object.entries(bytes)) {
      for (const [into, name] of [
        [`bronze.named_${format}`, `a.${format}${ending}`],
        [`bronze.unnamed_${format}`, `a_${format}`],
      ] as const) {
        const outcome = await inbox.take(pack(content), { name, into })
        expect(outcome).toMatchObject({ outcome: 'added', rows: 2, bad: 0 })
        expect(await inbox.select(`select id, name from {${into}} order by id`)).toEqual([
          ['1', 'Ana'],
          ['2', 'José'],
        ])
      }
    }
  })
  test('that is cut off is refused with what to do', async () => {
    const inbox = await openInbox()
    const packed = gzipSync(Buffer.from(CSV.repeat(1000)))
    expect(await inbox.take(packed.subarray(0, packed.length - 20), { name: 'a.csv.gz' })).toMatchObject({
      outcome: 'refused',
      error: { code: 'lake.file_damaged' },
    })
    expect(await inbox.take(Buffer.from('PAR1 but no more'), { name: 'a.parquet' })).toMatchObject({
      outcome: 'refused',
      error: { code: 'lake.file_unreadable' },
    })
    expect(await inbox.take('[{"a":1},{"a":', { name: 'a.json' })).toMatchObject({ outcome: 'refused', error: { code: 'lake.file_unreadable' } })
  })
})

describe('JSON', () => {
  test('keeps what is nested, as structs and lists', async () => {
    const inbox = await openInbox()
    await inbox.take('[{"id":1,"at":"2026-01-31T10:00:00Z","geo":{"lat":-30.5,"tags":["a","b"]},"list":[{"n":1}]},{"id":2,"geo":null}]', { name: 'a.json' })
    expect(Object.keys(await inbox.columns())).toEqual(['id', 'at', 'geo', 'list'])
    expect((await inbox.columns()).at).toBe('timestamp')
    expect(await inbox.select('select id, geo.lat, geo.tags[2], list[1].n, "at"::varchar from {bronze.x} order by id')).toEqual([
      ['1', -30.5, 'b', '1', '2026-01-31 10:00:00+00'],
      ['2', null, null, null, null],
    ])
  })
  test('may be one object, objects over several lines, or with inner names that a table cannot have', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('{\n  "id": 1,\n  "in": {"a b": 2}\n}\n', { name: 'one.json' })).toMatchObject({ outcome: 'added', rows: 1 })
    expect(await inbox.select('select id, "in"::json->>\'a b\' from {bronze.x}')).toEqual([['1', '2']])
    expect(await inbox.take('{\n "id": 2\n}\n{\n "id": 3\n}', { name: 'two.json' })).toMatchObject({ rows: 2 })
  })
  test('may begin with a byte order mark, or have nothing in it', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('\ufeff{"id":1}\n{"id":2}\n', { name: 'a.ndjson' })).toMatchObject({ outcome: 'added', rows: 2 })
    for (const [name, text] of [
      ['b.json', '[]'],
      ['b.json', ' [ ]\n'],
      ['b.ndjson', '\n\n'],
    ] as const)
      expect({ text, ...(await inbox.take(text, { name })) }).toMatchObject({ text, outcome: 'empty' })
    for (const [name, text] of [
      ['c.json', '[1, 2]'],
      ['c.json', '"x"'],
      ['c.ndjson', '5\n6\n'],
    ] as const)
      expect({ text, ...(await inbox.take(text, { name })) }).toMatchObject({ text, outcome: 'refused', error: { code: 'lake.file_refused' } })
  })
  test('by lines keeps lines aside that are no objects', async () => {
    const inbox = await openInbox()
    const text = '{"id":1}\n\n{"id":\r\n{"id":"é"}\n5\n{"id":2}\n{"id":3}\n'
    expect(await inbox.take(text, { name: 'a.ndjson' })).toMatchObject({ rows: 4, bad: 2 })
    expect(await inbox.select('select _line, _byte, _raw from {bronze.x_quarantine} order by _line')).toEqual([
      ['3', '10', '{"id":'],
      ['5', String(Buffer.byteLength(text.slice(0, text.indexOf('5\n')))), '5'],
    ])
  })
  test('whose values do not fit the table has those records kept aside', async () => {
    const inbox = await openInbox()
    await inbox.take('{"id":1,"n":1}\n', { name: 'a.ndjson' })
    expect(await inbox.take('{"id":2,"n":"x"}\n{"id":3,"n":2}\n{"id":4,"n":"3.5"}\n{"id":5,"n":7}\n', { name: 'b.ndjson' })).toMatchObject({ rows: 2, bad: 2 })
    expect(await inbox.select('select id, n from {bronze.x} order by id')).toEqual([
      ['1', '1'],
      ['3', '2'],
      ['5', '7'],
    ])
    expect(await inbox.select('select _line, _column from {bronze.x_quarantine} order by 1')).toEqual([
      ['1', 'n'],
      ['3', 'n'],
    ])
  })
  test('never loses an inner field that the table does not have', async () => {
    const inbox = await openInbox()
    await inbox.take('{"id":1,"geo":{"lat":1.5,"lon":2.5}}\n', { name: 'a.ndjson' })
    expect(await inbox.take('{"id":2,"geo":{"lat":1.5}}\n{"id":3,"geo":{"lat":2.5,"alt":9}}\n{"id":4}\n', { name: 'b.ndjson' })).toMatchObject({
      rows: 2,
      bad: 1,
    })
    expect(await inbox.select('select _raw from {bronze.x_quarantine}')).toEqual([[expect.stringContaining('"alt":9')]])
  })
})

describe('Parquet', () => {
  test('keeps decimals, times and nested values, and turns the rest into what a table holds', async () => {
    const inbox = await openInbox()
    const file = await parquet(
      inbox,
      'a.parquet',
      "select 1.25::decimal(10,2) as d, timestamp '2026-01-31 10:00:00' as naive, timestamptz '2026-01-31 10:00:00+00' as instant, {'a': [1, 2], 'b': {'c': 'x'}} as s, map {'k': 1} as m, 18446744073709551615::ubigint as u, time '10:00:00' as t, 'x'::blob as b, date '2026-01-31' as day",
    )
    expect((await inbox.ingest(file))[0]).toMatchObject({ outcome: 'added', rows: 1 })
    expect(await inbox.columns()).toMatchObject({
      d: 'decimal(10,2)',
      naive: 'timestamp',
      instant: 'timestamp',
      u: 'decimal(20,0)',
      t: 'string',
      b: 'binary',
      day: 'date',
    })
    expect(await inbox.select("select d::varchar, naive = instant, s.a[2], s.b.c, m['k'], u::varchar, t from {bronze.x}")).toEqual([
      ['1.25', true, 2, 'x', 1, '18446744073709551615', '10:00:00'],
    ])
  })
})

test('folders, patterns and the object store name files in order, each once', async () => {
  const inbox = await openInbox()
  for (const name of ['in/b.csv', 'in/a.csv', 'in/deep/c.csv.gz', 'in/notes.md', 'in/.hidden.csv', 'in/_SUCCESS'])
    inbox.write(name, name.endsWith('.gz') ? gzipSync(Buffer.from(`id\n${name.length}00\n`)) : `id\n${name.charCodeAt(3)}\n`)
  await inbox.objects.put('landing/day=1/x.csv', Buffer.from('id\n1\n'))
  await inbox.objects.put('landing/day=2/y.csv', Buffer.from('id\n2\n'))
  const names = async (paths: string | string[], into: string): Promise<string[]> => (await inbox.ingest(paths, { into })).map(({ file }) => file)
  expect(await names('in', 'bronze.a')).toEqual(['in/a.csv', 'in/b.csv', 'in/deep/c.csv.gz'])
  expect(await names(['in/*.csv', join(inbox.folder, 'in/a.csv')], 'bronze.b')).toEqual(['in/a.csv', 'in/b.csv'])
  expect(await names('objects://landing', 'bronze.c')).toEqual(['objects://landing/day=1/x.csv', 'objects://landing/day=2/y.csv'])
  expect(await names('landing/day=*/x.csv', 'bronze.d')).toEqual(['objects://landing/day=1/x.csv'])
  expect(await names('landing/day=2/y.csv', 'bronze.e')).toEqual(['objects://landing/day=2/y.csv'])
  expect(await inbox.select('select distinct _file from {bronze.e}')).toEqual([['objects://landing/day=2/y.csv']])
  await expect(inbox.ingest('nowhere/*.csv')).rejects.toMatchObject({ code: 'lake.no_files' })
})
