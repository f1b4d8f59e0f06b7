/** `--once`: take what there is, refresh what depends on it, deliver the alerts, and say what is stored now. */
import { bug } from '../base/index.ts'
import { deadLetterTopic } from '../streams/index.ts'
import type { Platform } from './platform.ts'

/** Totals of what is stored, not of this start. */
export interface OnceSummary {
  readonly streams: Readonly<Record<string, { readonly read: number; readonly dead_letter: number }>>
  readonly tables: Readonly<Record<string, { readonly rows: number; readonly version: number | null }>>
  readonly alerts: Readonly<Record<string, { readonly matched: number; readonly fired: number; readonly queued: number }>>
  readonly seconds: number
}

export async function runOnce(platform: Platform, signal: AbortSignal, onStep: (step: string) => void = () => undefined): Promise<OnceSummary> {
  const began = performance.now()
  const { pipeline, engines, alerts } = platform
  if (!pipeline) throw platform.problem ?? bug('platform.no_pipeline', 'There is no project to run')
  onStep('reading')
  await Promise.all([...pipeline.streams.values()].map((runtime) => runtime.drain(signal)))
  onStep('refreshing tables')
  await pipeline.refresher.drain(signal)
  onStep('delivering alerts')
  await alerts.drain()

  const streams: Record<string, { read: number; dead_letter: number }> = {}
  const sum = (ends: readonly number[]): number => ends.reduce((total, next) => total + next, 0)
  for (const name of pipeline.streams.keys()) {
    streams[name] = { read: sum(await engines.eventLog.ends(name)), dead_letter: sum(await engines.eventLog.ends(deadLetterTopic(name))) }
  }
  const tables: Record<string, { rows: number; version: number | null }> = {}
  for (const name of pipeline.lake.plan.tables.keys()) {
    const snapshot = await pipeline.lake.table(name).snapshot()
    tables[name] = { rows: snapshot?.rowCount ?? 0, version: snapshot?.version ?? null }
  }
  const rules: Record<string, { matched: number; fired: number; queued: number }> = {}
  for (const { name, matched, fired, queued } of await alerts.listRules()) rules[name] = { matched, fired, queued }
  return { streams, tables, alerts: rules, seconds: Math.round(performance.now() - began) / 1000 }
}
