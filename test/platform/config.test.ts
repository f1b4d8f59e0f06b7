/** Where settings come from: a file, variables that the file asks for, and variables of the platform's own. */
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { env } from '../../src/index.ts'
import { loadConfigFile, resolveConfig, settingsFrom, variableFor } from '../../src/platform/index.ts'
import { tempFolder } from '../helpers/folder.ts'

const EXAMPLE = resolve(import.meta.dirname, '../../examples/air-quality')
const ENGINES = {
  DATABASE_URL: 'postgresql://lagoa:p%2F@127.0.0.1:5433/lagoa',
  KAFKA_BROKERS: '127.0.0.1:9092,127.0.0.1:9093',
  REDIS_URL: 'redis://:secret@127.0.0.1:6380',
  RABBITMQ_URL: 'amqp://lagoa:secret@127.0.0.1:5673',
  S3_ENDPOINT: 'http://127.0.0.1:7070',
  S3_REGION: 'sa-east-1',
  S3_ACCESS_KEY_ID: 'key',
  S3_SECRET_ACCESS_KEY: 'secret',
}

afterEach(() => vi.unstubAllEnvs())

describe('env', () => {
  test('is the value of a variable, else the fallback', () => {
    vi.stubEnv('GREENHOUSE_REDIS', 'redis://127.0.0.1:6379')
    expect(env('GREENHOUSE_REDIS')).toBe('redis://127.0.0.1:6379')
    expect(env('GREENHOUSE_REDIS', 'redis://elsewhere')).toBe('redis://127.0.0.1:6379')
    expect(env('GREENHOUSE_REGION', 'us-east-1')).toBe('us-east-1')
    expect(env('GREENHOUSE_REGION', '')).toBe('')
  })

  test('names a variable that is not set or empty, and what to type', () => {
    vi.stubEnv('GREENHOUSE_EMPTY', '')
    for (const name of ['GREENHOUSE_NONE', 'GREENHOUSE_EMPTY'])
      expect(() => env(name)).toThrow(
        expect.objectContaining({
          kind: 'invalid',
          code: 'config.env_missing',
          message: expect.stringContaining(name) as string,
          hint: expect.stringMatching(new RegExp(`export ${name}=.*lagoa services up --export`)) as string,
        }),
      )
  })

  test('reads a secret from the file that NAME_FILE names, unless NAME is set', () => {
    const file = join(tempFolder(), 'secret')
    writeFileSync(file, 'from the file\n')
    vi.stubEnv('GREENHOUSE_SECRET_FILE', file)
    expect(env('GREENHOUSE_SECRET', 'fallback')).toBe('from the file')
    vi.stubEnv('GREENHOUSE_SECRET', 'itself')
    expect(env('GREENHOUSE_SECRET')).toBe('itself')
    vi.stubEnv('GREENHOUSE_OTHER_FILE', join(file, 'gone'))
    expect(() => env('GREENHOUSE_OTHER')).toThrow(expect.objectContaining({ code: 'config.secret_file' }))
  })
})

test('the engines of the air-quality example are the same by its external.config.ts and by variables of the platform', async () => {
  for (const [name, value] of Object.entries(ENGINES)) vi.stubEnv(name, value)
  const variables = settingsFrom({
    LAGOA_DATABASE__URL: ENGINES.DATABASE_URL,
    LAGOA_KAFKA__BROKERS: ENGINES.KAFKA_BROKERS,
    LAGOA_REDIS__URL: ENGINES.REDIS_URL,
    LAGOA_RABBITMQ__URL: ENGINES.RABBITMQ_URL,
    LAGOA_OBJECTS__STORE: 's3',
    LAGOA_OBJECTS__ENDPOINT: ENGINES.S3_ENDPOINT,
    LAGOA_OBJECTS__REGION: ENGINES.S3_REGION,
    LAGOA_OBJECTS__ACCESS_KEY_ID: ENGINES.S3_ACCESS_KEY_ID,
    LAGOA_OBJECTS__SECRET_ACCESS_KEY: ENGINES.S3_SECRET_ACCESS_KEY,
  })
  const layer = async (from: string): Promise<{ from: string; values: Record<string, unknown> }> => ({
    from,
    values: { ...(await loadConfigFile(EXAMPLE, from))?.options },
  })
  const byFile = resolveConfig(EXAMPLE, [await layer('external.config.ts')])
  const byVariables = resolveConfig(EXAMPLE, [await layer('lagoa.config.ts'), { from: 'the environment', values: variables, spell: variableFor }])
  expect(byFile).toEqual(byVariables)
  expect(byFile.kafka.brokers).toEqual(['127.0.0.1:9092', '127.0.0.1:9093'])
  expect(byFile.database.url).toBe(ENGINES.DATABASE_URL)
})
