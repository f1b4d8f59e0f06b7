/** The state of the whole, in one answer: what moves, how fresh it is, and what needs somebody. */
import { toLagoaError } from '../../base/index.ts'
import type { Platform, Pipeline } from '../../platform/index.ts'
import { isMade, tierOf } from '../../lake/index.ts'
import { livesOf, planLive } from '../../streams/index.ts'
import { lookAt } from '../look.ts'
import { jsonRoute, type Route } from '../route.ts'
import { Overview } from '../wire.ts'
import { serviceHealth } from './services.ts'
import { checksOf } from './tables.ts'

export interface OverviewSource {
  start(): void
  stop(): void
  read(): Promise<Overview>
}

const SAMPLE_MS = 2000
const SAMPLES = 60
const STALE_KEY_MS = 15_000

export function createOverview(platform: Platform): OverviewSource {
  const freshness: number[] = []
  let timer: NodeJS.Timeout | undefined
  const sample = async (): Promise<void> => {
    const value = platform.pipeline ? await freshnessOf(platform.pipeline) : null
    if (value !== null) freshness.push(value)
    if (freshness.length > SAMPLES) freshness.shift()
  }
  return {
    start: () => (timer = setInterval(() => void sample().catch(() => undefined), SAMPLE_MS)),
    stop: () => clearInterval(timer),
    read: () => readOverview(platform, freshness),
  }
}

export function overviewRoutes(source: OverviewSource): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/overview',
      access: { action: 'read', resource: 'system' },
      summary: 'Movement, freshness, quality and what needs attention',
      answer: Overview,
      handle: () => source.read(),
    }),
  ]
}

async function readOverview(platform: Platform, freshness: readonly number[]): Promise<Overview> {
  const { pipeline, alerts, rates } = platform
  const attention: Overview['attention'] = []
  const services = await platform.services()
  // An engine that hangs would hold up the whole.
  const hasKeys = services.some(({ name, state }) => name === 'keys' && state !== 'down')
  if (platform.problem)
    attention.push({
      id: 'project',
      severity: 'error',
      kind: 'project',
      title: 'The project as saved cannot be loaded',
      detail: platform.problem.message,
      subject: '',
      count: null,
      since: null,
      link: '/',
    })

  const sources: Overview['movement']['sources'] = []
  for (const [name, runtime] of pipeline?.streams ?? []) {
    const status = await runtime.status()
    sources.push({
      name,
      kind: status.source?.kind ?? 'http',
      records: status.partitions.reduce((sum, { next }) => sum + next, 0),
      perSecond: rates.perSecond(name),
    })
    if (status.problem)
      attention.push({
        id: `stream:${name}`,
        severity: 'error',
        kind: 'sink',
        title: `The event log of ${name} does not answer`,
        detail: [status.problem.message, status.problem.hint].filter((text) => text !== undefined).join('. '),
        subject: name,
        count: null,
        since: null,
        link: `/streams/${encodeURIComponent(name)}`,
      })
    if (status.source?.state === 'failed')
      attention.push({
        id: `source:${name}`,
        severity: 'error',
        kind: 'sink',
        title: `The source of ${name} failed`,
        detail: status.source.failure?.message ?? '',
        subject: `${name}: ${status.source.kind}`,
        count: null,
        since: null,
        link: `/streams/${encodeURIComponent(name)}`,
      })
    for (const sink of status.sinks)
      if (sink.state === 'retrying')
        attention.push({
          id: `sink:${name}/${sink.name}`,
          severity: 'error',
          kind: 'sink',
          title: `${name}: ${sink.name} is failing`,
          detail: sink.error ?? '',
          subject: `${name}: ${sink.name}`,
          count: null,
          since: null,
          link: `/streams/${encodeURIComponent(name)}`,
        })
    if (hasKeys) attention.push(...(await staleKeys(platform, name)))
  }

  const tiers = new Map((['bronze', 'silver', 'gold'] as const).map((tier) => [tier, { tier, tables: 0, rows: 0, bytes: 0 }]))
  let passed = 0
  let failed = 0
  for (const table of pipeline?.lake.plan.tables.keys() ?? []) {
    const { snapshot, fault } = pipeline ? await lookAt(pipeline.lake, table) : { snapshot: null, fault: null }
    const tier = tierOf(table)
    const sum = tier === 'other' ? undefined : tiers.get(tier)
    if (sum) {
      sum.tables++
      sum.rows += snapshot?.rowCount ?? 0
      sum.bytes += snapshot?.bytes ?? 0
    }
    const status = pipeline?.refresher.status(table)
    if (fault)
      attention.push({
        id: `table:${table}`,
        severity: 'error',
        kind: 'table',
        title: `${table} cannot be read`,
        detail: [fault.message, fault.hint].filter(Boolean).join('. '),
        subject: table,
        count: null,
        since: null,
        link: `/lake/${table}`,
      })
    else if (status?.error)
      attention.push({
        id: `table:${table}`,
        severity: 'error',
        kind: 'table',
        title: `${table} could not be refreshed`,
        detail: status.error.message,
        subject: table,
        count: null,
        since: null,
        link: `/lake/${table}`,
      })
    const freshness = pipeline && !fault ? await pipeline.lake.freshness(table).catch(() => null) : null
    if (freshness?.state === 'stale')
      attention.push({
        id: `freshness:${table}`,
        severity: 'warning',
        kind: 'freshness',
        title: `${table} has no fresh data`,
        detail: `its newest data is of ${new Date(freshness.newest ?? 0).toISOString()}, and may be ${Math.round(freshness.withinMs / 1000)} s old`,
        subject: table,
        count: null,
        since: freshness.since,
        link: `/lake/${table}`,
      })
    for (const check of pipeline && !fault ? await checksOf(pipeline.lake, table) : []) {
      if (check.state === 'passed') passed++
      if (check.state !== 'failed') continue
      failed++
      attention.push({
        id: `check:${table}/${check.name}`,
        severity: 'warning',
        kind: 'check',
        title: `${table}: ${check.violations} rows break ${check.name}`,
        detail: check.rule,
        subject: `${table}: ${check.name}`,
        count: check.violations,
        since: null,
        link: `/lake/${table}?tab=quality`,
      })
    }
  }

  const firing = await alerts.listAlerts({ state: 'firing', limit: 20 })
  for (const alert of firing.items.slice(0, 5))
    attention.push({
      id: `alert:${alert.id}`,
      severity: 'error',
      kind: 'alert',
      title: alert.message ?? `${alert.rule} at ${alert.key}`,
      detail: `${alert.rule}, since ${new Date(alert.startedAt).toISOString()}`,
      subject: alert.rule,
      count: null,
      since: alert.startedAt,
      link: '/alerts',
    })
  for (const service of services) {
    const { detail, hint } = serviceHealth(service)
    if (service.state === 'down')
      attention.push({
        id: `service:${service.name}`,
        severity: 'error',
        kind: 'service',
        title: `${service.name} does not answer`,
        detail: [detail, hint].filter((text) => text !== undefined).join('. '),
        subject: service.name,
        count: null,
        since: service.since,
        link: '/health',
      })
  }

  const liveStreams = [...(pipeline?.streams.values() ?? [])].filter(({ stream }) => livesOf(stream).length > 0).length
  const midnight = new Date().setHours(0, 0, 0, 0)
  const totals = await alerts.totals()
  const [bronze, silver] = [tiers.get('bronze'), tiers.get('silver')]
  return {
    eventsPerSecond: sources.reduce((sum, { perSecond }) => sum + perSecond, 0),
    eventsHistory: [...rates.history()],
    freshnessMs: pipeline ? await freshnessOf(pipeline) : null,
    freshnessHistory: [...freshness],
    checks: { passed, failed },
    alerts: { firing: totals.firing, today: await alerts.firedSince(midnight) },
    lakeBytes: [...tiers.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    lakeRows: [...tiers.values()].reduce((sum, { rows }) => sum + rows, 0),
    movement: {
      sources,
      tiers: [...tiers.values()],
      keptShare: bronze && silver && bronze.rows > 0 && silver.tables > 0 ? Math.min(1, silver.rows / bronze.rows) : null,
      consumers: [
        { kind: 'query' as const, count: 0 },
        ...(pipeline?.rules.length ? [{ kind: 'alerts' as const, count: pipeline.rules.length }] : []),
        ...(liveStreams > 0 ? [{ kind: 'live' as const, count: liveStreams }] : []),
      ],
    },
    attention,
  }
}

/** The 95th percentile of how long tables have been behind their inputs; 0 when all are up to date, null without tables. */
async function freshnessOf({ lake, streams }: Pipeline): Promise<number | null> {
  const now = Date.now()
  const ages: number[] = []
  const lagging = new Set<string>()
  for (const runtime of streams.values())
    for (const { name, lag } of (await runtime.status()).sinks) if (lag > 0 && name.startsWith('table:')) lagging.add(name.slice('table:'.length))
  for (const [name, table] of lake.plan.tables) {
    const { snapshot, fault } = await lookAt(lake, name)
    if (fault) continue
    const own = snapshot?.timestamp ?? null
    if (!isMade(table.options)) {
      ages.push(lagging.has(name) && own !== null ? now - own : 0)
      continue
    }
    const inputs = await Promise.all(
      (lake.plan.models.find((model) => model.name === name)?.inputs ?? []).map(async (input) => (await lookAt(lake, input)).snapshot?.timestamp ?? 0),
    )
    ages.push(own !== null && Math.max(0, ...inputs) > own ? now - own : 0)
  }
  ages.sort((a, b) => a - b)
  return ages.length === 0 ? null : (ages[Math.min(ages.length - 1, Math.floor(ages.length * 0.95))] ?? null)
}

/** None while the engine is away: that is told as itself, and the rest of the overview stands. */
async function entriesOf({ engines }: Platform, prefix: string): Promise<Awaited<ReturnType<Platform['engines']['keys']['scan']>>['entries']> {
  try {
    return (await engines.keys.scan(prefix, { limit: 1000 })).entries
  } catch (error) {
    if (toLagoaError(error).kind === 'unavailable') return []
    throw error
  }
}

/** Devices that reported lately but have fallen silent, while others go on. */
async function staleKeys(platform: Platform, stream: string): Promise<Overview['attention']> {
  const declared = platform.pipeline?.streams.get(stream)?.stream
  const live = declared ? planLive(declared) : null
  if (!live || platform.rates.perSecond(stream) === 0) return []
  const { by } = live
  const entries = await entriesOf(platform, live.prefix)
  const now = Date.now()
  return entries
    .filter(({ updatedAt }) => updatedAt > 0 && now - updatedAt > STALE_KEY_MS)
    .slice(0, 5)
    .map(({ key, fields, updatedAt }) => ({
      id: `stale:${key}`,
      severity: 'warning',
      kind: 'stale',
      title: `${fields[by] ?? key} stopped reporting`,
      detail: `no reading for ${Math.round((now - updatedAt) / 1000)} s`,
      subject: fields[by] ?? key,
      count: null,
      since: updatedAt,
      link: '/live',
    }))
}
