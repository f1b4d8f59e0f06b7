/** Whether a Parquet file that was written elsewhere can become a data file of a table as it is, without its rows being written again. */
import { defaultOf, rowChecks } from './computed.ts'
import { mappingMode } from './mapping.ts'
import { fieldsOfRelation } from './schema.ts'
import type { Metadata, Relation } from './types.ts'

/**
 * The rows lie in no partition, need no check and no other names, and each column has the table's name and type. Columns that the file
 * lacks are null to every reader, so they must be ones that are null when nobody gives them.
 */
export async function fitsAsFile(metadata: Metadata, input: Relation): Promise<boolean> {
  if (metadata.partitionColumns.length > 0 || mappingMode(metadata) !== 'none' || rowChecks(metadata).length > 0) return false
  const types = new Map((await fieldsOfRelation(input)).map(({ name, type }) => [name, JSON.stringify(type)]))
  const known = new Set(metadata.fields.map(({ name }) => name))
  return (
    [...types.keys()].every((name) => known.has(name)) &&
    metadata.fields.every((field) => {
      const type = types.get(field.name)
      return type === undefined ? field.nullable && defaultOf(field) === null : type === JSON.stringify(field.type)
    })
  )
}
