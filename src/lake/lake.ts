/** The lake of a project: its tables by name, how streams append to them, and their refreshes. */
import { missing, closest, type Log, type NumberColumn, type Rows, parseDuration } from '../base/index.ts'
import type { Objects } from '../storage/index.ts'
import { BRONZE_FIELDS, quarantineName, tableRoot, type Table } from './declare.ts'
import { openTable, type CommitResult, type DeltaTable, type Duck } from './delta/index.ts'
import { planTables, type Model, type TablePlan } from './model.ts'
import { refreshModel, type RefreshResult } from './refresh.ts'
import { deltaFieldsOf, stageRows } from './stage.ts'

export interface Lake {
  readonly plan: TablePlan
  readonly duck: Duck
  /** The names of all tables that can be read, quarantine tables included when they exist. */
  names(): Promise<string[]>
  /** A declared table or the quarantine of one; rejects names nobody declared. */
  table(name: string): DeltaTable
  refresh(name: string, signal?: AbortSignal): Promise<RefreshResult>
  appender(table: Table): StreamAppender
}

/** Appends a stream's records to its table; the Delta `txn` of each commit says how far it came. */
export interface StreamAppender {
  readonly every: number
  /** The next offset of the partition by the table's own account; null when it has none. */
  position(partition: number): Promise<number | null>
  append(partition: number, upTo: number, batches: readonly AppendBatch[], signal?: AbortSignal): Promise<CommitResult>
}

export interface AppendBatch {
  readonly rows: Rows
  readonly offsets: Float64Array
  readonly appendedAt: number
}

const DEFAULT_COMMIT_MS = 5000

export async function openLake(options: { readonly objects: Objects; readonly duck: Duck; readonly tables: readonly Table[]; readonly logger: Log }): Promise<Lake> {
  const { objects, duck, logger } = options
  const connection = await duck.connect()
  let plan: TablePlan
  try {
    plan = await planTables(options.tables, connection)
  } finally {
    connection.closeSync()
  }
  const opened = new Map<string, DeltaTable>()
  const quarantines = new Set(plan.models.filter(({ expectations }) => expectations.some(({ severity }) => severity === 'quarantine')).map(({ name }) => quarantineName(name)))

  const table = (name: string): DeltaTable => {
    const known = opened.get(name)
    if (known) return known
    if (!plan.tables.has(name) && !quarantines.has(name)) {
      const names = [...plan.tables.keys(), ...quarantines]
      const near = closest(name, names)
      throw missing('lake.no_table', `There is no table ${name}`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : names.length > 0 ? `There are: ${names.join(', ')}.` : 'Declare one with table(...) in tables/.' })
    }
    const made = openTable({ objects, duck }, tableRoot(name))
    opened.set(name, made)
    return made
  }

  const models = new Map<string, Model>(plan.models.map((model) => [model.name, model]))

  return {
    plan,
    duck,
    table,
    async names() {
      const present: string[] = []
      for (const name of quarantines) if (await table(name).snapshot()) present.push(name)
      return [...plan.tables.keys(), ...present]
    },
    async refresh(name, signal) {
      const model = models.get(name)
      if (!model) {
        table(name)
        throw missing('lake.no_model', `Table ${name} is filled by a stream; there is nothing to refresh`, { hint: `Refresh one of: ${[...models.keys()].join(', ')}.` })
      }
      return refreshModel({ duck, logger, table }, model, signal)
    },
    appender: (declared) => streamAppender(declared, table(declared.name), duck),
  }
}

function streamAppender(declared: Table, target: DeltaTable, duck: Duck): StreamAppender {
  const source = declared.options.from?.name ?? declared.name
  const appIdOf = (partition: number): string => `stream/${source}/${partition}`
  return {
    every: parseDuration(declared.options.every ?? DEFAULT_COMMIT_MS) ?? DEFAULT_COMMIT_MS,
    async position(partition) {
      const last = (await target.snapshot())?.txnVersion(appIdOf(partition)) ?? null
      return last === null ? null : last + 1
    },
    async append(partition, upTo, batches, signal) {
      const connection = await duck.connect()
      try {
        const staged = await stageRows(connection, batches.map((batch) => withPlace(batch, partition)))
        try {
          if (!(await target.snapshot())) {
            const from = declared.options.from
            const schema = from?.kind === 'stream' ? { ...from.schema, ...BRONZE_FIELDS } : BRONZE_FIELDS
            await target.create({
              fields: deltaFieldsOf(schema),
              ...(declared.options.partitionBy ? { partitionBy: declared.options.partitionBy } : {}),
              ...(declared.options.description ? { description: declared.options.description } : {}),
            })
          }
          return await target.append(staged, { txn: { appId: appIdOf(partition), version: upTo - 1 }, ...(signal ? { signal } : {}) })
        } finally {
          await staged.drop()
        }
      } finally {
        connection.closeSync()
      }
    },
  }
}

/** The rows with the columns that tell where in the stream each came from. */
function withPlace({ rows, offsets, appendedAt }: AppendBatch, partition: number): Rows {
  const valid = new Uint8Array(rows.count).fill(1)
  const column = (name: keyof typeof BRONZE_FIELDS, values: Float64Array): NumberColumn => ({ kind: 'number', name, field: BRONZE_FIELDS[name], values, valid })
  return {
    count: rows.count,
    columns: [...rows.columns, column('_partition', new Float64Array(rows.count).fill(partition)), column('_offset', offsets), column('_ingested_at', new Float64Array(rows.count).fill(appendedAt))],
  }
}
