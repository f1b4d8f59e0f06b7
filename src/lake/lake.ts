/** The lake of a project: its tables by name, how streams append to them, and their refreshes. */
import { tmpdir } from 'node:os'
import { missing, closest, systemClock, type Clock, type LagoaError, type Log } from '../base/index.ts'
import type { Objects } from '../storage/index.ts'
import { openBranches, type Branches } from './branches.ts'
import { streamAppender, type StreamAppender } from './appender.ts'
import { quarantineName, tableRoot, type Table } from './declare.ts'
import { openTable, type CommitResult, type DeltaTable, type Duck } from './delta/index.ts'
import { isTableName, presentTables } from './present.ts'
import { driftIn, type DriftEntry } from './drift.ts'
import { createFreshnessReader, judgeFreshness, targetOf, type Freshness } from './freshness.ts'
import { ExpectationFailed, type CheckResults } from './judge.ts'
import { planTables, type Model, type ReadScript, type TablePlan } from './model.ts'
import type { PythonRunner } from './python.ts'
import { refreshModel, type RefreshOptions, type RefreshResult } from './refresh.ts'
import { replayModel, type ReplayResult } from './replay.ts'

export interface Lake {
  readonly plan: TablePlan
  readonly duck: Duck
  /** The names of all tables that can be read: the declared ones, and those that are there though nobody declared them. */
  names(): Promise<string[]>
  /** Any table by its name. One that is neither declared nor there is told when it is read. */
  table(name: string): DeltaTable
  /** The same for a write that may make it. */
  open(name: string): DeltaTable
  refresh(name: string, signal?: AbortSignal, options?: Pick<RefreshOptions, 'rebuild'>): Promise<RefreshResult>
  /** Judges the held rows of a table by today's expectations and puts back those that pass; `dryRun` only counts. */
  replay(name: string, options?: { readonly dryRun?: boolean; readonly signal?: AbortSignal }): Promise<ReplayResult>
  /** Whether the table meets its freshness target; null when it has none. */
  freshness(name: string): Promise<Freshness | null>
  /** What changed, or tried to change, the table's columns, newest first. */
  drift(name: string): Promise<DriftEntry[]>
  /** What the checks found in the refresh that they stopped; null when the last refresh of this process was not stopped by one. */
  refused(name: string): { readonly at: number; readonly checks: CheckResults } | null
  appender(table: Table): StreamAppender
  readonly branches: Branches
  /** The same lake as a branch has it: the tables that it holds are its own, the others are the real ones, and only its own are refreshed. */
  within(branch: string): Promise<Lake>
  /** The columns that tell a table's rows apart, where its declaration says them. */
  keysOf(name: string): readonly string[]
  /** Where a table lies, as `bucket/key`. */
  rootOf(name: string): string
  /** Packs a table's small files when it has many; null when it has few. Bounded: call it again for the rest. */
  pack(name: string, signal?: AbortSignal): Promise<CommitResult | null>
}

/** Drift is told of this many versions. */
const DRIFT_HISTORY = 1000

/** In the background a table is packed when it has this many files below the size that `optimize` calls small, this much at a time. */
const PACK = { atLeast: 64, mostBytes: 128 * 1024 * 1024 }

/** Handles of tables that nobody declared, kept for their cached logs. */
const MOST_OPEN = 1000

export async function openLake(options: {
  readonly objects: Objects
  readonly duck: Duck
  readonly tables: readonly Table[]
  readonly logger: Log
  readonly clock?: Clock
  /** Runs Python models. */
  readonly python?: PythonRunner | null
  /** For what is passed to Python. */
  readonly temporaryFolder?: string
  readonly readScript?: ReadScript
}): Promise<Lake> {
  const { objects, duck, logger, clock = systemClock } = options
  const connection = await duck.connect()
  let plan: TablePlan
  try {
    plan = await planTables(options.tables, connection, options.readScript)
  } finally {
    connection.closeSync()
  }
  const opened = new Map<string, DeltaTable>()
  // A table that holds no rows today may have held some: they can still be read and put back.
  const quarantines = new Set(plan.models.map(({ name }) => quarantineName(name)))

  const present = presentTables(objects)
  const rootOf = (name: string): string => {
    const located = [...plan.tables.values()].find((one) => one.options.location !== undefined && (one.name === name || quarantineName(one.name) === name))
    if (located?.options.location === undefined) return tableRoot(name)
    return name === located.name ? located.options.location : quarantineName(located.options.location)
  }

  const open = (name: string): DeltaTable => {
    const known = opened.get(name)
    if (known) return known
    const made = openTable({ objects, duck }, rootOf(name))
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
  const context = { duck, logger, clock, table, python: options.python ?? null, temporaryFolder: options.temporaryFolder ?? tmpdir() }
  const newest = createFreshnessReader(duck)
  const refused = new Map<string, { readonly at: number; readonly checks: CheckResults }>()
  const modelCalled = async (name: string, what: string): Promise<Model> => {
    const model = models.get(name)
    if (model) return model
    await table(name).snapshot()
    throw missing('lake.no_model', `Table ${name} is not made from other tables; there is nothing to ${what}`, {
      hint: `The tables that are: ${[...models.keys()].join(', ')}.`,
    })
  }

  const branches = openBranches({ objects, duck, table, rootOf })
  const holding = async <T>(work: () => Promise<T>): Promise<T> => {
    const release = objects.hold()
    try {
      return await work()
    } finally {
      release()
    }
  }

  const lake: Lake = {
    plan,
    duck,
    table,
    open,
    branches,
    rootOf,
    keysOf: (name) => plan.tables.get(name)?.options.merge ?? [],
    async within(name) {
      const branch = await branches.get(name)
      const inBranch = (wanted: string): DeltaTable => branches.table(branch, wanted) ?? table(wanted)
      const own = async (wanted: string): Promise<Model> => {
        const model = await modelCalled(wanted, 'refresh')
        if (branch.tables.some((one) => one.table === wanted)) return model
        throw missing('lake.not_in_branch', `The branch ${name} does not hold ${wanted}, and a refresh would change the real table`, {
          hint: `It holds ${branch.tables.map((one) => one.table).join(', ')}.`,
        })
      }
      const within = { ...context, table: inBranch }
      return {
        ...lake,
        table: inBranch,
        open: inBranch,
        refresh: (wanted, signal, { rebuild = false } = {}) =>
          holding(async () => refreshModel(within, await own(wanted), { rebuild, ...(signal ? { signal } : {}) })),
        replay: (wanted, replay) => holding(async () => replayModel(within, await own(wanted), replay)),
      }
    },
    async names() {
      const held: string[] = []
      for (const name of quarantines) if (await open(name).snapshot()) held.push(name)
      const declared = [...plan.tables.keys(), ...held]
      return [...declared, ...(await present()).filter((name) => !isDeclared(name))]
    },
    async refresh(name, signal, { rebuild = false } = {}) {
      const model = await modelCalled(name, 'refresh')
      try {
        const result = await holding(() => refreshModel(context, model, { rebuild, ...(signal ? { signal } : {}) }))
        refused.delete(name)
        return result
      } catch (error) {
        if (error instanceof ExpectationFailed) refused.set(name, { at: clock.now(), checks: error.checks })
        throw error
      }
    },
    replay: (name, replay) => holding(async () => replayModel(context, await modelCalled(name, 'replay'), replay)),
    async freshness(name) {
      const declared = plan.tables.get(name)
      const target = declared ? targetOf(declared) : null
      return target && judgeFreshness(await newest.newest(name, table(name), target), target, clock.now())
    },
    drift: async (name) => ((await table(name).snapshot()) ? driftIn(await table(name).history(DRIFT_HISTORY)) : []),
    refused: (name) => refused.get(name) ?? null,
    appender: (declared) => streamAppender(declared, table(declared.name), duck),
    async pack(name, signal) {
      const snapshot = await table(name).snapshot()
      if (!snapshot || snapshot.fileCount < PACK.atLeast) return null
      const result = await table(name).optimize({ ...PACK, ...(signal ? { signal } : {}) })
      return result.skipped ? null : result
    },
  }
  return lake
}
