/**
 * The tables of a plan in the words of the catalogue. Columns and types are what DuckDB says of each model over empty inputs, so they
 * are known before a row is; lineage that does not give exactly the engine's columns is told as unknown.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { assetId, type Asset, type AssetColumn, type Described, type Edge, type Place, type Use } from '../../catalog/index.ts'
import type { Schema } from '../../base/index.ts'
import { bindTables } from '../bind.ts'
import { rowCondition } from '../conditions.ts'
import { declaredColumns, holdsRows, isMade, quarantineName, type Table } from '../declare.ts'
import type { Duck } from '../delta/index.ts'
import { columnsOf, type Check } from '../expectations.ts'
import type { Model, TablePlan } from '../model.ts'
import { duckTypeOf, quoteName, quoteTable } from '../sql.ts'
import { readTree } from '../tree.ts'
import type { Source } from './scope.ts'
import { lineageOf, type Lineage, type QueryLineage } from './select.ts'

/** A table as SQL sees it: columns with DuckDB's types; none when they cannot be told. */
type Shape = readonly { readonly name: string; readonly type: string }[]

interface Reading {
  readonly connection: DuckDBConnection
  /** Of every table that was read so far, quarantines included. */
  readonly shapes: Map<string, Shape>
  readonly isAggregate: (name: string) => boolean
}

export async function describeTables({ tables, models }: TablePlan, duck: Duck, signal?: AbortSignal): Promise<Described> {
  const connection = await duck.connect()
  try {
    const reading: Reading = { connection, shapes: new Map(), isAggregate: await aggregateNames(connection) }
    const parts: Described[] = []
    for (const table of tables.values()) if (!isMade(table.options)) parts.push(await describeSourceTable(table, reading))
    for (const model of models) {
      signal?.throwIfAborted()
      parts.push(await describeModel(model, reading))
    }
    return { assets: parts.flatMap(({ assets }) => assets), edges: parts.flatMap(({ edges }) => edges) }
  } finally {
    connection.closeSync()
  }
}

export const tableId = (name: string): string => assetId('table', name)
export const placeOf = ({ table, column }: Source): Place => ({ asset: tableId(table), column })

export async function aggregateNames(connection: DuckDBConnection): Promise<(name: string) => boolean> {
  const reader = await connection.runAndReadAll("select distinct lower(function_name) from duckdb_functions() where function_type = 'aggregate'")
  // Macros of the engine that stand for aggregates.
  const names = new Set([...reader.getRows().map(([name]) => String(name)), 'geomean', 'geometric_mean', 'weighted_avg', 'wavg'])
  return (name) => names.has(name)
}

async function describeSourceTable(table: Table, { shapes }: Reading): Promise<Described> {
  const { name, options } = table
  const columns = declaredColumns(table) ?? {}
  shapes.set(name, shapeOf(columns))
  const id = tableId(name)
  const { from } = options
  const source = from === undefined ? null : assetId(from.kind, from.name)
  const filesAsset: Asset[] = from?.kind === 'files' ? [{ id: assetId('files', from.name), kind: 'files', name: from.name, tags: [], columns: [] }] : []
  return {
    assets: [...filesAsset, { ...tableAsset(table), columns: declared(columns) }],
    edges: [
      ...(source === null
        ? []
        : [
            { from: { asset: source }, to: { asset: id }, how: 'read' as const },
            ...Object.keys(from?.kind === 'stream' ? from.schema : {}).map((column): Edge => ({
              from: { asset: source, column },
              to: { asset: id, column },
              how: 'copied',
              passed: true,
            })),
          ]),
      ...(options.partitionBy ?? []).map((column) => usedBy({ asset: id, column }, id, { part: 'partition' })),
    ],
  }
}

async function describeModel(model: Model, reading: Reading): Promise<Described> {
  const { name, table, mode } = model
  const id = tableId(name)
  const { shape, lineage } = await traced(model, reading)
  const promised = table.options.columns
  const columns = promised ? declared(promised) : shape.map(({ name: column, type }) => ({ name: column, type: typeWord(type) }))
  const own: Shape = promised ? shapeOf(promised) : shape
  reading.shapes.set(name, own)
  if (holdsRows(table)) reading.shapes.set(quarantineName(name), [...own, ...HELD])
  const asset: Asset = { ...tableAsset(table), columns, ...('unknown' in lineage ? { unknown: lineage.unknown } : {}) }
  const quarantine = holdsRows(table) ? [quarantineOf(asset)] : []
  const edges: Edge[] = [
    ...('unknown' in lineage
      ? model.inputs.map((input): Edge => ({ from: { asset: tableId(input) }, to: { asset: id }, how: 'unknown' }))
      : sqlEdges(model, lineage)),
    ...(table.options.merge ?? []).map((column) => usedBy({ asset: id, column: spelled(own, column) }, id, { part: 'merge' })),
    ...(table.options.partitionBy ?? []).map((column) => usedBy({ asset: id, column: spelled(own, column) }, id, { part: 'partition' })),
    ...(mode.kind === 'window'
      ? [
          usedBy({ asset: id, column: spelled(own, mode.column) }, id, { part: 'window' }),
          usedBy({ asset: tableId(mode.driver), column: spelled(reading.shapes.get(mode.driver) ?? [], mode.source) }, id, { part: 'window_source' }),
        ]
      : []),
    ...quarantine.flatMap((held) => quarantineEdges(id, held)),
  ]
  for (const { name: rule, severity, check } of model.expectations) {
    const read = await columnsOfCheck(name, own, check, reading)
    for (const column of read ?? own.map((one) => one.name)) {
      edges.push(usedBy({ asset: id, column }, id, { part: 'expectation', name: rule }))
      if (severity === 'quarantine')
        edges.push({ from: { asset: id, column }, to: { asset: tableId(quarantineName(name)), column: '_failed' }, how: 'computed' })
    }
  }
  return { assets: [asset, ...quarantine], edges }
}

function sqlEdges({ name, inputs, table }: Model, { columns, rows, needs }: QueryLineage): Edge[] {
  const id = tableId(name)
  const promised = table.options.columns ? shapeOf(table.options.columns) : []
  const promise = promised.length > 0
  const taken = columns.flatMap(({ passed }) => (passed && promise ? [passed] : []))
  return [
    ...inputs.map((input): Edge => ({ from: { asset: tableId(input) }, to: { asset: id }, how: 'read' })),
    ...columns.flatMap(({ name: column, sources, passed }) =>
      sources.map(({ source, how }): Edge => ({
        from: placeOf(source),
        to: { asset: id, column: spelled(promised, String(column)) },
        how,
        ...(passed && !promise ? { passed: true } : {}),
      })),
    ),
    ...rows.map(({ source, how }): Edge => ({ from: placeOf(source), to: { asset: id }, how })),
    ...needs.map((source) => usedBy(placeOf(source), id, { part: 'sql' })),
    ...taken.map((source) => usedBy(placeOf(source), id, { part: 'columns' })),
  ]
}

/** Options may write a column in another case than the table. */
const spelled = (shape: Shape, column: string): string => shape.find(({ name }) => name.toLowerCase() === column.toLowerCase())?.name ?? column

const usedBy = (from: Place, asset: string, use: Use): Edge => ({ from, to: { asset }, how: 'used', use })

function tableAsset({ name, options }: Table): Omit<Asset, 'columns'> {
  return {
    id: tableId(name),
    kind: 'table',
    name,
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.owner === undefined ? {} : { owner: options.owner }),
    tags: options.tags ?? [],
  }
}

/** What a quarantine has beside the columns of its table. */
const HELD: Shape = [
  { name: '_failed', type: 'VARCHAR' },
  { name: '_input_version', type: 'BIGINT' },
]

function quarantineOf(asset: Asset): Asset {
  const name = quarantineName(asset.name)
  return {
    kind: 'table',
    tags: asset.tags,
    ...(asset.owner === undefined ? {} : { owner: asset.owner }),
    id: tableId(name),
    name,
    description: `Rows of ${asset.name} that broke an expectation`,
    partOf: asset.id,
    columns: [
      ...asset.columns.filter((column) => !HELD.some((held) => held.name === column.name.toLowerCase())),
      { name: '_failed', type: 'string', description: 'The expectations that the row breaks' },
      { name: '_input_version', type: 'long', description: 'The version of the input that the row came with' },
    ],
  }
}

function quarantineEdges(table: string, { id, columns }: Asset): Edge[] {
  const own = columns.filter(({ name }) => !HELD.some((held) => held.name === name))
  return [
    { from: { asset: table }, to: { asset: id }, how: 'read' },
    ...own.map(({ name: column }): Edge => ({ from: { asset: table, column }, to: { asset: id, column }, how: 'copied', passed: true })),
  ]
}

/** The engine binds the SQL over empty tables of the inputs' shapes; its columns judge ours. */
async function traced(model: Model, { connection, shapes, isAggregate }: Reading): Promise<{ readonly shape: Shape; readonly lineage: Lineage }> {
  if (model.maker.kind !== 'sql')
    return { shape: [], lineage: { unknown: model.maker.kind === 'rows' ? 'a function makes its rows' : 'a script makes its rows' } }
  const blind = model.inputs.find((input) => (shapes.get(input) ?? []).length === 0)
  if (blind !== undefined) return { shape: [], lineage: { unknown: `the columns of ${blind} are not known` } }
  const inputs = model.inputs.map((input) => [input, shapes.get(input) ?? []] as const)
  let shape: Shape
  try {
    shape = await shapeOfSelect(connection, model.text, inputs)
  } catch (error) {
    return { shape: [], lineage: { unknown: `the engine refuses its SQL: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}` } }
  }
  const tables = new Map(inputs.map(([name, columns]) => [name, columns.map((column) => column.name)]))
  return { shape, lineage: agreed(lineageOf(await readTree(connection, model.text), tables, isAggregate), shape) }
}

async function shapeOfSelect(connection: DuckDBConnection, text: string, inputs: readonly (readonly [string, Shape])[]): Promise<Shape> {
  const binding = await bindTables(connection, new Map(inputs.map(([name, shape]) => [name, emptySelect(shape)])))
  try {
    const reader = await connection.runAndReadAll(`select * from (${text}\n) limit 0`)
    const types = reader.columnTypes()
    return reader.columnNames().map((name, i) => ({ name, type: String(types[i]) }))
  } finally {
    await binding.release()
  }
}

const emptySelect = (shape: Shape): string => `select ${shape.map(({ name, type }) => `null::${type} as ${quoteName(name)}`).join(', ')} where false`

function agreed(lineage: Lineage, shape: Shape): Lineage {
  if ('unknown' in lineage) return lineage
  const agrees = ({ name }: { readonly name: string | null }, i: number): boolean => {
    const engine = shape[i]?.name.toLowerCase() ?? ''
    const ours = name?.toLowerCase()
    // Of two columns with one name the engine numbers the second.
    return (
      ours === undefined || ours === engine || (engine.startsWith(`${ours}_`) && lineage.columns.slice(0, i).some((one) => one.name?.toLowerCase() === ours))
    )
  }
  const differs = lineage.columns.length !== shape.length || !lineage.columns.every(agrees)
  if (differs) return { unknown: 'the engine names its columns otherwise' }
  return { ...lineage, columns: lineage.columns.map((column, i) => ({ ...column, name: shape[i]?.name ?? column.name })) }
}

/** The columns that a check reads; null when it cannot be told. */
async function columnsOfCheck(name: string, shape: Shape, check: Check, { connection, isAggregate }: Reading): Promise<string[] | null> {
  if (check.kind !== 'sql') return columnsOf(check).map((column) => spelled(shape, column))
  const columns = shape.map((column) => column.name)
  try {
    const text = await rowCondition(connection, check, columns, name)
    const tree = await readTree(connection, `select 1 from ${quoteTable(name)} where (${text}\n)`)
    const lineage = lineageOf(tree, new Map([[name, columns]]), isAggregate)
    return 'unknown' in lineage ? null : [...new Set(lineage.rows.map(({ source }) => source.column))]
  } catch {
    // What is wrong with it is told where the table is refreshed.
    return null
  }
}

const shapeOf = (schema: Schema): Shape => Object.entries(schema).map(([name, { type }]) => ({ name, type: duckTypeOf(type).toUpperCase() }))

const declared = (schema: Schema): AssetColumn[] =>
  Object.entries(schema).map(([name, { type, description, unitText }]) => ({
    name,
    type,
    ...(description === undefined ? {} : { description }),
    ...(unitText === undefined ? {} : { unit: unitText }),
  }))

const WORDS: Readonly<Record<string, string>> = {
  VARCHAR: 'string',
  INTEGER: 'int',
  BIGINT: 'long',
  'TIMESTAMP WITH TIME ZONE': 'timestamp',
  TIMESTAMP: 'timestamp_ntz',
}
/** Types as declarations call them, where they have a word for it. */
const typeWord = (type: string): string => WORDS[type] ?? type.toLowerCase()
