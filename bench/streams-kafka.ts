/**
 * A stream on real engines: Kafka, validation, two rules, Redis, RabbitMQ and Delta, with the database embedded; all on this machine.
 * Beside it, on the same topic and in the same run, a bare loop of the same client library, and the loop that the source document draws:
 * one message, one hash, one object, one alert at a time.
 *
 * BENCH_COUNT makes a short trial, BENCH_PART=rate or delay measures one of the two; BENCH_VERBOSE prints each run.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { createLog, silentLog } from '../src/base/index.ts'
import { loadConfigFile, openPlatform, resolveConfig, type Config } from '../src/platform/index.ts'
import { openKafkaLog, type EventLog } from '../src/streams/index.ts'
import { noKafka, startKafka } from '../test/helpers/kafka.ts'
import { endAll } from '../test/helpers/over.ts'
import { noRabbit, startRabbit } from '../test/helpers/rabbitmq.ts'
import { noRedis, startRedis } from '../test/helpers/redis.ts'
import { median, percentile, type Figure } from './figures.ts'
import { appendReadings, exceeds, readingsFrom, TOPIC } from './kafka-readings.ts'

const PART = process.env.BENCH_PART
const COUNT = Number(process.env.BENCH_COUNT ?? 1_000_000)
/** The document's loop is so much slower that a part of the readings must do. */
const DESIGN_COUNT = Math.min(COUNT, 20_000)
const RUNS = 3
const LOT = 10_000
const RATE = 5_000
const EVERY_MS = 10
const WARM_MS = 3_000
const WATCH_MS = Math.min(10_000, COUNT / 20)
const PROJECT = join(import.meta.dirname, 'projects', 'kafka')

interface Engines {
  readonly broker: string
  readonly redis: string
  readonly rabbit: string
  readonly log: EventLog
}

export async function streamsKafka(): Promise<Figure[]> {
  const missing = [noKafka, noRedis, noRabbit].filter((reason) => reason !== null)
  if (missing.length > 0) throw new Error(missing.join('; '))
  const [kafka, redis, rabbit] = await Promise.all([startKafka(), startRedis({ settings: ['databases 64'] }), startRabbit()])
  const log = await openKafkaLog({ brokers: [kafka.broker], log: silentLog })
  const engines = { broker: kafka.broker, redis: redis.url, rabbit: rabbit.url, log }
  try {
    await log.ensureTopic(TOPIC, { partitions: 1, retainMs: 7 * 86_400_000, retainBytes: 10 * 1024 ** 3 })
    for (let n = 0; n < COUNT; n += LOT)
      await appendReadings(
        log,
        readingsFrom(n, Math.min(LOT, COUNT - n), (number) => Date.UTC(2026, 0, 1) + number),
      )
    return [...(PART === 'delay' ? [] : await rateFigures(engines)), ...(PART === 'rate' ? [] : await delayFigures(engines))]
  } finally {
    await log.close()
    await endAll()
  }
}

async function rateFigures(engines: Engines): Promise<Figure[]> {
  const rates = { ours: [] as number[], bare: [] as number[], design: [] as number[] }
  for (let run = 0; run < RUNS; run++) {
    rates.bare.push(await loopRate(engines, 'count', COUNT))
    rates.ours.push(COUNT / (await wholePath(engines, run)))
    rates.design.push(await loopRate(engines, 'design', DESIGN_COUNT))
    verbose(`run ${run + 1}: ${JSON.stringify(rates)}`)
  }
  const [ours, bare, design] = [median(rates.ours), median(rates.bare), median(rates.design)]
  return [
    {
      name: `${thousands(COUNT)} readings from Kafka: validation, 2 rules, Redis, RabbitMQ, bronze`,
      value: `${thousands(ours)}/s`,
      baseline: `${thousands(bare)}/s a bare consumer that only counts`,
      ratio: `${(ours / bare).toFixed(2)}x`,
      target: '>= 100,000/s',
    },
    {
      name: 'The same, against one awaited hash, file and alert a message',
      value: `${thousands(ours)}/s`,
      baseline: `${thousands(design)}/s the document's loop`,
      ratio: `${(ours / design).toFixed(0)}x faster`,
    },
  ]
}

async function delayFigures(engines: Engines): Promise<Figure[]> {
  const delays = { ours: [] as number[], bare: [] as number[], design: [] as number[] }
  for (let run = 0; run < RUNS; run++) {
    delays.bare.push(await delayOf(engines, 'alerts', run))
    delays.ours.push(await delayOf(engines, 'lagoa', run))
    delays.design.push(await delayOf(engines, 'design', run))
    verbose(`run ${run + 1}: ${JSON.stringify(delays)}`)
  }
  const ms = (value: number): string => (Number.isFinite(value) ? `${Math.round(value)} ms` : `more than ${WATCH_MS / 1000} s`)
  return [
    {
      name: `Reading to alert in RabbitMQ at ${thousands(RATE)} readings/s, p99`,
      value: ms(median(delays.ours)),
      baseline: `${ms(median(delays.bare))} a bare consumer that publishes; ${ms(median(delays.design))} the document's loop`,
      target: '<= 50 ms',
    },
  ]
}

const settings = ({ broker, redis, rabbit }: Engines, database: number): Record<string, Record<string, unknown>> => ({
  kafka: { brokers: broker },
  // A database of its own for each run: in one that was written before, the same offsets change nothing.
  redis: { url: `${redis}/${database}` },
  rabbitmq: { url: rabbit },
})

/** Seconds until all readings are with every sink and all alerts in the queues. */
async function wholePath(engines: Engines, run: number): Promise<number> {
  const home = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  await loadConfigFile(PROJECT, undefined)
  const config: Config = resolveConfig(PROJECT, [{ from: 'the benchmark', values: { home, ...settings(engines, run) } }])
  const logger = createLog({ level: 'warn' })
  // Opened without a feed first, so that the clock does not see initdb.
  await (await openPlatform({ config, logger, feed: null })).close()
  const platform = await openPlatform({ config, logger, feed: { once: true, simulation: {} } })
  const began = performance.now()
  try {
    await Promise.all([...(platform.pipeline?.streams.values() ?? [])].map((stream) => stream.drain()))
    await platform.alerts.drain()
    const seconds = (performance.now() - began) / 1000
    const rows = (await platform.pipeline?.lake.table('bronze.readings').snapshot())?.rowCount
    if (rows !== COUNT) throw new Error(`bronze has ${rows} rows`)
    return seconds
  } finally {
    await platform.close()
    await rm(home, { recursive: true, force: true })
  }
}

async function loopRate(engines: Engines, mode: 'count' | 'design', count: number): Promise<number> {
  const loop = await startLoop(engines, mode, 'earliest', count, `bench-${mode}`)
  try {
    const seconds = Number((await loop.line('seconds'))['seconds'])
    return count / seconds
  } finally {
    await loop.stop()
  }
}

/** The 99th percentile of the time from the making of a reading to the arrival of its alert at a consumer of the queue. */
async function delayOf(engines: Engines, mode: 'alerts' | 'design' | 'lagoa', run: number): Promise<number> {
  const home = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  const queue = mode === 'lagoa' ? 'critical' : `delay-${mode}-${run}`
  // Each begins where the topic ends: a home of its own would read it from the start.
  const running = mode === 'lagoa' ? await startLagoa(engines, home, RUNS + run) : await startLoop(engines, mode, 'latest', 0, queue)
  const connection = await connect(engines.rabbit)
  try {
    const channel = await connection.createChannel()
    await channel.assertQueue(queue, { durable: true })
    await channel.purgeQueue(queue)
    const delays: number[] = []
    const since = Date.now() + WARM_MS
    await channel.consume(
      queue,
      (message) => {
        if (!message) return
        const { values } = JSON.parse(message.content.toString()) as { values: { at: string } }
        const made = Date.parse(values.at)
        if (made >= since) delays.push(Date.now() - made)
      },
      { noAck: true },
    )
    const due = await produceSteadily(engines.log, WARM_MS + WATCH_MS, since)
    // A loop that has fallen behind is given as long again; what has not come then is not counted in its favour.
    for (const end = Date.now() + WATCH_MS; delays.length < due && Date.now() < end;) await sleep(20)
    while (delays.length < due) delays.push(Number.POSITIVE_INFINITY)
    verbose(`${mode}: ${due} alerts, p50 ${percentile(delays, 0.5)} ms, p99 ${percentile(delays, 0.99)} ms`)
    return percentile(delays, 0.99)
  } finally {
    await connection.close()
    await running.stop()
    await rm(home, { recursive: true, force: true })
  }
}

/** Answers how many of the readings that were made from then on exceed the limits. */
async function produceSteadily(log: EventLog, forMs: number, from: number): Promise<number> {
  const began = Date.now()
  let made = 0
  let due = 0
  const appends = new Set<Promise<void>>()
  while (Date.now() - began < forMs) {
    const size = Math.floor(((Date.now() - began) * RATE) / 1000) - made
    if (size > 0) {
      const now = Date.now()
      const lot = readingsFrom(made, size, () => now)
      if (now >= from) due += lot.filter(exceeds).length
      made += size
      const append = appendReadings(log, lot).finally(() => appends.delete(append))
      appends.add(append)
    }
    await sleep(EVERY_MS)
  }
  await Promise.all(appends)
  return due
}

interface Running {
  /** The first line of its output that has this member. */
  line(member: string): Promise<Record<string, unknown>>
  stop(): Promise<void>
}

async function startLoop({ broker, redis, rabbit }: Engines, mode: string, from: string, count: number, queue: string): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'lagoa-loop-'))
  const words = [mode, broker, TOPIC, from, String(count), `${redis}/${2 * RUNS}`, rabbit, queue, folder]
  const running = runningOf(spawn(process.execPath, [join(import.meta.dirname, 'kafka-loop-run.ts'), ...words], { stdio: ['ignore', 'pipe', 'inherit'] }))
  await running.line('ready')
  return {
    line: (member) => running.line(member),
    async stop() {
      await running.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A node that has read what is in the topic so far. */
async function startLagoa(engines: Engines, home: string, database: number): Promise<Running> {
  const { kafka, redis, rabbitmq } = settings(engines, database)
  const env = {
    ...process.env,
    LAGOA_KAFKA__BROKERS: String(kafka?.['brokers']),
    LAGOA_REDIS__URL: String(redis?.['url']),
    LAGOA_RABBITMQ__URL: String(rabbitmq?.['url']),
  }
  const main = join(import.meta.dirname, '..', 'src/cli/main.ts')
  const flags = ['start', '--project', PROJECT, '--home', home, '--port', '0', '--json']
  const running = runningOf(spawn(process.execPath, [main, ...flags], { stdio: ['ignore', 'pipe', 'ignore'], env }))
  const { url } = await running.line('url')
  for (;;) {
    const answer = (await (await fetch(`${String(url)}/api/v1/streams/${TOPIC}`)).json()) as { sinks: readonly { readonly lag: number }[] }
    if (answer.sinks.every(({ lag }) => lag === 0)) return running
    await sleep(100)
  }
}

function runningOf(child: ChildProcess): Running {
  const lines: Record<string, unknown>[] = []
  let look = (): void => undefined
  const exited = new Promise<void>((done) => child.once('exit', () => done()))
  if (child.stdout)
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) lines.push(JSON.parse(line) as Record<string, unknown>)
      look()
    })
  return {
    line: (member) =>
      new Promise((found, failed) => {
        look = () => {
          const line = lines.find((one) => member in one)
          if (line) found(line)
        }
        void exited.then(() => failed(new Error(`it ended before it said ${member}`)))
        look()
      }),
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

function verbose(text: string): void {
  if (process.env.BENCH_VERBOSE) process.stderr.write(`${text}\n`)
}

const thousands = (value: number): string => Math.round(value).toLocaleString('en')
