import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { migrate, openRecords, type Records } from '../../src/storage/index.ts'
import { encodeJson, eventLogMigrations, openPostgresLog, recordsOf } from '../../src/streams/index.ts'
import { eventLogContract } from '../contracts/event-log.contract.ts'
import { testRecords } from '../helpers/postgres.ts'

const { records, connection } = await testRecords()
await migrate(records, eventLogMigrations)

const SCRIPT = fileURLToPath(new URL('append-elsewhere.ts', import.meta.url))

eventLogContract('postgres', {
  open: () => openPostgresLog(records),
  async appendElsewhere(topic, values) {
    await promisify(execFile)(process.execPath, [SCRIPT, JSON.stringify(connection), topic, JSON.stringify(values)])
  },
})

const KEEP = { partitions: 1, retainMs: 86_400_000, retainBytes: 1e9 }

describe('the event log in postgres', () => {
  it('stores what many append at once in few rows', async () => {
    const log = await openPostgresLog(records)
    await log.ensureTopic('grouped', KEEP)
    const values = Array.from({ length: 300 }, (_, i) => i)
    const answers = await Promise.all(values.map((n) => log.append('grouped', 0, encodeJson([`k${n}`], [String(n)]))))
    expect(answers.map(({ baseOffset }) => baseOffset)).toEqual(values)
    const [row] = await records.query<{ rows: number }>("select count(*) as rows from event_batch where topic = 'grouped'")
    expect(row?.rows).toBe(2)
    const found = (await log.read('grouped', 0, 0)).flatMap((batch) => [...recordsOf(batch)])
    expect(found.map(({ offset, key, value }) => [offset, key, value.toString()])).toEqual(values.map((n) => [n, `k${n}`, String(n)]))
    await log.close()
  })

  it('answers every append of a group with the error that ended it, and works again afterwards', async () => {
    const own = await openRecords({ connection, max: 3, log: silentLog })
    let isDown = false
    const flaky: Records = { ...bound(own), query: (...call) => (isDown ? Promise.reject(new Error('away')) : own.query(...call)) }
    const log = await openPostgresLog(flaky)
    await log.ensureTopic('flaky', KEEP)
    const append = (n: number) => log.append('flaky', 0, encodeJson(null, [String(n)]))
    isDown = true
    const answers = await Promise.allSettled([append(0), append(1), append(2)])
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    isDown = false
    expect((await Promise.all([append(0), append(1)])).map(({ baseOffset }) => baseOffset)).toEqual([0, 1])
    await log.close()
    await own.close()
  })

  it('keeps its memory bounded with many partitions and many small batches, and answers rightly from what is left', async () => {
    const log = await openPostgresLog(records)
    await log.ensureTopic('wide', { ...KEEP, partitions: 40 })
    const big = encodeJson(null, [JSON.stringify('x'.repeat(1_000_000))])
    for (let partition = 0; partition < 40; partition++) await log.append('wide', partition, big)
    for (let partition = 0; partition < 40; partition++) {
      const [found] = await log.read('wide', partition, 0)
      expect(found?.bytes.equals(big.bytes)).toBe(true)
    }
    await log.close()
  })

  it('refuses a stored batch that is damaged, by its offset', async () => {
    const log = await openPostgresLog(records)
    await log.ensureTopic('damaged', KEEP)
    await log.append('damaged', 0, encodeJson(null, ['1', '2']))
    await log.close()
    await records.query("update event_batch set bytes = substring(bytes for 20) where topic = 'damaged'")
    const fresh = await openPostgresLog(records)
    await expect(fresh.read('damaged', 0, 0)).rejects.toMatchObject({ code: 'streams.damaged_batch' })
    await fresh.close()
  })
})

/** The methods of a class as a plain object, to replace one. */
function bound(own: Records): Records {
  return {
    query: (...call) => own.query(...call),
    script: (text) => own.script(text),
    transaction: (body) => own.transaction(body),
    listen: (channel, onNotice) => own.listen(channel, onNotice),
    session: () => own.session(),
    close: () => own.close(),
  }
}
