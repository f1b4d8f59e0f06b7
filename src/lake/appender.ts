/** From a stream to its table: records appended with the place that each had, and the table's own account of how far it came. */
import { invalid, jsonValue, parseDuration, type NumberColumn, type RowColumn, type Rows } from '../base/index.ts'
import { BRONZE_FIELDS, type Table } from './declare.ts'
import type { CommitResult, DeltaField, DeltaTable, Duck, Snapshot } from './delta/index.ts'
import { changesBetween, DRIFT_INFO, refuseFrozen, type Drift } from './drift.ts'
import type { SampleRow } from './judge.ts'
import { deltaFieldsOf, stageRows } from './stage.ts'

/** Appends a stream's records to its table; the Delta `txn` of each commit says how far it came. */
export interface StreamAppender {
  readonly every: number
  /** The next offset of the partition by the table's own account; null when it has none. */
  position(partition: number): Promise<number | null>
  /** Stores the records below `upTo` that the table does not have yet; offsets ascend. The table follows a schema that gained or lost fields. */
  append(partition: number, upTo: number, batches: readonly AppendBatch[], signal?: AbortSignal): Promise<CommitResult>
}

export interface AppendBatch {
  readonly rows: Rows
  readonly offsets: Float64Array
  readonly appendedAt: number
  /** Fields of the records that the schema does not know, with how many carried each and some of their values. */
  readonly unknown?: ReadonlyMap<string, UnknownField>
}

export interface UnknownField {
  readonly count: number
  /** The offset of the first record that carried it. */
  readonly first: number
  readonly samples: readonly unknown[]
}

const DEFAULT_COMMIT_MS = 5000

export function streamAppender(declared: Table, target: DeltaTable, duck: Duck): StreamAppender {
  const { from, partitionBy, description, every, schema } = declared.options
  const source = from?.name ?? declared.name
  const fields = deltaFieldsOf({ ...(from?.kind === 'stream' ? from.schema : {}), ...BRONZE_FIELDS })
  const appIdOf = (partition: number): string => `stream/${source}/${partition}`
  const nextOf = (snapshot: Snapshot | null, partition: number): number | null => {
    const last = snapshot?.txnVersion(appIdOf(partition)) ?? null
    return last === null ? null : last + 1
  }

  /** The table with at least the stream's columns. Each step is a commit of its own, and after a crash the next call goes on. */
  const prepare = async (batches: readonly AppendBatch[]): Promise<Snapshot | null> => {
    const snapshot = await target.snapshot()
    if (!snapshot) {
      await target.create({ fields, ...(partitionBy ? { partitionBy } : {}), ...(description ? { description } : {}) })
      return target.snapshot()
    }
    const wanted = fieldsFor(declared.name, source, snapshot.metadata.fields, fields)
    if (wanted === null) return snapshot
    const changes = changesBetween(snapshot.metadata.fields, wanted)
    const drift: Drift | null = changes && { kind: 'taken', changes: changes.words, samples: samplesWith(batches, changes.columns) }
    if (drift && schema === 'freeze') {
      const connection = await duck.connect()
      try {
        throw await refuseFrozen(declared.name, target, drift, `stream ${source}`, connection)
      } finally {
        connection.closeSync()
      }
    }
    await target.evolve(wanted, drift ? { info: { [DRIFT_INFO]: drift } } : {})
    return target.snapshot()
  }
  /** Unknown fields whose samples this process has stored; later commits only count. */
  const told = new Set<string>()

  return {
    every: parseDuration(every ?? DEFAULT_COMMIT_MS) ?? DEFAULT_COMMIT_MS,
    position: async (partition) => nextOf(await target.snapshot(), partition),
    async append(partition, upTo, batches, signal) {
      const first = nextOf(await prepare(batches), partition) ?? 0
      const connection = await duck.connect()
      try {
        const staged = await stageRows(
          connection,
          batches.map((batch) => withPlace(batch, partition, first)),
        )
        try {
          const drift = unknownIn(batches, first, told)
          const result = await target.append(staged, {
            txn: { appId: appIdOf(partition), version: upTo - 1 },
            ...(drift ? { info: { [DRIFT_INFO]: drift } } : {}),
            ...(signal ? { signal } : {}),
          })
          for (const field of Object.keys(drift?.fields ?? {})) told.add(field)
          return result
        } finally {
          await staged.drop()
        }
      } finally {
        connection.closeSync()
      }
    },
  }
}

/** At most this many unknown fields are told of a commit, and this many samples. */
const MOST_FIELDS = 20
const SAMPLES = 5

/** What records carried beside the schema; of a batch that was stored in part before nothing is counted twice. */
function unknownIn(batches: readonly AppendBatch[], from: number, told: ReadonlySet<string>): Drift | null {
  const fields: Record<string, number> = {}
  const changes: string[] = []
  const samples: SampleRow[] = []
  for (const { unknown, offsets } of batches) {
    if (!unknown || (offsets[0] ?? from) < from) continue
    for (const [name, { count, first, samples: values }] of unknown) {
      if (!(name in fields)) {
        if (Object.keys(fields).length >= MOST_FIELDS) continue
        if (!told.has(name)) changes.push(`field ${name} is not in the schema, first at offset ${first}`)
      }
      fields[name] = (fields[name] ?? 0) + count
      if (!told.has(name)) samples.push(...values.slice(0, SAMPLES - samples.filter((sample) => name in sample).length).map((value) => ({ [name]: value })))
    }
  }
  return Object.keys(fields).length === 0 ? null : { kind: 'unknown_fields', changes, fields, samples: samples.slice(0, MOST_FIELDS) }
}

/** Some of the rows with a value in one of these columns. */
function samplesWith(batches: readonly AppendBatch[], columns: readonly string[]): SampleRow[] {
  const samples: SampleRow[] = []
  for (const { rows } of batches) {
    const watched = rows.columns.filter(({ name }) => columns.includes(name))
    for (let row = 0; row < rows.count && samples.length < SAMPLES; row++)
      if (watched.some((column) => jsonValue(column, row) !== null))
        samples.push(Object.fromEntries(rows.columns.map((column) => [column.name, jsonValue(column, row)])))
  }
  return samples
}

/** Types of a stream's field that a column takes without loss, beside its own. */
const TAKES: Readonly<Record<string, readonly string[]>> = { long: ['integer'], double: ['integer'] }

/** What to ask of the table so that it takes the stream's records; null when it does already. A field that the stream lost becomes nullable. */
function fieldsFor(table: string, stream: string, known: readonly DeltaField[], wanted: readonly DeltaField[]): DeltaField[] | null {
  const byName = new Map(wanted.map((field) => [field.name.toLowerCase(), field]))
  let moved = false
  const fields = known.map((column): DeltaField => {
    const field = byName.get(column.name.toLowerCase())
    byName.delete(column.name.toLowerCase())
    if (
      field &&
      field.type !== column.type &&
      !(typeof column.type === 'string' && typeof field.type === 'string' && TAKES[column.type]?.includes(field.type))
    ) {
      throw invalid('lake.stream_type', `Stream ${stream} now has ${column.name} as ${String(field.type)}, table ${table} keeps it as ${String(column.type)}`, {
        hint: `Give the field another name (the table gets a new column), or give the table another name (it begins anew). Records wait in the stream until then.`,
      })
    }
    const nullable = column.nullable || field === undefined || field.nullable
    moved ||= nullable !== column.nullable
    return { ...column, nullable }
  })
  return moved || byName.size > 0 ? [...fields, ...byName.values()] : null
}

/** The rows from an offset on, with the columns that tell where in the stream each came from. */
function withPlace({ rows, offsets, appendedAt }: AppendBatch, partition: number, first: number): Rows {
  let skip = 0
  while (skip < rows.count && (offsets[skip] ?? 0) < first) skip++
  const count = rows.count - skip
  const valid = new Uint8Array(count).fill(1)
  const column = (name: keyof typeof BRONZE_FIELDS, values: Float64Array): NumberColumn => ({ kind: 'number', name, field: BRONZE_FIELDS[name], values, valid })
  return {
    count,
    columns: [
      ...(skip === 0 ? rows.columns : rows.columns.map((one) => from(one, skip))),
      column('_partition', new Float64Array(count).fill(partition)),
      column('_offset', offsets.subarray(skip, rows.count)),
      column('_ingested_at', new Float64Array(count).fill(appendedAt)),
    ],
  }
}

function from(column: RowColumn, start: number): RowColumn {
  return column.kind === 'number'
    ? { ...column, values: column.values.subarray(start), valid: column.valid.subarray(start) }
    : { ...column, values: column.values.slice(start) }
}
