/** The air-quality example on real engines, switched by configuration alone, ends in the figures of the embedded ones. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { expected, readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, good, lagoa, newHome, ROOT, temporaryFolder, type Summary } from '../helpers/cli.ts'
import { noKafka, startKafka } from '../helpers/kafka.ts'
import { noPostgresServer, startPostgresServer } from '../helpers/postgres-server.ts'
import { noRabbit, startRabbit } from '../helpers/rabbitmq.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { noS3Server, startS3 } from '../helpers/s3.ts'

const WHOLE = join(ROOT, '../shared/data/AirQualityUCI.csv')
const small = join(temporaryFolder('engines'), 'small.csv')
const made = readings(3000)
writeReadings(small, made)
const source = existsSync(WHOLE)
  ? { path: WHOLE, expected: { rows: 9357, coMissing: 1683, no2Missing: 1642, matched: 388, episodes: 115 } }
  : { path: small, expected: expected(made) }

const missing = [noKafka, noPostgresServer, noRabbit, noRedis, noS3Server].filter((reason) => reason !== null).join('; ')

describe.skipIf(missing !== '')(`real engines${missing === '' ? '' : ` (skipped: ${missing})`}`, () => {
  test('Kafka, PostgreSQL, Redis, RabbitMQ and S3 end in the same figures, and a second pass adds nothing', async () => {
    const [kafka, postgres, redis, rabbit, s3] = await Promise.all([startKafka(), startPostgresServer(), startRedis(), startRabbit(), startS3()])
    const home = newHome()
    const env = {
      DATABASE_URL: await postgres.database(),
      KAFKA_BROKERS: kafka.broker,
      REDIS_URL: redis.url,
      RABBITMQ_URL: rabbit.url,
      S3_ENDPOINT: s3.endpoint,
      S3_REGION: s3.region,
      S3_ACCESS_KEY_ID: s3.accessKeyId,
      S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
    }
    const { rows, coMissing, no2Missing, matched, episodes } = source.expected
    const pass = async (): Promise<Summary> =>
      good(
        await lagoa(['start', '--project', EXAMPLE, '--config', 'external.config.ts', '--data', source.path, '--once', '--rate', 'max', '--json'], {
          home,
          env,
        }),
      )
    const first = await pass()
    const figures = ({ tables, alerts }: Summary): unknown => ({
      tables: Object.fromEntries(['bronze.sensor', 'silver.readings', 'gold.air_hourly'].map((name) => [name, tables[name]?.rows])),
      alerts,
    })
    const wanted = {
      tables: { 'bronze.sensor': rows, 'silver.readings': rows, 'gold.air_hourly': rows },
      alerts: { air_critical: { matched, fired: matched, queued: matched }, air_episode: { matched, fired: episodes, queued: episodes } },
    }
    expect(figures(first)).toEqual(wanted)
    const second = await pass()
    expect(figures(second)).toEqual(wanted)
    expect(second.tables).toEqual(first.tables)
    const select = async (text: string): Promise<unknown[][]> => {
      const answer: { rows: unknown[][] } = good(await lagoa(['sql', '--project', EXAMPLE, '--config', 'external.config.ts', '--json', text], { home, env }))
      return answer.rows
    }
    expect(await select('select count(*), count(*) filter (where co is null), count(*) filter (where no2 is null) from silver.readings')).toEqual([
      [rows, coMissing, no2Missing],
    ])
    expect(await select('select count(*), count(distinct _offset) from bronze.sensor')).toEqual([[rows, rows]])
  })
})
