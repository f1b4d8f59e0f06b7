/** The lake of a project: its tables by name, how streams append to them, and their refreshes. */
import { missing, closest, type LagoaError, type Log } from '../base/index.ts'
import type { Objects } from '../storage/index.ts'
import { streamAppender, type StreamAppender } from './appender.ts'
import { holdsRows, quarantineName, tableRoot, type Table } from './declare.ts'
import { openTable, type CommitResult, type DeltaTable, type Duck } from './delta/index.ts'
import { isTableName, presentTables } from './present.ts'
import { planTables, type Model, type TablePlan } from './model.ts'
import { refreshModel, type RefreshResult } from './refresh.ts'

export interface Lake {
  readonly plan: TablePlan
  readonly duck: Duck
  /** The names of all tables that can be read: the declared ones, and those that are there though nobody declared them. */
  names(): Promise<string[]>
  /** Any table by its name. One that is neither declared nor there is told when it is read. */
  table(name: string): DeltaTable
  /** The same for a write that may make it. */
  open(name: string): DeltaTable
  refresh(name: string, signal?: AbortSignal): Promise<RefreshResult>
  appender(table: Table): StreamAppender
  /** Packs a table's small files when it has many; null when it has few. Bounded: call it again for the rest. */
  pack(name: string, signal?: AbortSignal): Promise<CommitResult | null>
}

/** In the background a table is packed when it has this many files below the size that `optimize` calls small, this much at a time. */
const PACK = { atLeast: 64, mostBytes: 128 * 1024 * 1024 }

/** Handles of tables that nobody declared, kept for their cached logs. */
const MOST_OPEN = 1000

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

  const present = presentTables(objects)

  const open = (name: string): DeltaTable => {
    const known = opened.get(name)
    if (known) return known
    const made = openTable({ objects, duck }, tableRoot(name))
    // Names that somebody makes up must not fill the memory.
    if (opened.size < MOST_OPEN || isDeclared(name)) opened.set(name, made)
    return made
  }
  const isDeclared = (name: string): boolean => plan.tables.has(name) || quarantines.has(name)
  const noTable = async (name: string): Promise<LagoaError> => {
    const names = [...new Set([...plan.tables.keys(), ...quarantines, ...(await present().catch(() => []))])]
    const near = closest(name, names)
    return missing('lake.no_table', `There is no table ${name}`, {
      hint:
        near.length > 0
          ? `Did you mean ${near.join(' or ')}?`
          : names.length > 0
            ? `There are: ${names.join(', ')}.`
            : 'Declare one with table(...) in tables/.',
    })
  }
  const table = (name: string): DeltaTable => {
    if (isDeclared(name)) return open(name)
    if (!isTableName(name))
      throw missing('lake.no_table', `There is no table ${name}`, { hint: 'A name is layer.name, such as silver.readings; list them with: lagoa tables' })
    const found = open(name)
    return {
      ...found,
      async snapshot(at) {
        const snapshot = await found.snapshot(at)
        if (snapshot) return snapshot
        throw await noTable(name)
      },
      async history(limit) {
        if ((await found.snapshot()) === null) throw await noTable(name)
        return found.history(limit)
      },
    }
  }

  const models = new Map<string, Model>(plan.models.map((model) => [model.name, model]))

  return {
    plan,
    duck,
    table,
    open,
    async names() {
      const held: string[] = []
      for (const name of quarantines) if (await open(name).snapshot()) held.push(name)
      const declared = [...plan.tables.keys(), ...held]
      return [...declared, ...(await present()).filter((name) => !isDeclared(name))]
    },
    async refresh(name, signal) {
      const model = models.get(name)
      if (!model) {
        await table(name).snapshot()
        throw missing('lake.no_model', `Table ${name} is not made by SQL; there is nothing to refresh`, {
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
