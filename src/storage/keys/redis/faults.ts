/** What a failed command or connection means to the caller: error replies of Redis and socket errors to LagoaErrors. Replies carry no values. */
import { bug, denied, errno, invalid, LagoaError, unavailable, unsupported } from '../../../base/index.ts'
import { isNotTls, isUntrusted } from '../../tls.ts'

const CHECK = 'Check that it runs, and that redis.url (LAGOA_REDIS__URL) names it: rediss:// if it speaks TLS, else redis://.'

/** `address` is `host:port`, never with a password. */
export function redisFault(thrown: unknown, address: string): LagoaError {
  if (thrown instanceof LagoaError) return thrown
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown))
  if (cause.name === 'ReplyError') return refused(cause, address)
  if (isUntrusted(cause))
    return denied('storage.redis_tls', `Redis at ${address} has a certificate that is not trusted: ${cause.message}`, {
      hint: 'Name the authority that signed it in redis.ca (LAGOA_REDIS__CA, a PEM file), and the host as the certificate does.',
      cause,
    })
  if (isNotTls(cause))
    return denied('storage.redis_tls', `Redis at ${address} does not speak TLS as it was asked to: ${cause.message}`, {
      hint: 'Write redis:// instead of rediss:// in redis.url (LAGOA_REDIS__URL), or turn TLS on in the server.',
      cause,
    })
  return redisAway(address, reasonOf(cause), cause)
}

function reasonOf(cause: Error): string {
  if (/before secure TLS connection/.test(cause.message)) return 'it ended the connection instead of speaking TLS'
  if (cause.message === 'Connection is closed.') return 'it ended the connection'
  return SAID[errno(cause) ?? ''] ?? cause.message
}

export function redisAway(address: string, reason: string, cause?: unknown): LagoaError {
  return unavailable('storage.redis_away', `Redis at ${address} cannot be reached: ${reason}`, { hint: CHECK, cause })
}

/** Whether the connection should be given up, because another one may reach a server that can do it. */
export function isOnlyHere(fault: LagoaError): boolean {
  return fault.code === 'storage.redis_read_only'
}

const SAID: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host cannot be looked up now',
  ETIMEDOUT: 'no answer',
  ECONNRESET: 'it ended the connection',
  EPIPE: 'it ended the connection',
  EHOSTUNREACH: 'there is no way to the host',
}

/** By the word that begins a reply; a script's failure has it in the middle with some versions. */
function refused(cause: Error, address: string): LagoaError {
  const said = cause.message.replace(/ script: [0-9a-f]{40}.*$/s, '')
  for (const [pattern, translate] of REPLIES) if (pattern.test(said)) return translate(said, address, cause)
  return bug('storage.redis_reply', `Redis at ${address} refused a command: ${said}`, { cause })
}

type Translation = (said: string, address: string, cause: Error) => LagoaError

const busy: Translation = (said, address, cause) => redisAway(address, said, cause)

const REPLIES: readonly (readonly [RegExp, Translation])[] = [
  [
    /\b(WRONGPASS|NOAUTH)\b|invalid password|Authentication required/,
    (_, address, cause) =>
      denied('storage.redis_login', `Redis at ${address} refused the login`, {
        hint: 'Check user and password in redis.url (LAGOA_REDIS__URL, or LAGOA_REDIS__URL_FILE): redis://user:password@host:6379.',
        cause,
      }),
  ],
  [
    /\bNOPERM\b|no permission|can't run this command/i,
    (said, address, cause) =>
      denied('storage.redis_denied', `The user of Redis at ${address} may not do this: ${said}`, {
        hint: 'Grant it: ACL SETUSER name on >password ~* &* +@read +@write +@scripting +@connection +info',
        cause,
      }),
  ],
  [
    /\bREADONLY\b/,
    (_, address, cause) =>
      unavailable('storage.redis_read_only', `Redis at ${address} is a replica that accepts no writes`, { hint: 'Name the primary in redis.url.', cause }),
  ],
  [
    /\bOOM\b/,
    (_, address, cause) =>
      unavailable('storage.redis_full', `Redis at ${address} has used all the memory it may`, {
        hint: 'Raise its maxmemory, give streams a shorter live.ttl, or let it evict: CONFIG SET maxmemory-policy allkeys-lru',
        cause,
      }),
  ],
  [
    /\bMISCONF\b/,
    (_, address, cause) =>
      unavailable('storage.redis_not_saving', `Redis at ${address} accepts no writes because it cannot save to its disk`, {
        hint: 'Its own log says why; mostly the disk is full.',
        cause,
      }),
  ],
  [/\b(MOVED|ASK|CROSSSLOT|CLUSTERDOWN)\b/, (_, address, cause) => isCluster(address, cause)],
  [
    /DB index is out of range|invalid DB index|SELECT is not allowed/i,
    (said, address, cause) =>
      invalid('storage.redis_database', `Redis at ${address} has no such database: ${said}`, {
        hint: 'Write another number at the end of redis.url, or none.',
        cause,
      }),
  ],
  [/\b(LOADING|BUSY|MASTERDOWN|TRYAGAIN|UNBLOCKED|NOREPLICAS)\b|max number of clients/, busy],
]

export function isCluster(address: string, cause?: unknown): LagoaError {
  return unsupported('storage.redis_cluster', `Redis at ${address} is a node of a Redis Cluster, which Lagoa does not use`, {
    hint: 'Name a single server in redis.url (LAGOA_REDIS__URL), with replicas if need be, or an endpoint with cluster mode disabled.',
    cause,
  })
}
