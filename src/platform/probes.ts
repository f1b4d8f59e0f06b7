/** How each engine is asked whether it is there, and where it is. */
import type { Query } from '../query/index.ts'
import type { Config } from './config.ts'
import type { Engines } from './engines.ts'
import { hidePasswords } from './secrets.ts'
import type { Probe } from './services.ts'

export function probesOf(config: Config, { records, objects, keys, eventLog, queue, objectsFolder }: Engines, query: Query): readonly Probe[] {
  const { home, database, kafka, redis, rabbitmq } = config
  const databaseAt = database.url === undefined ? `${home}/pg` : shownAddress(database.url)
  return [
    { name: 'records', adapter: 'postgres', address: databaseAt, ping: () => records.query('select 1') },
    {
      name: 'objects',
      adapter: objects.capabilities.name,
      address: config.objects.store === 'folder' ? objectsFolder : s3Address(config),
      ping: () => objects.head('lagoa/health'),
    },
    {
      name: 'keys',
      adapter: keys.capabilities.name,
      address: redis.url === undefined ? databaseAt : shownAddress(redis.url),
      ping: () => keys.ping(),
      retryAt: () => keys.retryAt?.() ?? null,
    },
    {
      name: 'eventLog',
      adapter: eventLog.capabilities.name,
      address: kafka.brokers === undefined ? databaseAt : kafka.brokers.join(', '),
      ping: () => eventLog.ends('lagoa-health'),
    },
    {
      name: 'queue',
      adapter: queue.capabilities.name,
      address: rabbitmq.url === undefined ? databaseAt : shownAddress(rabbitmq.url),
      ping: () => queue.ping(),
      retryAt: () => queue.retryAt?.() ?? null,
    },
    { name: 'query', adapter: 'duckdb', address: null, ping: () => query.ping() },
  ]
}

/** `host:port/database` of an address: neither who logs in nor how. */
function shownAddress(url: string): string {
  const hidden = hidePasswords(url)
  const place = hidden.slice(hidden.indexOf('://') + 3)
  const [server = ''] = place.slice(place.lastIndexOf('@') + 1).split('?')
  return server.replace(/\/$/, '')
}

function s3Address({ objects: { endpoint, region, bucket, prefix } }: Config): string {
  const place = [bucket, prefix].filter((part) => part !== undefined).join('/')
  return [endpoint?.replace(/\/$/, '') ?? (region === undefined ? 'AWS' : `AWS ${region}`), place].filter((part) => part !== '').join('/')
}
