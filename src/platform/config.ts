/** Configuration: one strict schema; the file is overridden by the environment, that by flags. Unknown keys are refused. */
import { resolve } from 'node:path'
import { z } from 'zod'
import { closest, invalid, parseDuration } from '../base/index.ts'
import { isSecret } from '../processing/index.ts'
import { shownValue } from './secrets.ts'

const Size = z.string('must be a size such as 512MB or 2GB').regex(/^\d+(\.\d+)?\s*(MB|GB|MiB|GiB)$/i, 'must be a size such as 512MB or 2GB')
/** True or false, also as the text that flags and the environment carry. */
const Flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], { error: 'must be true or false' })
const text = (what: string): z.ZodString => z.string(`must be ${what}`).min(1, 'must not be empty')
const Folder = z.string('must be a folder').min(1, 'must not be empty')

/** How long something is kept. */
const Keep = z
  .string('must be a duration such as 90d, or forever')
  .refine((text) => text === 'forever' || parseDuration(text) !== null, 'must be a duration such as 90d, or forever')

const address = (form: RegExp, example: string): z.ZodString => z.string('must be an address').regex(form, `must be an address such as ${example}`)
/** `host:port`, or several with commas between, or a list of them. */
const Brokers = z.union(
  [
    z.array(z.string().regex(/^[^\s,:/]+:\d+$|^\[[^\]]+\]:\d+$/)).min(1),
    z
      .string()
      .regex(/^\s*([^\s,:/]+|\[[^\]]+\]):\d+\s*(,\s*([^\s,:/]+|\[[^\]]+\]):\d+\s*)*$/)
      .transform((list) => list.split(',').map((one) => one.trim())),
  ],
  { error: 'must be a list such as kafka1:9092,kafka2:9092' },
)

/** Names of hosts with a port or without, or several with commas between. */
const Hosts = z.union(
  [
    z.array(z.string().regex(/^[^\s,/@]+$/)),
    z
      .string()
      .regex(/^[^/@]*$/)
      .transform((list) =>
        list
          .split(',')
          .map((one) => one.trim())
          .filter((one) => one !== ''),
      ),
  ],
  { error: 'must be a list of hosts such as hooks.example.com,127.0.0.1:9000' },
)

/** A whole number, also as the text that flags and the environment carry. */
function whole(least: number, most: number): z.ZodUnion<[z.ZodNumber, z.ZodPipe<z.ZodPipe<z.ZodString, z.ZodTransform<number, string>>, z.ZodNumber>]> {
  const number = z.number().int().min(least).max(most)
  return z.union(
    [
      number,
      z
        .string()
        .regex(/^\d{1,9}$/)
        .transform(Number)
        .pipe(number),
    ],
    { error: `must be a whole number from ${least} to ${most}` },
  )
}

const ConfigSchema = z.strictObject({
  title: z.string('must be text').optional().describe('What the console calls the project; its folder name by default'),
  home: Folder.optional().describe('Where all state lives; .lagoa in the project folder by default'),
  http: z
    .strictObject({
      host: z.string('must be an address').default('127.0.0.1').describe('Only loopback addresses are accepted'),
      port: whole(0, 65_535).default(8080).describe('0 takes any free port'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error'], 'must be debug, info, warn or error').default('info'),
      format: z.enum(['auto', 'json', 'pretty'], 'must be auto, json or pretty').default('auto'),
    })
    .prefault({}),
  database: z
    .strictObject({
      url: address(/^postgres(ql)?:\/\/./, 'postgresql://user:password@host:5432/database')
        .optional()
        .describe('A PostgreSQL server (15 or newer) instead of the embedded one'),
    })
    .prefault({}),
  kafka: z
    .strictObject({
      brokers: Brokers.optional().describe('An Apache Kafka cluster for the event log, instead of the database: host:port, several with commas'),
      tls: Flag.optional().describe('Encrypted connections; true when there is a ca'),
      ca: text('a file').optional().describe("A PEM file with the authority that signed the brokers' certificates"),
      mechanism: z
        .enum(['plain', 'scram-sha-256', 'scram-sha-512'], 'must be plain, scram-sha-256 or scram-sha-512')
        .default('scram-sha-512')
        .describe('How the brokers check the password (SASL)'),
      username: text('a name').optional(),
      password: text('a password').optional(),
      replication: whole(1, 15).optional().describe('Copies of each topic that Lagoa makes; what the cluster says by default'),
    })
    .prefault({}),
  redis: z
    .strictObject({
      url: address(/^rediss?:\/\/./, 'redis://user:password@host:6379/0')
        .optional()
        .describe('A Redis or Valkey server for keys, instead of the database'),
      ca: text('a file').optional().describe("A PEM file with the authority that signed the server's certificate"),
    })
    .prefault({}),
  rabbitmq: z
    .strictObject({
      url: address(/^amqps?:\/\/./, 'amqp://user:password@host:5672/vhost')
        .optional()
        .describe('A RabbitMQ server for the queues of alerts, instead of the database'),
      ca: text('a file').optional().describe("A PEM file with the authority that signed the server's certificate"),
    })
    .prefault({}),
  objects: z
    .strictObject({
      store: z.enum(['folder', 's3'], 'must be folder or s3').default('folder').describe('Where tables and files lie: a folder of the home, or an S3 store'),
      endpoint: z
        .string('must be an address')
        .regex(/^https?:\/\/[^\s/@]+\/?$/, 'must be an address such as https://minio.example.com:9000, without a path or a password')
        .optional()
        .describe('The S3 store; AWS itself when absent'),
      region: text('a region').optional(),
      bucket: text('a bucket').optional().describe('One bucket for everything; without it each layer is a bucket'),
      prefix: text('a path').optional().describe('Below which everything lies in the one bucket'),
      pathStyle: Flag.optional().describe('endpoint/bucket instead of bucket.endpoint; true by default when there is an endpoint'),
      ca: text('a file').optional().describe("A PEM file with the authority that signed the store's certificate"),
      cache: Size.default('10GB').describe('The most disk that copies of remote objects take'),
      accessKeyId: text('a key').optional().describe('Without it, the credentials that the AWS tools find'),
      secretAccessKey: text('a key').optional(),
      sessionToken: text('a token').optional(),
    })
    .prefault({}),
  api: z
    .strictObject({
      alerts: text('a queue').optional().describe("The queue that GET /api/alerts takes from; by default the only one of the project's rules"),
      history: z
        .string('must be a place')
        .regex(/^[^/]+(\/[^/]+)*$/, 'must be a place such as air-quality/processed')
        .optional()
        .describe('Where GET /api/history looks for objects, as bucket/folder; by default where the only stream that keeps objects puts them'),
    })
    .prefault({}),
  flows: z
    .strictObject({
      concurrency: whole(1, 1_000).default(16).describe('Tasks that this node runs at a time'),
      pools: z.record(z.string(), whole(1, 100_000)).default({}).describe('Named limits that tasks of all flows and nodes share: { database: 4 }'),
      keep: z
        .strictObject({
          runs: Keep.default('90d').describe('How long runs are kept after their end, with their tasks, outputs and logs'),
          logs: Keep.default('30d').describe('How long their logs are kept'),
        })
        .prefault({}),
    })
    .prefault({}),
  sandbox: z
    .strictObject({
      capacity: whole(1, 256).default(2).describe("Jobs of users' Python at a time"),
      waiting: whole(0, 100_000).default(100).describe('Jobs that may wait; more are refused'),
      timeout: whole(1, 86_400).default(600).describe('The longest that a job may take, in seconds'),
      memory: Size.default('2GiB').describe('The most memory of a job'),
      output: Size.default('1GB').describe('The largest result of a job'),
      validator: z.enum(['on', 'off'], 'must be on or off').default('on').describe("Off: the walls alone hold users' Python; for trying them"),
    })
    .prefault({}),
  process: z
    .strictObject({
      webhookSecret: z
        .string('must be a secret')
        .refine(isSecret, 'must be whsec_ and the base64 of 24 to 64 bytes')
        .optional()
        .describe('Signs webhooks of jobs, which there are none of without it: whsec_$(openssl rand -base64 32)'),
      webhookHosts: Hosts.default([]).describe('Hosts inside, as host or host:port, that webhooks may go to; without it they go to public addresses only'),
      keepDays: whole(1, 36_500).default(30).describe('How long jobs that are over can be asked for; their results stay'),
    })
    .prefault({}),
  secrets: z
    .record(z.string(), z.string('must be text'))
    .default({})
    .describe('What tasks of flows get by ctx.secret(name); set them in the environment, never in a file that is shared'),
  lake: z.strictObject({ memory: Size.default('1GB').describe('The most memory that refreshes may use'), threads: whole(1, 256).optional() }).prefault({}),
  query: z.strictObject({ memory: Size.default('512MB').describe('The most memory that queries may use'), threads: whole(1, 256).optional() }).prefault({}),
})

export type ConfigInput = z.input<typeof ConfigSchema>
export type Config = z.output<typeof ConfigSchema> & { readonly home: string; readonly project: string }

export interface ConfigLayer {
  /** Where the values come from, for messages: a file's name, `the environment`, `the flags`. */
  readonly from: string
  readonly values: Readonly<Record<string, unknown>>
  /** How that place writes a setting, such as `LAGOA_HTTP__PORT`; `http.port` when absent. */
  readonly spell?: (path: readonly string[]) => string
}

/** Later layers win, key by key. */
export function resolveConfig(project: string, layers: readonly ConfigLayer[]): Config {
  for (const layer of layers) refuseUnknown(layer)
  const merged = layers.reduce<Record<string, unknown>>((all, { values }) => merge(all, values), {})
  const parsed = ConfigSchema.safeParse(merged)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const path = issue?.path.map(String) ?? []
    const origin = layers.findLast(({ values }) => valueAt(values, path) !== undefined)
    throw invalid('config.invalid', `${spelled(origin, path)} ${issue?.message ?? 'is not valid'}`, {
      hint: `Its value is ${shownValue(path, valueAt(merged, path))}.`,
    })
  }
  refuseHalfObjects(parsed.data.objects, layers)
  refuseHalfEngines(parsed.data, layers)
  const config = { ...parsed.data, project, home: resolve(project, parsed.data.home ?? '.lagoa') }
  if (!isLoopback(config.http.host)) {
    const origin = layers.findLast(({ values }) => valueAt(values, ['http', 'host']) !== undefined)
    throw invalid(
      'config.not_loopback',
      `${spelled(origin, ['http', 'host'])} is ${config.http.host}, but without authentication Lagoa serves this machine only`,
      {
        hint: 'Use 127.0.0.1, and put a proxy that authenticates in front for others.',
      },
    )
  }
  return config
}

/** A bucket without a store, or half a key, would be passed over in silence. */
function refuseHalfObjects(objects: z.output<typeof ConfigSchema>['objects'], layers: readonly ConfigLayer[]): void {
  const at = (key: string): string => {
    const path = ['objects', key]
    return spelled(layers.findLast(({ values }) => valueAt(values, path) !== undefined) ?? layers[0], path)
  }
  const { store, cache: _, ...remote } = objects
  const given = Object.entries(remote).find(([, value]) => value !== undefined)?.[0]
  if (store === 'folder' && given !== undefined)
    throw invalid('config.invalid', `${at(given)} is set, but objects are kept in a folder`, {
      hint: "Set objects.store to 's3' (LAGOA_OBJECTS__STORE=s3), or leave it out.",
    })
  if ((objects.accessKeyId === undefined) !== (objects.secretAccessKey === undefined))
    throw invalid('config.invalid', `Of ${at('accessKeyId')} and ${at('secretAccessKey')} only one is set`, {
      hint: 'Set both, or neither to use what the AWS tools find.',
    })
  if (objects.sessionToken !== undefined && objects.accessKeyId === undefined)
    throw invalid('config.invalid', `${at('sessionToken')} is set without the key that it belongs to`, {
      hint: 'Set objects.accessKeyId and objects.secretAccessKey too.',
    })
  if (objects.prefix !== undefined && objects.bucket === undefined)
    throw invalid('config.invalid', `${at('prefix')} is set without ${at('bucket')}`, { hint: 'Name the bucket in which the prefix lies.' })
}

/** A password for brokers that are not named, or half a login, would be passed over in silence. */
function refuseHalfEngines({ kafka, redis, rabbitmq }: z.output<typeof ConfigSchema>, layers: readonly ConfigLayer[]): void {
  const at = (...path: readonly string[]): string => spelled(layers.findLast(({ values }) => valueAt(values, path) !== undefined) ?? layers[0], path)
  const { brokers, mechanism: _, ...rest } = kafka
  const given = Object.entries(rest).find(([, value]) => value !== undefined)?.[0]
  if (brokers === undefined && given !== undefined)
    throw invalid('config.invalid', `${at('kafka', given)} is set without ${at('kafka', 'brokers')}`, { hint: 'Name the brokers, or leave it out.' })
  if ((kafka.username === undefined) !== (kafka.password === undefined))
    throw invalid('config.invalid', `Of ${at('kafka', 'username')} and ${at('kafka', 'password')} only one is set`, { hint: 'Set both, or neither.' })
  for (const [name, { url, ca }] of Object.entries({ redis, rabbitmq }))
    if (url === undefined && ca !== undefined)
      throw invalid('config.invalid', `${at(name, 'ca')} is set without ${at(name, 'url')}`, { hint: 'Give the address of the server, or leave it out.' })
}

/** A size as the settings write it, in bytes. */
/** Null is for ever. */
export const keptMs = (duration: string): number | null => (duration === 'forever' ? null : parseDuration(duration))

export function bytesOf(size: string): number {
  const [, number = '0', unit = ''] = /^([\d.]+)\s*([A-Za-z]+)$/.exec(size) ?? []
  const units: Readonly<Record<string, number>> = { mb: 1e6, gb: 1e9, mib: 1024 ** 2, gib: 1024 ** 3 }
  return Number(number) * (units[unit.toLowerCase()] ?? 1)
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)

const spelled = (layer: ConfigLayer | undefined, path: readonly string[]): string =>
  layer?.spell ? layer.spell(path) : `${path.join('.')} in ${layer?.from ?? 'the configuration'}`

function refuseUnknown(layer: ConfigLayer): void {
  const known = new Map(Object.entries(ConfigSchema.shape).map(([name, schema]) => [name, innerKeys(schema)]))
  for (const [name, value] of Object.entries(layer.values)) {
    const inner = known.get(name)
    if (inner === undefined)
      throw unknownKey(
        [name],
        [...known.keys()].map((one) => [one]),
        layer,
      )
    if (!inner || value === undefined) continue
    // Checked here and not by the schema, because a later layer would cover it.
    if (!isPlain(value))
      throw invalid('config.invalid', `${spelled(layer, [name])} must be an object with ${inner.join(', ')}`, {
        hint: `Its value is ${shownValue([name], value)}.`,
      })
    for (const key of Object.keys(value))
      if (!inner.includes(key))
        throw unknownKey(
          [name, key],
          inner.map((one) => [name, one]),
          layer,
        )
  }
}

function unknownKey(path: readonly string[], known: readonly (readonly string[])[], layer: ConfigLayer): Error {
  const spell = layer.spell ?? ((one: readonly string[]) => one.join('.'))
  const near = closest(spell(path), known.map(spell))
  return invalid('config.unknown_key', `There is no setting ${spell(path)} (in ${layer.from})`, {
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The settings are: ${known.map(spell).join(', ')}.`,
  })
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
