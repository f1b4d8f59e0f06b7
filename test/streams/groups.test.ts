import { beforeAll, describe, expect, it } from 'vitest'
import { migrate, type Records } from '../../src/storage/index.ts'
import {
  commitGroup,
  encodeJson,
  eventLogMigrations,
  groupOffset,
  listGroups,
  offsetMigrations,
  openPostgresLog,
  type EventLog,
} from '../../src/streams/index.ts'
import { testRecords } from '../helpers/postgres.ts'

let records: Records
let log: EventLog

beforeAll(async () => {
  records = (await testRecords()).records
  await migrate(records, [...eventLogMigrations, ...offsetMigrations])
  log = await openPostgresLog(records)
  await log.ensureTopic('t', { partitions: 2, retainMs: 1e9, retainBytes: 1e9 })
  await log.append('t', 0, encodeJson(null, ['1', '2', '3', '4', '5']))
  return () => log.close()
})

describe('a consumer group', () => {
  it('stands nowhere until it commits, then where it committed, with its lag', async () => {
    expect(await groupOffset(records, 't', 'readers', 0)).toBeNull()
    await commitGroup(records, log, 't', 'readers', { partition: 0, offset: 3 })
    expect(await groupOffset(records, 't', 'readers', 0)).toBe(3)
    expect(await listGroups(records, log, 't')).toEqual([{ group: 'readers', partitions: [{ partition: 0, offset: 3, lag: 2 }] }])
  })

  it('may go back to read again', async () => {
    await commitGroup(records, log, 't', 'again', { partition: 0, offset: 5 })
    await commitGroup(records, log, 't', 'again', { partition: 0, offset: 1 })
    expect(await groupOffset(records, 't', 'again', 0)).toBe(1)
  })

  it('lets only the first of two members commit what both have read', async () => {
    await commitGroup(records, log, 't', 'pair', { partition: 0, offset: 2 })
    const both = await Promise.allSettled([0, 1].map(() => commitGroup(records, log, 't', 'pair', { partition: 0, offset: 4, from: 2 })))
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await groupOffset(records, 't', 'pair', 0)).toBe(4)
  })

  it('refuses offsets beyond the end, partitions that are not there and names that cannot be', async () => {
    await expect(commitGroup(records, log, 't', 'g', { partition: 0, offset: 6 })).rejects.toThrow('beyond the end')
    await expect(commitGroup(records, log, 't', 'g', { partition: 7, offset: 0 })).rejects.toThrow('no partition 7')
    await expect(commitGroup(records, log, 't', 'a/b', { partition: 0, offset: 0 })).rejects.toThrow('cannot be the name')
  })
})
