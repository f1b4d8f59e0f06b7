/** The lake of a project: its tables by name, how streams append to them, and their refreshes. */
import { missing, closest, type Log } from '../base/index.ts'
import type { Objects } from '../storage/index.ts'
import { streamAppender, type StreamAppender } from './appender.ts'
import { holdsRows, quarantineName, tableRoot, type Table } from './declare.ts'
import { openTable, type CommitResult, type DeltaTable, type Duck } from './delta/index.ts'
import { planTables, type Model, type TablePlan } from './model.ts'
import { refreshModel, type RefreshResult } from './refresh.ts'

export interface Lake {
  readonly plan: TablePlan
  readonly duck: Duck
  /** The names of all tables that can be read, quarantine tables included when they exist. */
  names(): Promise<string[]>
  /** A declared table or the quarantine of one; rejects names nobody declared. */
  table(name: string): DeltaTable
  refresh(name: string, signal?: AbortSignal): Promise<RefreshResult>
  appender(table: Table): StreamAppender
  /** Packs a table's small files when it has many; null when it has few. Bounded: call it again for the rest. */
  pack(name: string, signal?: AbortSignal): Promise<CommitResult | null>
}

/** In the background a table is packed when it has this many files below the size that `optimize` calls small, this much at a time. */
const PACK = { atLeast: 64, mostBytes: 128 * 1024 * 1024 }

export async function openLake(options: {
  readonly objects: Objects
  readonly duck: Duck
  readonly tables: readonly Table[]
  readonly logger: Log
}): Promise<Lake> {
  const { objects, duck, logger } = options
  const connection = await duck.connect()
  let plan: TablePlan
  try {
    plan = await planTables(options.tables, connection)
  } finally {
    connection.closeSync()
  }
  const opened = new Map<string, DeltaTable>()
  const quarantines = new Set(options.tables.filter(holdsRows).map(({ name }) => quarantineName(name)))

  const table = (name: string): DeltaTable => {
    const known = opened.get(name)
    if (known) return known
    if (!plan.tables.has(name) && !quarantines.has(name)) {
      const names = [...plan.tables.keys(), ...quarantines]
      const near = closest(name, names)
      throw missing('lake.no_table', `There is no table ${name}`, {
        hint:
          near.length > 0
            ? `Did you mean ${near.join(' or ')}?`
            : names.length > 0
              ? `There are: ${names.join(', ')}.`
              : 'Declare one with table(...) in tables/.',
      })
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
        throw missing('lake.no_model', `Table ${name} is filled by a stream; there is nothing to refresh`, {
          hint: `Refresh one of: ${[...models.keys()].join(', ')}.`,
        })
      }
      return refreshModel({ duck, logger, table }, model, signal)
    },
    appender: (declared) => streamAppender(declared, table(declared.name), duck),
    async pack(name, signal) {
      const snapshot = await table(name).snapshot()
      if (!snapshot || snapshot.fileCount < PACK.atLeast) return null
      const result = await table(name).optimize({ ...PACK, ...(signal ? { signal } : {}) })
      return result.skipped ? null : result
    },
  }
}
