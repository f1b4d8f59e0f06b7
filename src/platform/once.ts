/** `--once`: take what there is, refresh what depends on it, deliver the alerts, and say what is stored now. */
import { setTimeout as sleep } from 'node:timers/promises'
import { bug, ERROR_KINDS, LagoaError, toLagoaError, unavailable } from '../base/index.ts'
import { deadLetterTopic } from '../streams/index.ts'
import type { Pipeline } from './pipeline.ts'
import type { Platform } from './platform.ts'

/** Totals of what is stored, not of this start. */
export interface OnceSummary {
  readonly streams: Readonly<Record<string, { readonly read: number; readonly dead_letter: number }>>
  readonly tables: Readonly<Record<string, { readonly rows: number; readonly version: number | null }>>
  readonly alerts: Readonly<Record<string, { readonly matched: number; readonly fired: number; readonly queued: number }>>
  readonly seconds: number
}

/** Something that fails is tried again this long, which covers a database that restarts; then the pass ends with its error. */
const PATIENCE_MS = 10_000
const LOOK_MS = 250

export async function runOnce(platform: Platform, signal: AbortSignal, onStep: (step: string) => void = () => undefined): Promise<OnceSummary> {
  const began = performance.now()
  const { pipeline, alerts } = platform
  if (!pipeline) throw platform.problem ?? bug('platform.no_pipeline', 'There is no project to run')
  onStep('reading')
  const failures = await whileHopeful(pipeline, signal, (patience) =>
    Promise.all([...pipeline.streams.values()].map((runtime) => patiently(() => runtime.drain(patience), patience))),
  )
  onStep('ingesting files')
  await patiently(() => pipeline.files.drain(signal), signal).catch((error: unknown) => {
    signal.throwIfAborted()
    failures.push(toLagoaError(error))
  })
  onStep('refreshing tables')
  failures.push(...(await refreshAll(pipeline, signal)))
  onStep('delivering alerts')
  await patiently(() => alerts.drain(), signal)
  // What could be done was done; what could not decides how the pass ends.
  if (failures[0]) throw summed(failures)
  return { ...(await patiently(() => totals(platform, pipeline), signal)), seconds: Math.round(performance.now() - began) / 1000 }
}

/** Does it again while it fails with what may pass by itself, such as a database that restarts. */
async function patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  let deadline = Number.POSITIVE_INFINITY
  for (;;) {
    try {
      return await work()
    } catch (error) {
      const { kind } = toLagoaError(error)
      deadline = Math.min(deadline, Date.now() + PATIENCE_MS)
      if (signal.aborted || !ERROR_KINDS[kind].retry || Date.now() > deadline) throw error
      await sleep(LOOK_MS, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
}

/** Runs the work until it is done, the signal aborts, or something has failed for longer than it may. Answers the failures. */
async function whileHopeful(pipeline: Pipeline, signal: AbortSignal, work: (signal: AbortSignal) => Promise<unknown>): Promise<LagoaError[]> {
  const given = new AbortController()
  const patience = AbortSignal.any([signal, given.signal])
  const aborted = new Promise<never>((_, reject) => patience.addEventListener('abort', () => reject(toLagoaError(patience.reason)), { once: true }))
  aborted.catch(() => undefined)
  const failures: LagoaError[] = []
  const watching = (async () => {
    const since = new Map<string, number>()
    while (!patience.aborted) {
      const now = Date.now()
      const failing = await failingParts(pipeline)
      for (const name of since.keys()) if (!failing.has(name)) since.delete(name)
      for (const name of failing.keys()) since.set(name, since.get(name) ?? now)
      const hopeless = [...failing].filter(([name]) => now - (since.get(name) ?? now) > PATIENCE_MS).map(([, error]) => error)
      // Others may still have work to do; only when nothing but the failing parts is behind does the pass end.
      if (hopeless.length > 0 && !(await othersBehind(pipeline, failing))) {
        failures.push(...hopeless)
        given.abort(hopeless[0])
      }
      await sleep(LOOK_MS, undefined, { signal: patience, ref: false }).catch(() => undefined)
    }
  })()
  try {
    signal.throwIfAborted()
    await Promise.race([work(patience), aborted])
  } catch (error) {
    if (signal.aborted || failures.length === 0) throw error
  } finally {
    if (!given.signal.aborted) given.abort(new Error('done'))
    await watching
  }
  return failures
}

/** Sinks and sources that fail now, each with its error. */
async function failingParts(pipeline: Pipeline): Promise<Map<string, LagoaError>> {
  const failing = new Map<string, LagoaError>()
  for (const [name, runtime] of pipeline.streams) {
    let status
    try {
      status = await runtime.status()
    } catch (error) {
      failing.set(`${name}/log`, toLagoaError(error))
      continue
    }
    if (status.problem) failing.set(`${name}/log`, status.problem)
    for (const sink of status.sinks) {
      if (sink.state !== 'retrying') continue
      failing.set(
        `${name}/${sink.name}`,
        unavailable('stream.sink_failing', `${name}: ${sink.name} keeps failing at offset ${sink.position}: ${sink.error ?? 'for an unknown reason'}`, {
          hint: 'Nothing was lost: the records stay in the log, and the next start goes on from there.',
        }),
      )
    }
    if (status.source?.failure && ERROR_KINDS[status.source.failure.kind].retry) failing.set(`${name}/source`, status.source.failure)
  }
  return failing
}

async function othersBehind(pipeline: Pipeline, failing: ReadonlyMap<string, LagoaError>): Promise<boolean> {
  for (const [name, runtime] of pipeline.streams) {
    if (failing.has(`${name}/log`)) continue
    const { sinks, source } = await runtime.status()
    if (source?.state === 'running' && !failing.has(`${name}/source`)) return true
    if (sinks.some((sink) => sink.lag > 0 && !failing.has(`${name}/${sink.name}`))) return true
  }
  return false
}

/** Refreshes every model in dependency order; a failed one keeps its readers at their last version, but nobody else. */
async function refreshAll({ lake, refresher }: Pipeline, signal: AbortSignal): Promise<LagoaError[]> {
  const failures: LagoaError[] = []
  const failed = new Set<string>()
  for (const { name, inputs } of lake.plan.models) {
    signal.throwIfAborted()
    if (inputs.some((input) => failed.has(input))) {
      failed.add(name)
      continue
    }
    try {
      await refresher.refreshNow(name)
    } catch (error) {
      failed.add(name)
      failures.push(named(name, toLagoaError(error)))
    }
  }
  return failures
}

function named(table: string, error: LagoaError): LagoaError {
  if (error.message.includes(table)) return error
  return new LagoaError(error.kind, error.code, `${table} could not be refreshed: ${error.message}`, { hint: error.hint, cause: error })
}

/** The first failure, with the number of the others. */
function summed(failures: readonly LagoaError[]): LagoaError {
  const [first, ...others] = failures
  if (!first || others.length === 0) return first ?? bug('platform.no_failure', 'A pass failed without a failure')
  return new LagoaError(first.kind, first.code, `${first.message} (and ${others.length} more: ${others.map(({ message }) => message).join('; ')})`, {
    hint: first.hint,
    cause: first,
  })
}

async function totals({ engines, alerts }: Platform, { streams: runtimes, lake }: Pipeline): Promise<Omit<OnceSummary, 'seconds'>> {
  const streams: Record<string, { read: number; dead_letter: number }> = {}
  const sum = (ends: readonly number[]): number => ends.reduce((total, next) => total + next, 0)
  for (const name of runtimes.keys()) {
    streams[name] = { read: sum(await engines.eventLog.ends(name)), dead_letter: sum(await engines.eventLog.ends(deadLetterTopic(name))) }
  }
  const tables: Record<string, { rows: number; version: number | null }> = {}
  for (const name of lake.plan.tables.keys()) {
    const snapshot = await lake.table(name).snapshot()
    tables[name] = { rows: snapshot?.rowCount ?? 0, version: snapshot?.version ?? null }
  }
  const rules: Record<string, { matched: number; fired: number; queued: number }> = {}
  for (const { name, matched, fired, queued } of await alerts.listRules()) rules[name] = { matched, fired, queued }
  return { streams, tables, alerts: rules }
}
