import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jsonValue, t } from '../../src/base/index.ts'
import { createDecoder, encodeJson, encodeRecords, type DecodedBatch, type RecordBatch } from '../../src/streams/index.ts'
import { mergeBatches } from '../../src/streams/log/batch.ts'

const schema = {
  name: t.string(),
  n: t.int().nullable(),
  x: t.double().nullable(),
  ok: t.boolean().nullable(),
  at: t.timestamp().nullable(),
  day: t.date().nullable(),
  big: t.long().nullable(),
  extra: t.json().nullable(),
}
const decoder = createDecoder({ schema })

const rowsOf = ({ rows, offsets }: DecodedBatch): unknown[] =>
  [...offsets].map((offset, row) => [offset, ...rows.columns.map((column) => jsonValue(column, row))])
const faultsOf = ({ bad }: DecodedBatch): unknown[] => bad.map(({ offset, key, value, code }) => [offset, key, Buffer.from(value).toString('hex'), code])
const placed = (batch: RecordBatch, baseOffset: number): RecordBatch => ({ ...batch, baseOffset })

describe('decoding', () => {
  const good = fc.record(
    {
      name: fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', '')),
      n: fc.option(fc.integer()),
      x: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
      ok: fc.option(fc.boolean()),
      at: fc.option(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }).map((date) => date.toISOString())),
      day: fc.constantFrom(null, '2026-02-28'),
      big: fc.option(fc.maxSafeInteger()),
      extra: fc.option(fc.constantFrom<unknown>(1, 'two', [3], { four: '\\u0000 in words' }, false)),
      unknown: fc.jsonValue(),
    },
    { requiredKeys: ['name'] },
  )
  const wrong = fc.constantFrom<unknown>(
    null,
    1,
    'text',
    [],
    [1, 2],
    {},
    { name: null },
    { name: 1 },
    { name: 'a', n: 1.5 },
    { name: 'a', n: 2_147_483_648 },
    { name: 'a', x: '1' },
    { name: 'a', ok: 1 },
    { name: 'a', at: '2026-01-01' },
    { name: 'a', at: 1e15 },
    { name: 'a', day: '2026-02-29' },
    { name: 'a', big: 2 ** 53 },
    { name: 'nul \0' },
    { name: 'half \ud800' },
    { name: 'a', extra: 'nul \0' },
    { name: 'a', extra: { '\udc00': 1 } },
  )
  const message = fc.oneof({ weight: 3, arbitrary: good as fc.Arbitrary<unknown> }, wrong)
  const text = message.map((one) => JSON.stringify(one))
  const garbage = fc.oneof(
    fc.constantFrom<string | Uint8Array>('', '1],[2', '{"name":"a"', '{"name":"a"},{"name":"b"}', 'undefined', '\0', Uint8Array.of(0xff), '{"name":"\0"}'),
    fc.uint8Array({ maxLength: 12 }),
  )
  const key = fc.option(fc.constantFrom('k', 'ü', ''))

  /** One message at a time, each in a batch of its own. */
  function reference(
    records: readonly { key: string | null; value: string | Uint8Array }[],
    base: number,
    from: number,
  ): { rows: unknown[]; faults: unknown[] } {
    const alone = records.map((record, i) => decoder.decode(placed(encodeRecords([record]), base + i))).slice(Math.max(0, from - base))
    return { rows: alone.flatMap(rowsOf), faults: alone.flatMap(faultsOf) }
  }

  it('of any mix gives the good rows in order and the bad ones with their reason, from anywhere in a batch', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key, value: fc.oneof({ weight: 3, arbitrary: text as fc.Arbitrary<string | Uint8Array> }, garbage) }), {
          minLength: 1,
          maxLength: 20,
        }),
        fc.nat(20),
        (records, skip) => {
          const from = 100 + Math.min(skip, records.length)
          const decoded = decoder.decode(placed(encodeRecords(records), 100), from)
          expect(decoded).toMatchObject({ from, upTo: 100 + records.length })
          expect({ rows: rowsOf(decoded), faults: faultsOf(decoded) }).toEqual(reference(records, 100, from))
        },
      ),
    )
  })

  it('of well-formed JSON by one parse gives the same', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ key, value: text }), { minLength: 1, maxLength: 20 }), fc.nat(20), (records, skip) => {
        const from = 100 + Math.min(skip, records.length)
        const batch = encodeJson(
          records.map((one) => one.key),
          records.map((one) => one.value),
        )
        const decoded = decoder.decode(placed(batch, 100), from)
        expect({ rows: rowsOf(decoded), faults: faultsOf(decoded) }).toEqual(reference(records, 100, from))
      }),
    )
  })

  it('finds every good message good and every wrong one wrong, as the check before an append does', () => {
    fc.assert(
      fc.property(good, (one) => {
        expect(decoder.check(JSON.parse(JSON.stringify(one)))).toBeNull()
        expect(decoder.decode(encodeJson(null, [JSON.stringify(one)])).bad).toEqual([])
      }),
    )
    fc.assert(
      fc.property(wrong, (one) => {
        const refusal = decoder.check(one)
        expect(refusal).not.toBeNull()
        expect(decoder.decode(encodeJson(null, [JSON.stringify(one)])).bad).toMatchObject([{ code: refusal?.code, reason: refusal?.reason }])
      }),
    )
  })

  it('does not believe a writer that calls broken values well-formed', () => {
    for (const values of [
      ['1],[2', '{"name":"a"}'],
      ['{"name":"a"},{"name":"b"}', '{"name":"c"}'],
      ['{"name":', '{"name":"c"}'],
    ]) {
      const decoded = decoder.decode(encodeJson(null, values))
      expect([rowsOf(decoded).length, decoded.bad.map(({ offset }) => offset)]).toEqual([1, [0]])
    }
  })

  it('starts at the batch when it is asked for what lies before, and is empty when asked for what lies behind', () => {
    const batch = placed(encodeJson(null, ['{"name":"a"}', '{"name":"b"}']), 10)
    expect(decoder.decode(batch, 5)).toMatchObject({ from: 10, upTo: 12, rows: { count: 2 } })
    expect(decoder.decode(batch, 12)).toMatchObject({ from: 12, upTo: 12, rows: { count: 0 } })
    expect(decoder.decode(batch, 99)).toMatchObject({ from: 12, upTo: 12, rows: { count: 0 } })
  })

  it('refuses what no engine could store, in text and inside JSON, and says so', () => {
    const refusal = (of: unknown): string | undefined => decoder.check(of)?.code
    expect(refusal({ name: 'a\0b' })).toBe('nul_character')
    expect(refusal({ name: '\ud83d' })).toBe('lone_surrogate')
    expect(refusal({ name: 'a', extra: { deep: ['\0'] } })).toBe('nul_character')
    expect(refusal({ name: 'a', extra: { 'key\0': 1 } })).toBe('nul_character')
    expect(refusal({ name: 'a', extra: '\ude00\ud83d' })).toBe('lone_surrogate')
    expect(refusal({ name: 'a', extra: 'written: \\u0000 \\ud800 \\\\u0000' })).toBeUndefined()
    expect(refusal({ name: '😀', extra: '😀\u0001' })).toBeUndefined()
  })

  it('is not brought down by a value that is nested too deeply', () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000)
    const decoded = decoder.decode(encodeJson(null, ['{"name":"a"}', `{"name":"b","extra":${deep}}`, '{"name":"c"}']))
    expect(rowsOf(decoded).length).toBe(2)
    expect(decoded.bad).toMatchObject([{ offset: 1, code: 'too_deep' }])
  })

  it('sets aside a record that is too large, whatever it holds', () => {
    const decoded = decoder.decode(
      encodeRecords([
        { key: null, value: JSON.stringify({ name: 'x'.repeat(1_100_000) }) },
        { key: null, value: '{"name":"a"}' },
      ]),
    )
    expect(decoded.bad).toMatchObject([{ offset: 0, code: 'too_large' }])
    expect(rowsOf(decoded).length).toBe(1)
  })

  it('refuses instants outside the years 1 to 9999, however they are written', () => {
    for (const at of ['0001-01-01T00:00:00+01:00', '9999-12-31T23:59:59-01:00', 253_402_300_800_000, -62_135_596_800_001, new Date(Number.NaN)])
      expect(decoder.check({ name: 'a', at })).toMatchObject({ code: 'wrong_type', field: 'at' })
    for (const at of ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z', new Date(0), 0.001]) expect(decoder.check({ name: 'a', at })).toBeNull()
  })

  it("sees only the record's own fields, also those named like something that every object has", () => {
    const odd = createDecoder({ schema: { constructor: t.string(), toString: t.string().nullable() } })
    expect(odd.check({})).toMatchObject({ code: 'missing_field', field: 'constructor' })
    expect(odd.check({ constructor: 'Lotus' })).toBeNull()
  })

  it('keeps a null apart from a missing field, and a fault from its neighbours', () => {
    expect(decoder.check({ name: null })).toMatchObject({ code: 'null_field', reason: 'name: null is not allowed' })
    expect(decoder.check({})).toMatchObject({ code: 'missing_field', field: 'name' })
    expect(decoder.check({ name: 'a', n: 'x'.repeat(1000) })?.reason.length).toBeLessThan(120)
    const decoded = decoder.decode(encodeJson(null, ['{"name":"a","x":1}', '{"name":"b","x":2,"n":"no"}', '{"name":"c"}']))
    expect(rowsOf(decoded).map((row) => (row as unknown[]).slice(0, 4))).toEqual([
      [0, 'a', null, 1],
      [2, 'c', null, null],
    ])
  })
})

describe('fields that the schema does not know', () => {
  const decoder = createDecoder({ schema: { name: t.string(), n: t.double().nullable() } })

  it('are dropped, counted and sampled, in records that are good otherwise', () => {
    const decoded = decoder.decode(
      encodeJson(null, ['{"name":"a","co2":1}', '{"name":"b","n":2}', '{"co2":2}', '{"name":"c","co2":"x","pm":null}', '{"name":"d","n":null}']),
    )
    expect([...(decoded.unknown ?? [])]).toEqual([
      ['co2', { count: 2, first: 0, samples: [1, 'x'] }],
      ['pm', { count: 1, first: 3, samples: [null] }],
    ])
    expect(decoded.rows.count).toBe(4)
    expect(decoder.decode(encodeJson(null, ['{"name":"a"}'])).unknown).toBeUndefined()
  })

  it('cannot fill the memory, however many and however long they are', () => {
    const records = Array.from({ length: 500 }, (_, i) => JSON.stringify({ name: 'a', [`field ${i}`]: 'x'.repeat(5000), ['y'.repeat(500)]: 1 }))
    const unknown = decoder.decode(encodeJson(null, records)).unknown
    expect(unknown?.size).toBe(20)
    expect(JSON.stringify([...(unknown ?? [])]).length).toBeLessThan(20 * 400)
  })
})

describe('upcasting', () => {
  const upcast = createDecoder({
    schema: { name: t.string() },
    upcast: (old) => (old.bad === true ? (JSON.parse('null') as Record<string, unknown>) : old.thrown === true ? fail('no') : { name: old.old ?? old.name }),
  })
  const fail = (why: string): never => {
    throw new Error(why.repeat(500))
  }

  it('brings old messages to the schema', () => {
    expect(upcast.decode(encodeJson(null, ['{"old":"a"}', '{"name":"b"}'])).rows.columns[0]?.values).toEqual(['a', 'b'])
  })

  it('that throws or answers nothing makes a dead letter with a short reason', () => {
    const decoded = upcast.decode(mergeBatches([encodeJson(null, ['{"bad":true}', '{"thrown":true}']), encodeJson(null, ['{"name":"b"}'])]))
    expect(decoded.bad.map(({ code }) => code)).toEqual(['upcast_failed', 'upcast_failed'])
    expect(decoded.bad[1]?.reason.length).toBeLessThan(300)
    expect(decoded.rows.count).toBe(1)
  })
})
