/**
 * A process that closes its log in the middle of everything and then has nothing more to do:
 * `close-kafka-in-the-middle.ts BROKER TOPIC AFTER_MS`. It prints every failure that a closed or absent log does not explain,
 * and at its end how long closing took and how long it lived on after that.
 */
import { writeSync } from 'node:fs'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { LagoaError, silentLog } from '../../src/base/index.ts'
import { encodeJson, openKafkaLog } from '../../src/streams/index.ts'

const [, , broker = '', topic = '', after = ''] = process.argv
const log = await openKafkaLog({ brokers: [broker], log: silentLog })
const expected = ['streams.log_closed', 'streams.kafka_away', 'streams.no_topic']
let closed = false

async function again(work: (n: number) => Promise<unknown>): Promise<void> {
  for (let n = 0; !closed; n++) {
    await turn()
    try {
      await work(n)
    } catch (error) {
      if (!(error instanceof LagoaError) || !expected.includes(error.code)) writeSync(1, `${inspect(error)}\n`)
      await sleep(5)
    }
  }
}

const record = encodeJson(null, ['1'])
const keep = { partitions: 2, retainMs: 86_400_000, retainBytes: 1e9 }
const everything = [
  again(() => log.ensureTopic(topic, keep)),
  again(() => log.append(topic, 0, record)),
  again(() => log.append(topic, 1, record)),
  again((n) => log.append(topic, 1, record, { producer: { id: `p${process.pid}`, sequence: n } })),
  again(() => log.read(topic, 0, 0)),
  again(async () => log.wait(topic, 0, (await log.ends(topic))[0] ?? 0, { signal: AbortSignal.timeout(5000) })),
  again(() => log.wait(topic, 1, 1_000_000, { signal: new AbortController().signal })),
  again(() => log.offsets(topic)),
  again(() => log.producerState(topic, 'p')),
]
await sleep(Number(after))
const began = Date.now()
await log.close()
closed = true
const closing = Date.now() - began
process.on('exit', () => writeSync(1, JSON.stringify({ closing, ending: Date.now() - began - closing })))
await Promise.all(everything)
