import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeJson, encodeRecords, recordsOf, storedBatch, type NewRecord, type RecordBatch } from '../../src/streams/index.ts'
import { mergeBatches } from '../../src/streams/log/batch.ts'
import { murmur2, partitionOf } from '../../src/streams/log/partition.ts'

const hostile = fc.constantFrom('1],[2', '', ',', ',,', '\0', '"', '[', ']', '{"a":1}', 'ü', '😀')
const key = fc.option(fc.oneof(hostile, fc.string({ unit: 'grapheme' }), fc.string()))
const value = fc.oneof(hostile, fc.string({ unit: 'grapheme' }), fc.uint8Array({ maxLength: 40 }), fc.constant(Uint8Array.of(0xff, 0xfe, 0x2c)))
const record: fc.Arbitrary<NewRecord> = fc.record({ key, value })

const plain = (batch: RecordBatch): unknown[] => [...recordsOf(batch)].map(({ offset, key: found, value: bytes }) => [offset, found, bytes.toString('hex')])
const bytesOf = (of: string | Uint8Array): Buffer => Buffer.from(of)

describe('a record batch', () => {
  it('gives back records of any bytes', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 30 }), fc.nat(1e9), (records, base) => {
        const { bytes, count } = encodeRecords(records)
        expect(count).toBe(records.length)
        const batch = storedBatch(Buffer.from(bytes), base, 7)
        expect(batch).toMatchObject({ baseOffset: base, appendedAt: 7, count, wellFormed: false })
        expect(plain(batch)).toEqual(records.map((one, i) => [base + i, one.key, bytesOf(one.value).toString('hex')]))
      }),
    )
  })

  it('gives back JSON texts with any keys, with some or with none', () => {
    const text = fc.oneof(fc.json(), fc.json({ noUnicodeString: false }))
    fc.assert(
      fc.property(fc.array(fc.tuple(key, text), { maxLength: 30 }), fc.boolean(), (pairs, hasKeys) => {
        const keys = hasKeys ? pairs.map(([one]) => one) : null
        const batch = storedBatch(
          encodeJson(
            keys,
            pairs.map(([, one]) => one),
          ).bytes,
          5,
          0,
        )
        expect(batch.wellFormed).toBe(true)
        expect(plain(batch)).toEqual(pairs.map(([one, json], i) => [5 + i, hasKeys ? one : null, bytesOf(json).toString('hex')]))
      }),
    )
  })

  it('keeps neighbouring keys apart that are halves of a surrogate pair', () => {
    const batch = storedBatch(encodeJson(['\ud83d', '\ude00', 'k'], ['1', '2', '3']).bytes, 0, 0)
    expect([...recordsOf(batch)].map((one) => one.key)).toEqual(['\ufffd', '\ufffd', 'k'])
  })

  it('skips the first records without losing its place', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 10 }), fc.nat(12), (records, skip) => {
        const batch = encodeRecords(records)
        expect([...recordsOf(batch, skip)]).toEqual([...recordsOf(batch)].slice(skip))
      }),
    )
  })

  it('is the same when it was put together from several', () => {
    fc.assert(
      fc.property(fc.array(fc.array(record, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 }), (lots) => {
        expect(mergeBatches(lots.map(encodeRecords)).bytes).toEqual(encodeRecords(lots.flat()).bytes)
      }),
    )
    fc.assert(
      fc.property(fc.array(fc.array(fc.tuple(key, fc.json()), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 }), (lots) => {
        const encode = (pairs: readonly (readonly [string | null, string])[]): RecordBatch =>
          encodeJson(
            pairs.map(([one]) => one),
            pairs.map(([, one]) => one),
          )
        expect(mergeBatches(lots.map(encode))).toEqual(encode(lots.flat()))
      }),
    )
  })

  it('refuses bytes that are no batch, and whatever was cut off or changed in its lengths', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          expect([...recordsOf(storedBatch(Buffer.from(bytes), 0, 0))].length).toBeGreaterThanOrEqual(0)
        } catch (error) {
          expect(error).toMatchObject({ code: 'streams.damaged_batch' })
        }
      }),
    )
    const { bytes } = encodeRecords([
      { key: 'k', value: 'v' },
      { key: null, value: 'w' },
    ])
    for (let length = 0; length < bytes.length; length++) expect(() => storedBatch(bytes.subarray(0, length), 3, 0)).toThrow('The batch at offset 3')
    const changed = Buffer.from(bytes)
    changed.writeInt32LE(-5, 8)
    expect(() => storedBatch(changed, 3, 0)).toThrow('The batch at offset 3')
  })
})

describe('the partition of a key', () => {
  it('is the one that Apache Kafka gives it', () => {
    // org.apache.kafka.common.utils.UtilsTest.testMurmur2
    const known: Readonly<Record<string, number>> = {
      '21': -973932308,
      foobar: -790332482,
      'a-little-bit-long-string': -985981536,
      'a-little-bit-longer-string': -1486304829,
      lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
      abc: 479470107,
    }
    for (const [text, hash] of Object.entries(known)) expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  it('does not depend on where the bytes lie in memory', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(7), (bytes, shift) => {
        const moved = new Uint8Array(bytes.length + shift)
        moved.set(bytes, shift)
        expect(murmur2(moved.subarray(shift))).toBe(murmur2(bytes))
      }),
    )
  })

  it('is always one of them, and records without a key take turns', () => {
    fc.assert(
      fc.property(fc.option(fc.string()), fc.integer({ min: 1, max: 64 }), fc.nat(), (of, partitions, turn) => {
        const found = partitionOf(of, partitions, turn)
        expect(found >= 0 && found < partitions).toBe(true)
      }),
    )
    expect([0, 1, 2, 3].map((turn) => partitionOf(null, 3, turn))).toEqual([0, 1, 2, 0])
  })
})
