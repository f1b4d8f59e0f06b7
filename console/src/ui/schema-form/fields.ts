/**
 * A JSON Schema of an object as fields to fill in, and what was filled in as the object. Text, numbers, yes and no, one of a few, dates and
 * times have fields of their own; everything else is written as JSON. A field that is left empty is left out, so that the server's default
 * holds. What a schema says beyond this (patterns, relations between fields) the server checks.
 */

type Schema = { readonly [key: string]: unknown }

export type FieldKind = 'text' | 'long' | 'number' | 'integer' | 'boolean' | 'choice' | 'date' | 'time' | 'json'

export type Field = {
  readonly name: string
  readonly kind: FieldKind
  readonly required: boolean
  readonly about: string | undefined
  /** As it is written in the field. */
  readonly standard: string | undefined
  /** What may be chosen, as it is written, with its value. */
  readonly choices: readonly { readonly text: string; readonly value: unknown }[]
  readonly least: number | undefined
  readonly most: number | undefined
  /** What JSON must be here, when that is said. */
  readonly shape: 'array' | 'object' | undefined
  readonly mayBeNull: boolean
}

export type Fault = 'required' | 'number' | 'integer' | 'least' | 'most' | 'json' | 'array' | 'object' | 'date' | 'time'
export type Filled = { readonly [name: string]: string }
export type Read = { readonly value: Record<string, unknown>; readonly faults: Readonly<Record<string, Fault>> }

/** Undefined when the schema is not that of an object with named members: then the whole is JSON. */
export function fieldsOf(given: unknown): readonly Field[] | undefined {
  const root = asSchema(given)
  const members = asSchema(root?.['properties'])
  if (root === undefined || members === undefined) return undefined
  const required = Array.isArray(root['required']) ? root['required'] : []
  return Object.entries(members).map(([name, member]) => fieldOf(name, asSchema(member) ?? {}, required.includes(name), root))
}

function fieldOf(name: string, given: Schema, required: boolean, root: Schema): Field {
  const { schema, mayBeNull } = plain(resolved(given, root), root)
  const about = text(given['description']) ?? text(schema['description'])
  const standard = given['default'] ?? schema['default']
  const choices = choicesOf(schema)
  const kind = choices.length > 0 ? 'choice' : kindOf(schema)
  return {
    name,
    kind,
    required: required && standard === undefined,
    about,
    standard: standard === undefined ? undefined : written(standard, kind),
    choices,
    least: bound(schema['minimum']),
    most: bound(schema['maximum']),
    shape: schema['type'] === 'array' || schema['type'] === 'object' ? schema['type'] : undefined,
    mayBeNull,
  }
}

function kindOf(schema: Schema): FieldKind {
  switch (schema['type']) {
    case 'string':
      if (schema['format'] === 'date') return 'date'
      if (schema['format'] === 'date-time') return 'time'
      // A text in a language of its own, such as SQL, has lines.
      return schema['contentMediaType'] === undefined ? 'text' : 'long'
    case 'number':
      return 'number'
    case 'integer':
      return 'integer'
    case 'boolean':
      return 'boolean'
    default:
      return 'json'
  }
}

/** A type that may also be null, as its type. */
function plain(schema: Schema, root: Schema): { readonly schema: Schema; readonly mayBeNull: boolean } {
  const types = schema['type']
  if (Array.isArray(types)) {
    const rest = types.filter((type) => type !== 'null')
    return { schema: { ...schema, type: rest.length === 1 ? rest[0] : undefined }, mayBeNull: rest.length < types.length }
  }
  const ways = schema['anyOf'] ?? schema['oneOf']
  if (!Array.isArray(ways)) return { schema, mayBeNull: schema['type'] === 'null' }
  const schemas = ways.map((way) => resolved(asSchema(way) ?? {}, root))
  const rest = schemas.filter((way) => way['type'] !== 'null')
  const [only] = rest
  if (rest.length === 1 && only !== undefined)
    return { schema: { ...only, default: schema['default'] ?? only['default'] }, mayBeNull: rest.length < schemas.length }
  // Several constants are a choice, written the long way.
  if (rest.length > 0 && rest.every((way) => 'const' in way))
    return { schema: { enum: rest.map((way) => way['const']) }, mayBeNull: rest.length < schemas.length }
  return { schema: {}, mayBeNull: rest.length < schemas.length }
}

function resolved(schema: Schema, root: Schema): Schema {
  const place = text(schema['$ref'])
  if (place === undefined || !place.startsWith('#/')) return schema
  let found: unknown = root
  for (const part of place.slice(2).split('/')) found = asSchema(found)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')]
  return asSchema(found) ?? schema
}

function choicesOf(schema: Schema): Field['choices'] {
  const values = Array.isArray(schema['enum']) ? schema['enum'] : 'const' in schema ? [schema['const']] : []
  return values.map((value: unknown) => ({ text: typeof value === 'string' ? value : JSON.stringify(value), value }))
}

/** A value as it stands in a field. */
function written(value: unknown, kind: FieldKind): string {
  if (value === undefined || value === null) return ''
  if (kind === 'json') return JSON.stringify(value, null, 2)
  if (kind === 'time' && typeof value === 'string') return localTime(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** The members of an object as they stand in the fields; those that no field is for are left out. */
export function filledWith(fields: readonly Field[], value: unknown): Filled {
  const members = asSchema(value) ?? {}
  return Object.fromEntries(fields.flatMap(({ name, kind }) => (members[name] === undefined ? [] : [[name, written(members[name], kind)]])))
}

export function read(fields: readonly Field[], filled: Filled): Read {
  const value: Record<string, unknown> = {}
  const faults: Record<string, Fault> = {}
  for (const field of fields) {
    const entered = filled[field.name] ?? ''
    if (entered.trim() === '') {
      if (field.required && !field.mayBeNull) faults[field.name] = 'required'
      else if (field.required) value[field.name] = null
      continue
    }
    const found = readField(field, entered)
    if ('fault' in found) faults[field.name] = found.fault
    else value[field.name] = found.value
  }
  return { value, faults }
}

function readField({ kind, choices, least, most, shape }: Field, entered: string): { readonly value: unknown } | { readonly fault: Fault } {
  switch (kind) {
    case 'text':
    case 'long':
      return { value: entered }
    case 'boolean':
      return { value: entered === 'true' }
    case 'choice': {
      const chosen = choices.find((each) => each.text === entered)
      return chosen === undefined ? { fault: 'required' } : { value: chosen.value }
    }
    case 'number':
    case 'integer': {
      const number = Number(entered.trim().replace(/^(-?\d+),(\d+)$/, '$1.$2'))
      if (!Number.isFinite(number)) return { fault: 'number' }
      if (kind === 'integer' && !Number.isSafeInteger(number)) return { fault: 'integer' }
      if (least !== undefined && number < least) return { fault: 'least' }
      if (most !== undefined && number > most) return { fault: 'most' }
      return { value: number }
    }
    case 'date':
      return /^\d{4}-\d\d-\d\d$/.test(entered) && !Number.isNaN(Date.parse(entered)) ? { value: entered } : { fault: 'date' }
    case 'time': {
      const at = new Date(entered)
      return Number.isNaN(at.getTime()) ? { fault: 'time' } : { value: at.toISOString() }
    }
    case 'json': {
      const value = parsed(entered)
      if (value === undefined) return { fault: 'json' }
      if (shape === 'array' && !Array.isArray(value.json)) return { fault: 'array' }
      if (shape === 'object' && asSchema(value.json) === undefined) return { fault: 'object' }
      return { value: value.json }
    }
  }
}

/** JSON text as its value; undefined when it is none. */
export function parsed(entered: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(entered) }
  } catch {
    return undefined
  }
}

/**
 * What a refusal says of single fields, `params.top: Too small; source: Required`, by their names; the rest of it is for all of them. A fault
 * inside of a field is told with its place.
 */
export function refusals(message: string, names: readonly string[]): Readonly<Record<string, string>> {
  const at = message.indexOf(': ')
  const found: Record<string, string> = {}
  if (at < 0) return found
  for (const part of message.slice(at + 2).split('; ')) {
    const [, path = '', said = ''] = /^([\w.-]+): (.*)$/s.exec(part) ?? []
    const parts = path.split('.')
    const inside = parts[0] === 'params' && parts.length > 1 ? parts.slice(1) : parts
    const [name = '', ...rest] = inside
    if (names.includes(name)) found[name] = rest.length === 0 ? said : `${rest.join('.')}: ${said}`
  }
  return found
}

/** As a field of the kind datetime-local takes it: in the reader's time, to the second. */
function localTime(value: string): string {
  const at = new Date(value)
  if (Number.isNaN(at.getTime())) return value
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}

const asSchema = (value: unknown): Schema | undefined => (typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined)
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
/** Integers of a schema often have the bounds of the machine, which tell nobody anything. */
const bound = (value: unknown): number | undefined => (typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER ? value : undefined)
