/**
 * What ours is held against, in a process of its own: a loop over a Kafka topic with the same client library.
 *
 *   count    counts messages and nothing else: the library's limit
 *   alerts   parses each and publishes what exceeds the limits, without waiting for anything
 *   design   as the source document has it: for each message one awaited Redis hash, one file, and one confirmed message for an alert
 *
 * Prints `{"ready":true}` when it reads, and `{"count":...,"seconds":...}` when it has read as many as it was told.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Consumer } from '@platformatic/kafka'
import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import { exceeds, type BenchReading } from './kafka-readings.ts'

const [mode = 'count', broker = '', topic = '', from = 'earliest', count = '0', redisUrl = '', rabbitUrl = '', queue = '', folder = ''] = process.argv.slice(2)
const wanted = Number(count)

const consumer = new Consumer({ groupId: `bench-${process.pid}`, clientId: 'bench', bootstrapBrokers: [broker], autocommit: false })
const redis = new Redis(redisUrl)
const rabbit = await connect(rabbitUrl)
const channel = await rabbit.createConfirmChannel()
await channel.assertQueue(queue, { durable: true })
await mkdir(folder, { recursive: true })

const publish = (reading: BenchReading): Promise<void> =>
  new Promise((done, fail) => {
    const body = Buffer.from(JSON.stringify({ values: reading }))
    channel.sendToQueue(queue, body, { persistent: true }, (error: unknown) => (error ? fail(new Error('not confirmed', { cause: error })) : done()))
  })

const handlers: Readonly<Record<string, (value: Buffer, n: number) => Promise<void> | undefined>> = {
  count: () => undefined,
  alerts: (value) => {
    const reading = JSON.parse(value.toString()) as BenchReading
    if (exceeds(reading)) void publish(reading)
    return undefined
  },
  design: async (value, n) => {
    const reading = JSON.parse(value.toString()) as BenchReading
    await redis.hset(`sensor:${reading.sensor}`, reading)
    await writeFile(join(folder, `${n}.json`), JSON.stringify(reading))
    if (exceeds(reading)) await publish(reading)
  },
}
const handle = handlers[mode]
if (!handle) throw new Error(`there is no loop ${mode}`)

const stream = await consumer.consume({
  topics: [topic],
  mode: from === 'earliest' ? 'earliest' : 'latest',
  maxWaitTime: 50,
  minBytes: 1,
  maxBytes: 8 * 1024 * 1024,
})
process.stdout.write('{"ready":true}\n')
let began = 0
let n = 0
for await (const { value } of stream) {
  if (n === 0) began = performance.now()
  const under = handle(value, n)
  if (under) await under
  if (++n === wanted) break
}
process.stdout.write(`${JSON.stringify({ count: n, seconds: (performance.now() - began) / 1000 })}\n`)
process.exit()
