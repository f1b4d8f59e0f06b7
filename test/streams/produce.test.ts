import { beforeAll, describe, expect, it } from 'vitest'
import { t, unavailable, type Schema } from '../../src/base/index.ts'
import { migrate } from '../../src/storage/index.ts'
import {
  createDecoder,
  eventLogMigrations,
  openPostgresLog,
  parseBody,
  produce,
  recordsOf,
  stream,
  type EventLog,
  type ProduceResult,
  type Stream,
} from '../../src/streams/index.ts'
import { partitionOf } from '../../src/streams/log/partition.ts'
import { testRecords } from '../helpers/postgres.ts'

const { records } = await testRecords()
let log: EventLog
beforeAll(async () => {
  await migrate(records, eventLogMigrations)
  log = await openPostgresLog(records)
  return () => log.close()
})

let made = 0
async function readings(partitions = 1): Promise<Stream> {
  const declared = stream<Schema>(`readings_${++made}`, {
    key: 'sensor',
    partitions,
    schema: { sensor: t.string().nullable(), x: t.double().nullable(), extra: t.json().nullable() },
    upcast: (m) => ('old' in m ? { sensor: m.old } : m),
  })
  await log.ensureTopic(declared.name, { partitions, retainMs: 1e9, retainBytes: 1e9 })
  return declared
}
const send = (to: Stream, body: string | Uint8Array, ndjson = false, through = log): Promise<ProduceResult[]> =>
  produce(to, createDecoder(to.options), through, parseBody(Buffer.from(body), ndjson))
const codes = (results: readonly ProduceResult[]): unknown[] => results.map((result) => ('error' in result ? result.error.code : result.offset))
async function stored(of: Stream, partition = 0): Promise<unknown[]> {
  return (await log.read(of.name, partition, 0)).flatMap((batch) =>
    [...recordsOf(batch)].map(({ key, value }) => [key, JSON.parse(value.toString()) as unknown]),
  )
}

describe('producing', () => {
  it('answers for each record of a mix, and stores the good ones in order', async () => {
    const to = await readings()
    const results = await send(
      to,
      '[{"sensor":"a"},1,null,"x",[],{"sensor":1},{"sensor":"b","x":2},{"x":"no"},{"sensor":"\\u0000"},{"sensor":"\\ud800"},{"sensor":"c","extra":"\\u0000"}]',
    )
    expect(codes(results)).toEqual([
      0,
      'not_an_object',
      'not_an_object',
      'not_an_object',
      'not_an_object',
      'wrong_type',
      1,
      'wrong_type',
      'nul_character',
      'lone_surrogate',
      'nul_character',
    ])
    expect(results[7]).toEqual({ error: { code: 'wrong_type', field: 'x', message: 'x: a finite number is wanted, this is the text "no"' } })
    expect(await stored(to)).toEqual([
      ['a', { sensor: 'a' }],
      ['b', { sensor: 'b', x: 2 }],
    ])
  })

  it('takes one object, an array, or one JSON text a line with blank ones between', async () => {
    const to = await readings()
    expect(codes(await send(to, '{"sensor":"a"}'))).toEqual([0])
    expect(codes(await send(to, '[]'))).toEqual([])
    expect(codes(await send(to, '\n{"sensor":"b"}\r\n \t\r\n\n{"sensor":\n[{"sensor":"x"}]\n{"sensor":"c"}', true))).toEqual([
      1,
      'not_json',
      'not_an_object',
      2,
    ])
    expect(codes(await send(to, '', true))).toEqual([])
    expect(codes(await send(to, '\n\n', true))).toEqual([])
    expect((await stored(to)).length).toBe(3)
  })

  it('refuses what is no JSON, no UTF-8, too large or too deep, each with one message', async () => {
    const to = await readings()
    expect(codes(await send(to, ''))).toEqual(['not_json'])
    expect(codes(await send(to, '{"sensor":'))).toEqual(['not_json'])
    expect(codes(await send(to, Uint8Array.of(0x22, 0xff, 0x22)))).toEqual(['not_utf8'])
    const bytes = Buffer.concat([
      Buffer.from('{"sensor":"a"}\n'),
      Uint8Array.of(0xc3, 0x28, 0x0a),
      Buffer.from('x'.repeat(1_100_000)),
      Buffer.from('\n{"sensor":"b"}\n'),
    ])
    expect(codes(await send(to, bytes, true))).toEqual([0, 'not_utf8', 'too_large', 1])
    // Counted in bytes, not in characters.
    expect(codes(await send(to, JSON.stringify([{ sensor: 'ü'.repeat(600_000) }, { sensor: 'c' }])))).toEqual(['too_large', 2])
    const deep = '['.repeat(200_000) + ']'.repeat(200_000)
    expect(codes(await send(to, `[{"sensor":"d","extra":${deep}},{"sensor":"e","unknown":${deep}},{"sensor":"f"}]`))).toEqual(['too_deep', 'too_deep', 3])
  })

  it('keys a record by what its readers will see', async () => {
    const to = await readings(3)
    const results = await send(to, '[{"old":"a"},{"sensor":"a"},{"old":"b","sensor":"z"},{"x":1}]')
    const partitions = results.map((result) => ('partition' in result ? result.partition : -1))
    expect(partitions.slice(0, 3)).toEqual([partitionOf('a', 3), partitionOf('a', 3), partitionOf('b', 3)])
    expect((await stored(to, partitionOf('a', 3))).map((one) => (one as unknown[])[0]).filter((key) => key === 'a')).toEqual(['a', 'a'])
  })

  it('deals records without a key out to all partitions, also one by one', async () => {
    const to = await readings(3)
    for (let i = 0; i < 60; i++) await send(to, '{"x":1}')
    for (const end of await log.ends(to.name)) expect(end).toBeGreaterThan(0)
  })

  it('tells what was stored from what was not when the log fails in between, and rejects when nothing was', async () => {
    const to = await readings(2)
    let isDown = (partition: number): boolean => partition === 1
    const failing: EventLog = {
      ...log,
      append: (topic, partition, ...rest) =>
        isDown(partition) ? Promise.reject(unavailable('storage.database_away', 'The database cannot be reached')) : log.append(topic, partition, ...rest),
    }
    const names = Array.from({ length: 20 }, (_, i) => `s${i}`)
    const results = await send(to, JSON.stringify(names.map((sensor) => ({ sensor }))), false, failing)
    const wanted = names.map((name) => (partitionOf(name, 2) === 1 ? 'storage.database_away' : 'stored'))
    expect(codes(results).map((code) => (typeof code === 'number' ? 'stored' : code))).toEqual(wanted)
    isDown = () => true
    await expect(send(to, '{"sensor":"a"}', false, failing)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(codes(await send(to, '5', false, failing))).toEqual(['not_an_object'])
  })

  it('of many at once keeps every record', async () => {
    const to = await readings()
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => send(to, JSON.stringify({ sensor: 's', x: i }))))
    const found = (await stored(to)).map((one) => (one as [string, { x: number }])[1].x)
    expect(
      answers
        .map(codes)
        .flat()
        .map((offset) => found[Number(offset)]),
    ).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })
})
