/** Many partitions, two brokers, much data, and processes that must end. */
import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { LagoaError, silentLog } from '../../src/base/index.ts'
import { encodeJson, openKafkaLog, recordsOf, type EventLog, type KafkaLogOptions } from '../../src/streams/index.ts'
import { noKafka, startKafka } from '../helpers/kafka.ts'
import { KEEP, listen, readValues, rounds } from './kafka-reading.ts'

const run = async (script: string, ...args: readonly string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, [fileURLToPath(new URL(script, import.meta.url)), ...args], { timeout: 120_000 })).stdout

const properties = { 'transaction.state.log.replication.factor': 2, 'default.replication.factor': 2 }
const server = noKafka === null ? await startKafka({ properties }) : null
const second = await server?.addBroker()
const brokers = [server?.broker ?? '', second?.broker ?? '']
const logs: EventLog[] = []
const open = async (options: Partial<KafkaLogOptions> = {}): Promise<EventLog> => {
  const log = await openKafkaLog({ brokers, log: silentLog, ...options })
  logs.push(log)
  return log
}

afterAll(async () => {
  await Promise.all(logs.map((log) => log.close()))
})

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe.skipIf(!server)(`the event log on two brokers of kafka${noKafka === null ? '' : ` (skipped: ${noKafka})`}`, () => {
  it('leaves partitions alone that nobody asks for, and follows them again when somebody does', { timeout: 60_000 }, async () => {
    const connections = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
    const log = await open({ idleMs: 300 })
    await log.ensureTopic('idle', KEEP)
    await log.append('idle', 0, encodeJson(null, ['0']))
    // Whichever broker is asked for the topics, both are connected by then.
    for (let n = 0; n < 20; n++) await log.topics()
    await readValues(log, 'idle')
    const before = connections()
    const reach = async (count: number): Promise<void> => {
      for (const until = Date.now() + 20_000; connections() !== count && Date.now() < until;) await sleep(20)
      expect(connections()).toBe(count)
    }
    for (let round = 0; round < 2; round++) {
      const [end = 0] = await log.ends('idle')
      const waiting = log.wait('idle', 0, end, { signal: new AbortController().signal })
      await reach(before + 1)
      await log.append('idle', 0, encodeJson(null, ['1']))
      await waiting
      expect((await log.read('idle', 0, end)).flatMap((batch) => [...recordsOf(batch)].map(({ offset }) => offset))).toEqual([end])
      await reach(before)
    }
  })

  it('reads and writes three topics of up to 64 partitions at once', { timeout: 240_000 }, async () => {
    const [log, reading] = [await open({ replication: 1 }), await open()]
    const topics = new Map([
      ['wide.a', 64],
      ['wide.b', 8],
      ['wide.c', 9],
    ])
    await Promise.all([...topics].map(([topic, partitions]) => log.ensureTopic(topic, { ...KEEP, partitions })))
    const places = [...topics].flatMap(([topic, partitions]) => numbers(partitions).map((partition) => ({ topic, partition })))
    const readers = places.map(async ({ topic, partition }) => {
      const values: string[] = []
      for (let next = 0; values.length < 6;) {
        await reading.wait(topic, partition, next, { signal: AbortSignal.timeout(120_000) })
        for (const batch of await reading.read(topic, partition, next)) {
          values.push(...[...recordsOf(batch)].filter(({ offset }) => offset >= next).map(({ value }) => value.toString()))
          next = batch.baseOffset + batch.count
        }
      }
      return values
    })
    for (let turn = 0; turn < 3; turn++)
      await Promise.all(
        places.map(({ topic, partition }) =>
          log.append(topic, partition, encodeJson(null, [`"${topic} ${partition} ${turn}"`, `"${topic} ${partition} ${turn} too"`])),
        ),
      )
    const found = await Promise.all(readers)
    for (const [i, { topic, partition }] of places.entries())
      expect(found[i]).toEqual(numbers(3).flatMap((turn) => [`"${topic} ${partition} ${turn}"`, `"${topic} ${partition} ${turn} too"`]))
    for (const [topic, partitions] of topics) {
      expect(await log.ends(topic)).toEqual(numbers(partitions).map(() => 6))
      const offsets = await log.offsets(topic)
      expect(offsets.map(({ partition, earliest, next }) => [partition, earliest, next])).toEqual(numbers(partitions).map((partition) => [partition, 0, 6]))
      expect(offsets.every(({ bytes }) => bytes > 0)).toBe(true)
    }
  })

  it('lets its process end when it is closed in the middle of everything', { timeout: 240_000 }, async () => {
    const ends = async (broker: string, topic: string, after: number): Promise<void> => {
      const { closing, ending }: { closing: number; ending: number } = JSON.parse(await run('close-kafka-in-the-middle.ts', broker, topic, String(after)))
      expect(closing).toBeLessThan(9000)
      expect(ending).toBeLessThan(2000)
    }
    for (let round = 0; round < rounds(3); round++) await ends(server?.broker ?? '', `middle.${round}`, round === 0 ? 0 : Math.random() * 1500)
    const deaf = createServer(() => undefined)
    const gone = createServer()
    const ports = [await listen(deaf), await listen(gone)]
    gone.close()
    for (const port of ports) await ends(`127.0.0.1:${port}`, 'middle', 300)
    deaf.close()
  })

  it('reads a topic of 200 megabytes in a fraction of its memory', { timeout: 240_000 }, async () => {
    const log = await open()
    await log.ensureTopic('large', KEEP)
    const block = encodeJson(
      null,
      numbers(10_000).map((n) => JSON.stringify(`${n} ${'x'.repeat(1000)}`)),
    )
    for (let n = 0; n < 20; n++) await log.append('large', 0, block)
    const { bytes, peakMegabytes }: { bytes: number; peakMegabytes: number } = JSON.parse(await run('read-from-kafka.ts', server?.broker ?? '', 'large'))
    expect(bytes).toBeGreaterThan(200_000_000)
    expect(peakMegabytes).toBeLessThan(350)
  })

  it('goes on at the other broker when one is killed, with nothing lost or repeated', { timeout: 240_000 }, async () => {
    const [log, reading] = [await open(), await open()]
    await log.ensureTopic('led', { ...KEEP, partitions: 6 })
    const over = new AbortController()
    const ended = new AbortController()
    onTestFinished(() => {
      over.abort()
      ended.abort()
    })
    const patient = async (append: () => Promise<unknown>): Promise<boolean> => {
      try {
        await append()
        return true
      } catch (error) {
        expect(error).toMatchObject({ kind: 'unavailable' })
        await sleep(100)
        return false
      }
    }
    const unmarked = numbers(3).map(async (partition) => {
      const told = { sure: new Array<string>(), open: new Set<string>() }
      for (let n = 0; !over.signal.aborted; n++) {
        if (await patient(() => log.append('led', partition, encodeJson(null, [String(n)])))) told.sure.push(String(n))
        else told.open.add(String(n))
        await sleep(5)
      }
      return told
    })
    const marked = numbers(3).map(async (i) => {
      const partition = 3 + i
      let n = 0
      for (; !over.signal.aborted; n++)
        while (
          !(await patient(() => log.append('led', partition, encodeJson(null, [String(n)]), { producer: { id: `p${i}`, sequence: n } }))) &&
          !ended.signal.aborted
        );
      return numbers(n).map(String)
    })
    const read = numbers(6).map(async (partition) => {
      const values: string[] = []
      for (let next = 0; values.at(-1) !== '"last"' && !ended.signal.aborted;) {
        try {
          await reading.wait('led', partition, next, { signal: AbortSignal.timeout(120_000) })
          for (const batch of await reading.read('led', partition, next)) {
            values.push(...[...recordsOf(batch)].filter(({ offset }) => offset >= next).map(({ value }) => value.toString()))
            next = batch.baseOffset + batch.count
          }
        } catch (error) {
          if (!(error instanceof LagoaError) || error.kind !== 'unavailable') throw error
          await sleep(50)
        }
      }
      return values.slice(0, -1)
    })
    await sleep(1000)
    await second?.kill()
    await sleep(6000)
    await second?.restart()
    await sleep(1000)
    over.abort()
    const told = await Promise.all(unmarked)
    const sure = await Promise.all(marked)
    for (const partition of numbers(6)) await log.append('led', partition, encodeJson(null, ['"last"']))
    const found = await Promise.all(read)
    for (const [partition, { sure: given, open: unsure }] of told.entries()) {
      expect(found[partition]?.filter((value) => !unsure.has(value))).toEqual(given)
      expect(new Set(found[partition]).size).toBe(found[partition]?.length)
    }
    expect(found.slice(3)).toEqual(sure)
    expect(sure.every((values) => values.length > 10)).toBe(true)
    const fresh = await open()
    for (const partition of numbers(6)) expect((await readValues(fresh, 'led', partition)).slice(0, -1)).toEqual(found[partition])
  })
})
