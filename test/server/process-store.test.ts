/** What is kept of jobs, for how long, and when their webhooks are due. */
import { beforeAll, describe, expect, test } from 'vitest'
import { openJobStore, processMigrations, type Ending, type JobStore } from '../../src/processing/store.ts'
import { migrate, type Records } from '../../src/storage/index.ts'
import { testRecords } from '../helpers/postgres.ts'

const REQUEST = { dataset: 'a/b.csv', code: 'x', timeoutMs: 1_000, memoryBytes: 1_000_000 }
const KILLED: Ending = { status: 'killed', result: null, message: 'It fell', parquet: null, seconds: null }
const DAY_MS = 86_400_000

describe('the store of jobs', () => {
  let records: Records
  let store: JobStore
  beforeAll(async () => {
    ;({ records } = await testRecords())
    await migrate(records, processMigrations)
    store = openJobStore(records)
  })
  const ended = async (id: string, webhook: string | null, daysAgo: number): Promise<void> => {
    await store.insert({ id, request: REQUEST, key: null, webhook })
    await store.end(id, KILLED)
    await records.query("update process_jobs set ended_at = ended_at - $2::float8 * interval '1 day' where id = $1", [id, daysAgo])
  }

  test('forgets what ended long ago, but nothing that is open or whose webhook is still to be sent', async () => {
    await ended('old', null, 3)
    await ended('young', null, 0.5)
    await ended('told-later', 'https://example.com', 3)
    await store.insert({ id: 'open', request: REQUEST, key: null, webhook: null })
    expect(await store.trim(DAY_MS, 10)).toEqual(['old'])
    await store.delivered('told-later')
    expect(await store.trim(DAY_MS, 10)).toEqual(['told-later'])
    expect((await store.list({ limit: 10 })).items.map(({ id }) => id).sort((a, b) => a.localeCompare(b))).toEqual(['open', 'young'])
    expect(await store.openCount()).toBe(1)
  })

  test('has a webhook due when its job is over, again after its delay, and no more when it is given up', async () => {
    await store.insert({ id: 'hook', request: REQUEST, key: null, webhook: 'https://example.com' })
    expect(await store.due(10)).toEqual([])
    await store.end('hook', KILLED)
    expect((await store.due(10)).map(({ id, webhook }) => [id, webhook])).toEqual([['hook', 'https://example.com']])
    await store.notDelivered('hook', 'no', 60_000)
    expect(await store.due(10)).toEqual([])
    expect(await store.get('hook')).toMatchObject({ delivery: 'waiting', deliveries: 1, deliveryError: 'no' })
    await store.notDelivered('hook', 'no', 0)
    expect(await store.due(10)).toHaveLength(1)
    await store.notDelivered('hook', 'gone', null)
    expect(await store.due(10)).toEqual([])
    expect(await store.get('hook')).toMatchObject({ delivery: 'given_up', deliveries: 3 })
  })

  test('ends a job once', async () => {
    await store.insert({ id: 'once', request: REQUEST, key: null, webhook: null })
    await store.running('once', 'decoding')
    expect(await store.end('once', { ...KILLED, status: 'cancelled' })).toBe(true)
    expect(await store.end('once', KILLED)).toBe(false)
    await store.running('once', 'encoding')
    expect(await store.get('once')).toMatchObject({ status: 'cancelled', phase: null })
  })
})
