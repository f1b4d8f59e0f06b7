/** What the compiler would have checked, checked again when a project is loaded: names, option keys and their types, references. */
import { z } from 'zod'
import type { Alert } from '../alerts/index.ts'
import { closest, Field, invalid } from '../base/index.ts'
import type { Flow } from '../flows/index.ts'
import type { Sql, Table } from '../lake/index.ts'
import type { Stream } from '../streams/index.ts'

const Duration = z.union([z.string(), z.number()])
const Fields = z.record(z.string(), z.instanceof(Field, { error: 'is not a field: write t.string(), t.double(), ...' }))
const Reference = (kind: 'stream' | 'table'): z.ZodType =>
  z.custom((value) => typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind, { error: `is not a ${kind}` })

/** What the catalogue tells of every asset. */
const Owned = { owner: z.string().min(1).optional(), tags: z.array(z.string().min(1)).optional() }

/** Which records are kept outside the log and the tables, and in which shape. */
const Kept = { only: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(), as: z.function().optional() }
const Live = z.strictObject({ by: z.string(), key: z.string().optional(), ttl: Duration.optional(), ...Kept })

const StreamOptions = z.strictObject({
  schema: Fields,
  key: z.string().optional(),
  eventTime: z.string().optional(),
  upcast: z.function().optional(),
  live: z.union([Live, z.array(Live)], { error: "is no live cache: write { by: 'sensor', ttl: '1h' }, or a list of such" }).optional(),
  objects: z.strictObject({ bucket: z.string(), key: z.string(), ...Kept }).optional(),
  source: z.union([z.function(), z.looseObject({ kind: z.string() })]).optional(),
  replay: z.function().optional(),
  partitions: z.number().int().min(1).optional(),
  retention: z.strictObject({ time: Duration.optional(), bytes: z.number().positive().optional() }).optional(),
  description: z.string().optional(),
  ...Owned,
})

const OneCharacter = z.string('must be text').min(1, 'must not be empty').max(4, 'must be one to four characters')
const FilesReference = z.strictObject({
  kind: z.literal('files'),
  name: z.string(),
  paths: z
    .array(z.string('must be a path').min(1, 'must be a path, not empty text'), 'must be a path or a list of paths')
    .min(1, 'must name a path such as inbox/*.csv'),
  options: z.strictObject({
    format: z.enum(['csv', 'json', 'ndjson', 'parquet'], 'must be csv, json, ndjson or parquet').optional(),
    delimiter: OneCharacter.optional(),
    quote: z.string('must be text').max(1, 'must be one character').optional(),
    header: z.boolean('must be true or false').optional(),
    skip: z.number('must be a number of lines').int().min(0).optional(),
    decimal: z.enum(['.', ','], "must be '.' or ','").optional(),
    null: z.array(z.string(), "must be a list of texts, such as ['-200']").optional(),
    dateFormat: z.string('must be a format such as %d/%m/%Y').optional(),
    timestampFormat: z.string('must be a format such as %d/%m/%Y %H:%M').optional(),
    encoding: z.string('must be the name of an encoding').optional(),
    types: Fields.optional(),
    schema: z.enum(['evolve', 'freeze'], "must be 'evolve' or 'freeze'").optional(),
    changed: z.enum(['refuse', 'add', 'replace'], "must be 'refuse', 'add' or 'replace'").optional(),
  }),
})

const CHECK_KINDS = ['sql', 'notNull', 'unique', 'between', 'oneOf', 'matches', 'rowCount', 'fresh'] as const

const TableOptions = z.strictObject({
  from: z.custom((value) => ['stream', 'table', 'files'].includes(kindIn(value)), { error: 'is neither a stream, nor files(...), nor a table' }).optional(),
  sql: z.union([z.string(), z.looseObject({ kind: z.literal('sql') })], { error: 'is not SQL: write sql`select ...`' }).optional(),
  rows: z.function().optional(),
  python: z.string().optional(),
  inputs: z.record(z.string(), Reference('table')).optional(),
  merge: z.array(z.string()).optional(),
  window: z.strictObject({ column: z.string(), source: z.string(), size: Duration }).optional(),
  columns: Fields.optional(),
  partitionBy: z.array(z.string()).optional(),
  expect: z
    .record(
      z.string(),
      z.strictObject(
        { severity: z.enum(['warn', 'quarantine', 'fail']), check: z.looseObject({ kind: z.enum(CHECK_KINDS) }) },
        { error: "is not an expectation: write warn('...'), quarantine(between('co', 0, 500)) or fail(notNull('at')), for example" },
      ),
    )
    .optional(),
  schema: z.enum(['evolve', 'freeze'], "is neither 'evolve' nor 'freeze'").optional(),
  location: z.string('must be text').optional(),
  freshness: z
    .union([Duration, z.strictObject({ column: z.union([z.string(), z.looseObject({ kind: z.literal('column'), name: z.string() })]), within: Duration })], {
      error: "is no target: write '15 min' or { column: 'at', within: '2h' }",
    })
    .optional(),
  every: Duration.optional(),
  description: z.string().optional(),
  ...Owned,
})

const AlertOptions = z.strictObject({
  on: Reference('stream'),
  when: z.union([z.string(), z.looseObject({ kind: z.literal('cel') })], { error: 'is not a condition: write cel`...`' }),
  clear: z.union([z.string(), z.looseObject({ kind: z.literal('cel') })], { error: 'is not a condition: write cel`...`' }).optional(),
  for: z.union([z.string(), z.strictObject({ readings: z.number().int().min(1) })]).optional(),
  mode: z.enum(['episode', 'each']).optional(),
  by: z.string().optional(),
  severity: z.enum(['info', 'warning', 'critical']).optional(),
  to: z.array(z.looseObject({ kind: z.string() })),
  message: z.string().optional(),
  description: z.string().optional(),
  ...Owned,
})

const Followed = z.looseObject({ kind: z.enum(['table', 'stream']), name: z.string() })

const FlowOptions = z.strictObject({
  params: z.instanceof(z.ZodType, { error: 'is no schema: write z.object({ ... })' }).optional(),
  cron: z.string('must be text').optional(),
  every: Duration.optional(),
  jitter: Duration.optional(),
  timeZone: z.string('must be a zone such as America/Sao_Paulo').optional(),
  partition: z.enum(['hour', 'day', 'week', 'month'], "must be 'hour', 'day', 'week' or 'month'").optional(),
  on: z.union([Followed, z.array(Followed).min(1)], 'must be a table or a stream that the project exports, or several').optional(),
  scheduleParams: z.record(z.string(), z.unknown()).optional(),
  catchUp: z.enum(['newest', 'all', 'none'], "must be 'newest', 'all' or 'none'").optional(),
  overlap: z.enum(['allow', 'skip', 'queue'], "must be 'allow', 'skip' or 'queue'").optional(),
  concurrency: z.number('must be a number of runs').int().min(1).optional(),
  priority: z.number('must be a number').int().min(-1000).max(1000).optional(),
  description: z.string().optional(),
  ...Owned,
})

const SCHEMAS = { stream: StreamOptions, table: TableOptions, alert: AlertOptions, flow: FlowOptions }

export function checkDeclaration(value: unknown, kind: 'stream' | 'table' | 'alert' | 'flow', file: string): Stream | Table | Alert | Flow {
  const declaration = value as Stream | Table | Alert | Flow
  const { name } = declaration
  if (typeof name !== 'string' || name === '') throw invalid('project.no_name', `${file}: a ${kind} has no name`, { hint: `Write ${kind}('name', { ... }).` })
  const parsed = SCHEMAS[kind].safeParse(declaration.options)
  if (!parsed.success) throw explain(parsed.error.issues[0], `${file}: ${kind} ${name}`, Object.keys(SCHEMAS[kind].shape))
  if (declaration.kind === 'stream') checkStream(declaration, file)
  if (declaration.kind === 'table') {
    checkReferences(declaration.options.sql, `${file}: table ${name}`)
    checkFiles(declaration, `${file}: table ${name}`)
  }
  return declaration
}

function kindIn(value: unknown): string {
  return typeof value === 'object' && value !== null && 'kind' in value ? String(value.kind) : ''
}

function checkFiles({ options: { from, sql } }: Table, what: string): void {
  if (from?.kind !== 'files') return
  if (sql !== undefined)
    throw invalid('project.invalid_option', `${what} has both sql and from: files(...)`, {
      hint: 'Give the files a table of their own, and read that in the SQL.',
    })
  const parsed = FilesReference.safeParse(from)
  if (parsed.success) return
  const issue = parsed.error.issues[0]
  // `options` stands in the value, not in what was written.
  const written = issue && { ...issue, path: issue.path.filter((part) => part !== 'options') }
  throw explain(written, `${what}: files(...)`, Object.keys(FilesReference.shape.options.shape))
}

function explain(issue: z.core.$ZodIssue | undefined, what: string, known: readonly string[]): Error {
  if (issue?.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    const near = issue.path.length === 0 ? closest(key, known) : []
    return invalid('project.unknown_option', `${what} has an option ${[...issue.path, key].map(String).join('.')} that does not exist`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The options are: ${known.join(', ')}.`,
    })
  }
  const path = issue?.path.map(String).join('.') ?? ''
  return invalid('project.invalid_option', `${what}: ${path} ${issue?.message ?? 'is not valid'}`, { hint: `See the documentation of ${path.split('.')[0]}.` })
}

/** A misspelled column is `undefined` in a template, which would be written as null. */
function checkReferences(source: Sql | string | undefined, what: string): void {
  if (source === undefined || typeof source === 'string') return
  for (const [index, part] of source.parts.entries()) {
    if (part === undefined) {
      const before = (source.strings[index] ?? '').trimStart().slice(-40)
      throw invalid('project.unknown_reference', `${what}: what stands in the SQL after "${before}" is undefined`, {
        hint: 'A column or table of that name does not exist; check its spelling.',
      })
    }
    if (typeof part === 'object' && part?.kind === 'sql') checkReferences(part, what)
  }
}

function checkStream({ name, schema, options }: Stream, file: string): void {
  const fields = Object.keys(schema)
  const what = `${file}: stream ${name}`
  if (fields.length === 0) throw invalid('project.empty_schema', `${what} has no fields`, { hint: 'Give schema: at least one, such as { value: t.double() }.' })
  const odd = fields.find((field) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(field))
  if (odd !== undefined)
    throw invalid('project.field_name', `${what}: "${odd}" cannot be a field name`, { hint: 'Use letters, digits and underscores, no digit first.' })
  for (const [option, field] of [
    ['key', options.key],
    ['eventTime', options.eventTime],
  ] as const) {
    if (field === undefined || fields.includes(field)) continue
    const near = closest(field, fields)
    throw invalid('project.unknown_field', `${what}: ${option} names ${field}, which the schema does not have`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its fields are: ${fields.join(', ')}.`,
    })
  }
  if (options.eventTime !== undefined && schema[options.eventTime]?.type !== 'timestamp') {
    throw invalid('project.event_time', `${what}: eventTime ${options.eventTime} is no timestamp`, { hint: 'Declare it with t.timestamp().' })
  }
}
