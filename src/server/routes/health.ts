/** Health for orchestrators and metrics for Prometheus. */
import type { Platform } from '../../platform/index.ts'
import { lookAt } from '../look.ts'
import type { Route } from '../route.ts'
import { serviceHealth } from './services.ts'

export function healthRoutes(platform: Platform): Route[] {
  return [
    {
      method: 'get',
      path: '/health/live',
      access: { action: 'read', resource: 'health' },
      summary: 'The process answers',
      handle: (context) => context.json({ status: 'ok' }),
    },
    {
      method: 'get',
      path: '/health/ready',
      access: { action: 'read', resource: 'health' },
      summary: 'Every engine answers and the project is loaded; 503 with the reasons otherwise',
      async handle(context) {
        const services = (await platform.services()).map(serviceHealth)
        const ready = platform.pipeline !== null && services.every(({ state }) => state !== 'down')
        const problems = [
          ...services
            .filter(({ state }) => state === 'down')
            .map(({ name, adapter, detail, hint }) => `${name} (${adapter}): ${[detail, hint].filter((text) => text !== undefined).join('. ')}`),
          ...(platform.pipeline ? [] : [platform.problem?.message ?? 'the project is not loaded']),
        ]
        return context.json({ status: ready ? 'ok' : 'unavailable', problems, services }, ready ? 200 : 503)
      },
    },
    {
      method: 'get',
      path: '/metrics',
      access: { action: 'read', resource: 'metrics' },
      summary: 'Metrics in the Prometheus text format',
      async handle(context) {
        context.header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
        return context.body(await metrics(platform))
      },
    },
  ]
}

type Sample = readonly [labels: Readonly<Record<string, string | number>>, value: number]

/** Names follow Prometheus's conventions: base units, `_total` for counters. */
async function metrics(platform: Platform): Promise<string> {
  const { pipeline, alerts } = platform
  const records: Sample[] = []
  const bytes: Sample[] = []
  const lag: Sample[] = []
  const failing: Sample[] = []
  for (const [stream, runtime] of pipeline?.streams ?? []) {
    const { partitions, sinks } = await runtime.status()
    for (const { partition, next, bytes: size } of partitions) {
      records.push([{ stream, partition }, next])
      bytes.push([{ stream, partition }, size])
    }
    for (const sink of sinks) {
      lag.push([{ stream, sink: sink.name }, sink.lag])
      failing.push([{ stream, sink: sink.name }, sink.state === 'retrying' ? 1 : 0])
    }
  }
  const rows: Sample[] = []
  const sizes: Sample[] = []
  const versions: Sample[] = []
  const times: Sample[] = []
  const damaged: Sample[] = []
  for (const table of pipeline?.lake.plan.tables.keys() ?? []) {
    const { snapshot, fault } = pipeline ? await lookAt(pipeline.lake, table) : { snapshot: null, fault: null }
    damaged.push([{ table }, fault ? 1 : 0])
    if (!snapshot) continue
    if (snapshot.rowCount !== null) rows.push([{ table }, snapshot.rowCount])
    sizes.push([{ table }, snapshot.bytes])
    versions.push([{ table }, snapshot.version])
    times.push([{ table }, snapshot.timestamp / 1000])
  }
  const rules = await alerts.listRules()
  const { running, ended, phaseMs } = platform.walled.figures()
  return [
    family('lagoa_stream_records_total', 'counter', 'Records taken into the log', records),
    family('lagoa_stream_bytes', 'gauge', 'Bytes retained in the log', bytes),
    family('lagoa_sink_lag_records', 'gauge', 'Records that a sink has not taken yet', lag),
    family('lagoa_sink_retrying', 'gauge', 'Whether a sink is failing and tries again', failing),
    family('lagoa_table_rows', 'gauge', 'Rows of a table', rows),
    family('lagoa_table_unreadable', 'gauge', 'Whether the log of a table is damaged', damaged),
    family('lagoa_table_bytes', 'gauge', 'Bytes of the data files of a table', sizes),
    family('lagoa_table_version', 'gauge', 'Newest version of a table', versions),
    family('lagoa_table_updated_timestamp_seconds', 'gauge', 'Time of the newest version', times),
    family(
      'lagoa_alert_matched_total',
      'counter',
      'Readings that met a condition',
      rules.map((rule) => [{ rule: rule.name }, rule.matched]),
    ),
    family(
      'lagoa_alert_fired_total',
      'counter',
      'Alerts fired',
      rules.map((rule) => [{ rule: rule.name }, rule.fired]),
    ),
    family(
      'lagoa_alert_queued_total',
      'counter',
      'Alerts delivered to their queues',
      rules.map((rule) => [{ rule: rule.name }, rule.queued]),
    ),
    family(
      'lagoa_alert_firing',
      'gauge',
      'Keys that are firing now',
      rules.map((rule) => [{ rule: rule.name }, rule.firing]),
    ),
    family(
      'lagoa_service_up',
      'gauge',
      'Whether an engine answers',
      (await platform.services()).map(({ name, adapter, state }) => [{ service: name, adapter }, state === 'down' ? 0 : 1]),
    ),
    family('lagoa_python_running', 'gauge', "Codes of users' Python that run or wait for a place", [[{}, running]]),
    family(
      'lagoa_python_ended_total',
      'counter',
      "Codes of users' Python that ended, by how",
      Object.entries(ended).map(([status, count]) => [{ status }, count]),
    ),
    family(
      'lagoa_python_seconds_total',
      'counter',
      "Time that users' Python took, by phase",
      Object.entries(phaseMs).map(([phase, ms]) => [{ phase }, ms / 1000]),
    ),
    family('process_resident_memory_bytes', 'gauge', 'Resident memory of the server process', [[{}, process.memoryUsage.rss()]]),
    family('process_cpu_seconds_total', 'counter', 'User and system time of the server process', [
      [{}, (process.cpuUsage().user + process.cpuUsage().system) / 1e6],
    ]),
    family('process_start_time_seconds', 'gauge', 'Start of the server process', [[{}, platform.startedAt / 1000]]),
  ].join('')
}

function family(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return ''
  const lines = samples.map(([labels, value]) => {
    const text = Object.entries(labels).map(
      ([label, content]) => `${label}="${String(content).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
    )
    return `${name}${text.length > 0 ? `{${text.join(',')}}` : ''} ${value}\n`
  })
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}
