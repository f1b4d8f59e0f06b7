/**
 * Records in the form in which something else than the log keeps them: which of them, in which shape, under which name. The live
 * cache and the objects share it.
 */
import { invalid, jsonValue, toLagoaError, type RowColumn, type Rows, type Schema } from '../base/index.ts'
import type { KeptForm, KeptRecord, Stream } from './declare.ts'
import type { DecodedBatch } from './sink.ts'

type Form = KeptForm<Schema>

type Fields = Readonly<Record<string, unknown>>

/** Constant texts at even places, names of fields at odd ones. */
export type Template = readonly string[]

/** Refuses a template that names a field which the stream does not have; in a shape of its own only records can tell. */
export function parseTemplate(stream: Stream, option: 'live' | 'objects', text: string, form: Form): Template {
  const template = text.split(/\{([^}]*)\}/)
  const unknown = form.as ? undefined : template.find((part, index) => index % 2 === 1 && !Object.hasOwn(stream.schema, part))
  if (unknown === undefined) return template
  throw invalid(`streams.${option}_key`, `Stream ${stream.name}: ${option}.key names the field ${unknown}, which the schema does not have`, {
    hint: `Its fields are: ${Object.keys(stream.schema).join(', ')}.`,
  })
}

/** Refuses `only` on a field that the stream does not have: it would keep nothing, in silence. */
export function checkForm({ name, schema }: Stream, option: 'live' | 'objects', { only = {} }: Form): void {
  const unknown = Object.keys(only).find((field) => !Object.hasOwn(schema, field))
  if (unknown !== undefined)
    throw invalid(`streams.${option}_only`, `Stream ${name}: ${option}.only names the field ${unknown}, which the schema does not have`, {
      hint: `Its fields are: ${Object.keys(schema).join(', ')}.`,
    })
}

/** The name that a template gives to fields, or null where one of its fields is missing. */
export function nameOf(template: Template, fields: Fields): string | null {
  let name = ''
  for (const [index, part] of template.entries()) {
    if (index % 2 === 0) {
      name += part
      continue
    }
    const value = Object.hasOwn(fields, part) ? fields[part] : undefined
    if (value === null || value === undefined || typeof value === 'object') return null
    name += String(value)
  }
  return name
}

/** The wanted records of a batch as fields, from the newest back when `backwards`. Fields without a value stand as null. */
export function* keptRecords(
  stream: Stream,
  form: Form,
  batch: DecodedBatch,
  backwards: boolean,
): Generator<{ readonly row: number; readonly fields: Fields }> {
  const { rows, offsets } = batch
  const wanted = Object.entries(form.only ?? {}).map(([name, value]) => ({ column: columnOf(rows, name), value }))
  for (let step = 0; step < rows.count; step++) {
    const row = backwards ? rows.count - 1 - step : step
    if (wanted.some(({ column, value }) => (column ? jsonValue(column, row) : null) !== value)) continue
    const plain = fieldsOf(rows, row)
    yield { row, fields: form.as ? shaped(stream, form, plain, offsets[row] ?? 0) : plain }
  }
}

function shaped({ name }: Stream, form: Form, plain: KeptRecord<Schema>, offset: number): Fields {
  try {
    const fields: unknown = form.as?.(plain)
    if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return Object.fromEntries(Object.entries(fields))
  } catch (thrown) {
    throw invalid('streams.as_failed', `Stream ${name}: as threw on the record at offset ${offset}: ${toLagoaError(thrown).message}`, {
      hint: 'Mend the function and save it; nothing is lost, the record is taken again.',
      cause: thrown,
    })
  }
  throw invalid('streams.as_failed', `Stream ${name}: as did not return an object for the record at offset ${offset}`, {
    hint: 'Return the fields to keep; to leave records out, say which ones are wanted with only.',
  })
}

function fieldsOf(rows: Rows, row: number): KeptRecord<Schema> {
  const fields: Record<string, string | number | boolean | null> = {}
  for (const column of rows.columns) fields[column.name] = jsonValue(column, row)
  return fields
}

const columnOf = (rows: Rows, name: string): RowColumn | undefined => rows.columns.find((column) => column.name === name)
