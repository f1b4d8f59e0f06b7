/**
 * Alter: changes of what a table says of itself, in one commit each and without touching a data file (section "Change Metadata"). What a
 * change needs from readers and writers is declared in the same commit.
 */
import { conflict, invalid, missing } from '../../base/index.ts'
import { breakingSql, brokenBy, conditionSql, constraintKey, constraintsOf, generationOf, readers } from './computed.ts'
import { declarationChange, fieldOf, settled, type Declared } from './declaration.ts'
import { listOf } from './json.ts'
import { mappingMode } from './mapping.ts'
import { alreadyDone, existing, finish, skipped, type Table } from './operations.ts'
import { askedProperties, checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import { localFiles, scanSql } from './scan.ts'
import { typeName } from './schema.ts'
import { query } from './sql.ts'
import type { Alteration, ColumnPath, CommitOptions, CommitResult, DeltaField, DeltaType, Metadata } from './types.ts'
import { isWidening } from './widening.ts'

/** What a change makes of a table. */
interface Altered {
  readonly metadata: Metadata
  readonly features?: readonly string[]
  readonly operation: string
  readonly parameters: Readonly<Record<string, unknown>>
  /** Existing rows were judged by it, so rows that others add meanwhile would have been too. */
  readonly judged?: boolean
}

export async function alter(table: Table, change: Alteration, options: CommitOptions): Promise<CommitResult> {
  const { root } = table
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  checkWritable(root, state.protocol, state.metadata, false)
  const altered = alteredBy(root, state.metadata, change)
  if (altered === null) return skipped(state.version)
  checkUnread(root, state.metadata, change)
  const declared = settled(root, state, altered.metadata, altered.features)
  if (change.kind === 'addConstraint') await checkRows(table, state, declared, change.name, options.signal)
  return finish(
    table,
    {
      state,
      operation: altered.operation,
      parameters: altered.parameters,
      metrics: {},
      written: [],
      removed: [],
      ...declarationChange(state, declared),
      reads: () => altered.judged === true,
      readFiles: [],
      blindAppend: false,
      rowsAdded: 0,
    },
    options,
  )
}

/** Null when the table is so already. */
function alteredBy(root: string, metadata: Metadata, change: Alteration): Altered | null {
  const { fields, configuration } = metadata
  const withFields = (changed: readonly DeltaField[], operation: string, parameters: Altered['parameters']): Altered => ({
    metadata: { ...metadata, fields: changed },
    operation,
    parameters,
  })
  switch (change.kind) {
    case 'addColumns': {
      const added = change.fields.map((spec) => newColumn(root, spec))
      const columns = added.map((field) => ({ column: { name: field.name, type: field.type, nullable: true, metadata: {} } }))
      const inside = pathOf(change.inside ?? [])
      if (inside.length === 0) return withFields([...fields, ...added], 'ADD COLUMNS', { columns })
      return withFields(
        changedAt(root, fields, inside, (field) => ({ ...field, type: withMore(root, inside, field.type, added) })),
        'ADD COLUMNS',
        { columns },
      )
    }
    case 'renameColumn': {
      needsMapping(root, metadata, 'renamed')
      const path = pathOf(change.column)
      const from = path.at(-1) ?? ''
      const partitionColumns =
        path.length === 1 ? metadata.partitionColumns.map((name) => (sameName(name, from) ? change.to : name)) : metadata.partitionColumns
      const renamed = changedAt(root, fields, path, (field) => ({ ...field, name: change.to }))
      return {
        ...withFields(renamed, 'RENAME COLUMN', { oldColumnPath: path.join('.'), newColumnPath: [...path.slice(0, -1), change.to].join('.') }),
        metadata: { ...metadata, fields: renamed, partitionColumns },
      }
    }
    case 'dropColumn': {
      needsMapping(root, metadata, 'dropped')
      const path = pathOf(change.column)
      if (path.length === 1 && metadata.partitionColumns.some((name) => sameName(name, path[0] ?? '')))
        throw invalid('lake.bad_alteration', `Column ${path[0]} of ${root} cannot be dropped: the table is partitioned by it`, {
          hint: 'Overwrite the table with another shape instead.',
        })
      return withFields(
        changedAt(root, fields, path, () => null),
        'DROP COLUMNS',
        { columns: [path.join('.')] },
      )
    }
    case 'setNullable':
      return columnChange(change.column, (field) => (field.nullable ? field : { ...field, nullable: true }))
    case 'comment':
      return columnChange(change.column, (field) => withEntry(field, 'comment', change.text))
    case 'setDefault':
      return columnChange(change.column, (field) => withEntry(field, 'CURRENT_DEFAULT', change.expression))
    case 'changeType': {
      if (configuration['delta.enableTypeWidening'] !== 'true')
        throw invalid('lake.bad_alteration', `The type of a column of ${root} cannot be changed: delta.enableTypeWidening is not true`, {
          hint: "Alter the table with kind: 'setProperties', properties: { 'delta.enableTypeWidening': 'true' } first, or overwrite it with schema: true.",
        })
      return columnChange(change.column, (field) => widened(root, field, change.type))
    }
    case 'addConstraint': {
      if (constraintsOf(metadata).has(change.name.toLowerCase()))
        throw conflict('lake.constraint_exists', `Table ${root} has a constraint ${change.name} already`, {
          hint: "Drop it first with kind: 'dropConstraint'.",
        })
      return {
        metadata: { ...metadata, configuration: { ...configuration, [constraintKey(change.name)]: change.expression } },
        operation: 'ADD CONSTRAINT',
        parameters: { name: change.name, expr: change.expression },
        judged: true,
      }
    }
    case 'dropConstraint': {
      const { [constraintKey(change.name)]: expression, ...rest } = configuration
      if (expression === undefined)
        throw missing('lake.constraint_missing', `Table ${root} has no constraint ${change.name}`, {
          hint: `It has ${[...constraintsOf(metadata).keys()].join(', ') || 'none'}.`,
        })
      return { metadata: { ...metadata, configuration: rest }, operation: 'DROP CONSTRAINT', parameters: { name: change.name, existed: true } }
    }
    case 'setProperties': {
      const asked = askedProperties(root, change.properties)
      const changed = Object.entries(asked.configuration).some(([key, value]) => configuration[key] !== value)
      if (!changed && asked.features.length === 0) return null
      checkModeChange(root, metadata, asked.configuration['delta.columnMapping.mode'])
      return {
        metadata: { ...metadata, configuration: { ...configuration, ...asked.configuration } },
        features: asked.features,
        operation: 'SET TBLPROPERTIES',
        parameters: { properties: change.properties },
      }
    }
    case 'unsetProperties': {
      const here = change.keys.filter((key) => key in configuration)
      if (here.length === 0) return null
      askedProperties(root, Object.fromEntries(here.map((key) => [key, 'false'])))
      if (here.includes('delta.columnMapping.mode')) checkModeChange(root, metadata, 'none')
      return {
        metadata: { ...metadata, configuration: Object.fromEntries(Object.entries(configuration).filter(([key]) => !here.includes(key))) },
        operation: 'UNSET TBLPROPERTIES',
        parameters: { properties: here, ifExists: true },
      }
    }
    case 'describe': {
      const { description, ...rest } = metadata
      if ((description ?? null) === change.text) return null
      return {
        metadata: change.text === null ? rest : { ...rest, description: change.text },
        operation: 'SET TBLPROPERTIES',
        parameters: { properties: { comment: change.text ?? '' } },
      }
    }
    case 'enableColumnMapping':
      if (mappingMode(metadata) !== 'none') return null
      return {
        metadata: { ...metadata, configuration: { ...configuration, 'delta.columnMapping.mode': 'name' } },
        operation: 'SET TBLPROPERTIES',
        parameters: { properties: { 'delta.columnMapping.mode': 'name' } },
      }
  }

  function columnChange(column: ColumnPath, to: (field: DeltaField) => DeltaField): Altered | null {
    const path = pathOf(column)
    let same = true
    const changed = changedAt(root, fields, path, (field) => {
      const next = to(field)
      same = next === field
      return next
    })
    return same ? null : withFields(changed, 'CHANGE COLUMN', { column: path.join('.') })
  }
}

function pathOf(column: ColumnPath): readonly string[] {
  return typeof column === 'string' ? [column] : column
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

/** The fields with the one at a path changed, or dropped for null. `element`, `key` and `value` lead into arrays and maps. */
function changedAt(root: string, fields: readonly DeltaField[], path: readonly string[], change: (field: DeltaField) => DeltaField | null): DeltaField[] {
  const [first = '', ...rest] = path
  const found = fields.findIndex((field) => sameName(field.name, first))
  const field = fields[found]
  if (!field) throw noColumn(root, path, fields)
  const changed = rest.length === 0 ? change(field) : { ...field, type: changedInside(root, field.type, rest, change) }
  if (changed !== null && fields.some((other, i) => i !== found && sameName(other.name, changed.name)))
    throw invalid('lake.bad_alteration', `Table ${root} has a column ${changed.name} already`, {
      hint: 'Choose another name; upper and lower case count as the same.',
    })
  if (changed === null && fields.length === 1)
    throw invalid('lake.bad_alteration', `${first} is the only column beside which it stands in ${root}, and cannot be dropped`, {
      hint: 'Add another one first.',
    })
  return fields.flatMap((other, i) => (i === found ? (changed ?? []) : other))
}

function changedInside(root: string, type: DeltaType, path: readonly string[], change: (field: DeltaField) => DeltaField | null): DeltaType {
  const [first = '', ...rest] = path
  if (typeof type !== 'string') {
    if (type.type === 'struct') return { ...type, fields: changedAt(root, type.fields, path, change) }
    if (type.type === 'array' && first === 'element' && rest.length > 0) return { ...type, elementType: changedInside(root, type.elementType, rest, change) }
    if (type.type === 'map' && first === 'key' && rest.length > 0) return { ...type, keyType: changedInside(root, type.keyType, rest, change) }
    if (type.type === 'map' && first === 'value' && rest.length > 0) return { ...type, valueType: changedInside(root, type.valueType, rest, change) }
  }
  throw noColumn(root, path, [])
}

function noColumn(root: string, path: readonly string[], fields: readonly DeltaField[]): Error {
  return missing('lake.column_missing', `Table ${root} has no column ${path.join('.')}`, {
    hint:
      fields.length > 0
        ? `There are ${fields.map(({ name }) => name).join(', ')}.`
        : "A path leads through structs by their fields' names, through arrays by element, through maps by key or value.",
  })
}

function newColumn(root: string, spec: Parameters<typeof fieldOf>[0]): DeltaField {
  const field = { ...fieldOf(spec), nullable: true }
  if (spec.default !== undefined || spec.generated !== undefined || 'CURRENT_DEFAULT' in field.metadata || generationOf(field) !== null)
    throw invalid('lake.bad_alteration', `Column ${spec.name} cannot be added to ${root} with an expression: the rows that are there have no value of it`, {
      hint: "Add it first, then give it a default with kind: 'setDefault'.",
    })
  return field
}

/** The struct inside a type, with more fields. */
function withMore(root: string, path: readonly string[], type: DeltaType, added: readonly DeltaField[]): DeltaType {
  if (typeof type !== 'string') {
    if (type.type === 'struct') return { ...type, fields: [...type.fields, ...added] }
    if (type.type === 'array') return { ...type, elementType: withMore(root, path, type.elementType, added) }
    return { ...type, valueType: withMore(root, path, type.valueType, added) }
  }
  throw invalid('lake.bad_alteration', `Column ${path.join('.')} of ${root} is ${type} and has no fields`, {
    hint: 'Name a struct, or an array or map of structs.',
  })
}

function withEntry(field: DeltaField, key: string, value: string | null): DeltaField {
  const { [key]: before, ...metadata } = field.metadata
  if ((before ?? null) === value) return field
  return { ...field, metadata: value === null ? metadata : { ...metadata, [key]: value } }
}

function widened(root: string, field: DeltaField, type: string): DeltaField {
  if (field.type === type) return field
  if (typeof field.type !== 'string' || !isWidening(field.type, type))
    throw invalid('lake.bad_alteration', `Column ${field.name} of ${root} is ${typeName(field.type)} and cannot become ${type} without rewriting its files`, {
      hint: 'Whole numbers may become longer ones, double or decimal, float double, decimals longer, date timestamp_ntz. Overwrite with schema: true for others.',
    })
  const changes = [...listOf(field.metadata['delta.typeChanges']), { fromType: field.type, toType: type }]
  return { ...field, type, metadata: { ...field.metadata, 'delta.typeChanges': changes } }
}

function needsMapping(root: string, metadata: Metadata, what: string): void {
  if (mappingMode(metadata) !== 'none') return
  throw invalid('lake.bad_alteration', `A column of ${root} cannot be ${what}: its files know the columns by their names`, {
    hint: "Alter the table with kind: 'enableColumnMapping' first; readers then need Delta's reader version 2.",
  })
}

function checkModeChange(root: string, metadata: Metadata, to: string | undefined): void {
  const from = mappingMode(metadata)
  if (to === undefined || to === from || (from === 'none' && to === 'name')) return
  throw invalid('lake.bad_alteration', `The column mapping of ${root} cannot change from ${from} to ${to}`, {
    hint: 'A table that is there may go from none to name. Make a new one with delta.columnMapping.mode for others.',
  })
}

/** A column that an expression of the table reads stays as it is called and as it is typed. */
function checkUnread(root: string, metadata: Metadata, change: Alteration): void {
  if (change.kind !== 'renameColumn' && change.kind !== 'dropColumn' && change.kind !== 'changeType') return
  const [name = ''] = pathOf(change.column)
  const reader = [...readers(metadata)].find(([column]) => sameName(column, name))
  if (!reader) return
  throw invalid('lake.bad_alteration', `Column ${name} of ${root} cannot be changed: ${reader[1]} reads it`, { hint: 'Drop what reads it first.' })
}

async function checkRows(table: Table, state: TableState, declared: Declared, name: string, signal: AbortSignal | undefined): Promise<void> {
  const { place, root } = table
  const { fields } = declared.metadata
  const expression = constraintsOf(declared.metadata).get(name.toLowerCase()) ?? ''
  const check = { what: `the constraint ${name}`, expression, sql: conditionSql(expression, fields) }
  const connection = await place.duck.connect()
  try {
    const files = await localFiles(place, root, state, await state.files.adds(state.files.at(state.version)))
    const [row] = (await query(connection, breakingSql(check, fields, scanSql(state, files)), signal)).getRows()
    if (row) throw brokenBy(root, check, String(row[0]))
  } finally {
    connection.closeSync()
  }
}
