/**
 * Clustering: which columns a table wants its rows ordered by, and one number per row so that rows near each other in all of these
 * columns get numbers near each other. Each column's value becomes the rank of the range that it falls into among equally filled
 * ranges, and the bits of the ranks are interleaved: the order of Morton (G. M. Morton, A Computer Oriented Geodetic Data Base and a
 * New Technique in File Sequencing, IBM 1966).
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { closest, invalid } from '../../base/index.ts'
import { isObject, listOf, textsOf } from './json.ts'
import { storedFields } from './mapping.ts'
import type { TableState } from './replay.ts'
import { duckType } from './schema.ts'
import { identifier, literal, query } from './sql.ts'
import type { DeltaField } from './types.ts'

/** The columns of the table's clustering (section "Clustered Table"), by their names; null when the table is none that clusters. */
export function clusteringColumns(state: TableState): readonly (readonly string[])[] | null {
  const domain = state.domains.get('delta.clustering')
  if (!domain) return null
  const parsed: unknown = JSON.parse(domain.configuration)
  const columns = isObject(parsed) ? listOf(parsed.clusteringColumns).map(textsOf) : []
  const stored = storedFields(state.metadata)
  return columns.map((path) => namedPath(path, state.metadata.fields, stored))
}

/** The domain holds the names that files use; people use the others. */
function namedPath(path: readonly string[], fields: readonly DeltaField[], stored: readonly DeltaField[]): string[] {
  const [first, ...rest] = path
  if (first === undefined) return []
  const at = stored.findIndex(({ name }) => name === first)
  const [field, own] = [fields[at], stored[at]]
  if (!field || !own) return [...path]
  const inner = typeof field.type === 'object' && field.type.type === 'struct' && typeof own.type === 'object' && own.type.type === 'struct'
  return [field.name, ...(inner ? namedPath(rest, innerFields(field), innerFields(own)) : rest)]
}

function innerFields({ type }: DeltaField): readonly DeltaField[] {
  return typeof type === 'object' && type.type === 'struct' ? type.fields : []
}

/** More columns than this have too few ranges each to keep anything together. */
const MOST_COLUMNS = 8
/** Bits of one column's rank; 256 ranges. */
const MOST_BITS = 8
const ALL_BITS = 60

/** SQL of the columns to order by: refuses what has no order or is the same in a whole file anyway. */
export function orderingSql(root: string, state: TableState, columns: readonly (readonly string[])[]): string[] {
  if (columns.length === 0 || columns.length > MOST_COLUMNS)
    throw invalid('lake.bad_option', `Files of ${root} can be ordered by 1 to ${MOST_COLUMNS} columns, not by ${columns.length}`, {
      hint: 'Name those that queries filter by.',
    })
  const seen = new Set<string>()
  return columns.map((path) => {
    const name = path.join('.')
    let fields = state.metadata.fields
    let type: DeltaField['type'] | undefined
    const found: string[] = []
    for (const part of path) {
      const field = fields.find((one) => one.name.toLowerCase() === part.toLowerCase())
      if (!field) {
        const near = closest(
          part,
          fields.map((one) => one.name),
        )
        throw invalid('lake.unknown_column', `Table ${root} has no column ${name} to order files by`, {
          hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `There are ${fields.map((one) => one.name).join(', ')}.`,
        })
      }
      found.push(field.name)
      type = field.type
      fields = innerFields(field)
    }
    if (state.metadata.partitionColumns.includes(found[0] ?? ''))
      throw invalid('lake.bad_option', `${name} is a partition column of ${root}: every file has one value of it`, { hint: 'Order by other columns.' })
    if (typeof type !== 'string')
      throw invalid('lake.bad_option', `Column ${name} of ${root} is nested and has no order`, { hint: 'Order by a column inside it, or another one.' })
    duckType(type)
    const sql = found.map(identifier).join('.')
    if (seen.has(sql)) throw invalid('lake.bad_option', `Column ${name} is named twice`, { hint: 'Name each once.' })
    seen.add(sql)
    return sql
  })
}

/** Rows from which the ranges are taken. */
const SAMPLE_ROWS = 100_000

/** `from` (a SELECT) with its rows in the order of the curve over these columns; the ranges are those of a sample of these rows. */
export async function orderedSql(connection: DuckDBConnection, from: string, columns: readonly string[], signal?: AbortSignal): Promise<string> {
  const bits = Math.min(MOST_BITS, Math.floor(ALL_BITS / columns.length))
  const steps = Array.from({ length: 2 ** bits - 1 }, (_, i) => (i + 1) / 2 ** bits)
  const sample = `select ${columns.map((column, i) => `${column} as c${i}`).join(', ')} from (${from}) using sample reservoir(${SAMPLE_ROWS} rows) repeatable (7)`
  const measures = columns.map((_, i) => `(quantile_disc(c${i}, [${steps.join(', ')}]))::varchar[]`)
  const reader = await query(connection, `select to_json([${measures.join(', ')}])::varchar from (${sample})`, signal)
  const bounds = listOf(JSON.parse(String(reader.getRows()[0]?.[0] ?? '[]')))
  const types =
    (
      await query(connection, `select ${columns.map((column) => `typeof(${column})`).join(', ')} from (select 1) left join (${from}) on true limit 1`, signal)
    ).getRows()[0] ?? []
  const ranks = columns.map((column, i) => `${rankSql(column, String(types[i]), textsOf(bounds[i]))} as __lagoa_rank_${i}`)
  const places = columns.flatMap((_, i) =>
    Array.from({ length: bits }, (__, bit) => `(((__lagoa_rank_${i} >> ${bit}) & 1) << ${bit * columns.length + columns.length - 1 - i})`),
  )
  return `select * exclude (${columns.map((_, i) => `__lagoa_rank_${i}`).join(', ')}) from (select *, ${ranks.join(', ')} from (${from})) order by ${places.join(' | ')}`
}

/** How many bounds a value reaches, by halving; null counts as below all. Bounds that are equal make the ranks jump, so few values still spread over all bits. */
function rankSql(column: string, type: string, bounds: readonly string[]): string {
  const distinct = [...new Set(bounds)]
  const reached = distinct.map((bound) => bounds.lastIndexOf(bound) + 1)
  const within = (low: number, high: number): string => {
    if (low === high) return String(low === 0 ? 0 : (reached[low - 1] ?? 0))
    const middle = (low + high) >> 1
    return `case when ${column} < ${literal(distinct[middle] ?? '')}::${type} then ${within(low, middle)} else ${within(middle + 1, high)} end`
  }
  return `(case when ${column} is null then 0 else ${within(0, distinct.length)} end)::bigint`
}
