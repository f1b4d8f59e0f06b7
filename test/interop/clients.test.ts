/** The air-quality example on real engines, used by the Python clients of its documents as those use the engines. */
import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE, eventually, newHome, serve, temporaryFolder, type Served } from '../helpers/cli.ts'
import { noKafka, startKafka } from '../helpers/kafka.ts'
import { noRabbit, startRabbit } from '../helpers/rabbitmq.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { noS3Server, startS3 } from '../helpers/s3.ts'

const missing = [noKafka, noRabbit, noRedis, noS3Server].filter((reason) => reason !== null).join('; ')
const home = join(import.meta.dirname, '../../node_modules/.lagoa/interop/clients')

/** Two days of hours, with some above a limit and some without a reading. */
const readings = Array.from({ length: 48 }, (_, hour) => ({
  date: hour < 24 ? '10/03/2004' : '11/03/2004',
  time: `${String(hour % 24).padStart(2, '0')}.00.00`,
  CO: hour % 11 === 3 ? -200 : hour === 20 ? 11.5 : 2.6,
  NO2: hour % 17 === 5 ? -200 : hour === 33 || hour === 34 ? 250.5 : 113,
  Temperature: 13.6,
  Relative_Humidity: 48.9,
  Absolute_Humidity: 0.7578,
}))
const above = readings.filter(({ CO, NO2 }) => CO > 10 || NO2 > 200)
const asHash = (reading: object): unknown => Object.fromEntries(Object.entries(reading).map(([name, value]) => [name, String(value)]))

describe.skipIf(missing !== '')(`the clients of the air-quality documents${missing === '' ? '' : ` (skipped: ${missing})`}`, () => {
  let server: Served
  let places: Readonly<Record<string, unknown>>

  async function client<T>(step: string, more: object = {}): Promise<T> {
    const script = join(import.meta.dirname, 'engines/air_quality.py')
    const { stdout } = await promisify(execFile)(join(home, 'bin/python'), ['-B', script, step, JSON.stringify({ ...places, readings, ...more })], {
      timeout: 120_000,
      maxBuffer: 1e8,
    })
    return JSON.parse(stdout) as T
  }

  async function arrived(): Promise<boolean> {
    const { items } = await server.get<{ items: { name: string; rows: number | null }[] }>('/api/v1/tables')
    if ((items.find(({ name }) => name === 'bronze.sensor')?.rows ?? 0) < readings.length) return false
    const rules = await server.get<{ items: { name: string; queued: number }[] }>('/api/v1/rules')
    if ((rules.items.find(({ name }) => name === 'air_critical')?.queued ?? 0) < above.length) return false
    const keys = await server.get<{ items: unknown[] }>('/api/v1/keys?prefix=sensor_1&limit=200')
    return keys.items.length === readings.length
  }

  beforeAll(async () => {
    if (!existsSync(join(home, 'lagoa-stamp'))) throw new Error('The clients are not installed: run node scripts/interop-setup.mjs')
    const [kafka, redis, rabbit, s3] = await Promise.all([startKafka(), startRedis(), startRabbit(), startS3()])
    server = await serve('start', ['--project', EXAMPLE, '--count', '1', '--seed', '1'], {
      home: newHome(),
      env: {
        LAGOA_KAFKA__BROKERS: kafka.broker,
        LAGOA_REDIS__URL: redis.url,
        LAGOA_RABBITMQ__URL: rabbit.url,
        LAGOA_OBJECTS__STORE: 's3',
        LAGOA_OBJECTS__ENDPOINT: s3.endpoint,
        LAGOA_OBJECTS__REGION: s3.region,
        LAGOA_OBJECTS__ACCESS_KEY_ID: s3.accessKeyId,
        LAGOA_OBJECTS__SECRET_ACCESS_KEY: s3.secretAccessKey,
      },
    })
    const csv = join(temporaryFolder('clients'), 'AirQualityUCI_Treated.csv')
    writeFileSync(
      csv,
      ['Date;Time;CO;NO2;Temperature;Relative_Humidity;Absolute_Humidity', ...readings.map((row) => Object.values(row).join(';')), ''].join('\n'),
    )
    const at = (address: string): { host: string; port: number; user: string; password: string } => {
      const { hostname, port, username, password } = new URL(address)
      return { host: hostname, port: Number(port), user: decodeURIComponent(username), password: decodeURIComponent(password) }
    }
    places = {
      csv,
      kafka: kafka.broker,
      redis: at(redis.url),
      rabbitmq: at(rabbit.url),
      s3: { endpoint: s3.endpoint, region: s3.region, access: s3.accessKeyId, secret: s3.secretAccessKey },
      url: server.url,
    }
  })

  test('kafka-python sends readings that are taken as they are, and reads them beside us', async () => {
    expect(await client('produce')).toBe(readings.length)
    await eventually('all in bronze, and their alerts queued', arrived, 60_000, 200)
    const seen = await client<Record<string, unknown>[]>('consume')
    expect(seen.filter((message) => 'CO' in message)).toEqual(readings)
  })

  test('redis finds each reading under both names', async () => {
    const wanted = Object.fromEntries(
      readings.flatMap((reading) => [
        [`sensor_${reading.date}_${reading.time}`, asHash(reading)],
        [`sensor:${reading.date}:${reading.time}`, asHash(reading)],
      ]),
    )
    expect(await client('cache')).toEqual(wanted)
  })

  test('pika declares the queue as it does and takes the alerts in order', async () => {
    const bodies = await client<string[]>('alerts', { take: above.length - 1 })
    expect(bodies.map((body) => JSON.parse(body) as unknown)).toMatchObject(
      above.slice(0, -1).map(({ CO, NO2 }) => ({ rule: 'air_critical', severity: 'critical', key: 'Monza', values: { co: CO, no2: NO2 } })),
    )
  })

  test('boto3 reads the history from the bucket', async () => {
    const { buckets, objects } = await client<{ buckets: string[]; objects: Record<string, unknown> }>('objects')
    expect(buckets).toContain('air-quality')
    expect(objects).toEqual(Object.fromEntries(readings.map((reading) => [`processed/${reading.date}_${reading.time}.json`, reading])))
  })

  test('requests gets cache, history and the alert that is left, each once', async () => {
    const answers = await client<{ status: number; body: Record<string, unknown> }[]>('api', {
      paths: [
        '/api/cache/sensor:11%2F03%2F2004:09.00.00',
        '/api/cache/sensor_11/03/2004_09.00.00',
        '/api/cache/nothing',
        '/api/history/11%2F03%2F2004_09.00.00',
        '/api/history/nothing',
        '/api/alerts',
        '/api/alerts',
      ],
    })
    const reading = readings[33] ?? {}
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 404, 200, 404, 200, 200])
    expect(answers.slice(0, 4).map(({ body }) => body)).toEqual([asHash(reading), asHash(reading), { error: 'Key not found' }, reading])
    expect(JSON.parse(String(answers[5]?.body.alert))).toMatchObject({ rule: 'air_critical', values: { no2: 250.5 } })
    expect(answers[6]?.body).toEqual({ alert: 'No alerts in queue' })
  })
})
