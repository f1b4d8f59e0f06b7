/** Alerts as one thing to open and close: rules in force, sinks for streams, the relay to the queues, reads and live changes. */
import { systemClock, toLagoaError, type Clock, type Log } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { Sink } from '../streams/index.ts'
import type { CompiledRule } from './compile.ts'
import { startRelay, type QueueWait } from './outbox.ts'
import type { Queue } from './queue/port.ts'
import {
  alertTotals,
  findAlert,
  firedSince,
  firingCounts,
  listAlerts,
  listRules,
  type AlertFilter,
  type AlertPage,
  type AlertTotals,
  type AlertView,
  type RuleView,
} from './reads.ts'
import { endSilence, extendSilence, listSilences, silenceRule, type Silence, type SilenceOptions } from './silences.ts'
import { createAlertSink, type AlertCommit } from './sink.ts'
import { syncRules, trimAlerts } from './store.ts'

export interface AlertsOptions {
  readonly records: Records
  readonly queue: Queue
  readonly log: Log
  readonly clock?: Clock
}

export interface Alerts {
  /**
   * Puts exactly these rules in force. Call it, with every rule of the project, before any of the sinks is started, and again after
   * the project changed and the old sinks were stopped.
   */
  load(rules: readonly CompiledRule[]): Promise<void>
  /** The sinks of the loaded rules, one a stream. */
  sinks(): ReadonlyMap<string, Sink>
  /** The loaded rules, or the given ones where none are loaded to run. */
  listRules(of?: readonly CompiledRule[]): Promise<RuleView[]>
  listAlerts(filter?: AlertFilter): Promise<AlertPage>
  findAlert(id: string): Promise<AlertView | null>
  totals(): Promise<AlertTotals>
  firingCounts(): Promise<Map<string, number>>
  firedSince(time: number): Promise<number>
  /** Nothing that the rule has to say goes to its queues until then. */
  silence(rule: string, options: SilenceOptions): Promise<Silence>
  /** Another end for a silence that holds. */
  extendSilence(id: string, until: number): Promise<Silence>
  endSilence(id: string): Promise<Silence>
  listSilences(): Promise<Silence[]>
  /** Calls back after each commit of this process that fired or resolved alerts. Answers how to stop. */
  onAlert(listener: (commit: AlertCommit) => void): () => void
  /** Moves everything in the outbox to its queues now; answers how many messages left. */
  drain(): Promise<number>
  /** Messages that have not left for their queues yet, and why. */
  waiting(): Promise<QueueWait[]>
  /** Forgets alerts that were recorded before this time and are over; answers how many. */
  trim(before: number): Promise<number>
  /** Stops the relay. The sinks' lanes are stopped before, the queue and the records closed after. */
  close(): Promise<void>
}

export function openAlerts({ records, queue, log, clock = systemClock }: AlertsOptions): Alerts {
  const relay = startRelay(records, queue, { log, clock })
  const listeners = new Set<(commit: AlertCommit) => void>()
  let rules: readonly CompiledRule[] = []
  let sinks: ReadonlyMap<string, Sink> = new Map()

  function announce(commit: AlertCommit): void {
    if (commit.fired.length > 0) relay.wake()
    for (const listener of listeners) {
      try {
        listener(commit)
      } catch (error) {
        log.error('alerts.listener_failed', { error: toLagoaError(error) })
      }
    }
  }

  /** Pending episodes have the severity of their rules. */
  function withDeclared(filter: AlertFilter = {}): AlertFilter {
    const { severity, ...rest } = filter
    if (filter.state !== 'pending' || severity === undefined) return filter
    return { ...rest, rules: rules.filter((rule) => rule.severity === severity).map(({ name }) => name) }
  }

  /** What the declaration of its rule says, and the database does not hold. */
  function asDeclared(alert: AlertView): AlertView {
    const rule = rules.find(({ name }) => name === alert.rule)
    if (!rule) return alert
    if (alert.state === 'pending') return { ...alert, severity: rule.severity }
    return alert.delivery === 'sent' && rule.routes.length === 0 ? { ...alert, delivery: 'none' } : alert
  }

  return {
    async load(given) {
      const resolved = await syncRules(records, given, clock.now())
      rules = given
      const byStream = Map.groupBy(given, (rule) => rule.stream.name)
      sinks = new Map(
        [...byStream].flatMap(([name, ofStream]) => {
          const stream = ofStream[0]?.stream
          return stream === undefined ? [] : [[name, createAlertSink(records, stream, ofStream, { log, onCommit: announce })]]
        }),
      )
      if (resolved.length > 0) announce({ fired: [], resolved })
    },
    sinks: () => sinks,
    listRules: (of = rules) => listRules(records, of, relay.failures()),
    async listAlerts(filter) {
      const page = await listAlerts(records, withDeclared(filter))
      return { ...page, items: page.items.map(asDeclared) }
    },
    async findAlert(id) {
      const found = await findAlert(records, id)
      return found && asDeclared(found)
    },
    totals: () => alertTotals(records),
    firingCounts: () => firingCounts(records),
    firedSince: (time) => firedSince(records, time),
    silence: (rule, options) => silenceRule(records, rule, options),
    extendSilence: (id, until) => extendSilence(records, id, until),
    endSilence: (id) => endSilence(records, id),
    listSilences: () => listSilences(records),
    onAlert(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    drain: () => relay.drain(),
    waiting: () => relay.waiting(),
    trim: (before) => trimAlerts(records, before),
    close: () => relay.close(),
  }
}
