/** Kafka and its writers die at any moment. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { LagoaError, silentLog } from '../../src/base/index.ts'
import { encodeJson, openKafkaLog, recordsOf, type EventLog } from '../../src/streams/index.ts'
import { noKafka, startKafka } from '../helpers/kafka.ts'
import { KEEP, listen, readValues, rounds } from './kafka-reading.ts'

const WRITER = fileURLToPath(new URL('append-to-kafka-until-killed.ts', import.meta.url))

const server = noKafka === null ? await startKafka() : null
const broker = server?.broker ?? ''
const logs: EventLog[] = []
const open = async (): Promise<EventLog> => {
  const log = await openKafkaLog({ brokers: [broker], log: silentLog })
  logs.push(log)
  return log
}

afterAll(async () => {
  await Promise.all(logs.map((log) => log.close()))
})

/** What a call answers once it answers. */
async function answers<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch {
      await sleep(50)
    }
  }
}

describe.skipIf(!server)(`the event log on a kafka that fails${noKafka === null ? '' : ` (skipped: ${noKafka})`}`, () => {
  it('takes records into a topic that was made a moment ago, from its first offset on', async () => {
    const log = await open()
    for (let n = 0; n < 12; n++) {
      const topic = `new.${n}`
      await log.ensureTopic(topic, { ...KEEP, partitions: 3 })
      expect(await log.append(topic, 2, encodeJson(null, ['1', '2']))).toEqual({ baseOffset: 0, duplicate: false })
      expect(await log.append(topic, 1, encodeJson(null, ['1', '2']), { producer: { id: 'p', sequence: 1 } })).toEqual({ baseOffset: 0, duplicate: false })
      expect(await readValues(log, topic, 1)).toEqual(['1', '2'])
      expect(await readValues(log, topic, 2)).toEqual(['1', '2'])
    }
  })

  it('knows producers by names of any characters', async () => {
    const [log, other] = [await open(), await open()]
    await log.ensureTopic('names', KEEP)
    const names = ['resend/17', 'resend/18', 'a b', 'ação/é', '🌊', '', '"', '\\', '\n', '\0', 'a/b/c', `${'x'.repeat(1000)}1`, `${'x'.repeat(1000)}2`]
    for (const [n, id] of names.entries()) {
      expect(await log.producerState('names', id)).toBeNull()
      expect(await log.append('names', 0, encodeJson(null, [String(n)]), { producer: { id, sequence: n, note: { id } } })).toMatchObject({ duplicate: false })
    }
    for (const [n, id] of names.entries()) {
      expect(await other.producerState('names', id)).toEqual({ id, sequence: n, note: { id } })
      expect(await other.append('names', 0, encodeJson(null, ['again']), { producer: { id, sequence: n } })).toMatchObject({ duplicate: true })
    }
    expect(await readValues(other, 'names')).toEqual(names.map((_, n) => String(n)))
  })

  it('loses and repeats nothing when the broker is killed, keeps the order of each appender, and its readers go on', { timeout: 600_000 }, async () => {
    const [log, reading] = [await open(), await open()]
    await log.ensureTopic('killed', { ...KEEP, partitions: 3 })
    const over = new AbortController()
    const ended = new AbortController()
    onTestFinished(() => {
      over.abort()
      ended.abort()
    })
    const codes = new Set<string>()
    const refused = (error: unknown): void => {
      if (!(error instanceof LagoaError)) throw error
      codes.add(`${error.kind} ${error.code}`)
    }

    /** Without a mark nobody repeats an append that was given up: it is there once, or not at all. */
    const unmarked = async (name: string, partition: number): Promise<{ sure: string[]; open: string[] }> => {
      const told = { sure: new Array<string>(), open: new Array<string>() }
      for (let n = 0; !over.signal.aborted; n++) {
        const value = JSON.stringify(`${name} ${n}`)
        const stored = await log.append('killed', partition, encodeJson(null, [value])).then(
          () => true,
          (error: unknown) => (refused(error), false),
        )
        told[stored ? 'sure' : 'open'].push(value)
        await sleep(stored ? 1 : 100)
      }
      return told
    }
    const marked = async (name: string, partition: number): Promise<string[]> => {
      const sure: string[] = []
      for (let sequence = 0; !over.signal.aborted; sequence++) {
        const value = JSON.stringify(`${name} ${sequence}`)
        for (let isStored = false; !isStored && !ended.signal.aborted;) {
          isStored = await log.append('killed', partition, encodeJson(null, [value]), { producer: { id: name, sequence } }).then(
            () => true,
            (error: unknown) => (refused(error), false),
          )
          if (!isStored) await sleep(100)
        }
        sure.push(value)
      }
      return sure
    }
    /** Reads on and on, until a value that the test appends last. */
    const reader = async (partition: number): Promise<string[]> => {
      const values: string[] = []
      for (let next = 0; values.at(-1) !== '"last"' && !ended.signal.aborted;) {
        try {
          await reading.wait('killed', partition, next, { signal: AbortSignal.timeout(60_000) })
          for (const batch of await reading.read('killed', partition, next)) {
            for (const { offset, value } of recordsOf(batch)) if (offset >= next) values.push(value.toString())
            next = batch.baseOffset + batch.count
          }
        } catch (error) {
          refused(error)
          await sleep(100)
        }
      }
      return values.slice(0, -1)
    }

    const plain = [unmarked('a', 0), unmarked('b', 1), unmarked('c', 2), unmarked('d', 2)]
    const exact = [marked('m', 0), marked('n', 1)]
    const read = [reader(0), reader(1), reader(2)]
    for (let round = 0; round < rounds(2); round++) {
      await sleep(500 + Math.random() * 1000)
      await server?.kill()
      await sleep(Math.random() * 1000)
      await server?.restart()
      await answers(() => log.ends('killed'))
    }
    await sleep(500)
    over.abort()
    const [told, sure] = await Promise.all([Promise.all(plain), Promise.all(exact)])
    for (const partition of [0, 1, 2]) await log.append('killed', partition, encodeJson(null, ['"last"']))
    const found = (await Promise.all(read)).flat()
    const of = (name: string): string[] => found.filter((value) => value.startsWith(`"${name} `))

    for (const [i, name] of ['m', 'n'].entries()) expect(of(name)).toEqual(sure[i])
    for (const [i, name] of ['a', 'b', 'c', 'd'].entries()) {
      const given = told[i] ?? { sure: [], open: [] }
      const unsure = new Set(given.open)
      expect(of(name).filter((value) => !unsure.has(value))).toEqual(given.sure)
      expect(new Set(of(name)).size).toBe(of(name).length)
      const numbers = of(name).map((value) => Number(value.slice(3, -1)))
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
      // How many it is depends on the machine alone.
      expect(given.sure.length).toBeGreaterThan(5)
    }
    // The one that was under way was sent again; some that came later were refused.
    expect([...codes]).toEqual(['unavailable streams.kafka_away'])
    for (const partition of [0, 1, 2]) expect(await readValues(await open(), 'killed', partition)).toEqual([...((await read[partition]) ?? []), '"last"'])
  })

  it('opens while no broker answers, refuses calls as unavailable, and works when one does', { timeout: 120_000 }, async () => {
    const before = await open()
    await before.ensureTopic('away', KEEP)
    await before.append('away', 0, encodeJson(null, ['0']))
    await server?.kill()
    const log = await open()
    const away = { kind: 'unavailable', code: 'streams.kafka_away' }
    for (const one of [log, before]) {
      await expect(one.ends('away')).rejects.toMatchObject(away)
      await expect(one.read('away', 0, 5)).rejects.toMatchObject(away)
      await expect(one.append('away', 0, encodeJson(null, ['1']))).rejects.toMatchObject(away)
      await expect(one.append('away', 0, encodeJson(null, ['1']), { producer: { id: 'p', sequence: 1 } })).rejects.toMatchObject(away)
      await expect(one.ensureTopic('away', KEEP)).rejects.toMatchObject(away)
      await expect(one.producerState('away', 'p')).rejects.toMatchObject(away)
      await expect(one.topics()).rejects.toMatchObject(away)
    }
    const began = Date.now()
    await log.wait('away', 0, 1, { signal: AbortSignal.timeout(5000) })
    expect(Date.now() - began).toBeLessThan(4_000)
    await server?.restart()
    expect(await answers(() => log.ends('away'))).toEqual([1])
    await before.append('away', 0, encodeJson(null, ['2']))
    expect(await readValues(log, 'away')).toEqual(['0', '2'])
  })

  it('goes on with no gap and no repetition after its process was killed in the middle of marked appends', { timeout: 600_000 }, async () => {
    const [log, reading] = [await open(), await open()]
    await log.ensureTopic('writer', KEEP)
    const over = new AbortController()
    onTestFinished(() => over.abort())
    const values: string[] = []
    const reader = (async () => {
      for (let next = 0; !over.signal.aborted;) {
        await reading.wait('writer', 0, next, { signal: over.signal })
        for (const batch of await reading.read('writer', 0, next)) {
          for (const { offset, value } of recordsOf(batch)) if (offset >= next) values.push(value.toString())
          next = batch.baseOffset + batch.count
        }
      }
    })()
    let acknowledged = 0
    for (let round = 0; round < rounds(6); round++) {
      const writer = spawn(process.execPath, [WRITER, broker, 'writer', 'source'], { stdio: ['ignore', 'pipe', 'inherit'] })
      const told: string[] = []
      const lines = createInterface({ input: writer.stdout })
      lines.on('line', (line) => told.push(line))
      await once(lines, 'line')
      await sleep(Math.random() * 400)
      const ended = once(writer, 'close')
      writer.kill('SIGKILL')
      await ended
      expect(told.filter((line) => line.startsWith('repeated'))).toEqual([])
      const before = acknowledged
      acknowledged = Number(told.at(-1)?.split(' ')[1])
      expect(acknowledged).toBeGreaterThan(before)
      // What the process before left open was ended by the first append of this one.
      const deadline = Date.now() + 3000
      while (values.length < acknowledged && Date.now() < deadline) await sleep(10)
      expect(values.length).toBeGreaterThanOrEqual(acknowledged)
    }
    const state = await log.producerState('writer', 'source')
    const last = { producer: { id: 'source', sequence: (state?.sequence ?? 0) + 1 } }
    await log.append('writer', 0, encodeJson(null, ['"last"']), last)
    while (values.at(-1) !== '"last"') await sleep(10)
    over.abort()
    await reader
    const total = Number(state?.note?.next)
    expect(total).toBeGreaterThanOrEqual(acknowledged)
    expect(values).toEqual([...Array.from({ length: total }, (_, n) => String(n)), '"last"'])
    expect(await readValues(await open(), 'writer')).toEqual(values)
  })

  it('tries brokers that do not answer less and less often', async () => {
    let tries = 0
    const deaf = createServer((socket) => {
      tries++
      socket.destroy()
    })
    const port = await listen(deaf)
    const log = await openKafkaLog({ brokers: [`127.0.0.1:${port}`], log: silentLog })
    const until = Date.now() + 3000
    const topics = Array.from({ length: 20 }, (_, i) => `deaf.${i}`)
    while (Date.now() < until) {
      await Promise.allSettled(topics.map((topic) => log.ends(topic)))
      await sleep(5)
    }
    expect(tries).toBeGreaterThan(3)
    expect(tries).toBeLessThan(200)
    await log.close()
    deaf.close()
  })
})
