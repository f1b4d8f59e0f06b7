/** Passwords never leave the process: neither in messages nor in logs nor where a configuration is shown. */
import type { Config } from './config.ts'

/** Settings whose value is or holds a secret. */
const SECRET_SETTINGS: ReadonlySet<string> = new Set([
  'database.url',
  'kafka.password',
  'redis.url',
  'rabbitmq.url',
  'objects.secretAccessKey',
  'objects.sessionToken',
])

/** The value of a setting as it may be shown. */
export function shownValue(path: readonly string[], value: unknown): string {
  const text = value === undefined ? 'not given' : JSON.stringify(value)
  return SECRET_SETTINGS.has(path.join('.')) ? '***' : hidePasswords(text)
}

/** The same text with `***` for each password in an address, such as `postgresql://user:***@host/database`. */
export function hidePasswords(text: string): string {
  return text
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/]*@/gi, '$1:***@')
    .replaceAll(/([?&](?:password|sslpassword|token|secret)=)[^\s&"']*/gi, '$1***')
}

/** A configuration for people to read. */
export function shownConfig(config: Config): Config {
  const { database, kafka, redis, rabbitmq, objects } = config
  return {
    ...config,
    database: withoutPassword(database),
    kafka: kafka.password === undefined ? kafka : { ...kafka, password: '***' },
    redis: withoutPassword(redis),
    rabbitmq: withoutPassword(rabbitmq),
    objects: {
      ...objects,
      ...(objects.secretAccessKey === undefined ? {} : { secretAccessKey: '***' }),
      ...(objects.sessionToken === undefined ? {} : { sessionToken: '***' }),
    },
  }
}

function withoutPassword<T extends { readonly url?: string | undefined }>(engine: T): T {
  return engine.url === undefined ? engine : { ...engine, url: hidePasswords(engine.url) }
}
