/** Type widening (section "Type Widening"): which types of a column may become which without rewriting its files. */

import { isObject, listOf } from './json.ts'
import { eachField } from './schema.ts'
import { fileList, query } from './sql.ts'
import type { DeltaField, Metadata, Place } from './types.ts'

const WHOLE: readonly string[] = ['byte', 'short', 'integer', 'long']

export function isWidening(from: string, to: string): boolean {
  if (WHOLE.includes(from) && WHOLE.includes(to)) return WHOLE.indexOf(from) < WHOLE.indexOf(to)
  if (to === 'double') return from === 'float' || from === 'byte' || from === 'short' || from === 'integer'
  if (from === 'date') return to === 'timestamp_ntz'
  const wide = digitsOf(to)
  const narrow = from === 'long' ? { whole: 20, scale: 0 } : WHOLE.includes(from) ? { whole: 10, scale: 0 } : digitsOf(from)
  if (wide === null || narrow === null) return false
  return wide.whole >= narrow.whole && wide.scale >= narrow.scale && from !== to
}

function digitsOf(type: string): { whole: number; scale: number } | null {
  const match = /^decimal\((\d+),\s*(\d+)\)$/.exec(type)
  return match && { whole: Number(match[1]) - Number(match[2]), scale: Number(match[2]) }
}

export function hasChangedTypes(metadata: Metadata): boolean {
  let found = false
  eachField(metadata.fields, (field) => (found ||= listOf(field.metadata['delta.typeChanges']).length > 0))
  return found
}

/** By local path: a text that is the same for files which store the same columns as the same types. */
export async function storedShapes(place: Place, paths: readonly string[]): Promise<Map<string, string>> {
  if (paths.length === 0) return new Map()
  const connection = await place.duck.connect()
  try {
    const reader = await query(
      connection,
      `select file_name, md5(string_agg(concat_ws(' ', name, coalesce(duckdb_type, '-'), coalesce(num_children, 0)), ',' order by column_id)) from parquet_schema(${fileList(paths)}) group by 1`,
    )
    return new Map(reader.getRows().map(([path, shape]) => [String(path), String(shape)]))
  } finally {
    connection.closeSync()
  }
}

/** The column was of a type once whose statistics are written otherwise. */
export function changedKind(field: DeltaField): boolean {
  return listOf(field.metadata['delta.typeChanges']).some((change) => isObject(change) && (change.fromType === 'float' || change.fromType === 'date'))
}
