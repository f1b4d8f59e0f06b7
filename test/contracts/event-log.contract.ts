/** What every adapter of the EventLog port must do. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeJson, encodeRecords, recordsOf, type EventLog, type RecordBatch, type TopicOptions } from '../../src/streams/index.ts'

export interface EventLogContractOptions {
  /** A new connection to the engine, with a memory of its own. */
  readonly open: () => Promise<EventLog>
  /** Topics that no other run uses start with this. */
  readonly prefix?: string
  /** Appends to a topic from another process and resolves when that process ended; absent where the adapter's tests cannot. */
  readonly appendElsewhere?: (topic: string, values: readonly number[]) => Promise<void>
}

const KEEP: TopicOptions = { partitions: 1, retainMs: 86_400_000, retainBytes: 1e9 }

export function eventLogContract(adapter: string, options: EventLogContractOptions): void {
  describe(`the event log port on ${adapter}`, () => {
    let log: EventLog
    /** A second connection, so what it reads comes from the engine and not from the first one's memory. */
    let other: EventLog
    let topic = ''
    let made = 0

    beforeAll(async () => {
      log = await options.open()
      other = await options.open()
    })
    afterAll(async () => {
      await log.close()
      await other.close()
    })
    beforeEach(async () => {
      topic = `${options.prefix ?? 'contract'}.${++made}`
      await log.ensureTopic(topic, KEEP)
    })

    const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)
    const batch = (values: readonly number[]): RecordBatch => encodeJson(null, values.map(String))
    const append = (values: readonly number[], partition = 0) => log.append(topic, partition, batch(values))
    /** Every record from an offset on, in as many reads as it takes: [offset, value]. */
    async function readAll(from: EventLog, start = 0, partition = 0, limits: { maxRecords?: number; maxBytes?: number } = {}): Promise<[number, number][]> {
      const found: [number, number][] = []
      const name = topic
      for (let next = start; ;) {
        const batches = await from.read(name, partition, next, limits)
        if (batches.length === 0) return found
        for (const one of batches) {
          for (const record of recordsOf(one)) if (record.offset >= next) found.push([record.offset, Number(record.value.toString())])
          next = one.baseOffset + one.count
        }
      }
    }
    const placed = (from: number, to: number): [number, number][] => numbers(from, to).map((n) => [n, n])
    /** The values in their order, each once: at their own offsets, or at rising ones where the engine puts marks between records. */
    function expectAll(found: readonly [number, number][], from: number, to: number): void {
      if (log.capabilities.denseOffsets) expect(found).toEqual(placed(from, to))
      expect(found.map(([, value]) => value)).toEqual(numbers(from, to))
      expectRising(found.map(([offset]) => offset))
    }
    function expectRising(offsets: readonly number[]): void {
      expect(offsets.every((offset, i) => offset > (offsets[i - 1] ?? -1))).toBe(true)
    }
    async function within(ms: number, waiting: Promise<void>): Promise<boolean> {
      const began = performance.now()
      await waiting
      return performance.now() - began < ms
    }

    describe('appending', () => {
      it('gives consecutive offsets from 0 and answers the first one', async () => {
        expect(await append(numbers(0, 3))).toEqual({ baseOffset: 0, duplicate: false })
        expect(await append(numbers(3, 4))).toEqual({ baseOffset: 3, duplicate: false })
        expect(await log.ends(topic)).toEqual([4])
        expect(await readAll(log)).toEqual(placed(0, 4))
        expect(await readAll(other)).toEqual(placed(0, 4))
      })

      it('keeps the order of calls that do not await each other', async () => {
        const answers = await Promise.all(numbers(0, 200).map((n) => append(n % 7 === 0 ? [n * 2, n * 2 + 1] : [n * 2, n * 2 + 1])))
        expect(answers.map(({ baseOffset }) => baseOffset)).toEqual(numbers(0, 200).map((n) => n * 2))
        expect(await readAll(other)).toEqual(placed(0, 400))
      })

      it('keeps the order of calls of every kind', async () => {
        const calls = numbers(0, 60).map((n) => {
          const records = n % 3 === 0 ? encodeRecords([{ key: null, value: String(n) }]) : batch([n])
          return log.append(topic, 0, records, n % 5 === 0 ? { producer: { id: 'p', sequence: n } } : {})
        })
        const answered = (await Promise.all(calls)).map(({ baseOffset }) => baseOffset)
        const found = await readAll(other)
        expectAll(found, 0, 60)
        expect(answered).toEqual(found.map(([offset]) => offset))
      })

      it('gives many appenders consecutive offsets, none twice, and each its own place', async () => {
        const wanted = new Map<number, number>()
        await Promise.all(
          numbers(0, 12).map(async (appender) => {
            const through = appender % 2 === 0 ? log : other
            for (let n = 0; n < 25; n++) {
              const values = numbers(0, 1 + ((appender + n) % 4)).map((i) => appender * 1000 + n * 10 + i)
              const { baseOffset } = await through.append(topic, 0, batch(values))
              values.forEach((value, i) => wanted.set(baseOffset + i, value))
            }
          }),
        )
        const found = await readAll(log)
        expect(found.map(([offset]) => offset)).toEqual(numbers(0, found.length))
        expect(new Map(found)).toEqual(wanted)
        expect(await readAll(other)).toEqual(found)
      })

      it('keeps keys and values of any bytes', async () => {
        const records = [
          { key: 'ü/"', value: '1],[2' },
          { key: null, value: '' },
          { key: '', value: Buffer.from([0xff, 0, 0x2c]) },
        ]
        await log.append(topic, 0, encodeRecords(records))
        for (const from of [log, other]) {
          const [one] = await from.read(topic, 0, 0)
          expect(one && [...recordsOf(one)]).toEqual(records.map(({ key, value }, offset) => ({ offset, key, value: Buffer.from(value) })))
        }
      })

      it('refuses an append of nothing and goes on', async () => {
        await expect(append([])).rejects.toMatchObject({ code: 'streams.empty_append', kind: 'invalid' })
        expect(await append([0])).toMatchObject({ baseOffset: 0 })
        expect(await append([1])).toMatchObject({ baseOffset: 1 })
      })

      it('refuses a topic or partition that is not there, with a mark as well, and finds nothing in it', async () => {
        const nowhere = { code: 'streams.no_topic', kind: 'missing' }
        await expect(log.append(`${topic}.nowhere`, 0, batch([1]))).rejects.toMatchObject(nowhere)
        await expect(log.append(topic, 1, batch([1]))).rejects.toMatchObject(nowhere)
        await expect(log.append(topic, 1, batch([1]), { producer: { id: 'p', sequence: 1 } })).rejects.toMatchObject(nowhere)
        await expect(log.append(topic, 1, batch([1]), { producer: { id: 'p', sequence: 1 } })).rejects.toMatchObject(nowhere)
        expect(await log.producerState(topic, 'p')).toBeNull()
        expect(await log.read(`${topic}.nowhere`, 0, 0)).toEqual([])
        expect(await log.ends(`${topic}.nowhere`)).toEqual([])
        expect(await log.offsets(`${topic}.nowhere`)).toEqual([])
        expect(await log.offsetAt(`${topic}.nowhere`, 0, 0)).toBe(0)
      })

      it('shows records that were acknowledged to another connection at once', async () => {
        await append([0])
        expect(await readAll(other)).toEqual([[0, 0]])
        await other.append(topic, 0, batch([1]))
        expect(await readAll(log)).toEqual(placed(0, 2))
        await append([2])
        expect(await readAll(log)).toEqual(placed(0, 3))
        expect(await readAll(other)).toEqual(placed(0, 3))
      })
    })

    describe('idempotent producers', () => {
      const marked = (through: EventLog, values: readonly number[], sequence: number, id = 'p') =>
        through.append(topic, 0, batch(values), { producer: { id, sequence } })

      it('store a sequence once', async () => {
        const first = await marked(log, [0, 1], 2)
        expect(first.duplicate).toBe(false)
        expect(await marked(log, [0, 1], 2)).toMatchObject({ duplicate: true })
        expect(await marked(other, [0], 1)).toMatchObject({ duplicate: true })
        const third = await marked(other, [2], 3)
        expect(third.duplicate).toBe(false)
        const found = await readAll(other)
        expectAll(found, 0, 3)
        expect([first.baseOffset, third.baseOffset]).toEqual([found[0]?.[0], found[2]?.[0]])
      })

      it('are apart by their ids and by topic', async () => {
        await marked(log, [0], 7, 'a')
        expect(await marked(log, [1], 7, 'b')).toMatchObject({ duplicate: false })
        const first = topic
        topic = `${topic}.second`
        await log.ensureTopic(topic, KEEP)
        const again = await marked(log, [0], 7, 'a')
        expect(again.duplicate).toBe(false)
        expect((await readAll(other)).map(([offset]) => offset)).toEqual([again.baseOffset])
        topic = first
        expectAll(await readAll(other), 0, 2)
        if (log.capabilities.denseOffsets) expect(await log.ends(first)).toEqual([2])
      })

      it('store once what is appended at the same time with the same mark', async () => {
        const answers = await Promise.all(numbers(0, 16).map((i) => marked(i % 2 === 0 ? log : other, [0, 1, 2], 1)))
        const found = await readAll(other)
        expectAll(found, 0, 3)
        expect(answers.filter(({ duplicate }) => !duplicate)).toEqual([{ baseOffset: found[0]?.[0], duplicate: false }])
      })

      it('leave no hole in the offsets when a duplicate is refused', async () => {
        await marked(log, [0], 1)
        await Promise.all([marked(log, [9], 1), append([1]), marked(other, [9], 1)])
        await append([2])
        expectAll(await readAll(other), 0, 3)
      })

      it('are told where they stopped', async () => {
        expect(await log.producerState(topic, 'p')).toBeNull()
        await log.append(topic, 0, batch([0]), { producer: { id: 'p', sequence: 5, note: { bytes: 120, digest: 'ab"c' } } })
        expect(await other.producerState(topic, 'p')).toEqual({ id: 'p', sequence: 5, note: { bytes: 120, digest: 'ab"c' } })
        await log.append(topic, 0, batch([1]), { producer: { id: 'p', sequence: 4, note: { bytes: 1 } } })
        expect(await log.producerState(topic, 'p')).toMatchObject({ sequence: 5, note: { bytes: 120 } })
        await log.append(topic, 0, batch([1]), { producer: { id: 'p', sequence: 6 } })
        expect(await log.producerState(topic, 'p')).toEqual({ id: 'p', sequence: 6 })
      })

      it('have a note that is exactly as new as their records', async (context) => {
        if (!log.capabilities.transactionalNotes) context.skip(`${log.capabilities.name} stores notes apart from records: a reader may see the records first`)
        let stop = false
        const watching = (async () => {
          for (; !stop;) {
            const state = await other.producerState(topic, 'p')
            const [end = 0] = await other.ends(topic)
            // Read in this order the end can only be later than the note.
            expect(end).toBeGreaterThanOrEqual(state?.sequence ?? 0)
          }
        })()
        for (let n = 1; n <= 100; n++) await log.append(topic, 0, batch([n]), { producer: { id: 'p', sequence: n, note: { n } } })
        stop = true
        await watching
      })
    })

    describe('reading', () => {
      it('answers at once with nothing at the end and beyond', async () => {
        expect(await log.read(topic, 0, 0)).toEqual([])
        await append(numbers(0, 5))
        expect(await log.read(topic, 0, 5)).toEqual([])
        expect(await log.read(topic, 0, 500)).toEqual([])
        expect(await other.read(topic, 0, 5)).toEqual([])
      })

      it('begins with the batch that holds the offset, from memory and from the engine alike', async () => {
        for (const [from, to] of [
          [0, 3],
          [3, 4],
          [4, 10],
          [10, 12],
        ] as const)
          await append(numbers(from, to))
        for (let offset = 0; offset <= 12; offset++) {
          const here = await log.read(topic, 0, offset)
          const there = await other.read(topic, 0, offset)
          expect(there).toEqual(here)
          if (offset < 12) expect(here[0]!.baseOffset <= offset && offset < here[0]!.baseOffset + here[0]!.count).toBe(true)
          expect(await readAll(log, offset)).toEqual(placed(offset, 12))
          expect(await readAll(other, offset)).toEqual(placed(offset, 12))
        }
      })

      it('keeps to its limits, but for the first batch', async () => {
        for (let n = 0; n < 40; n += 4) await append(numbers(n, n + 4))
        for (const from of [log, other]) {
          expect((await from.read(topic, 0, 0, { maxRecords: 9 })).reduce((sum, { count }) => sum + count, 0)).toBe(8)
          expect((await from.read(topic, 0, 0, { maxRecords: 1 })).map(({ count }) => count)).toEqual([4])
          expect((await from.read(topic, 0, 0, { maxBytes: 1 })).map(({ count }) => count)).toEqual([4])
          expect(await readAll(from, 0, 0, { maxRecords: 6 })).toEqual(placed(0, 40))
        }
      })

      it('goes through very many small batches', async () => {
        for (let n = 0; n < 2500; n++) await log.append(topic, 0, batch([n]), n === 1200 ? { producer: { id: 'cut', sequence: 1 } } : {})
        expectAll(await readAll(other), 0, 2500)
        expectAll(await readAll(log), 0, 2500)
      })

      it('follows an appender without skipping anything', async () => {
        const followed = Promise.all(
          [log, other].map(async (from) => {
            const seen: number[] = []
            for (let next = 0; seen.length < 600;) {
              for (const one of await from.read(topic, 0, next)) {
                for (const record of recordsOf(one)) if (record.offset >= next) seen.push(record.offset)
                next = one.baseOffset + one.count
              }
            }
            return seen
          }),
        )
        for (let n = 0; n < 600; n += 3) await (n % 2 === 0 ? log : other).append(topic, 0, batch(numbers(n, n + 3)))
        for (const seen of await followed) expect(seen).toEqual(numbers(0, 600))
      })
    })

    describe('offsets by time', () => {
      it('are those of the first record at or after the time', async () => {
        await append(numbers(0, 3))
        await new Promise((resolve) => setTimeout(resolve, 20))
        await append(numbers(3, 5))
        const [first, second] = await other.read(topic, 0, 0)
        expect(second!.appendedAt).toBeGreaterThan(first!.appendedAt)
        expect(await log.offsetAt(topic, 0, 0)).toBe(0)
        expect(await log.offsetAt(topic, 0, first!.appendedAt)).toBe(0)
        expect(await log.offsetAt(topic, 0, first!.appendedAt + 1)).toBe(3)
        expect(await log.offsetAt(topic, 0, second!.appendedAt)).toBe(3)
        expect(await log.offsetAt(topic, 0, second!.appendedAt + 1)).toBe(5)
        expect(await log.offsetAt(topic, 0, 1e300)).toBe(5)
        expect(await log.offsetAt(topic, 0, -1e300)).toBe(0)
      })

      it('agree between memory and engine about when a batch was taken', async () => {
        const before = Date.now()
        await append([0])
        const [here] = await log.read(topic, 0, 0)
        expect((await other.read(topic, 0, 0))[0]!.appendedAt).toBe(here!.appendedAt)
        expect(Math.abs(here!.appendedAt - before)).toBeLessThan(60_000)
      })
    })

    describe('retention', () => {
      beforeEach(async (context) => {
        if (!log.capabilities.exactRetention) context.skip(`${log.capabilities.name} drops files of many batches in its own time`)
        // What the topics before left to drop.
        await log.trim()
      })

      it('drops whole batches beyond the size, oldest first, but never the newest', async () => {
        const sizes: number[] = []
        for (let n = 0; n < 50; n += 10) {
          const one = batch(numbers(n, n + 10))
          sizes.push(one.bytes.length)
          await log.append(topic, 0, one)
        }
        await log.ensureTopic(topic, { ...KEEP, retainBytes: (sizes[4] ?? 0) + (sizes[3] ?? 0) })
        expect(await log.trim()).toBe(3)
        expect(await log.offsets(topic)).toMatchObject([{ partition: 0, earliest: 30, next: 50 }])
        await log.ensureTopic(topic, { ...KEEP, retainBytes: 0 })
        expect(await log.trim()).toBe(1)
        expect(await log.trim()).toBe(0)
        expect(await log.offsets(topic)).toMatchObject([{ earliest: 40, next: 50 }])
      })

      it('drops what is older than its time, but never the newest', async () => {
        await append(numbers(0, 5))
        await append(numbers(5, 9))
        expect(await log.trim()).toBe(0)
        await new Promise((resolve) => setTimeout(resolve, 30))
        await log.ensureTopic(topic, { ...KEEP, retainMs: 10 })
        expect(await log.trim()).toBe(1)
        expect(await log.offsets(topic)).toMatchObject([{ earliest: 5, next: 9 }])
      })

      it('takes bounds of any size', async () => {
        await log.ensureTopic(topic, { ...KEEP, retainMs: Number.MAX_SAFE_INTEGER, retainBytes: Number.POSITIVE_INFINITY })
        await append([0])
        await append([1])
        expect(await log.trim()).toBe(0)
        await log.ensureTopic(topic, { ...KEEP, retainMs: 86_400_000.5, retainBytes: 1.5e9 })
        await expect(log.ensureTopic(topic, { ...KEEP, retainMs: Number.NaN })).rejects.toMatchObject({ code: 'streams.retention' })
      })

      it('goes on reading at the earliest retained record, from memory and from the engine alike', async () => {
        for (let n = 0; n < 30; n += 10) await append(numbers(n, n + 10))
        await log.ensureTopic(topic, { ...KEEP, retainBytes: 0 })
        await log.trim()
        for (const from of [log, other]) {
          expect(await readAll(from, 0)).toEqual(placed(20, 30))
          expect(await readAll(from, 15)).toEqual(placed(20, 30))
          expect(await readAll(from, 25)).toEqual(placed(25, 30))
        }
        await append(numbers(30, 31))
        expect(await readAll(log, 0)).toEqual(placed(20, 31))
      })

      it('keeps the offsets of topics apart', async () => {
        await append(numbers(0, 5))
        await append(numbers(5, 9))
        const kept = topic
        topic = `${topic}.second`
        await log.ensureTopic(topic, { ...KEEP, retainBytes: 0 })
        await append([0])
        await append([1])
        expect(await log.trim()).toBe(1)
        expect(await log.offsets(kept)).toMatchObject([{ earliest: 0, next: 9 }])
      })
    })

    describe('waiting', () => {
      const forever = new AbortController().signal

      it('ends when a record comes, in this process and over another connection', async () => {
        for (const through of [log, other]) {
          const [end = 0] = await log.ends(topic)
          const waiting = within(700, log.wait(topic, 0, end, { signal: forever }))
          await new Promise((resolve) => setTimeout(resolve, 50))
          await through.append(topic, 0, batch([1]))
          expect(await waiting).toBe(true)
        }
      })

      it('ends when a record comes from another process', async (context) => {
        if (!options.appendElsewhere) context.skip('this adapter is not tried with a second process')
        await log.ensureTopic(topic, KEEP)
        let seen = false
        const waiting = (async () => {
          while ((await log.read(topic, 0, 0)).length === 0) await log.wait(topic, 0, 0, { signal: forever })
          seen = true
        })()
        await options.appendElsewhere?.(topic, [42])
        await waiting
        expect(seen).toBe(true)
        expect(await readAll(log)).toEqual([[0, 42]])
      })

      it('answers at once when the record is there already, whoever appended it', async () => {
        await append([0])
        expect(await within(500, log.wait(topic, 0, 0, { signal: forever }))).toBe(true)
        await other.append(topic, 0, batch([1]))
        await new Promise((resolve) => setTimeout(resolve, 100))
        expect(await within(500, log.wait(topic, 0, 1, { signal: forever }))).toBe(true)
      })

      it('ends after its time, and long before it when that is a minute', async () => {
        expect(await within(500, log.wait(topic, 0, 0, { signal: forever, timeoutMs: 30 }))).toBe(true)
        const began = performance.now()
        await log.wait(topic, 0, 0, { signal: forever, timeoutMs: 60_000 })
        expect(performance.now() - began).toBeLessThan(10_000)
      })

      it('ends when the signal aborts, before or during', async () => {
        expect(await within(300, log.wait(topic, 0, 0, { signal: AbortSignal.abort() }))).toBe(true)
        expect(await within(600, log.wait(topic, 0, 0, { signal: AbortSignal.timeout(30) }))).toBe(true)
      })

      it('does not wake for another partition', async () => {
        await log.ensureTopic(topic, { ...KEEP, partitions: 2 })
        const waiting = within(350, log.wait(topic, 0, 0, { signal: forever, timeoutMs: 400 }))
        await append([1], 1)
        expect(await waiting).toBe(false)
      })
    })

    describe('topics', () => {
      it('are listed, and applying the same again changes nothing', async () => {
        await append([0])
        await log.ensureTopic(topic, KEEP)
        expect(await other.topics()).toContain(topic)
        expect(await other.ends(topic)).toEqual([1])
      })

      it('can be created by many at once', async () => {
        const name = `${topic}.race`
        await Promise.all(numbers(0, 8).map((i) => (i % 2 === 0 ? log : other).ensureTopic(name, { ...KEEP, partitions: 3 })))
        expect(await log.ends(name)).toEqual([0, 0, 0])
      })

      it('can grow: old partitions keep their records, new ones begin at 0', async () => {
        await append(numbers(0, 4))
        await log.ensureTopic(topic, { ...KEEP, partitions: 3 })
        await append(numbers(0, 2), 2)
        expect(await other.ends(topic)).toEqual([4, 0, 2])
        expect((await other.offsets(topic)).map(({ partition, earliest, next }) => [partition, earliest, next])).toEqual([
          [0, 0, 4],
          [1, 0, 0],
          [2, 0, 2],
        ])
        expect(await readAll(other, 0, 2)).toEqual(placed(0, 2))
      })

      it('refuse to shrink', async () => {
        await log.ensureTopic(topic, { ...KEEP, partitions: 3 })
        await expect(other.ensureTopic(topic, { ...KEEP, partitions: 2 })).rejects.toMatchObject({ code: 'streams.fewer_partitions', kind: 'conflict' })
        expect(await log.ends(topic)).toHaveLength(3)
      })

      it('have names and partitions that Apache Kafka takes', async () => {
        for (const name of ['', '.', '..', 'a b', 'a/b', 'é', 'a'.repeat(250)])
          await expect(log.ensureTopic(name, KEEP)).rejects.toMatchObject({ code: 'streams.topic_name' })
        for (const partitions of [0, -1, 1.5, 1025, Number.NaN])
          await expect(log.ensureTopic(topic, { ...KEEP, partitions })).rejects.toMatchObject({ code: 'streams.partitions' })
      })
    })

    describe('closing', () => {
      it('releases who waits, finishes what is under way and refuses the rest', async () => {
        const third = await options.open()
        const released = within(800, third.wait(topic, 0, 0, { signal: new AbortController().signal }))
        const underWay = third.append(topic, 0, batch([0]))
        await third.close()
        expect(await released).toBe(true)
        expect(await underWay).toEqual({ baseOffset: 0, duplicate: false })
        await third.close()
        const closed = { code: 'streams.log_closed' }
        await expect(third.append(topic, 0, batch([1]))).rejects.toMatchObject(closed)
        await expect(third.read(topic, 0, 0)).rejects.toMatchObject(closed)
        await expect(third.ends(topic)).rejects.toMatchObject(closed)
        await expect(third.offsets(topic)).rejects.toMatchObject(closed)
        await expect(third.offsetAt(topic, 0, 0)).rejects.toMatchObject(closed)
        await expect(third.producerState(topic, 'p')).rejects.toMatchObject(closed)
        await expect(third.ensureTopic(topic, KEEP)).rejects.toMatchObject(closed)
        await expect(third.topics()).rejects.toMatchObject(closed)
        await expect(third.trim()).rejects.toMatchObject(closed)
        expect(await within(300, third.wait(topic, 0, 0, { signal: new AbortController().signal }))).toBe(true)
        expect(await readAll(log)).toEqual([[0, 0]])
      })
    })
  })
}
