/** Evolving a schema without touching a data file: files that lack a column read as null (section "Change Metadata"). */
import { invalid } from '../../base/index.ts'
import { declarationChange, settled } from './declaration.ts'
import { alreadyDone, existing, finish, skipped, type Table } from './operations.ts'
import { typeName } from './schema.ts'
import type { CommitOptions, CommitResult, DeltaField } from './types.ts'

export async function evolve(table: Table, fields: readonly DeltaField[], options: CommitOptions): Promise<CommitResult> {
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  const { metadata } = state
  const evolved = evolvedFields(table.root, metadata.fields, fields)
  if (evolved === null) return skipped(state.version)
  const declared = settled(table.root, state, { ...metadata, fields: evolved })
  return finish(
    table,
    {
      state,
      operation: 'ADD COLUMNS',
      parameters: { columns: evolved.slice(metadata.fields.length).map(({ name, type }) => ({ column: { name, type, nullable: true } })) },
      metrics: {},
      written: [],
      removed: [],
      ...declarationChange(state, declared),
      reads: () => false,
      readFiles: [],
      blindAppend: false,
      rowsAdded: 0,
    },
    options,
  )
}

/** The columns that take both what is there and what is wanted; null when they do already. */
function evolvedFields(root: string, known: readonly DeltaField[], wanted: readonly DeltaField[]): readonly DeltaField[] | null {
  const byName = new Map(wanted.map((field) => [field.name.toLowerCase(), field]))
  const evolved = known.map((field) => {
    const want = byName.get(field.name.toLowerCase())
    byName.delete(field.name.toLowerCase())
    if (want && typeName(want.type) !== typeName(field.type)) {
      throw invalid('lake.type_mismatch', `Column ${field.name} of ${root} is ${typeName(field.type)} and cannot become ${typeName(want.type)}`, {
        hint: 'Add a column with another name, or overwrite the table with schema: true.',
      })
    }
    return want?.nullable && !field.nullable ? { ...field, nullable: true } : field
  })
  const added = [...byName.values()].map((field) => ({ ...field, nullable: true }))
  return added.length === 0 && evolved.every((field, i) => field === known[i]) ? null : [...evolved, ...added]
}
