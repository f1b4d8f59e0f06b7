/**
 * The alert rules of a stream as one of its sinks. What a delivery does to states, history, outbox and totals is one transaction
 * together with the stream's offset, so however deliveries are cut or repeated by crashes, every reading counts exactly once.
 */
import { bug, toLagoaError, type Log } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { Delivery, Sink } from '../streams/index.ts'
import type { CompiledRule } from './compile.ts'
import type { RuleStream } from './declare.ts'
import { createRuleSet, takeReadings, type AlertRecord, type RuleStates } from './step.ts'
import { ensureRules, isEmpty, loadStates, saveOutcome } from './store.ts'

export interface AlertSinkOptions {
  readonly log: Log
  /** Told after each commit that fired or ended something: wake the relay, tell the screens. What it throws is logged. */
  readonly onCommit?: (commit: AlertCommit) => void
}

/** Alerts as they stand after a commit, each at most once. */
export interface AlertCommit {
  readonly fired: readonly AlertRecord[]
  readonly resolved: readonly AlertRecord[]
}

export function createAlertSink(records: Records, stream: RuleStream, rules: readonly CompiledRule[], options: AlertSinkOptions): Sink {
  const stray = rules.find((rule) => rule.stream.name !== stream.name)
  if (stray) throw bug('alerts.other_stream', `The rule "${stray.name}" is on ${stray.stream.name}, not on ${stream.name}`)
  const set = createRuleSet(stream, rules)
  /** What the database holds, by partition. It is dropped whenever that is in doubt. */
  const known = new Map<number, RuleStates>()
  let ensured = false

  async function statesOf(partition: number): Promise<RuleStates> {
    const found = known.get(partition)
    if (found) return found
    if (!ensured) await ensureRules(records, rules)
    ensured = true
    const loaded = await loadStates(records, rules, partition)
    known.set(partition, loaded)
    return loaded
  }

  async function deliver(delivery: Delivery, signal: AbortSignal): Promise<void> {
    const { partition } = delivery
    try {
      const states = await statesOf(partition)
      signal.throwIfAborted()
      const outcome = takeReadings(set, states, partition, delivery.batches)
      if (isEmpty(outcome)) {
        await delivery.commitIn(records)
        return
      }
      const resolved = await records.transaction(async (tx) => {
        // First the offset: when somebody else moved it, nothing more is worth doing.
        await delivery.commitIn(tx)
        return saveOutcome(tx, partition, outcome)
      })
      announce({ fired: outcome.opened, resolved })
    } catch (error) {
      known.delete(partition)
      throw error
    }
  }

  function announce(commit: AlertCommit): void {
    if (commit.fired.length === 0 && commit.resolved.length === 0) return
    try {
      options.onCommit?.(commit)
    } catch (error) {
      options.log.error('alerts.listener_failed', { stream: stream.name, error: toLagoaError(error) })
    }
  }

  return { name: 'alerts', kind: 'alerts', pace: { records: 5_000, ms: 5 }, begin: (partition) => void known.delete(partition), deliver }
}
