/**
 * What a stretch of records does to the rules of a stream: readings -> state changes, alerts and counts. No I/O: the sink
 * carries out what is answered here, and anything else (a test, a backtest) can run the same rules over any rows.
 */
import { idFrom, type RowColumn, type Rows } from '../base/index.ts'
import { createEvaluator, STRETCH, type Evaluator } from './cel/evaluate.ts'
import { TRUE, UNKNOWN } from './cel/outcomes.ts'
import type { CompiledRule } from './compile.ts'
import type { AlertMode, RuleStream, Severity } from './declare.ts'
import { advance, type Episode } from './episodes.ts'
import { instantOf, keyOf, storable, valuesOf, type JsonScalar } from './values.ts'

/** The rules of one stream, compiled together so that they share work. */
export interface RuleSet {
  readonly stream: RuleStream
  readonly rules: readonly CompiledRule[]
  readonly evaluator: Evaluator
}

export function createRuleSet(stream: RuleStream, rules: readonly CompiledRule[]): RuleSet {
  const conditions = rules.flatMap((rule) => [rule.when, rule.clear ?? rule.when])
  return { stream, rules, evaluator: createEvaluator(stream.schema, conditions) }
}

/** Where each rule stands with each key, in one partition. */
export class RuleStates {
  readonly #byRule: { readonly keys: Map<string, Episode>; open: number }[]

  constructor(rules: number) {
    this.#byRule = Array.from({ length: rules }, () => ({ keys: new Map<string, Episode>(), open: 0 }))
  }

  get(rule: number, key: string): Episode | null {
    return this.#byRule[rule]?.keys.get(key) ?? null
  }

  set(rule: number, key: string, episode: Episode): void {
    const states = this.#byRule[rule]
    if (states === undefined) return
    states.open += opens(episode) - opens(states.keys.get(key))
    states.keys.set(key, episode)
  }

  /** How many keys are pending or firing. */
  open(rule: number): number {
    return this.#byRule[rule]?.open ?? 0
  }
}

function opens(episode: Episode | undefined): number {
  return episode === undefined || episode.phase === 'quiet' ? 0 : 1
}

/** Why an alert ended although its condition did not end it. */
export type EndReason = 'rule_removed' | 'rule_changed'

/** An alert as kept in the history. */
export interface AlertRecord {
  readonly id: string
  readonly rule: string
  readonly mode: AlertMode
  readonly severity: Severity
  readonly key: string
  readonly state: 'firing' | 'resolved' | 'fired'
  /** Event time of the first reading of the episode, epoch milliseconds. */
  readonly startedAt: number
  readonly resolvedAt: number | null
  /** Null when its condition ended it. */
  readonly endedBy: EndReason | null
  /** Matching readings in it so far. */
  readonly matched: number
  /** The fields of the reading that fired it. */
  readonly values: Readonly<Record<string, JsonScalar>>
  readonly message: string
}

/** A change to an alert that fired in an earlier delivery. */
export interface AlertChange {
  readonly id: string
  readonly matched: number
  readonly resolvedAt: number | null
}

export interface StateChange {
  readonly rule: string
  readonly key: string
  readonly episode: Episode
}

/** What goes to a queue: the alert's id and the queue make it unique. */
export interface OutboxMessage {
  readonly alert: string
  readonly rule: string
  readonly queue: string
  readonly durable: boolean
  readonly body: string
}

export interface Outcome {
  readonly states: readonly StateChange[]
  readonly opened: readonly AlertRecord[]
  readonly changed: readonly AlertChange[]
  readonly outbox: readonly OutboxMessage[]
  readonly totals: readonly { readonly rule: string; readonly matched: number; readonly fired: number }[]
}

/** Rows of one partition in offset order, as a delivery of the log has them. */
export interface ReadingBatch {
  readonly appendedAt: number
  readonly rows: Rows
  /** The offset of each row. */
  readonly offsets: Float64Array
}

/** Runs the rules over the batches. `states` is brought forward in place: when the answer is not carried out, throw it away. */
export function takeReadings(set: RuleSet, states: RuleStates, partition: number, batches: readonly ReadingBatch[]): Outcome {
  const outcome = new OutcomeBuilder(set, partition)
  for (const batch of batches) {
    for (let from = 0; from < batch.rows.count; from += STRETCH) {
      const count = set.evaluator.load(batch.rows, from)
      const stretch = new Stretch(set, batch, from, count)
      for (let rule = 0; rule < set.rules.length; rule++) {
        const compiled = set.rules[rule]
        if (compiled === undefined) continue
        // A rule with nothing open cares only for readings that match.
        if (states.open(rule) === 0 && !set.evaluator.canBeTrue(2 * rule)) continue
        if (compiled.mode === 'each') takeEach(compiled, rule, stretch, outcome)
        else takeEpisodes(compiled, rule, stretch, states, outcome)
      }
    }
  }
  return outcome.finish(states)
}

function takeEach(rule: CompiledRule, index: number, stretch: Stretch, outcome: OutcomeBuilder): void {
  const when = stretch.results(2 * index)
  for (let i = when.indexOf(TRUE); i >= 0 && i < stretch.count; i = when.indexOf(TRUE, i + 1)) {
    const key = stretch.key(rule, i)
    const at = stretch.time(i)
    outcome.matched(index)
    outcome.fired(index, stretch, i, { id: outcome.alertId(rule, key, stretch.offset(i)), key, startedAt: at, matched: 1, state: 'fired' })
  }
}

function takeEpisodes(rule: CompiledRule, index: number, stretch: Stretch, states: RuleStates, outcome: OutcomeBuilder): void {
  const when = stretch.results(2 * index)
  let clear: Uint8Array | null = null
  for (let i = 0; i < stretch.count; i++) {
    if (states.open(index) === 0 && when[i] !== TRUE) {
      const next = when.indexOf(TRUE, i)
      if (next < 0 || next >= stretch.count) return
      i = next
    }
    const matches = when[i] === TRUE
    if (matches) outcome.matched(index)
    const key = stretch.key(rule, i)
    const before = states.get(index, key)
    if (!matches && (before === null || before.phase === 'quiet')) continue
    if (rule.clear !== null && before?.phase === 'firing') clear ??= stretch.results(2 * index + 1)
    const at = stretch.time(i)
    const reading = { when: when[i] ?? UNKNOWN, clear: clear?.[i] ?? UNKNOWN, at }
    const { episode, event } = advance(rule.episode, before, reading, () => outcome.alertId(rule, key, stretch.offset(i)))
    if (episode === null || episode === before) continue
    states.set(index, key, episode)
    outcome.moved(index, key)
    if (event === 'fired' && episode.alert !== null) {
      outcome.fired(index, stretch, i, { id: episode.alert, key, startedAt: episode.since, matched: episode.matched, state: 'firing' })
    } else if (event === 'ended' && before?.alert) {
      outcome.changed({ id: before.alert, matched: before.matched, resolvedAt: at })
    } else if (episode.alert !== null && episode.matched !== before?.matched) {
      outcome.changed({ id: episode.alert, matched: episode.matched, resolvedAt: null })
    }
  }
}

/** Some consecutive rows of a batch, with what rules ask of them worked out once. */
class Stretch {
  readonly count: number
  readonly #set: RuleSet
  readonly #batch: ReadingBatch
  readonly #from: number
  readonly #eventTime: RowColumn | null
  readonly #keys = new Map<string, { readonly column: RowColumn | null; readonly known: (string | undefined)[] }>()

  constructor(set: RuleSet, batch: ReadingBatch, from: number, count: number) {
    this.count = count
    this.#set = set
    this.#batch = batch
    this.#from = from
    this.#eventTime = this.#column(set.stream.options.eventTime ?? null)
  }

  results(condition: number): Uint8Array {
    return this.#set.evaluator.results(condition)
  }

  offset(i: number): number {
    return this.#batch.offsets[this.#from + i] ?? -1
  }

  /**
   * Event time, or that of arrival. A time more than a day ahead of its arrival is a broken clock: taken as it is, it would make
   * every later reading of that sensor late.
   */
  time(i: number): number {
    const column = this.#eventTime
    const row = this.#from + i
    const { appendedAt } = this.#batch
    if (column === null || column.kind !== 'number' || column.valid[row] === 0) return appendedAt
    const value = (column.values[row] ?? 0) * (column.field.type === 'date' ? DAY_MS : 1)
    return value > appendedAt + DAY_MS ? appendedAt : value
  }

  key(rule: CompiledRule, i: number): string {
    if (rule.by === null) return ''
    let keys = this.#keys.get(rule.by)
    if (keys === undefined) this.#keys.set(rule.by, (keys = { column: this.#column(rule.by), known: [] }))
    // Rules share the work: many of them ask for the same row's key.
    return (keys.known[i] ??= keyOf(keys.column, this.#from + i))
  }

  values(i: number): Record<string, JsonScalar> {
    return valuesOf(this.#batch.rows, this.#from + i)
  }

  #column(name: string | null): RowColumn | null {
    return this.#batch.rows.columns.find((column) => column.name === name) ?? null
  }
}

const DAY_MS = 86_400_000

type Opened = Pick<AlertRecord, 'id' | 'key' | 'startedAt' | 'matched' | 'state'>

class OutcomeBuilder {
  readonly #set: RuleSet
  readonly #partition: number
  readonly #moved: (Set<string> | undefined)[] = []
  readonly #opened = new Map<string, { readonly order: number; readonly rule: number; record: AlertRecord; readonly outbox: readonly OutboxMessage[] }>()
  readonly #changed = new Map<string, AlertChange>()
  readonly #matched: Float64Array
  readonly #fired: Float64Array

  constructor(set: RuleSet, partition: number) {
    this.#set = set
    this.#partition = partition
    this.#matched = new Float64Array(set.rules.length)
    this.#fired = new Float64Array(set.rules.length)
  }

  /** The same reading gives the same id on every node and in every replay. */
  alertId(rule: CompiledRule, key: string, offset: number): string {
    return idFrom('alert', rule.name, key, this.#partition, offset)
  }

  matched(rule: number): void {
    this.#matched[rule] = (this.#matched[rule] ?? 0) + 1
  }

  moved(rule: number, key: string): void {
    const keys = this.#moved[rule]
    if (keys) keys.add(key)
    else this.#moved[rule] = new Set([key])
  }

  fired(rule: number, stretch: Stretch, i: number, opened: Opened): void {
    const compiled = this.#set.rules[rule]
    if (compiled === undefined) return
    this.#fired[rule] = (this.#fired[rule] ?? 0) + 1
    const values = stretch.values(i)
    const message = storable(compiled.message(opened.key, values))
    const record: AlertRecord = {
      ...opened,
      rule: compiled.name,
      mode: compiled.mode,
      severity: compiled.severity,
      resolvedAt: null,
      endedBy: null,
      values,
      message,
    }
    const body = compiled.routes.length === 0 ? '' : messageBody(record, stretch.time(i))
    const outbox = compiled.routes.map((route) => ({ alert: record.id, rule: compiled.name, queue: route.name, durable: route.durable, body }))
    this.#opened.set(record.id, { order: stretch.offset(i), rule, record, outbox })
  }

  changed(change: AlertChange): void {
    const opened = this.#opened.get(change.id)
    if (opened === undefined) this.#changed.set(change.id, change)
    else
      opened.record = { ...opened.record, matched: change.matched, ...(change.resolvedAt === null ? {} : { state: 'resolved', resolvedAt: change.resolvedAt }) }
  }

  finish(states: RuleStates): Outcome {
    const { rules } = this.#set
    // Alerts leave in the order of the readings that fired them, however they were found.
    const opened = [...this.#opened.values()].sort((a, b) => a.order - b.order || a.rule - b.rule)
    return {
      states: rules.flatMap((rule, index) =>
        [...(this.#moved[index] ?? [])].flatMap((key) => {
          const episode = states.get(index, key)
          return episode === null ? [] : [{ rule: rule.name, key, episode }]
        }),
      ),
      opened: opened.map(({ record }) => record),
      changed: [...this.#changed.values()],
      outbox: opened.flatMap(({ outbox }) => outbox),
      totals: rules.flatMap((rule, index) => {
        const matched = this.#matched[index] ?? 0
        return matched === 0 ? [] : [{ rule: rule.name, matched, fired: this.#fired[index] ?? 0 }]
      }),
    }
  }
}

/** The JSON that consumers of a queue get. `at` is the time of the reading that fired. */
function messageBody(alert: AlertRecord, at: number): string {
  const { id, rule, severity, key, message, values } = alert
  return JSON.stringify({ id, rule, severity, key, at: instantOf(at), message, values })
}
