/**
 * One connection to a server that speaks the Redis protocol: made, logged in and looked at before anyone uses it. The only file that knows
 * the client library. The library neither connects again nor queues while away: a connection that breaks is replaced by a new one
 * (storage/lasting.ts), and a command that was under way rejects.
 */
import type { Redis, RedisOptions } from 'ioredis'
import { isIP } from 'node:net'
import { invalid, type LagoaError, type Log, unsupported } from '../../../base/index.ts'
import { authorities } from '../../tls.ts'
import { isCluster, isOnlyHere, redisAway, redisFault } from './faults.ts'
import type { Script } from './scripts.ts'

export interface RedisPlace {
  readonly host: string
  readonly port: number
  /** `host:port`, for messages. */
  readonly address: string
  readonly user: string
  readonly password: string
  readonly database: number
  /** The authorities to trust; null without TLS, undefined for those of Node. */
  readonly tls: null | { readonly ca?: readonly string[] }
}

const CONNECT_MS = 5_000
const OLDEST = 6

/** `redis://user:password@host:6379/0`, `rediss://` for TLS. */
export async function redisPlace(url: string, ca: string | undefined): Promise<RedisPlace> {
  const parsed = URL.canParse(url) ? new URL(url) : null
  const secure = parsed?.protocol === 'rediss:'
  const database = /^\/?(\d{0,4})$/.exec(parsed?.pathname ?? '')?.[1]
  if (parsed === null || !(secure || parsed.protocol === 'redis:') || parsed.hostname === '' || database === undefined || parsed.search !== '')
    throw invalid('storage.redis_url', 'redis.url is no address of a Redis server', {
      hint: 'Write it as redis://user:password@host:6379/0, or rediss:// for TLS (redis.url, LAGOA_REDIS__URL). In a password, write / as %2F, @ as %40 and # as %23.',
    })
  if (ca !== undefined && !secure)
    throw invalid('storage.redis_url', 'redis.ca is set, but redis.url asks for no TLS', {
      hint: 'Write rediss:// instead of redis:// in redis.url, or leave redis.ca out.',
    })
  const host = parsed.hostname.replace(/^\[|\]$/g, '')
  const port = Number(parsed.port || 6379)
  return {
    host,
    port,
    address: `${parsed.hostname}:${port}`,
    user: decoded(parsed.username),
    password: decoded(parsed.password),
    database: Number(database),
    tls: secure ? (ca === undefined ? {} : { ca: await authorities(ca, 'redis.ca') }) : null,
  }
}

export class RedisConnection {
  readonly #client: Redis
  readonly #address: string
  readonly #lost: (why: LagoaError) => void

  constructor(client: Redis, address: string, lost: (why: LagoaError) => void) {
    this.#client = client
    this.#address = address
    this.#lost = lost
  }

  /** Runs a script that the server knows by now, or is told. KEYS and ARGV as the script says. */
  async run(script: Script, keys: readonly string[], values: readonly string[]): Promise<unknown> {
    return this.#answer(
      this.#client.evalsha(script.sha, keys.length, ...keys, ...values).catch((error: unknown) => {
        if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return this.#client.eval(script.text, keys.length, ...keys, ...values)
        throw error
      }),
    )
  }

  /** Names that match the pattern, and where to go on; '0' is the end. */
  async scan(cursor: string, pattern: string, count: number): Promise<readonly [string, readonly string[]]> {
    return this.#answer(this.#client.scan(cursor, 'MATCH', pattern, 'COUNT', count))
  }

  async ping(): Promise<void> {
    await this.#answer(this.#client.ping())
  }

  async #answer<T>(reply: Promise<T>): Promise<T> {
    try {
      return await reply
    } catch (error) {
      const fault = redisFault(error, this.#address)
      if (isOnlyHere(fault)) this.#lost(fault)
      throw fault
    }
  }

  /** What was sent before is answered first. */
  async close(): Promise<void> {
    if (this.#client.status === 'ready') await this.#client.quit().catch(() => undefined)
    this.#client.disconnect()
  }
}

export interface RedisConnectionOptions {
  readonly silenceMs: number
  readonly log: Log
}

export async function connectRedis(
  place: RedisPlace,
  { silenceMs, log }: RedisConnectionOptions,
  lost: (why: LagoaError) => void,
  signal: AbortSignal,
): Promise<RedisConnection> {
  const { Redis } = await import('ioredis')
  const client = new Redis(optionsFor(place, silenceMs))
  let reason: Error | null = null
  client.on('error', (error) => (reason ??= error))
  const abort = (): void => client.disconnect()
  signal.addEventListener('abort', abort, { once: true })
  try {
    await client.connect()
    await logIn(client, place, log)
    await refuseOthers(client, place.address)
  } catch (error) {
    client.disconnect()
    throw redisFault(reason ?? error, place.address)
  } finally {
    signal.removeEventListener('abort', abort)
  }
  client.once('end', () => lost(reason === null ? redisAway(place.address, 'it ended the connection') : redisFault(reason, place.address)))
  if (client.status !== 'ready') lost(redisAway(place.address, 'it ended the connection'))
  return new RedisConnection(client, place.address, lost)
}

/** The library would log in by itself, but says on the terminal what it thinks of the server's answer. */
function optionsFor({ host, port, tls }: RedisPlace, silenceMs: number): RedisOptions & { readonly replyMapping: 'legacy' } {
  return {
    host,
    port,
    family: 0,
    ...(tls === null ? {} : { tls: { ...(tls.ca === undefined ? {} : { ca: [...tls.ca] }), ...(isIP(host) ? {} : { servername: host }) } }),
    protocol: 2,
    replyMapping: 'legacy',
    lazyConnect: true,
    retryStrategy: null,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    disableClientInfo: true,
    connectTimeout: CONNECT_MS,
    socketTimeout: silenceMs,
  }
}

async function logIn(client: Redis, { user, password, database, address }: RedisPlace, log: Log): Promise<void> {
  if (password !== '')
    await (user === '' ? client.auth(password) : client.auth(user, password)).catch((error: unknown) => {
      if (!(error instanceof Error && /without any password configured|no password is set/.test(error.message))) throw error
      log.warn('keys.redis_needs_no_password', { address })
    })
  if (database !== 0) await client.select(database)
  await client.client('SETNAME', 'lagoa').catch(() => undefined)
}

/** Tells what is no single server of a known version. A user who may not ask is trusted. */
async function refuseOthers(client: Redis, address: string): Promise<void> {
  const info = await client.info().catch((error: unknown) => {
    if (error instanceof Error && /NOPERM|unknown command/i.test(error.message)) return ''
    throw error
  })
  const told = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
  if (told('cluster_enabled') === '1' || told('redis_mode') === 'cluster') throw isCluster(address)
  if (told('redis_mode') === 'sentinel')
    throw unsupported('storage.redis_sentinel', `At ${address} there is a Redis Sentinel, which keeps no keys`, {
      hint: 'Name the server itself in redis.url (LAGOA_REDIS__URL).',
    })
  const version = told('redis_version')
  if (version !== '' && Number(version.split('.')[0]) < OLDEST)
    throw unsupported('storage.redis_old', `The server at ${address} is Redis ${version}; Lagoa needs ${OLDEST} or newer, or Valkey`, {
      hint: 'Name a newer server in redis.url (LAGOA_REDIS__URL).',
    })
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
