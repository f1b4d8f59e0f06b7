/**
 * Drift: a table's schema changed, or something tried to change it. It is told in words with some of the rows that brought it, and kept
 * in the table's own history: with the commit that took the change, or in a commit of its own when the table's schema is frozen.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { idFrom, invalid, type LagoaError } from '../base/index.ts'
import type { DeltaField, DeltaTable, DeltaType, HistoryEntry } from './delta/index.ts'
import { samplesOf, type SampleRow } from './judge.ts'
import { quoteName } from './sql.ts'

/** Under this key of a commit's info stands the drift that it took or refused. */
export const DRIFT_INFO = 'lagoaDrift'

export interface Drift {
  readonly kind: 'taken' | 'refused' | 'unknown_fields'
  /** One sentence a change, such as "column co2 came new". */
  readonly changes: readonly string[]
  /** How many records carried each unknown field. */
  readonly fields?: Readonly<Record<string, number>>
  readonly samples: readonly SampleRow[]
}

/** Drift with the version that tells of it. */
export interface DriftEntry extends Drift {
  readonly version: number
  readonly at: number
}

/** What makes `wanted` other columns than `known`; null when they are the same. */
export function changesBetween(
  known: readonly DeltaField[],
  wanted: readonly DeltaField[],
): { readonly words: readonly string[]; readonly columns: readonly string[] } | null {
  const before = new Map(known.map((field) => [field.name.toLowerCase(), field]))
  const words: string[] = []
  const columns: string[] = []
  for (const field of wanted) {
    const old = before.get(field.name.toLowerCase())
    before.delete(field.name.toLowerCase())
    if (!old) words.push(`column ${field.name} came new, as ${typeName(field.type)}`)
    else if (typeName(old.type) !== typeName(field.type)) words.push(`type of ${field.name} went from ${typeName(old.type)} to ${typeName(field.type)}`)
    else continue
    columns.push(field.name)
  }
  for (const { name } of before.values()) words.push(`column ${name} went away`)
  return words.length === 0 ? null : { words, columns }
}

/** The drift that rows with these fields bring to a table; the samples are rows with something in the columns at fault. */
export async function driftOf(connection: DuckDBConnection, known: readonly DeltaField[], wanted: readonly DeltaField[], rows: string): Promise<Drift | null> {
  const changes = changesBetween(known, wanted)
  if (!changes) return null
  const filled = changes.columns.map((column) => `${quoteName(column)} is not null`).join(' or ')
  return { kind: 'taken', changes: changes.words, samples: filled === '' ? [] : await samplesOf(connection, `select * from (${rows}\n) where ${filled}`) }
}

/** Notes the drift in the history of a frozen table, once, and answers the error to throw. Rows and columns stay as they are. */
export async function refuseFrozen(name: string, table: DeltaTable, drift: Drift, from: string, connection: DuckDBConnection): Promise<LagoaError> {
  const snapshot = await table.snapshot()
  if (snapshot)
    await table.append(
      { connection, sql: `${await table.scan(snapshot)} limit 0` },
      { txn: { appId: `drift/${idFrom(...drift.changes)}`, version: 1 }, info: { [DRIFT_INFO]: { ...drift, kind: 'refused' } satisfies Drift } },
    )
  return invalid('lake.schema_frozen', `${name} keeps its columns, and ${from} would change them: ${drift.changes.join('; ')}`, {
    hint: "Make the rows as they were, or let the change in: take schema: 'freeze' away, and put it back when the table has taken it.",
  })
}

/** Drift in a table's history, newest first; counts of unknown fields are summed up over the versions that told of them. */
export function driftIn(history: readonly HistoryEntry[]): DriftEntry[] {
  const entries: DriftEntry[] = []
  const unknown = new Map<string, { first: DriftEntry; count: number; samples: SampleRow[] }>()
  for (const { version, timestamp, info } of [...history].reverse()) {
    const drift = info[DRIFT_INFO]
    if (!isDrift(drift)) continue
    const entry: DriftEntry = { ...drift, version, at: timestamp }
    if (drift.kind !== 'unknown_fields') entries.push(entry)
    for (const [field, count] of Object.entries(drift.fields ?? {})) {
      const seen = unknown.get(field) ?? { first: entry, count: 0, samples: [] }
      seen.count += count
      seen.samples.push(...drift.samples.filter((sample) => field in sample).slice(0, 5 - seen.samples.length))
      unknown.set(field, seen)
    }
  }
  for (const [field, { first, count, samples }] of unknown)
    entries.push({
      kind: 'unknown_fields',
      changes: [`field ${field} is not in the schema; ${count} ${count === 1 ? 'record carries' : 'records carry'} it`],
      fields: { [field]: count },
      samples,
      version: first.version,
      at: first.at,
    })
  return entries.sort((a, b) => b.version - a.version)
}

const typeName = (type: DeltaType): string => {
  if (typeof type === 'string') return type
  if (type.type === 'array') return `array<${typeName(type.elementType)}>`
  if (type.type === 'map') return `map<${typeName(type.keyType)}, ${typeName(type.valueType)}>`
  return `struct<${type.fields.map((field) => `${field.name}: ${typeName(field.type)}`).join(', ')}>`
}

function isDrift(value: unknown): value is Drift {
  return typeof value === 'object' && value !== null && 'kind' in value && 'changes' in value && Array.isArray(value.changes) && 'samples' in value
}
