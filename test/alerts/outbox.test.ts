import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createLog, silentLog, unavailable } from '../../src/base/index.ts'
import { migrate, type Records } from '../../src/storage/index.ts'
import { alertMigrations, openPostgresQueue, startRelay, type Queue } from '../../src/alerts/index.ts'
import { testRecords } from '../helpers/postgres.ts'

let records: Records

beforeAll(async () => {
  records = (await testRecords()).records
  await migrate(records, alertMigrations)
})

beforeEach(async () => {
  await records.query('truncate alert_rules, alert_sent, alert_outbox, queues, queue_messages, queue_seen')
  await records.query("insert into alert_rules (name, stream, signature) values ('r', 's', '')")
})

async function fill(queue: string, from: number, to: number): Promise<void> {
  await records.query(
    "insert into alert_outbox (alert, rule, queue, durable, body) select 'id-' || n, 'r', $1, false, 'body ' || n from generate_series($2::int, $3::int) n order by n",
    [queue, from, to - 1],
  )
}

async function bodiesIn(queue: Queue, name: string): Promise<string[]> {
  return (await queue.peek(name, 10_000)).map(({ body }) => body)
}

const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `body ${from + i}`)
const queued = async (): Promise<unknown> => (await records.query('select coalesce(sum(messages), 0)::bigint as queued from alert_sent'))[0]

/** The same queues as an engine elsewhere offers them: no part in our transactions, and away when told so. */
function elsewhere(inner: Queue, away: (queue: string) => 'before' | 'after' | null = () => null): Queue {
  const { publishIn: _, ...rest } = inner
  return {
    ...rest,
    async publish(name, messages) {
      if (away(name) === 'before') throw unavailable('test.away', 'The broker is away')
      await inner.publish(name, messages)
      if (away(name) === 'after') throw unavailable('test.away', 'The confirm was lost')
    },
  }
}

describe('the relay', () => {
  it.each([
    ['in one transaction', (queue: Queue) => queue],
    ['to an engine elsewhere', (queue: Queue) => elsewhere(queue)],
  ])('moves messages %s, in order, and counts them', async (_, made) => {
    const queue = made(openPostgresQueue(records))
    const relay = startRelay(records, queue, { log: silentLog, batch: 7 })
    await fill('a', 0, 50)
    await fill('b', 0, 3)
    // The loop may have moved some by itself.
    await relay.drain()
    expect(await bodiesIn(queue, 'a')).toEqual(numbered(0, 50))
    expect(await bodiesIn(queue, 'b')).toEqual(numbered(0, 3))
    expect(await queued()).toEqual({ queued: 53 })
    expect(await records.query('select 1 from alert_outbox')).toEqual([])
    expect(await records.query("select durable from queues where name = 'a'")).toEqual([{ durable: false }])
    await relay.close()
    await queue.close()
  })

  it('tries a queue that fails again until it works, while others go on', async () => {
    let away = true
    const inner = openPostgresQueue(records)
    const lines: string[] = []
    const relay = startRelay(
      records,
      elsewhere(inner, (name) => (away && name === 'a' ? 'before' : null)),
      { log: createLog({ write: (line) => lines.push(line) }) },
    )
    await fill('a', 0, 5)
    await fill('b', 0, 5)
    relay.wake()
    await expect.poll(() => inner.count('b')).toBe(5)
    await expect.poll(() => lines.length).toBeGreaterThan(1)
    expect(lines[0]).toContain('alerts.queue_failed')
    expect(await inner.count('a')).toBe(0)
    away = false
    await expect.poll(() => bodiesIn(inner, 'a'), { timeout: 3_000 }).toEqual(numbered(0, 5))
    await relay.close()
    await inner.close()
  })

  it('serves a queue while another takes its time', async () => {
    const inner = openPostgresQueue(records)
    const { publishIn: _, ...rest } = inner
    const taken = Promise.withResolvers<void>()
    const slow: Queue = {
      ...rest,
      async publish(name, messages) {
        if (name === 'a') await taken.promise
        await inner.publish(name, messages)
        if (name === 'b') taken.resolve()
      },
    }
    await fill('a', 0, 5)
    await fill('b', 0, 5)
    const relay = startRelay(records, slow, { log: silentLog })
    try {
      await expect.poll(() => bodiesIn(inner, 'a'), { timeout: 5_000 }).toEqual(numbered(0, 5))
    } finally {
      taken.resolve()
      await relay.close()
    }
    await inner.close()
  })

  it('rests between its looks while the database is away, also when a queue had failed before', async () => {
    await fill('a', 0, 3)
    let gone = false
    let looks = 0
    const flaky: Records = {
      ...records,
      query: (...args: Parameters<Records['query']>) => {
        if (gone) looks++
        return gone ? Promise.reject(unavailable('test.gone', 'The database is away')) : records.query(...args)
      },
      transaction: (body) => (gone ? Promise.reject(unavailable('test.gone', 'The database is away')) : records.transaction(body)),
    } as Records
    const relay = startRelay(
      flaky,
      elsewhere(openPostgresQueue(records), () => 'before'),
      { log: silentLog },
    )
    await new Promise((done) => setTimeout(done, 150))
    gone = true
    await new Promise((done) => setTimeout(done, 1000))
    await relay.close()
    expect(looks).toBeGreaterThan(0)
    expect(looks).toBeLessThan(20)
  })

  it('publishes with the same ids again when the confirm was lost', async () => {
    let lost = 2
    const inner = openPostgresQueue(records)
    const relay = startRelay(
      records,
      elsewhere(inner, () => (lost-- > 0 ? 'after' : null)),
      { log: silentLog },
    )
    await fill('a', 0, 5)
    relay.wake()
    await expect.poll(queued, { timeout: 3_000 }).toEqual({ queued: 5 })
    expect(await inner.total('a')).toBe(5)
    await relay.close()
    await inner.close()
  })

  it('tells why messages wait for a queue, until it takes them', async () => {
    let away = true
    const inner = openPostgresQueue(records)
    const relay = startRelay(
      records,
      elsewhere(inner, () => (away ? 'before' : null)),
      { log: silentLog },
    )
    await fill('a', 0, 2)
    relay.wake()
    await expect.poll(() => [...relay.failures().keys()], { timeout: 3_000 }).toEqual(['a'])
    expect(relay.failures().get('a')?.message).toBeTruthy()
    away = false
    await expect.poll(() => relay.failures().size, { timeout: 10_000 }).toBe(0)
    expect(await inner.total('a')).toBe(2)
    await relay.close()
    await inner.close()
  })

  it('shares the work with relays of other nodes without repeating or reordering', async () => {
    const queue = openPostgresQueue(records)
    const relays = [0, 1, 2].map(() => startRelay(records, queue, { log: silentLog, batch: 5, pollMs: 20 }))
    for (let from = 0; from < 200; from += 40) {
      await fill('a', from, from + 40)
      for (const relay of relays) relay.wake()
    }
    await expect.poll(() => queue.count('a'), { timeout: 5_000 }).toBe(200)
    expect(await bodiesIn(queue, 'a')).toEqual(numbered(0, 200))
    expect(await queued()).toEqual({ queued: 200 })
    await Promise.all(relays.map((relay) => relay.close()))
    await queue.close()
  })

  it('notices by itself what another node put into the outbox', async () => {
    const queue = openPostgresQueue(records)
    const relay = startRelay(records, queue, { log: silentLog, pollMs: 30 })
    await new Promise((resolve) => setTimeout(resolve, 50))
    await fill('a', 0, 1)
    await expect.poll(() => queue.count('a')).toBe(1)
    await relay.close()
    await queue.close()
  })

  it('does not move an id that its queue had before', async () => {
    const queue = openPostgresQueue(records)
    const relay = startRelay(records, queue, { log: silentLog })
    await fill('a', 0, 3)
    await relay.drain()
    await queue.take('a')
    await fill('a', 0, 4)
    await relay.drain()
    expect(await bodiesIn(queue, 'a')).toEqual(numbered(1, 4))
    await relay.close()
    await queue.close()
  })
})
