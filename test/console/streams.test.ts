/** What the screens of streams decide without a browser: following, states, lots to send again, bytes for readers. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readPlace, writePlace } from '../../console/src/app/search.ts'
import { bytesOf, fromLocalInput, hexLines, inLines, localInput } from '../../console/src/features/streams/bytes.ts'
import { newerThan, nothingYet, take } from '../../console/src/features/streams/following.ts'
import { add, done, lotsOf, nothingSent } from '../../console/src/features/streams/lots.ts'
import { problemOf, shownStreams, slowest, streamState } from '../../console/src/features/streams/state.ts'
import { formats } from '../../console/src/ui/format.ts'

type Stream = Parameters<typeof streamState>[0]
type Answer = Parameters<typeof take>[1][number]['answer']

const stream = (name: string, change: Partial<Stream> = {}): Stream => ({
  name,
  fields: [],
  partitions: [],
  records: 0,
  deadLetters: 0,
  perSecond: 0,
  history: [],
  sinks: [],
  ...change,
})
const sink = (name: string, lag: number, state: Stream['sinks'][number]['state'] = 'running'): Stream['sinks'][number] => ({
  name,
  kind: 'table',
  position: 0,
  lag,
  state,
  ...(state === 'retrying' ? { error: 'away' } : {}),
})

describe('the state of a stream', () => {
  it('is the worst that is so', () => {
    const away = { message: 'Kafka does not answer', hint: 'Start it.' }
    expect(streamState(stream('s', { problem: away, sinks: [sink('a', 1, 'retrying')] }))).toBe('away')
    expect(problemOf(stream('s', { problem: away }))).toEqual({ title: 'Kafka does not answer', hint: 'Start it.' })
    expect(streamState(stream('s', { sinks: [sink('a', 1), sink('b', 0, 'retrying')] }))).toBe('sink')
    expect(streamState(stream('s', { source: { kind: 'csv', state: 'failed', records: 0, blank: 0 } }))).toBe('source')
    expect(streamState(stream('s', { source: { kind: 'csv', state: 'ended', records: 0, blank: 0 } }))).toBe('ended')
  })
  it('calls a sink behind by the seconds that it has before it', () => {
    expect(streamState(stream('s', { perSecond: 10, sinks: [sink('a', 900)] }))).toBe('flowing')
    expect(streamState(stream('s', { perSecond: 10, sinks: [sink('a', 1_100)] }))).toBe('behind')
    expect(streamState(stream('s', { perSecond: 1_000, sinks: [sink('a', 9_000)] }))).toBe('flowing')
    expect(slowest(stream('s', { sinks: [sink('a', 1), sink('b', 3), sink('c', 2)] })).name).toBe('b')
  })
})

describe('the list of streams', () => {
  const { compare } = formats('en')
  it('begins with those in trouble, or goes by what is asked for', () => {
    const all = [stream('b', { perSecond: 2 }), stream('a', { perSecond: 9 }), stream('c', { sinks: [sink('x', 7, 'retrying')] })]
    const names = (search: Parameters<typeof shownStreams>[1]): string[] => shownStreams(all, search, compare).map(({ name }) => name)
    expect(names({})).toEqual(['c', 'a', 'b'])
    expect(names({ sort: 'perSecond', desc: true })).toEqual(['a', 'b', 'c'])
    expect(names({ sort: 'lag', desc: true })).toEqual(['c', 'b', 'a'])
    expect(names({ q: ' B ' })).toEqual(['b'])
  })
})

describe('following records', () => {
  const answer = (partition: number, from: number, to: number, more = false): Answer => ({
    items: Array.from({ length: to - from }, (_, i) => ({ partition, offset: from + i, time: (from + i) * 10, key: null, value: from + i })),
    next: to,
    ...(more ? { cursor: String(to) } : {}),
  })
  const offsets = (of: ReturnType<typeof take>): string[] => of.records.map(({ partition, offset }) => `${partition}-${offset}`)

  it('puts the newest first, over all partitions, and reads on where it stopped', () => {
    const first = take(
      nothingYet,
      [
        { partition: 0, answer: answer(0, 3, 5) },
        { partition: 1, answer: answer(1, 4, 5) },
      ],
      10,
    )
    expect(offsets(first)).toEqual(['0-4', '1-4', '0-3'])
    expect([...first.next]).toEqual([
      [0, 5],
      [1, 5],
    ])
    expect(offsets(take(first, [{ partition: 0, answer: answer(0, 5, 7) }], 4))).toEqual(['0-6', '0-5', '0-4', '1-4'])
  })
  it('goes on at the newest when more came than one answer holds, says so, and shows none twice', () => {
    const behind = take(nothingYet, [{ partition: 0, answer: answer(0, 0, 3, true) }], 10)
    expect(behind.next.has(0)).toBe(false)
    expect(behind.leftOut).toBe(true)
    const after = take(behind, [{ partition: 0, answer: answer(0, 2, 6) }], 10)
    expect(offsets(after)).toEqual(['0-5', '0-4', '0-3', '0-2', '0-1', '0-0'])
    expect(after.next.get(0)).toBe(6)
  })
  it('keeps a bounded list in order, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 8 }), fc.boolean())),
        (reads) => {
          const followed = reads.reduce(
            (now, [partition, from, count, more]) => take(now, [{ partition, answer: answer(partition, from, from + count, more) }], 12),
            nothingYet,
          )
          expect(followed.records.length).toBeLessThanOrEqual(12)
          expect(new Set(offsets(followed)).size).toBe(followed.records.length)
          for (const partition of [0, 1, 2]) {
            const own = followed.records.filter((record) => record.partition === partition).map(({ offset }) => offset)
            expect(own).toEqual(own.toSorted((a, b) => b - a))
          }
        },
      ),
    )
  })
  it('counts what came since the list was frozen', () => {
    const first = take(nothingYet, [{ partition: 0, answer: answer(0, 0, 3) }], 5)
    const second = take(first, [{ partition: 0, answer: answer(0, 3, 5) }], 5)
    expect(newerThan(first.records, second.records)).toBe(2)
    expect(newerThan(first.records, take(second, [{ partition: 0, answer: answer(0, 5, 20) }], 5).records)).toBe(5)
    expect(newerThan([], second.records)).toBe(5)
  })
})

describe('letters that are sent again', () => {
  it('go in lots, from where it stopped, and never more than there were', () => {
    const offsets = Array.from({ length: 250 }, (_, i) => i)
    expect(lotsOf({ offsets }, 0).map((lot) => ('offsets' in lot ? lot.offsets.length : 0))).toEqual([100, 100, 50])
    expect(lotsOf({ offsets }, 200)).toEqual([{ offsets: offsets.slice(200) }])
    expect(lotsOf({ all: 130 }, 0)).toEqual([
      { all: true, limit: 100 },
      { all: true, limit: 30 },
    ])
    expect(lotsOf({ all: 130 }, 130)).toEqual([])
  })
  it('are summed, each reason once', () => {
    const answer = { resent: 1, already: 2, skipped: 1, reasons: ['gone'], left: 9 }
    const tally = add(add(nothingSent, answer), answer)
    expect(tally).toEqual({ resent: 2, already: 4, skipped: 2, reasons: ['gone'] })
    expect(done(tally)).toBe(8)
  })
})

describe('bytes', () => {
  it('are written in hexadecimal beside what can be printed', () => {
    expect(hexLines(bytesOf({ base64: '/wB7ImEiOjF9' }), 100)).toBe('00000000  ff 00 7b 22 61 22 3a 31 7d                       ..{"a":1}')
    expect(
      hexLines(bytesOf({ text: 'ü'.repeat(20) }), 17)
        .split('\n')
        .map((line) => line.slice(0, 13)),
    ).toEqual(['00000000  c3 ', '00000010  c3 '])
    expect(hexLines(new Uint8Array(), 10)).toBe('')
  })
  it('that are JSON are indented, others stay', () => {
    expect(inLines('{"a":1}')).toBe('{\n  "a": 1\n}')
    expect(inLines('{"a":')).toBe('{"a":')
  })
})

describe('places and times in addresses and inputs', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 1e12 }), (partition, offset) => {
        expect(readPlace(writePlace({ partition, offset }))).toEqual({ partition, offset })
      }),
    )
    expect(readPlace('1-2-3')).toBeUndefined()
    const at = Date.UTC(2026, 4, 5, 6, 7, 8)
    expect(fromLocalInput(localInput(at))).toBe(at)
    expect(fromLocalInput('')).toBeUndefined()
    expect(localInput(Number.NaN)).toBe('')
  })
})
