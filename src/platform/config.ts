/** Configuration: one strict schema; the file is overridden by the environment, that by flags. Unknown keys are refused. */
import { resolve } from 'node:path'
import { z } from 'zod'
import { closest, invalid } from '../base/index.ts'

const Size = z.string().regex(/^\d+(\.\d+)?\s*(MB|GB|MiB|GiB)$/i, 'write a size such as 512MB or 2GB')

export const ConfigSchema = z.strictObject({
  title: z.string().optional().describe('What the console calls the project; its folder name by default'),
  home: z.string().optional().describe('Where all state lives; .lagoa in the project folder by default'),
  http: z
    .strictObject({
      host: z.string().default('127.0.0.1').describe('Only loopback addresses are accepted'),
      port: z.coerce.number().int().min(0).max(65535).default(8080).describe('0 takes any free port'),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info'), format: z.enum(['auto', 'json', 'pretty']).default('auto') }).prefault({}),
  database: z.strictObject({ url: z.string().optional().describe('A PostgreSQL server (15 or newer) instead of the embedded one') }).prefault({}),
  lake: z.strictObject({ memory: Size.default('1GB').describe('The most memory that refreshes may use'), threads: z.coerce.number().int().min(1).max(256).optional() }).prefault({}),
  query: z.strictObject({ memory: Size.default('512MB').describe('The most memory that queries may use'), threads: z.coerce.number().int().min(1).max(256).optional() }).prefault({}),
})

export type ConfigInput = z.input<typeof ConfigSchema>
export type Config = z.output<typeof ConfigSchema> & { readonly home: string; readonly project: string }

export interface ConfigLayer {
  /** Where the values come from, for messages: a file's name, `the environment`, `the flags`. */
  readonly from: string
  readonly values: Readonly<Record<string, unknown>>
}

/** Later layers win, key by key. */
export function resolveConfig(project: string, layers: readonly ConfigLayer[]): Config {
  for (const { from, values } of layers) refuseUnknown(from, values)
  const merged = layers.reduce<Record<string, unknown>>((all, { values }) => merge(all, values), {})
  const parsed = ConfigSchema.safeParse(merged)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const path = issue?.path.map(String) ?? []
    const origin = layers.findLast(({ values }) => valueAt(values, path) !== undefined)
    throw invalid('config.invalid', `${path.join('.')} in ${origin?.from ?? 'the configuration'}: ${issue?.message ?? 'is not valid'}`, { hint: `Its value is ${JSON.stringify(valueAt(merged, path))}.` })
  }
  const config = { ...parsed.data, project, home: resolve(project, parsed.data.home ?? '.lagoa') }
  if (!isLoopback(config.http.host)) {
    throw invalid('config.not_loopback', `http.host is ${config.http.host}, but without authentication Lagoa serves this machine only`, { hint: 'Use 127.0.0.1, and put a proxy that authenticates in front for others.' })
  }
  return config
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)

function refuseUnknown(from: string, values: Readonly<Record<string, unknown>>): void {
  const known = new Map(Object.entries(ConfigSchema.shape).map(([name, schema]) => [name, innerKeys(schema)]))
  for (const [name, value] of Object.entries(values)) {
    const inner = known.get(name)
    if (inner === undefined) throw unknownKey(name, [...known.keys()], from)
    if (inner && typeof value === 'object' && value !== null) {
      for (const key of Object.keys(value)) if (!inner.includes(key)) throw unknownKey(`${name}.${key}`, inner.map((one) => `${name}.${one}`), from)
    }
  }
}

function unknownKey(name: string, known: readonly string[], from: string): Error {
  const near = closest(name, known)
  return invalid('config.unknown_key', `There is no setting ${name} (in ${from})`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The settings are: ${known.join(', ')}.` })
}

function innerKeys(schema: z.ZodType): string[] | null {
  const inner = schema instanceof z.ZodPrefault ? schema.unwrap() : schema
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : null
}

function merge(base: Readonly<Record<string, unknown>>, over: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(over)) {
    if (value === undefined) continue
    const under = merged[name]
    merged[name] = isPlain(under) && isPlain(value) ? merge(under, value) : value
  }
  return merged
}

function valueAt(values: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (isPlain(value) ? value[key] : undefined), values)
}

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)
