/**
 * The quarantine of a table: rows that may not pass, with the rules that they break, the input version that they came with and, in a
 * merged table, the input version that brought a newer good row with their key. So of each key the rows that are not superseded are
 * those that came after the row the table has: only they may be put back.
 *
 * Held rows are committed before the table. What a crash between the two leaves behind is ahead of the version that the table covers
 * (`_input_version`, `_superseded_by`); it counts for nothing, and the next refresh replaces it.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { fieldsOfRelation, type CommitOptions, type CreateOptions, type DeltaTable, type Snapshot } from './delta/index.ts'
import type { Verdict } from './judge.ts'
import { quoteName } from './sql.ts'

/** Which held rows a refresh replaces: all, those of some windows, or those ahead of what the table covers. */
export type HeldScope = 'all' | { readonly where: string } | { readonly after: number; readonly upTo: number; readonly keys: readonly string[] }

export interface Hold {
  readonly quarantine: DeltaTable
  /** The quarantine as it is; null when nothing was ever held. */
  readonly before: Snapshot | null
  readonly table: string
  readonly verdict: Verdict
  readonly scope: HeldScope
  /** Settings that a new quarantine, or one that is made anew, gets from its table. */
  readonly configuration: Readonly<Record<string, string>>
  readonly commit: CommitOptions
}

/** Stores the held rows before the table itself is committed; doing it again replaces what the first time stored. */
export async function hold({ quarantine, before, table, verdict: { bad, good, held }, scope, configuration, commit }: Hold): Promise<void> {
  if (before === null && held === 0) return
  const as: CreateOptions = { fields: await fieldsOfRelation(bad), description: `Rows of ${table} that broke an expectation`, configuration }
  if (before === null) await quarantine.create(as)
  if (scope === 'all') {
    await quarantine.overwrite(bad, { ...commit, as })
    return
  }
  if ('where' in scope) {
    await quarantine.overwrite(bad, { ...commit, where: scope.where })
    return
  }
  const { after, upTo, keys } = scope
  const old = before ? await quarantine.scan(before) : null
  const first = old === null ? after + 1 : await firstMoved(bad.connection, old, good.sql, { after, keys })
  if (old === null || first > after) {
    await quarantine.overwrite(bad, { ...commit, where: `_input_version > ${after}` })
    return
  }
  // Rows from the first one that is superseded now, with the versions that supersede them; those before it stay as they are stored.
  const superseded = `case when (_superseded_by is null or _superseded_by > ${after}) and ${hasNewer('h', good.sql, keys)} then ${upTo}::bigint when _superseded_by > ${after} then null else _superseded_by end`
  const kept = `select * replace (${superseded} as _superseded_by) from (${old}) h where _input_version >= ${first} and _input_version <= ${after}`
  await quarantine.overwrite(
    { connection: bad.connection, sql: `select * from (${kept}) union all by name (${bad.sql})` },
    { ...commit, where: `_input_version >= ${first}` },
  )
}

/** The input version of the first held row whose mark must change; a version after `after` when none must. */
async function firstMoved(
  connection: DuckDBConnection,
  held: string,
  good: string,
  { after, keys }: { readonly after: number; readonly keys: readonly string[] },
): Promise<number> {
  const reader = await connection.runAndReadAll(
    `select min(_input_version) from (${held}) h where _input_version <= ${after} and (_superseded_by > ${after} or (_superseded_by is null and ${hasNewer('h', good, keys)}))`,
  )
  const first = reader.getRows()[0]?.[0] ?? null
  return first === null ? after + 1 : Number(first)
}

const hasNewer = (row: string, good: string, keys: readonly string[]): string =>
  `exists (select 1 from (${good}) g where ${keys.map((key) => `g.${quoteName(key)} is not distinct from ${row}.${quoteName(key)}`).join(' and ')})`
