/**
 * Branches: a fork of chosen tables that copies nothing (shallow clones), a difference row by row, and a merge that refuses conflicts.
 * What a branch is stands in one object, `lagoa/branches/<name>.json`; its tables lie in the folder `_branches/<name>/` of their layer,
 * which neither Delta's vacuum nor the search for tables looks into. Every step can be repeated, so a branch whose making, merging or
 * dropping was cut off goes on with the next call.
 */
import { closest, conflict, invalid, LagoaError, missing, newId } from '../base/index.ts'
import type { Objects } from '../storage/index.ts'
import type { DuckDBConnection } from '@duckdb/node-api'
import { quarantineName } from './declare.ts'
import { openTable, type DeltaTable, type Difference, type Duck, type Snapshot } from './delta/index.ts'
import { interruptible } from './interrupt.ts'
import { quoteName, quoteText } from './sql.ts'
import { isNode } from './tree.ts'

export interface Branch {
  readonly name: string
  /** Tells two branches apart that had the same name one after the other. */
  readonly id: string
  readonly createdAt: number
  readonly tables: readonly { readonly table: string; readonly version: number }[]
  /** It was merged or dropped, and what is left of it waits to be removed. */
  readonly over?: Over
}

type Over = 'merged' | 'dropped'

export interface TableDifference {
  readonly table: string
  /** The version that was forked, and the newest one of the table: they differ when it moved on. */
  readonly base: number
  readonly newest: number
  readonly columnsAdded: readonly string[]
  readonly columnsRemoved: readonly string[]
  readonly columnsChanged: Difference['columnsChanged']
  /** Columns by which rows were paired; without any, a changed row is one removed and one added. */
  readonly keys: readonly string[]
  readonly added: number
  readonly removed: number
  readonly changed: number
  readonly columns: readonly string[]
  /** The first of them; a changed row has both sides. */
  readonly sample: readonly { readonly change: 'added' | 'removed' | 'changed'; readonly before: RowValues | null; readonly after: RowValues | null }[]
}

type RowValues = Readonly<Record<string, unknown>>

export interface MergedTable {
  readonly table: string
  readonly outcome: 'merged' | 'unchanged'
  readonly version: number
  readonly filesAdded: number
  readonly filesRemoved: number
}

export interface Branches {
  list(): Promise<Branch[]>
  /** Rejects when there is none of that name, or only remains of one. */
  get(name: string): Promise<Branch>
  /** Forks the tables at their newest versions. */
  create(name: string, tables: readonly string[], signal?: AbortSignal): Promise<Branch>
  /** A branch's own table, or null when the branch does not hold it. */
  table(branch: Branch, table: string): DeltaTable | null
  /** What the branch changed in a table since the fork. */
  diff(
    name: string,
    table: string,
    options?: { readonly keys?: readonly string[]; readonly limit?: number; readonly signal?: AbortSignal },
  ): Promise<TableDifference>
  /** Merges every table, after all were found to be free of conflicts, and drops the branch. Tables are committed one after the other. */
  merge(name: string, options?: { readonly dryRun?: boolean; readonly signal?: AbortSignal }): Promise<MergedTable[]>
  drop(name: string): Promise<void>
}

const OVER: readonly Over[] = ['merged', 'dropped']
const FOLDER = 'lagoa/branches/'
const DEFAULT_SAMPLE = 20
const LARGEST_SAMPLE = 1000

/** How long a branch that was cut off while it was made may wait to be completed. */
const UNMADE_MS = 86_400_000

export function openBranches(options: {
  readonly objects: Objects
  readonly duck: Duck
  readonly table: (name: string) => DeltaTable
  readonly rootOf: (name: string) => string
}): Branches {
  const { objects, duck } = options
  const branchRoot = (branch: string, table: string): string => rootInBranch(branch, options.rootOf(table))
  const opened = new Map<string, DeltaTable>()

  const list = async (): Promise<Branch[]> => {
    const found: Branch[] = []
    for await (const { path } of objects.list(FOLDER)) {
      const branch = branchFrom(path, await objects.get(path))
      if (branch) found.push(branch)
    }
    return found.sort((a, b) => a.createdAt - b.createdAt)
  }

  const stored = async (name: string): Promise<Branch> => {
    const path = pathOf(name)
    const branch = branchFrom(path, await objects.get(path))
    if (branch) return branch
    const names = (await list()).map((one) => one.name)
    const near = closest(name, names)
    throw missing('lake.no_branch', `There is no branch ${name}`, {
      hint:
        near.length > 0
          ? `Did you mean ${near.join(' or ')}?`
          : names.length > 0
            ? `There are: ${names.join(', ')}.`
            : `Make it with: lagoa branch create ${name} silver.readings`,
    })
  }

  /** A branch that is being removed is neither read nor written: parts of it are gone. */
  const get = async (name: string): Promise<Branch> => {
    const branch = await stored(name)
    if (branch.over === undefined) return branch
    throw conflict('lake.branch_over', `The branch ${name} was ${branch.over}, and its removal was cut off`, {
      hint: `Remove what is left of it: lagoa branch drop ${name}`,
    })
  }

  const tableOf = (branch: Branch, table: string): DeltaTable | null => {
    // What a refresh in the branch holds back is the branch's as well.
    if (!branch.tables.some((one) => one.table === table || quarantineName(one.table) === table)) return null
    const root = branchRoot(branch.name, table)
    const key = `${branch.id} ${root}`
    const known = opened.get(key) ?? openTable({ objects, duck }, root)
    opened.set(key, known)
    return known
  }

  /** Makes the clones that are not there yet: all of them at first, those that a crash left out later. */
  const complete = async (branch: Branch, signal: AbortSignal | undefined): Promise<void> => {
    for (const { table, version } of branch.tables) {
      signal?.throwIfAborted()
      if ((await tableOf(branch, table)?.snapshot()) !== null) continue
      await options.table(table).shallowClone(branchRoot(branch.name, table), { at: { version }, ...(signal ? { signal } : {}) })
      await options.table(table).unpin(pinOf(branch))
    }
  }

  const sides = async (branch: Branch, table: string): Promise<{ source: DeltaTable; base: Snapshot; tip: Snapshot; newest: Snapshot }> => {
    const held = branch.tables.find((one) => one.table === table)
    if (!held)
      throw missing('lake.not_in_branch', `The branch ${branch.name} does not hold ${table}`, {
        hint: `It holds ${branch.tables.map((one) => one.table).join(', ')}.`,
      })
    await complete(branch, undefined)
    const source = options.table(table)
    const base = await source.snapshot({ version: held.version })
    const tip = await tableOf(branch, table)?.snapshot()
    const newest = await source.snapshot()
    if (!base || !tip || !newest)
      throw missing('lake.table_missing', `Table ${table} of branch ${branch.name} is not there`, { hint: `Drop it: lagoa branch drop ${branch.name}` })
    return { source, base, tip, newest }
  }

  /** Rows that refreshes in the branch held back, of a table of which none had been held before: its quarantine was not forked. */
  const bringHeld = async (branch: Branch, table: string): Promise<void> => {
    const name = quarantineName(table)
    if (branch.tables.some((one) => one.table === name)) return
    const held = tableOf(branch, name)
    const snapshot = await held?.snapshot()
    if (!held || !snapshot) return
    const target = options.table(name)
    const { fields, configuration } = snapshot.metadata
    if ((await target.snapshot()) === null) await target.create({ fields, configuration })
    const connection = await duck.connect()
    const release = objects.hold()
    try {
      await target.append({ connection, sql: await held.scan(snapshot) }, { txn: { appId: `branch/${branch.id}`, version: 1 } })
    } finally {
      release()
      connection.closeSync()
    }
  }

  /** Says first that the branch is over, because a table whose removal was cut off may not be taken for what the branch holds. */
  const remove = async (branch: Branch, over: Over): Promise<void> => {
    if (branch.over === undefined) await objects.put(pathOf(branch.name), bytesOf({ ...branch, over }))
    for (const { table } of branch.tables) {
      const root = branchRoot(branch.name, table)
      const source = options.table(table)
      for await (const { path } of objects.list(`${branchRoot(branch.name, quarantineName(table))}/`)) await objects.delete(path)
      for (const pin of await source.pins()) if (pin.holder === root || pin.id === pinOf(branch)) await source.unpin(pin.id)
      for await (const { path } of objects.list(`${root}/`)) await objects.delete(path)
      opened.delete(`${branch.id} ${root}`)
    }
    await objects.delete(pathOf(branch.name))
  }

  const unchanged = async (table: string): Promise<MergedTable> => {
    const version = (await options.table(table).snapshot())?.version ?? -1
    return { table, outcome: 'unchanged', version, filesAdded: 0, filesRemoved: 0 }
  }

  return {
    list,
    get,
    table: tableOf,
    async create(name, tables, signal) {
      const path = pathOf(name)
      if (tables.length === 0)
        throw invalid('lake.empty_branch', `The branch ${name} would hold no table`, {
          hint: `Name some: lagoa branch create ${name} silver.readings gold.air_hourly`,
        })
      const forked: { table: string; version: number }[] = []
      for (const table of new Set(tables)) {
        const snapshot = await options.table(table).snapshot()
        if (!snapshot)
          throw missing('lake.table_missing', `Table ${table} has no version yet, so it cannot be forked`, { hint: 'Leave it out, or wait until it has rows.' })
        forked.push({ table, version: snapshot.version })
      }
      const branch: Branch = { name, id: newId(), createdAt: Date.now(), tables: forked }
      // Pinned before the branch is known, so that no vacuum takes a file between the two; unpinned again when the name is taken.
      for (const { table, version } of forked)
        await options.table(table).pin({ id: pinOf(branch), reason: 'branch', version, until: branch.createdAt + UNMADE_MS }, signal)
      const made = await objects.putIfAbsent(path, bytesOf(branch))
      if (!made) {
        for (const { table } of forked) await options.table(table).unpin(pinOf(branch))
        throw conflict('lake.branch_exists', `There already is a branch ${name}`, { hint: `Choose another name, or drop it first: lagoa branch drop ${name}` })
      }
      await complete(branch, signal)
      return branch
    },
    async diff(name, table, { keys = [], limit = DEFAULT_SAMPLE, signal } = {}) {
      if (!Number.isInteger(limit) || limit < 0 || limit > LARGEST_SAMPLE)
        throw invalid('lake.bad_option', `A difference cannot show ${limit} rows`, { hint: `Choose a limit from 0 to ${LARGEST_SAMPLE}.` })
      const branch = await get(name)
      const release = objects.hold()
      const connection = await duck.connect()
      try {
        const { source, base, tip, newest } = await sides(branch, table)
        const found = await source.difference(base, tip)
        const counted = await interruptible(connection, signal, () => rowDifference(connection, found, keys, limit))
        const { columnsAdded, columnsRemoved, columnsChanged, columns } = found
        return { table, base: base.version, newest: newest.version, columnsAdded, columnsRemoved, columnsChanged, columns, ...counted }
      } finally {
        connection.closeSync()
        release()
      }
    },
    async merge(name, { dryRun = false, signal } = {}) {
      const found = await stored(name)
      if (found.over === 'merged') {
        if (!dryRun) await remove(found, 'merged')
        return Promise.all(found.tables.map(({ table }) => unchanged(table)))
      }
      const branch = await get(name)
      const stopping = signal ? { signal } : {}
      const merged: MergedTable[] = []
      for (const check of dryRun ? [true] : [true, false]) {
        merged.length = 0
        for (const { table } of branch.tables) {
          const { source, base, tip } = await sides(branch, table)
          const result = await source
            .graft(base, tip, { dryRun: check, txn: { appId: `branch/${branch.id}`, version: 1 }, ...stopping })
            .catch((error: unknown) => Promise.reject(namingBranch(error, branch, table, merged, check)))
          const moved = !result.skipped || (check && result.filesAdded + result.filesRemoved > 0)
          merged.push({
            table,
            outcome: moved ? 'merged' : 'unchanged',
            version: result.version,
            filesAdded: result.filesAdded,
            filesRemoved: result.filesRemoved,
          })
        }
      }
      if (dryRun) return merged
      for (const { table } of branch.tables) await bringHeld(branch, table)
      await remove(branch, 'merged')
      return merged
    },
    drop: async (name) => remove(await stored(name), 'dropped'),
  }
}

/** `silver.readings` in branch `dev` lies at `silver/_branches/dev/readings`. */
function rootInBranch(branch: string, root: string): string {
  const cut = root.indexOf('/')
  return `${root.slice(0, cut)}/_branches/${branch}${root.slice(cut)}`
}

const bytesOf = (branch: Branch): Uint8Array => new TextEncoder().encode(JSON.stringify(branch))

const pinOf = ({ id }: Branch): string => `branch-${id}`

function pathOf(name: string): string {
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name))
    throw invalid('lake.bad_branch_name', `"${name}" cannot be the name of a branch`, { hint: 'Use up to 63 small letters, digits, hyphens and underscores.' })
  return `${FOLDER}${name}.json`
}

function branchFrom(path: string, bytes: Uint8Array | null): Branch | null {
  if (bytes === null) return null
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (isNode(value) && typeof value.name === 'string' && typeof value.id === 'string' && typeof value.createdAt === 'number' && Array.isArray(value.tables)) {
      const tables = value.tables.flatMap((one: unknown) =>
        isNode(one) && typeof one.table === 'string' && typeof one.version === 'number' ? [{ table: one.table, version: one.version }] : [],
      )
      const over = OVER.find((one) => one === value.over)
      return { name: value.name, id: value.id, createdAt: value.createdAt, tables, ...(over ? { over } : {}) }
    }
  } catch {
    // Told below.
  }
  throw invalid('lake.branch_damaged', `The branch stored at ${path} cannot be read`, {
    hint: 'Delete that object; tables outside of the branch are not touched by it.',
  })
}

/** Counts and first rows of what only one side has, paired by the keys. Equal rows of both sides cancel each other out, however often they come. */
async function rowDifference(
  connection: DuckDBConnection,
  { before, after, columns }: Difference,
  wanted: readonly string[],
  limit: number,
): Promise<Pick<TableDifference, 'keys' | 'added' | 'removed' | 'changed' | 'sample'>> {
  const keys = wanted.filter((key) => columns.includes(key))
  await connection.run(`create or replace temp table lagoa_gone as (${before}\n) except all (${after}\n)`)
  await connection.run(`create or replace temp table lagoa_came as (${after}\n) except all (${before}\n)`)
  try {
    const on = keys.length === 0 ? 'false' : keys.map((key) => `g.${quoteName(key)} is not distinct from c.${quoteName(key)}`).join(' and ')
    const pairs = `from temp.lagoa_gone g full join temp.lagoa_came c on ${on}`
    const change = `case when g.rowid is null then 'added' when c.rowid is null then 'removed' else 'changed' end`
    const counts = new Map(
      (await connection.runAndReadAll(`select ${change}, count(*) ${pairs} group by 1`)).getRows().map(([name, count]) => [String(name), Number(count)]),
    )
    const side = (alias: string): string => `{${columns.map((name) => `${quoteText(name)}: ${alias}.${quoteName(name)}`).join(', ')}}`
    const reader = await connection.runAndReadAll(
      `select ${change} as change, case when g.rowid is not null then to_json(${side('g')})::varchar end, case when c.rowid is not null then to_json(${side('c')})::varchar end
       ${pairs} order by change, coalesce(g.rowid, c.rowid) limit ${limit}`,
    )
    return {
      keys,
      added: counts.get('added') ?? 0,
      removed: counts.get('removed') ?? 0,
      changed: counts.get('changed') ?? 0,
      sample: reader.getRows().map(([name, was, is]) => ({ change: changeOf(name), before: valuesOf(was), after: valuesOf(is) })),
    }
  } finally {
    await connection.run('drop table if exists temp.lagoa_gone')
    await connection.run('drop table if exists temp.lagoa_came')
  }
}

const changeOf = (name: unknown): 'added' | 'removed' | 'changed' => (name === 'added' || name === 'removed' ? name : 'changed')

function valuesOf(text: unknown): RowValues | null {
  if (typeof text !== 'string') return null
  const value: unknown = JSON.parse(text)
  return isNode(value) ? value : null
}

function namingBranch(error: unknown, { name }: Branch, table: string, merged: readonly MergedTable[], check: boolean): unknown {
  if (!(error instanceof LagoaError) || error.code !== 'lake.commit_conflict') return error
  const before = check ? [] : merged.filter(({ outcome }) => outcome === 'merged').map((one) => one.table)
  const told = before.length === 0 ? 'Nothing was merged.' : `Merged already: ${before.join(', ')}.`
  return conflict('lake.branch_conflict', `Branch ${name} cannot be merged into ${table}: ${error.message}. ${told}`, {
    hint: `Make the branch anew from today's tables: lagoa branch drop ${name}, then lagoa branch create.`,
    cause: error,
  })
}
