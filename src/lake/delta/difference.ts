/**
 * Difference: what tells two snapshots apart, of one table or of a table and a clone of it. Files that both have hold the same rows and
 * are not read; whoever wants rows takes the ones that only one side's other files hold.
 */
import type { AddFile } from './actions.ts'
import { vectorFile } from './deletions.ts'
import { dataPath } from './paths.ts'
import type { TableState } from './replay.ts'
import { localFiles, scanSql } from './scan.ts'
import { duckType, typeName } from './schema.ts'
import { identifier } from './sql.ts'
import type { DeltaField, Difference, Place } from './types.ts'

/** A table's state and where its relative paths begin. */
export interface Rooted {
  readonly root: string
  readonly state: TableState
}

export async function difference(place: Place, before: Rooted, after: Rooted): Promise<Difference> {
  const { onlyBefore, onlyAfter } = await differentFiles(place, before, after)
  const columns = columnsOfBoth(before.state.metadata.fields, after.state.metadata.fields)
  const rows = async ({ root, state }: Rooted, files: readonly AddFile[]): Promise<string> =>
    `select ${columns.map((column) => valueFrom(state.metadata.fields, column)).join(', ')} from (${scanSql(state, await localFiles(place, root, state, files))})`
  return {
    columns: columns.map(({ name }) => name),
    columnsAdded: namesBeyond(after.state.metadata.fields, before.state.metadata.fields),
    columnsRemoved: namesBeyond(before.state.metadata.fields, after.state.metadata.fields),
    columnsChanged: changedTypes(before.state.metadata.fields, after.state.metadata.fields),
    before: await rows(before, onlyBefore),
    after: await rows(after, onlyAfter),
    filesBefore: onlyBefore.length,
    filesAfter: onlyAfter.length,
  }
}

/** Files that only one of two states has, or that both have with other deleted rows. */
export async function differentFiles(place: Place, before: Rooted, after: Rooted): Promise<{ onlyBefore: AddFile[]; onlyAfter: AddFile[] }> {
  const [old, young] = [await keyed(place, before), await keyed(place, after)]
  const without = (files: ReadonlyMap<string, AddFile>, others: ReadonlyMap<string, AddFile>): AddFile[] =>
    [...files].filter(([key]) => !others.has(key)).map(([, file]) => file)
  return { onlyBefore: without(old, young), onlyAfter: without(young, old) }
}

/** By what names a file and its deletion vector wherever the table lies. */
async function keyed(place: Place, { root, state }: Rooted): Promise<Map<string, AddFile>> {
  const files = new Map<string, AddFile>()
  for (const file of await state.files.adds(state.files.at(state.version))) {
    const { deletionVector: vector } = file
    const deleted =
      vector === null ? '' : vector.storageType === 'i' ? vector.pathOrInlineDv : `${await vectorFile(place, root, file.path, vector)}@${vector.offset ?? 0}`
    files.set(`${dataPath(place.objects, root, file.path)}\0${deleted}`, file)
  }
  return files
}

function columnsOfBoth(before: readonly DeltaField[], after: readonly DeltaField[]): DeltaField[] {
  const names = new Set(after.map(({ name }) => name.toLowerCase()))
  return [...after, ...before.filter(({ name }) => !names.has(name.toLowerCase()))]
}

function valueFrom(fields: readonly DeltaField[], column: DeltaField): string {
  const found = fields.find(({ name }) => name.toLowerCase() === column.name.toLowerCase())
  const type = duckType(column.type)
  return `${found ? `try_cast(${identifier(found.name)} as ${type})` : `null::${type}`} as ${identifier(column.name)}`
}

function namesBeyond(fields: readonly DeltaField[], others: readonly DeltaField[]): string[] {
  const known = new Set(others.map(({ name }) => name.toLowerCase()))
  return fields.flatMap(({ name }) => (known.has(name.toLowerCase()) ? [] : [name]))
}

function changedTypes(before: readonly DeltaField[], after: readonly DeltaField[]): Difference['columnsChanged'] {
  const types = new Map(before.map(({ name, type }) => [name.toLowerCase(), typeName(type)]))
  return after.flatMap(({ name, type }) => {
    const was = types.get(name.toLowerCase())
    return was === undefined || was === typeName(type) ? [] : [{ column: name, before: was, after: typeName(type) }]
  })
}
