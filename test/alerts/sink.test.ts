import fc from 'fast-check'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { silentLog, t } from '../../src/base/index.ts'
import { migrate, type Queryable, type Records } from '../../src/storage/index.ts'
import type { Sink } from '../../src/streams/index.ts'
import {
  alert,
  alertMigrations,
  compileRules,
  createAlertSink,
  openAlerts,
  openPostgresQueue,
  queue,
  syncRules,
  trimAlerts,
  type Alert,
  type AlertCommit,
  type AlertFilter,
  type Alerts,
  type RuleStream,
} from '../../src/alerts/index.ts'
import { testRecords } from '../helpers/postgres.ts'
import { batchesOf, batchOf, deliveryOf, OFFSET_TABLE } from './deliveries.ts'
import type { Row } from './reference.ts'

const schema = { sensor: t.string().nullable(), at: t.timestamp(), co: t.double().nullable().missing(-200).unit('mg/m3') }
const readings: RuleStream<typeof schema> = { kind: 'stream', name: 'readings', schema, options: { key: 'sensor', eventTime: 'at' } }

const each = alert('each', {
  on: readings,
  when: 'co > 10',
  mode: 'each',
  severity: 'critical',
  to: [queue('sensor_alert'), queue('second')],
  message: 'CO {co} at {sensor}',
})
const episode = alert('episode', { on: readings, when: 'co > 10', clear: 'co < 5', to: [queue('sensor_alert')] })
const held = alert('held', { on: readings, when: 'co > 8', for: { readings: 2 }, to: [] })
const lasting = alert('lasting', { on: readings, when: 'co > 8', for: '3s', by: 'co', severity: 'info', to: [queue('second')] })
const rules = compileRules([each, episode, held, lasting])

const APPENDED = Date.UTC(2026, 0, 1)
const TABLES = ['alert_rules', 'alert_states', 'alerts', 'alert_outbox', 'queues', 'queue_messages', 'queue_seen', 'test_offset']

let records: Records
const signal = new AbortController().signal

beforeAll(async () => {
  records = (await testRecords()).records
  await migrate(records, alertMigrations)
  await records.query(OFFSET_TABLE)
})

beforeEach(async () => {
  await records.query(`truncate ${TABLES.join(', ')}`)
})

function newSink(given = rules): Sink {
  return createAlertSink(records, readings, given, { log: silentLog })
}

async function everything(): Promise<unknown> {
  const [alerts, states, outbox, totals] = await Promise.all([
    records.query('select id, rule, mode, severity, key, state, started_at, resolved_at, matched, values, message from alerts order by id'),
    records.query('select * from alert_states order by rule, partition, key'),
    records.query('select alert, queue, durable, body from alert_outbox order by queue, seq'),
    records.query('select name, matched, fired from alert_rules order by name'),
  ])
  return { alerts, states, outbox, totals }
}

const anyRow: fc.Arbitrary<Row> = fc.record({
  sensor: fc.constantFrom('a', 'b', null),
  co: fc.constantFrom(-200, null, 1, 6, 9, 11, 12),
  at: fc.integer({ min: 0, max: 20_000 }),
})

describe('the alert sink', () => {
  it('gives one history, outbox and totals, however deliveries are cut, fail and come again', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRow, { minLength: 1, maxLength: 60 }),
        fc.array(fc.nat(60), { maxLength: 8 }),
        fc.array(fc.constantFrom('deliver', 'fail', 'restart', 'again', 'join'), { minLength: 1, maxLength: 12 }),
        async (rows, cuts, happenings) => {
          await records.query(`truncate ${TABLES.join(', ')}`)
          const whole = newSink()
          await whole.deliver(deliveryOf('readings', 0, batchesOf(schema, rows, [], APPENDED)), signal)
          const expected = await everything()

          await records.query(`truncate ${TABLES.join(', ')}`)
          let sink = newSink()
          let pending = batchesOf(schema, rows, cuts, APPENDED)
          for (let turn = 0; pending.length > 0; turn++) {
            const happening = happenings[turn % happenings.length] ?? 'deliver'
            const taken = pending.slice(0, happening === 'join' ? 3 : 1)
            const delivery = deliveryOf('readings', 0, taken)
            if (happening === 'restart') sink = newSink()
            if (happening === 'fail' && turn < 50) {
              // The transaction breaks after the statements of the delivery, as in a crash before the commit.
              const broken = createAlertSink(failingRecords(records), readings, rules, { log: silentLog })
              await expect(broken.deliver(delivery, signal)).rejects.toThrow('the database went away')
              await expect(sink.deliver({ ...delivery, commitIn: () => Promise.reject(new Error('moved')) }, signal)).rejects.toThrow('moved')
              continue
            }
            await sink.deliver(delivery, signal)
            if (happening === 'again') await expect(sink.deliver(delivery, signal)).rejects.toThrow('The offset of partition 0')
            pending = pending.slice(taken.length)
          }
          expect(await everything()).toEqual(expected)
        },
      ),
      { numRuns: 60 },
    )
  }, 60_000)

  it('forgets what it knew of a partition that another node carried meanwhile', async () => {
    const batches = batchesOf(
      schema,
      [12, 1, 12, 1].map((co, i) => ({ sensor: 'a', co, at: i * 1_000 })),
      [1, 2, 3],
      APPENDED,
    )
    const [here, there] = [newSink(), newSink()]
    for (const [turn, batch] of batches.entries()) {
      const carrying = turn % 2 === 0 ? here : there
      carrying.begin?.(0)
      await carrying.deliver(deliveryOf('readings', 0, [batch]), signal)
    }
    const episodes = await records.query("select state, resolved_at from alerts where rule = 'episode' order by started_at")
    expect(episodes).toEqual([
      { state: 'resolved', resolved_at: 1_000 },
      { state: 'resolved', resolved_at: 3_000 },
    ])
  })

  it('answers each alert with what the reading said', async () => {
    await newSink().deliver(deliveryOf('readings', 3, [batchOf(schema, [{ sensor: 'a', co: 12.5, at: 1_000 }], 0, APPENDED)]), signal)
    const [row] = await records.query<{ body: string }>("select body from alert_outbox where rule = 'each' and queue = 'sensor_alert'")
    expect(JSON.parse(row?.body ?? '')).toMatchObject({
      rule: 'each',
      severity: 'critical',
      key: 'a',
      at: '1970-01-01T00:00:01.000Z',
      message: 'CO 12.5 at a',
      values: { sensor: 'a', co: 12.5, at: '1970-01-01T00:00:01.000Z' },
    })
    const [plain] = await records.query<{ message: string }>("select message from alerts where rule = 'episode'")
    expect(plain?.message).toBe('episode at a: co = 12.5 mg/m3')
  })

  it('keeps the states of partitions apart', async () => {
    const sink = newSink()
    const high = { sensor: 'a', co: 12, at: 1_000 }
    await Promise.all([0, 1].map((partition) => sink.deliver(deliveryOf('readings', partition, [batchOf(schema, [high], 0, APPENDED)]), signal)))
    await sink.deliver(deliveryOf('readings', 0, [batchOf(schema, [{ sensor: 'a', co: 1, at: 2_000 }], 1, APPENDED)]), signal)
    expect(await records.query("select state from alerts where rule = 'episode' order by state")).toEqual([{ state: 'firing' }, { state: 'resolved' }])
  })

  it('costs one statement when a delivery changes nothing', async () => {
    const statements: string[] = []
    const sink = createAlertSink(countingRecords(records, statements), readings, rules, { log: silentLog })
    const quiet = (from: number) => deliveryOf('readings', 0, [batchOf(schema, [{ sensor: 'a', co: 1, at: from }], from, APPENDED)])
    await sink.deliver(quiet(0), signal)
    statements.length = 0
    await sink.deliver(quiet(1), signal)
    expect(statements).toHaveLength(1)
  })

  it('takes few statements for many alerts', async () => {
    const statements: string[] = []
    const sink = createAlertSink(countingRecords(records, statements), readings, rules, { log: silentLog })
    const rows = Array.from({ length: 4_000 }, (_, i): Row => ({ sensor: `s${i % 500}`, co: 11, at: i }))
    await sink.deliver(deliveryOf('readings', 0, [batchOf(schema, rows, 0, APPENDED)]), signal)
    expect(statements.length).toBeLessThan(16)
    expect((await records.query("select 1 from alerts where rule = 'each'")).length).toBe(4_000)
  })

  it('stores whatever producers send as text, numbers and times', async () => {
    const odd: Row[] = [
      { sensor: 'nul\0', co: 11, at: 0 },
      { sensor: 'lone \ud800', co: 11, at: 8.64e15 },
      { sensor: 'back\\u0000 "quoted"', co: 1e308, at: -8.64e15 },
      { sensor: 'x'.repeat(10_000), co: 11, at: 1e300 },
      { sensor: null, co: 11, at: -1e300 },
    ]
    await newSink().deliver(deliveryOf('readings', 0, [batchOf(schema, odd, 0, APPENDED)]), signal)
    const keys = (await records.query<{ key: string }>("select key from alerts where rule = 'each' order by key")).map(({ key }) => key)
    expect(keys).toHaveLength(5)
    expect(keys).toContain('nul\ufffd')
    expect(keys).toContain('back\\u0000 "quoted"')
    expect(keys).toContain('')
  })

  it('does not let one reading from the far future silence a sensor', async () => {
    const rows: Row[] = [
      { sensor: 'a', co: 12, at: APPENDED + 9e12 },
      { sensor: 'a', co: 1, at: APPENDED + 9e12 },
      { sensor: 'a', co: 12, at: APPENDED + 1 },
      { sensor: 'a', co: 1, at: APPENDED + 2 },
    ]
    await newSink().deliver(deliveryOf('readings', 0, [batchOf(schema, rows, 0, APPENDED)]), signal)
    expect(await records.query("select state from alerts where rule = 'episode'")).toEqual([{ state: 'resolved' }, { state: 'resolved' }])
  })
})

describe('rules that change', () => {
  const high = (from: number, co: number) => deliveryOf('readings', 0, [batchOf(schema, [{ sensor: 'a', co, at: 1_000 + from }], from, APPENDED)])

  it('resolve what was firing, with the reason, when they are removed', async () => {
    await syncRules(records, rules, 0)
    await newSink().deliver(high(0, 12), signal)
    const ended = await syncRules(records, compileRules([each]), 5_000)
    expect(ended).toMatchObject([{ rule: 'episode', state: 'resolved', resolvedAt: 5_000, endedBy: 'rule_removed' }])
    expect(await records.query("select 1 from alert_states where rule <> 'each'")).toEqual([])
    expect(await syncRules(records, compileRules([each]), 6_000)).toEqual([])
  })

  it('start anew when they look at another key, and keep their totals', async () => {
    await syncRules(records, rules, 0)
    await newSink().deliver(high(0, 12), signal)
    const moved: Alert = { ...episode, options: { ...episode.options, by: 'co' } }
    const ended = await syncRules(records, compileRules([each, moved, held, lasting]), 5_000)
    expect(ended.map(({ rule }) => rule)).toEqual(['episode'])
    expect(await records.query("select fired from alert_rules where name = 'episode'")).toEqual([{ fired: 1 }])
  })

  it('see only the records from then on when they are new', async () => {
    await newSink(compileRules([each])).deliver(high(0, 12), signal)
    await newSink().deliver(high(1, 12), signal)
    expect(await records.query('select name, matched from alert_rules order by name')).toEqual([
      { name: 'each', matched: 2 },
      { name: 'episode', matched: 1 },
      { name: 'held', matched: 1 },
      { name: 'lasting', matched: 1 },
    ])
  })
})

describe('alerts as a whole', () => {
  async function withAlerts(work: (alerts: Alerts, sink: Sink) => Promise<void>): Promise<void> {
    const queues = openPostgresQueue(records)
    const alerts = openAlerts({ records, queue: queues, log: silentLog })
    try {
      await alerts.load(rules)
      const sink = alerts.sinks().get('readings')
      if (sink === undefined) throw new Error('no sink')
      await work(alerts, sink)
    } finally {
      await alerts.close()
      await queues.close()
    }
  }

  it('show rules with totals, alerts newest first, and what is pending', () =>
    withAlerts(async (alerts, sink) => {
      const rows: Row[] = [1, 12, 12, 1, 9, 12].map((co, i) => ({ sensor: 'a', co, at: i * 1_000 }))
      await sink.deliver(deliveryOf('readings', 0, [batchOf(schema, rows, 0, APPENDED)]), signal)
      await alerts.drain()
      expect(await alerts.listRules()).toMatchObject([
        {
          name: 'each',
          on: 'readings',
          mode: 'each',
          severity: 'critical',
          matched: 3,
          fired: 3,
          queued: 6,
          firing: 0,
          to: ['sensor_alert', 'second'],
          limits: [{ field: 'co', op: '>', value: 10 }],
        },
        { name: 'episode', clear: 'co < 5', matched: 3, fired: 2, queued: 2, firing: 1 },
        { name: 'held', for: '2 readings', matched: 4, fired: 2, queued: 0, firing: 1 },
        { name: 'lasting', for: '3s', matched: 4, fired: 1, queued: 1, firing: 1 },
      ])
      expect(await alerts.totals()).toEqual({ matched: 14, fired: 8, queued: 9, firing: 3 })
      expect(Object.fromEntries(await alerts.firingCounts())).toEqual({ episode: 1, held: 1, lasting: 1 })
      expect((await alerts.listAlerts({ state: 'pending' })).items).toMatchObject([{ rule: 'lasting', key: '9', state: 'pending', startedAt: 4_000 }])
      const keysOf = async (filter: AlertFilter): Promise<string[]> => (await alerts.listAlerts(filter)).items.map(({ key }) => key)
      expect(await keysOf({ state: 'pending', severity: 'info' })).toEqual(['9'])
      expect(await keysOf({ state: 'pending', severity: 'warning' })).toEqual([])
      expect(await keysOf({ severity: 'info', since: 2_000 })).toEqual([])
      const deliveries = async (rule: string): Promise<unknown[]> => (await alerts.listAlerts({ rule })).items.map(({ delivery }) => delivery)
      expect([await deliveries('each'), await deliveries('held')]).toEqual([
        ['sent', 'sent', 'sent'],
        ['none', 'none'],
      ])
      const starts: number[] = []
      for (let cursor: string | undefined; ;) {
        const page = await alerts.listAlerts({ limit: 3, ...(cursor === undefined ? {} : { cursor }) })
        starts.push(...page.items.map(({ startedAt }) => startedAt))
        if (page.cursor === undefined) break
        cursor = page.cursor
      }
      expect(starts).toEqual([...starts].sort((a, b) => b - a))
      expect(starts).toHaveLength(8)
      const firing = await alerts.listAlerts({ state: 'firing', rule: 'episode' })
      expect(firing.items).toHaveLength(1)
      expect(await alerts.findAlert(firing.items[0]?.id ?? '')).toEqual(firing.items[0])
      expect(await alerts.firedSince(0)).toBe(8)
      await expect(alerts.listAlerts({ cursor: 'x' })).rejects.toThrow('The cursor is not one of this list')
    }))

  it('tell listeners after the commit, also when one of them throws', () =>
    withAlerts(async (alerts, sink) => {
      const commits: AlertCommit[] = []
      alerts.onAlert(() => {
        throw new Error('a broken screen')
      })
      const stop = alerts.onAlert((commit) => void commits.push(commit))
      const at = (from: number, co: number) => deliveryOf('readings', 0, [batchOf(schema, [{ sensor: 'a', co, at: from }], from, APPENDED)])
      await sink.deliver(at(0, 12), signal)
      await sink.deliver(at(1, 1), signal)
      stop()
      await sink.deliver(at(2, 12), signal)
      expect(commits.map(({ fired, resolved }) => [fired.map(({ rule }) => rule), resolved.map(({ rule }) => rule)])).toEqual([
        [['each', 'episode'], []],
        [[], ['episode']],
      ])
      expect(commits[1]?.resolved[0]).toMatchObject({ key: 'a', state: 'resolved', startedAt: 0, resolvedAt: 1, values: { co: 12 } })
    }))

  it('reach their queues by themselves after a commit', () =>
    withAlerts(async (_, sink) => {
      const queues = openPostgresQueue(records)
      await sink.deliver(deliveryOf('readings', 0, [batchOf(schema, [{ sensor: 'a', co: 12, at: 0 }], 0, APPENDED)]), signal)
      await expect.poll(() => queues.count('sensor_alert'), { timeout: 900, interval: 10 }).toBe(2)
      const [alertRow] = await records.query<{ id: string }>("select id from alerts where rule = 'each'")
      expect((await queues.take('sensor_alert'))?.id).toBe(alertRow?.id)
      await queues.close()
    }))

  it('forget what is over and old, and keep what is firing', async () => {
    const sink = newSink()
    await sink.deliver(deliveryOf('readings', 0, [batchOf(schema, [{ sensor: 'a', co: 12, at: 0 }], 0, APPENDED)]), signal)
    expect(await trimAlerts(records, Date.now() + 60_000)).toBe(1)
    expect(await records.query('select rule from alerts')).toEqual([{ rule: 'episode' }])
  })
})

/** Records whose transactions break at their end. */
function failingRecords(inner: Records): Records {
  return {
    ...plain(inner),
    transaction: (body) =>
      inner.transaction(async (tx) => {
        await body(tx)
        throw new Error('the database went away')
      }),
    query: (text, values, options) =>
      text.startsWith('select') || text.includes('alert_rules') ? inner.query(text, values, options) : Promise.reject(new Error('the database went away')),
  }
}

function countingRecords(inner: Records, statements: string[]): Records {
  const counted = (db: Queryable): Queryable => ({
    script: (text) => db.script(text),
    query: (text, values, options) => {
      statements.push(text)
      return db.query(text, values, options)
    },
  })
  return { ...plain(inner), ...counted(inner), transaction: (body) => inner.transaction((tx) => body(counted(tx))) }
}

function plain(inner: Records): Records {
  return {
    transaction: (body) => inner.transaction(body),
    listen: (channel, onNotice) => inner.listen(channel, onNotice),
    session: () => inner.session(),
    close: () => inner.close(),
    script: (text) => inner.script(text),
    query: (text, values, options) => inner.query(text, values, options),
  }
}
