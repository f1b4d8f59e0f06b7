/** From declarations to a plan: which tables are made from which, in what order, and how each is refreshed. Pure but for parsing SQL. */
import { createHash } from 'node:crypto'
import type { DuckDBConnection } from '@duckdb/node-api'
import { closest, invalid, type Schema } from '../base/index.ts'
import { checkColumn, checkExpectations, checkName, checkOwnColumn, checkSettings, checkStreamTable, durationOf } from './checks.ts'
import { declaredColumns, holdsRows, isMade, quarantineName, type Table } from './declare.ts'
import type { Expectation } from './expectations.ts'
import { parseSelect, type ParsedSelect } from './parse.ts'
import type { MakeRows } from './rows-model.ts'
import { renderSql } from './sql.ts'
import { isNode, rewrite, type SqlNode } from './tree.ts'

/** A table that is made from others. */
export interface Model {
  readonly table: Table
  readonly name: string
  /** The SQL; empty when a function or a script makes the rows. */
  readonly text: string
  /** The SQL without what filters groups: over some rows it tells every window that they fall into. The text itself in other modes. */
  readonly probe: string
  readonly maker: Maker
  /** Tables that it reads. */
  readonly inputs: readonly string[]
  readonly mode: RefreshMode
  readonly everyMs: number
  /** Changes when the SQL or anything else that shapes the rows does: the table is then rebuilt. What is expected of them does not. */
  readonly definition: string
  readonly expectations: readonly (Expectation & { readonly name: string })[]
}

/** What makes the rows. */
export type Maker =
  | { readonly kind: 'sql' }
  | {
      readonly kind: 'rows'
      readonly make: MakeRows
      readonly columns: Schema
      readonly input: string
      /** Names of tables by the names that the function knows them by. */
      readonly inputs: Readonly<Record<string, string>>
      /** The columns of each input that hold JSON as text. */
      readonly json: ReadonlyMap<string, ReadonlySet<string>>
    }
  | { readonly kind: 'python'; readonly file: string; readonly source: string; readonly columns: Schema; readonly inputs: Readonly<Record<string, string>> }

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

/** Reads a script of the project; rejects when it is not there. */
export type ReadScript = (file: string) => Promise<string>

export async function planTables(
  tables: readonly Table[],
  connection: DuckDBConnection,
  readScript: ReadScript = (file) => Promise.reject(invalid('lake.python_file', `There is no ${file}`, { hint: 'Name a file of the project.' })),
): Promise<TablePlan> {
  const byName = new Map<string, Table>()
  const taken = new Map<string, string>()
  for (const table of tables) {
    checkName(table)
    // Also a table that holds no rows today may have held some under that name.
    for (const name of isMade(table.options) ? [table.name, quarantineName(table.name)] : [table.name]) {
      // DuckDB tells names apart without regard to case.
      const other = taken.get(name.toLowerCase())
      if (other !== undefined)
        throw invalid(
          'lake.table_twice',
          other === table.name ? `Table ${table.name} is declared twice` : `Tables ${other} and ${table.name} would both need the name ${name}`,
          { hint: 'Give one of them another name.' },
        )
      taken.set(name.toLowerCase(), table.name)
    }
    byName.set(table.name, table)
  }
  for (const table of tables) {
    checkSettings(table)
    if (!isMade(table.options)) checkStreamTable(table)
  }
  const models: Model[] = []
  for (const table of tables)
    if (isMade(table.options))
      models.push(table.options.sql === undefined ? await planMade(table, byName, connection, readScript) : await planModel(table, byName, connection))
  return { tables: byName, models: inOrder(models) }
}

async function planModel(table: Table, known: ReadonlyMap<string, Table>, connection: DuckDBConnection): Promise<Model> {
  const { name, options } = table
  const rendered = renderSql(options.sql ?? '')
  const text = rendered.text.trim().replace(/;\s*$/, '')
  for (const column of rendered.columns) checkColumn(column, known, name)
  const parsed = await parseSelect(connection, text, `The SQL of ${name}`, () => [...known.values()].flatMap((one) => Object.keys(declaredColumns(one) ?? {})))
  checkInputs(name, parsed, known)
  const mode = modeOf(table, parsed, known)
  await checkExpectations(table, connection)
  const probe = mode.kind === 'window' ? await rewrite(connection, parsed.tree, withoutGroupFilters) : text
  return { ...common(table, text), text, probe, maker: { kind: 'sql' }, inputs: parsed.tables, mode }
}

/** A model whose rows a function or a script makes. */
async function planMade(table: Table, known: ReadonlyMap<string, Table>, connection: DuckDBConnection, readScript: ReadScript): Promise<Model> {
  const { name, options } = table
  const { from, rows, python, columns } = options
  const what = rows ? 'rows' : 'python'
  if (rows && python !== undefined) throw invalid('lake.two_makers', `Table ${name} has both rows and python`, { hint: 'Keep one of them.' })
  if (from?.kind !== 'table')
    throw invalid('lake.made_from', `Table ${name} has ${what} but no table to make its rows from`, { hint: 'Name it with from: a table.' })
  if (!columns || Object.keys(columns).length === 0)
    throw invalid('lake.made_columns', `Table ${name} has ${what} but does not say its columns`, {
      hint: 'Give columns: { id: t.string(), ... }; they check what comes.',
    })
  const others = Object.entries(options.inputs ?? {})
  if (!rows && others.some(([key]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)))
    throw invalid('lake.made_inputs', `Table ${name}: the names in inputs must be plain words`, { hint: 'Use letters, digits and underscores.' })
  const inputs = [...new Set([from.name, ...others.map(([, { name: input }]) => input)])]
  checkInputs(name, { tables: inputs, reads: [] }, known)
  if (others.some(([, { name: input }]) => input === from.name))
    throw invalid('lake.driver_twice', `Table ${name} names ${from.name} in from and in inputs`, { hint: 'Read it once, as input.' })
  const mode = modeOf(table, { tables: inputs, reads: [] }, known)
  const window = mode.kind === 'window' ? columns[mode.column] : undefined
  if (window && (window.isNullable || (window.type !== 'timestamp' && window.type !== 'date')))
    throw invalid('lake.window_column', `Table ${name}: the window column ${options.window?.column} is no time, or may be null`, {
      hint: 'Declare it t.timestamp() or t.date(): from its value Lagoa knows which windows late rows touch.',
    })
  await checkExpectations(table, connection)
  const named = Object.fromEntries(others.map(([key, input]) => [key, input.name]))
  if (python !== undefined) {
    const source = await readScript(python)
    return {
      ...common(table, [source, from.name, named]),
      text: '',
      probe: '',
      maker: { kind: 'python', file: python, source, columns, inputs: { input: from.name, ...named } },
      inputs,
      mode,
    }
  }
  const json = new Map(
    inputs.map((input) => {
      const fields = Object.entries((known.get(input) && declaredColumns(known.get(input) ?? table)) ?? {})
      return [input, new Set(fields.flatMap(([column, field]) => (field.type === 'json' ? [column] : [])))]
    }),
  )
  return {
    ...common(table, [String(rows), from.name, named]),
    text: '',
    probe: '',
    maker: { kind: 'rows', make: rows ?? (() => []), columns, input: from.name, inputs: named, json },
    inputs,
    mode,
  }
}

function common(table: Table, made: unknown): Pick<Model, 'table' | 'name' | 'everyMs' | 'definition' | 'expectations'> {
  const { name, options } = table
  return {
    table,
    name,
    everyMs: durationOf(options.every ?? 0, `Table ${name}: every`),
    definition: createHash('sha256')
      .update(JSON.stringify([made, options.merge, options.window, options.partitionBy, options.columns]))
      .digest('hex')
      .slice(0, 16),
    expectations: Object.entries(options.expect ?? {}).map(([rule, expectation]) => ({ name: rule, ...expectation })),
  }
}

function checkInputs(name: string, { tables, reads }: Pick<ParsedSelect, 'tables' | 'reads'>, known: ReadonlyMap<string, Table>): void {
  const names = [...known.keys(), ...[...known.values()].filter(holdsRows).map((one) => quarantineName(one.name))]
  for (const input of tables) {
    if (names.includes(input)) continue
    const near = closest(input, names)
    throw invalid('lake.unknown_table', `The SQL of ${name} reads ${input}, which no table is called`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Declared are: ${names.join(', ')}.`,
    })
  }
  if (tables.includes(name)) throw invalid('lake.table_cycle', `The SQL of ${name} reads ${name} itself`, { hint: 'Read the tables it is made from instead.' })
  if (reads.some(({ at }) => at !== null))
    throw invalid('lake.sql_at', `The SQL of ${name} reads a fixed version (at ...)`, {
      hint: 'A table is made from what its inputs hold now; leave the clause out.',
    })
}

function modeOf({ name, options }: Table, { tables: inputs, reads }: Pick<ParsedSelect, 'tables' | 'reads'>, known: ReadonlyMap<string, Table>): RefreshMode {
  for (const column of options.partitionBy ?? []) checkOwnColumn(name, options.columns, column, 'partitionBy')
  if (!options.merge && !options.window) return { kind: 'full' }
  if (options.merge && options.window)
    throw invalid('lake.two_modes', `Table ${name} has both merge and window`, { hint: 'Keep merge for rows with a key, window for aggregates by time.' })
  const driver = options.from?.kind === 'table' ? options.from.name : inputs.length === 1 ? inputs[0] : undefined
  if (driver === undefined || !inputs.includes(driver)) {
    throw invalid('lake.no_driver', `Table ${name} is incremental but reads ${inputs.length} tables, so the one that drives it is unclear`, {
      hint: 'Name it with from: the table whose new rows cause a refresh.',
    })
  }
  if (reads.filter((read) => read.name === driver).length > 1) {
    throw invalid(
      'lake.driver_twice',
      `Table ${name} is incremental, but its SQL reads ${driver} more than once: new rows would be seen without the others they belong to`,
      { hint: 'Read it once, or leave out merge and window: the table is then computed whole.' },
    )
  }
  if (options.merge) {
    if (options.merge.length === 0)
      throw invalid('lake.merge_keys', `Table ${name}: merge names no column`, { hint: "Write merge: ['id'], the columns that identify a row." })
    for (const column of options.merge) checkOwnColumn(name, options.columns, column, 'merge')
    return { kind: 'merge', driver, keys: options.merge }
  }
  const { column = '', source = '', size = '' } = options.window ?? {}
  const driverTable = known.get(driver)
  checkOwnColumn(name, options.columns, column, 'window.column')
  checkOwnColumn(driver, (driverTable && declaredColumns(driverTable)) ?? undefined, source, `window.source of ${name}`)
  const sizeMs = durationOf(size, `Table ${name}: window.size`)
  if (sizeMs === 0) throw invalid('lake.duration', `Table ${name}: a window of no length`, { hint: "Write '1h' or '1d', for example." })
  return { kind: 'window', driver, column, source, sizeMs }
}

/** HAVING, QUALIFY and LIMIT take whole groups away, and a group of a few rows is not the group. */
function withoutGroupFilters(node: SqlNode): SqlNode {
  if (node.type !== 'SELECT_NODE') return node
  const modifiers = Array.isArray(node.modifiers)
    ? node.modifiers.filter((modifier: unknown) => !isNode(modifier) || !String(modifier.type).startsWith('LIMIT'))
    : []
  return { ...node, having: null, qualify: null, modifiers }
}

/** Inputs before the tables made from them; a cycle is refused with its path. */
function inOrder(models: readonly Model[]): Model[] {
  const byName = new Map(models.map((model) => [model.name, model]))
  const done = new Set<string>()
  const ordered: Model[] = []
  const visit = (model: Model, path: readonly string[]): void => {
    if (done.has(model.name)) return
    if (path.includes(model.name)) {
      throw invalid('lake.table_cycle', `Tables are made from each other in a circle: ${[...path.slice(path.indexOf(model.name)), model.name].join(' -> ')}`, {
        hint: 'Break the circle: one of them must read something else.',
      })
    }
    for (const input of model.inputs) {
      const upstream = byName.get(input) ?? models.find(({ name }) => quarantineName(name) === input)
      if (upstream) visit(upstream, [...path, model.name])
    }
    done.add(model.name)
    ordered.push(model)
  }
  for (const model of models) visit(model, [])
  return ordered
}
