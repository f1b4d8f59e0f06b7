import { describe, expect, it } from 'vitest'
import { migrate } from '../../src/storage/index.ts'
import { openPostgresQueue, queueMigrations } from '../../src/alerts/index.ts'
import type { Clock } from '../../src/base/index.ts'
import { queueContract } from '../contracts/queue.contract.ts'
import { testRecords } from '../helpers/postgres.ts'

const { records } = await testRecords()
await migrate(records, queueMigrations)

queueContract('postgres', { open: () => Promise.resolve(openPostgresQueue(records)) })

describe('queues in postgres', () => {
  it('publish as part of a transaction, or not at all', async () => {
    const queue = openPostgresQueue(records)
    await queue.declare('tx', { durable: true })
    const attempt = records.transaction(async (tx) => {
      await queue.publishIn?.(tx, 'tx', [{ id: '1', body: 'x' }])
      throw new Error('changed my mind')
    })
    await expect(attempt).rejects.toThrow('changed my mind')
    expect([await queue.count('tx'), await queue.total('tx')]).toEqual([0, 0])
    await queue.close()
  })

  it('forget ids in time, but never one whose message still waits', async () => {
    let now = 0
    const clock: Clock = { now: () => now, sleep: () => Promise.resolve() }
    const queue = openPostgresQueue(records, { rememberIds: '1h', clock })
    await queue.declare('seen', { durable: true })
    await queue.publish('seen', [{ id: 'waits', body: '' }])
    await queue.publish('seen', [{ id: 'old', body: '' }])
    await records.query("delete from queue_messages where id = 'old'")
    await records.query("update queue_seen set seen_at = now() - interval '2 hours'")
    now += 3_600_000
    await queue.publish('seen', [{ id: 'new', body: '' }])
    await queue.close()
    expect(await records.query("select id from queue_seen where queue = 'seen' order by id")).toEqual([{ id: 'new' }, { id: 'waits' }])
  })
})
