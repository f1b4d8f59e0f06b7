/** From declarations to a plan: which tables are made from which, in what order, and how each is refreshed. Pure but for parsing SQL. */
import { createHash } from 'node:crypto'
import type { DuckDBConnection } from '@duckdb/node-api'
import { closest, invalid, parseDuration, type ColumnRef } from '../base/index.ts'
import { declaredColumns, quarantineName, tableRoot, type Expectation, type Table } from './declare.ts'
import { parseSelect } from './parse.ts'
import { renderSql } from './sql.ts'

/** A table that is made by SQL. */
export interface Model {
  readonly table: Table
  readonly name: string
  readonly text: string
  /** Tables that the SQL reads. */
  readonly inputs: readonly string[]
  readonly mode: RefreshMode
  readonly everyMs: number
  /** Changes when the SQL or anything else that shapes the rows does: the table is then rebuilt. */
  readonly definition: string
  readonly expectations: readonly (Expectation & { readonly name: string })[]
}

export type RefreshMode =
  /** All rows anew whenever an input changed. */
  | { readonly kind: 'full' }
  /** The SQL over the driver's new rows, merged by key. */
  | { readonly kind: 'merge'; readonly driver: string; readonly keys: readonly string[] }
  /** The SQL over the driver's rows near the touched windows; those windows are replaced. */
  | { readonly kind: 'window'; readonly driver: string; readonly column: string; readonly source: string; readonly sizeMs: number }

/** All tables of a project, checked, models in dependency order. */
export interface TablePlan {
  readonly tables: ReadonlyMap<string, Table>
  readonly models: readonly Model[]
}

export async function planTables(tables: readonly Table[], connection: DuckDBConnection): Promise<TablePlan> {
  const byName = new Map<string, Table>()
  for (const table of tables) {
    checkName(table)
    if (byName.has(table.name)) throw invalid('lake.table_twice', `Table ${table.name} is declared twice`, { hint: 'Give one of them another name.' })
    byName.set(table.name, table)
  }
  const models: Model[] = []
  for (const table of tables) if (table.options.sql !== undefined) models.push(await planModel(table, byName, connection))
  for (const table of tables) {
    if (table.options.sql === undefined && table.options.from?.kind !== 'stream') {
      throw invalid('lake.table_without_rows', `Table ${table.name} has no rows to come from`, { hint: 'Give it from: a stream, or sql: a SELECT over other tables.' })
    }
  }
  return { tables: byName, models: inOrder(models) }
}

async function planModel(table: Table, known: ReadonlyMap<string, Table>, connection: DuckDBConnection): Promise<Model> {
  const { name, options } = table
  const rendered = renderSql(options.sql ?? '')
  const { tables } = await parseSelect(connection, rendered.text, `The SQL of ${name}`)
  const names = [...known.keys(), ...[...known.values()].filter(({ options: o }) => o.expect).map((t) => quarantineName(t.name))]
  for (const input of tables) {
    if (!names.includes(input)) {
      const near = closest(input, names)
      throw invalid('lake.unknown_table', `The SQL of ${name} reads ${input}, which no table is called`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Declared are: ${names.join(', ')}.` })
    }
  }
  if (tables.includes(name)) throw invalid('lake.table_cycle', `The SQL of ${name} reads ${name} itself`, { hint: 'Read the tables it is made from instead.' })
  for (const column of rendered.columns) checkColumn(column, known, name)
  return {
    table,
    name,
    text: rendered.text,
    inputs: tables,
    mode: modeOf(table, tables),
    everyMs: durationOf(options.every ?? 0, `Table ${name}: every`),
    definition: createHash('sha256')
      .update(JSON.stringify([rendered.text, options.merge, options.window, options.partitionBy, options.columns, options.expect]))
      .digest('hex')
      .slice(0, 16),
    expectations: Object.entries(options.expect ?? {}).map(([rule, expectation]) => ({ name: rule, ...expectation })),
  }
}

function modeOf({ name, options }: Table, inputs: readonly string[]): RefreshMode {
  if (!options.merge && !options.window) return { kind: 'full' }
  const driver = options.from?.name ?? (inputs.length === 1 ? inputs[0] : undefined)
  if (driver === undefined || !inputs.includes(driver)) {
    throw invalid('lake.no_driver', `Table ${name} is incremental but reads ${inputs.length} tables, so the one that drives it is unclear`, { hint: 'Name it with from: the table whose new rows cause a refresh.' })
  }
  if (options.merge && options.window) throw invalid('lake.two_modes', `Table ${name} has both merge and window`, { hint: 'Keep merge for rows with a key, window for aggregates by time.' })
  if (options.merge) {
    if (options.merge.length === 0) throw invalid('lake.merge_keys', `Table ${name}: merge names no column`, { hint: "Write merge: ['id'], the columns that identify a row." })
    return { kind: 'merge', driver, keys: options.merge }
  }
  const window = options.window
  return { kind: 'window', driver, column: window?.column ?? '', source: window?.source ?? '', sizeMs: durationOf(window?.size ?? '', `Table ${name}: window.size`) }
}

function checkName({ name }: Table): void {
  if (!/^[a-z][a-z0-9_-]*\.[A-Za-z_][A-Za-z0-9_]*$/.test(name) || tableRoot(name).length > 200) {
    throw invalid('lake.table_name', `"${name}" cannot be a table name`, { hint: 'Write layer.name, such as silver.readings: a small letter first, then letters, digits and underscores.' })
  }
}

function checkColumn(column: ColumnRef, known: ReadonlyMap<string, Table>, user: string): void {
  const owner = known.get(column.asset)
  const columns = owner && declaredColumns(owner)
  if (!columns || Object.hasOwn(columns, column.name)) return
  const near = closest(column.name, Object.keys(columns))
  throw invalid('lake.unknown_column', `The SQL of ${user} uses ${column.asset}.${column.name}, which does not exist`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its columns are: ${Object.keys(columns).join(', ')}.` })
}

function durationOf(value: string | number, what: string): number {
  const ms = value === '' ? null : parseDuration(value)
  if (ms === null) throw invalid('lake.duration', `${what}: "${value}" is no duration`, { hint: "Write '5s', '15 min' or '1d', for example." })
  return ms
}

/** Inputs before the tables made from them; a cycle is refused with its path. */
function inOrder(models: readonly Model[]): Model[] {
  const byName = new Map(models.map((model) => [model.name, model]))
  const done = new Set<string>()
  const ordered: Model[] = []
  const visit = (model: Model, path: readonly string[]): void => {
    if (done.has(model.name)) return
    if (path.includes(model.name)) {
      throw invalid('lake.table_cycle', `Tables are made from each other in a circle: ${[...path.slice(path.indexOf(model.name)), model.name].join(' -> ')}`, { hint: 'Break the circle: one of them must read something else.' })
    }
    for (const input of model.inputs) {
      const upstream = byName.get(input)
      if (upstream) visit(upstream, [...path, model.name])
    }
    done.add(model.name)
    ordered.push(model)
  }
  for (const model of models) visit(model, [])
  return ordered
}

/** What a refresh has to do, from versions alone. */
export type RefreshPlan =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'rebuild'; readonly upTo: number }
  /** The driver's versions (after, upTo]. `settle`: held rows of exactly this range are stored already, only the good ones are not. */
  | { readonly kind: 'changes'; readonly after: number; readonly upTo: number; readonly settle: boolean }

export interface RefreshState {
  /** The driver's version, or for `full` the sum of all inputs' versions plus their number; null when an input has no rows yet. */
  readonly input: number | null
  /** The version that the table's last refresh covered. */
  readonly covered: number | null
  readonly definitionChanged: boolean
  /** The version that the quarantine table covers; ahead of `covered` only after a crash between the two commits. */
  readonly held: number | null
}

export function planRefresh(mode: RefreshMode['kind'], { input, covered, definitionChanged, held }: RefreshState): RefreshPlan {
  if (input === null) return { kind: 'nothing' }
  if (covered === null || definitionChanged || input < covered) return { kind: 'rebuild', upTo: input }
  if (held !== null && held > covered && held <= input && mode !== 'full') return { kind: 'changes', after: covered, upTo: held, settle: true }
  if (input === covered) return { kind: 'nothing' }
  return mode === 'full' ? { kind: 'rebuild', upTo: input } : { kind: 'changes', after: covered, upTo: input, settle: false }
}
