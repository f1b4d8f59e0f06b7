/** Passwords never leave the process: neither in messages nor in logs nor where a configuration is shown. */
import { closest, missing } from '../base/index.ts'
import type { Config } from './config.ts'
import { variableFor } from './environment.ts'

/** Settings whose value is or holds a secret. */
const SECRET_SETTINGS: ReadonlySet<string> = new Set([
  'database.url',
  'kafka.password',
  'redis.url',
  'rabbitmq.url',
  'objects.secretAccessKey',
  'objects.sessionToken',
  'process.webhookSecret',
])

/** The value of a setting as it may be shown. */
export function shownValue(path: readonly string[], value: unknown): string {
  const text = value === undefined ? 'not given' : JSON.stringify(value)
  return SECRET_SETTINGS.has(path.join('.')) || path[0] === 'secrets' ? '***' : hidePasswords(text)
}

/** The same text with `***` for each password in an address, such as `postgresql://user:***@host/database`. */
export function hidePasswords(text: string): string {
  return text
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/]*@/gi, '$1:***@')
    .replaceAll(/([?&](?:password|sslpassword|token|secret)=)[^\s&"']*/gi, '$1***')
}

/** A configuration for people to read. */
export function shownConfig(config: Config): Config {
  const { database, kafka, redis, rabbitmq, objects, process } = config
  return {
    ...config,
    secrets: Object.fromEntries(Object.keys(config.secrets).map((name) => [name, '***'])),
    database: withoutPassword(database),
    kafka: kafka.password === undefined ? kafka : { ...kafka, password: '***' },
    redis: withoutPassword(redis),
    process: process.webhookSecret === undefined ? process : { ...process, webhookSecret: '***' },
    rabbitmq: withoutPassword(rabbitmq),
    objects: {
      ...objects,
      ...(objects.secretAccessKey === undefined ? {} : { secretAccessKey: '***' }),
      ...(objects.sessionToken === undefined ? {} : { sessionToken: '***' }),
    },
  }
}

/** A secret that a task asks for. */
export function secretOf({ secrets }: Config, name: string): string {
  const found = secrets[name]
  if (found !== undefined) return found
  const near = closest(name, Object.keys(secrets))
  throw missing('config.no_secret', `There is no secret ${name}`, {
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Set it with: export ${variableFor(['secrets', name])}=...`,
  })
}

function withoutPassword<T extends { readonly url?: string | undefined }>(engine: T): T {
  return engine.url === undefined ? engine : { ...engine, url: hidePasswords(engine.url) }
}
