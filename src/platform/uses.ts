/** Who needs which engine, and what waits for it: lanes of streams, queues of alerts, tables, and engines that live in another. */
import type { Alerts } from '../alerts/index.ts'
import type { StreamStatus } from '../streams/index.ts'
import type { Engines } from './engines.ts'
import type { Pipeline } from './pipeline.ts'
import type { ServiceName } from './services.ts'

export interface ServiceUse {
  readonly kind: 'stream' | 'lane' | 'queue' | 'tables' | 'engine'
  /** Of the stream, of the stream and its sink, of the queue, of the engine; how many tables. */
  readonly name: string
  readonly state: 'running' | 'waiting'
  /** Records or messages that are not there yet. */
  readonly pending: number
  readonly error?: string
  /** When it is tried again. */
  readonly retryAt: number | null
  /** It does nothing but write there, so when it fails the engine refuses it. */
  readonly engineRefuses: boolean
}

/** The engine that a sink writes to. */
const SINK_ENGINES: Readonly<Record<StreamStatus['sinks'][number]['kind'], ServiceName>> = {
  alerts: 'records',
  live: 'keys',
  objects: 'objects',
  table: 'objects',
  dead_letters: 'eventLog',
}
const ONLY_WRITES: ReadonlySet<string> = new Set(['live', 'objects'])

export async function usesOf(engines: Engines, pipeline: Pipeline | null, alerts: Alerts): Promise<ReadonlyMap<ServiceName, readonly ServiceUse[]>> {
  const uses = new Map<ServiceName, ServiceUse[]>()
  const add = (service: ServiceName, use: Pick<ServiceUse, 'kind' | 'name'> & Partial<ServiceUse>): void => {
    const known = uses.get(service) ?? []
    known.push({ state: 'running', pending: 0, retryAt: null, engineRefuses: false, ...use })
    uses.set(service, known)
  }
  const inDatabase = (['eventLog', 'keys', 'queue'] as const).filter((name) => engines[name].capabilities.name === 'postgres')
  for (const name of inDatabase) add('records', { kind: 'engine', name })
  for (const [stream, runtime] of pipeline?.streams ?? []) {
    const { problem, sinks } = await runtime.status()
    add('eventLog', { kind: 'stream', name: stream, ...(problem ? { state: 'waiting', error: problem.message } : {}) })
    for (const { name, kind, lag, state, error, retryAt } of sinks) {
      const fails = state === 'retrying'
      add(SINK_ENGINES[kind], {
        kind: 'lane',
        name: `${stream}: ${name}`,
        pending: lag,
        retryAt,
        ...(fails ? { state: 'waiting', engineRefuses: ONLY_WRITES.has(kind) } : {}),
        ...(error === undefined ? {} : { error }),
      })
    }
  }
  const tables = pipeline?.lake.plan.tables.size ?? 0
  if (tables > 0) for (const service of ['objects', 'query'] as const) add(service, { kind: 'tables', name: String(tables) })
  const waits = new Map((await alerts.waiting()).map((wait) => [wait.queue, wait]))
  const queues = new Set([...(pipeline?.rules ?? []).flatMap(({ routes }) => routes.map(({ name }) => name)), ...waits.keys()])
  for (const name of queues) {
    const wait = waits.get(name)
    add('queue', {
      kind: 'queue',
      name,
      pending: wait?.messages ?? 0,
      retryAt: wait?.retryAt ?? null,
      ...(wait?.error === undefined ? {} : { state: 'waiting', error: wait.error, engineRefuses: true }),
    })
  }
  return uses
}
