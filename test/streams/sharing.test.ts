import { afterEach, describe, expect, it, vi } from 'vitest'
import { t } from '../../src/base/index.ts'
import { createDecoder, encodeRecords, type RecordBatch } from '../../src/streams/index.ts'
import { shareDecoded, type SharedDecoder } from '../../src/streams/sharing.ts'

const batchAt = (n: number, bytes: number = 10): RecordBatch => ({
  ...encodeRecords([{ key: null, value: JSON.stringify({ name: 'x'.repeat(bytes) }) }]),
  baseOffset: n,
})

function sharedBy(lanes: number): { shared: SharedDecoder; decodings: () => number } {
  const decoder = createDecoder({ schema: { name: t.string() } })
  const spy = vi.spyOn(decoder, 'decode')
  const shared = shareDecoded(decoder, () => lanes)
  opened.push(shared)
  return { shared, decodings: () => spy.mock.calls.length }
}
const opened: SharedDecoder[] = []
afterEach(() => {
  vi.useRealTimers()
  for (const one of opened.splice(0)) one.clear()
})

describe('batches are decoded once', () => {
  it('for lanes that are far apart', () => {
    const { shared, decodings } = sharedBy(3)
    for (let lane = 0; lane < 3; lane++) for (let n = 0; n < 500; n++) expect(shared.pass(0, batchAt(n), n).from).toBe(n)
    expect(decodings()).toBe(500)
  })

  it('and not kept when all have passed them', () => {
    const { shared, decodings } = sharedBy(2)
    for (let pass = 0; pass < 4; pass++) shared.pass(0, batchAt(1), 1)
    expect(decodings()).toBe(2)
  })

  it('also for those who only look, before or after', () => {
    const { shared, decodings } = sharedBy(2)
    shared.look(0, batchAt(1), 1)
    shared.pass(0, batchAt(1), 1)
    shared.look(0, batchAt(1), 1)
    shared.pass(0, batchAt(1), 1)
    expect(decodings()).toBe(1)
  })

  it('in each partition by itself, and never for one that was cut off elsewhere', () => {
    const { shared, decodings } = sharedBy(2)
    shared.pass(0, batchAt(1), 1)
    shared.pass(1, batchAt(1), 1)
    expect(decodings()).toBe(2)
    const longer = { ...encodeRecords([1, 2].map((n) => ({ key: null, value: `{"name":"${n}"}` }))), baseOffset: 1 }
    expect(shared.pass(0, longer, 1).upTo).toBe(3)
    expect(shared.pass(0, longer, 2).rows.count).toBe(1)
  })
})

describe('when there is no more room', () => {
  const MB = 1_000_000
  const LOTS = 100

  it('those behind find what they come to next', () => {
    const { shared, decodings } = sharedBy(2)
    const batches = Array.from({ length: LOTS }, (_, n) => batchAt(n, MB))
    for (const batch of batches) shared.pass(0, batch, batch.baseOffset)
    expect(decodings()).toBe(LOTS)
    for (const batch of batches) shared.pass(0, batch, batch.baseOffset)
    // About half of them fit; these are the first ones, and none was decoded in vain.
    expect(decodings()).toBeGreaterThan(LOTS)
    expect(decodings()).toBeLessThan(LOTS * 1.6)
  })

  it('what a lane that has stopped left behind is forgotten', () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const { shared, decodings } = sharedBy(2)
    for (let n = 0; n < LOTS; n++) shared.pass(0, batchAt(n, MB), n)
    vi.advanceTimersByTime(6_000)
    const other = sharedBy(2)
    // Rooms of other streams are theirs; this one's own are swept when it needs some.
    shared.pass(0, batchAt(LOTS, MB), LOTS)
    shared.pass(0, batchAt(LOTS, MB), LOTS)
    expect(decodings()).toBe(LOTS + 1)
    other.shared.pass(0, batchAt(0), 0)
    other.shared.pass(0, batchAt(0), 0)
    expect(other.decodings()).toBe(1)
  })
})
