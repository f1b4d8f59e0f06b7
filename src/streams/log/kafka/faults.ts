/** What went wrong between Lagoa and Kafka, in words that say what to check. Secrets never get into them. */
import { denied, errno, invalid, LagoaError, missing, overLimit, unavailable } from '../../../base/index.ts'

/** An error code that a broker gave, by the name that Kafka's documentation has for it. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly apiId: string

  constructor(apiId: string) {
    super(apiId)
    this.apiId = apiId
  }
}

/** No connection came about, so nothing was sent. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected'

  constructor(cause: unknown) {
    super('No connection to the broker', { cause })
  }
}

/** The error itself, what caused it and what it gathers. */
function* within(error: unknown, depth: number = 0): Generator<Error> {
  if (!(error instanceof Error) || depth > 8) return
  yield error
  yield* within(error.cause, depth + 1)
  if ('errors' in error && Array.isArray(error.errors)) for (const one of error.errors) yield* within(one, depth + 1)
}

/** The names of the brokers' error codes in it, each once, such as NOT_LEADER_OR_FOLLOWER. */
function brokerCodes(error: unknown): string[] {
  return [...new Set([...within(error)].flatMap((one) => ('apiId' in one && typeof one.apiId === 'string' ? [one.apiId] : [])))]
}

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return brokerCodes(error).some((code) => codes.includes(code))
}

/** The cluster is in motion: another broker leads now, or will in a moment. */
const PASSING = new Set([
  'BROKER_NOT_AVAILABLE',
  'CONCURRENT_TRANSACTIONS',
  'COORDINATOR_LOAD_IN_PROGRESS',
  'COORDINATOR_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'KAFKA_STORAGE_ERROR',
  'LEADER_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'NOT_CONTROLLER',
  'NOT_COORDINATOR',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'NOT_LEADER_OR_FOLLOWER',
  'OFFSET_NOT_AVAILABLE',
  'REPLICA_NOT_AVAILABLE',
  'REQUEST_TIMED_OUT',
  'THROTTLING_QUOTA_EXCEEDED',
  'UNKNOWN_LEADER_EPOCH',
  'UNKNOWN_TOPIC_OR_PARTITION',
])

/** Whether asking again in a moment may help. */
export function isPassing(error: unknown): boolean {
  if (error instanceof LagoaError || refusal(error, '') !== null) return false
  const codes = brokerCodes(error)
  return codes.length > 0 ? codes.every((code) => PASSING.has(code)) : isNetwork(error)
}

/** The request may have been carried out, but its answer did not come. */
export function isUndecided(error: unknown): boolean {
  return hasCode(error, 'REQUEST_TIMED_OUT', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND') || (isNetwork(error) && !(error instanceof NotConnected))
}

/** The connection failed or broke. */
export function isNetwork(error: unknown): boolean {
  return [...within(error)].some(isNetworkError)
}

function isNetworkError(error: Error): boolean {
  return errno(error) === 'PLT_KFK_NETWORK' || errno(error) === 'PLT_KFK_TIMEOUT'
}

const CREDENTIAL_CODES = ['SASL_AUTHENTICATION_FAILED', 'UNSUPPORTED_SASL_MECHANISM', 'ILLEGAL_SASL_STATE']
const CERTIFICATE_CODES = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_SSL_|EPROTO)/
const SETTINGS_TLS =
  'Set kafka.tls (LAGOA_KAFKA__TLS=true) as the brokers have it, and kafka.ca (LAGOA_KAFKA__CA_FILE) to the authority that signed their certificates.'
const SETTINGS_SASL = 'Check kafka.mechanism, kafka.username and kafka.password (LAGOA_KAFKA__MECHANISM, LAGOA_KAFKA__USERNAME, LAGOA_KAFKA__PASSWORD).'

/** How a connection ends whose other side waits for TLS or for credentials, or does not know TLS. */
const MAYBE_SECURED = /^Connection closed$|secure TLS connection/

/** The fault that no waiting mends, or null. */
function refusal(error: unknown, doing: string): LagoaError | null {
  const all = [...within(error)]
  const codes = brokerCodes(error)
  // A connection that breaks while TLS is agreed on is also what a broker that stops leaves behind.
  const isBroken = all.some((one) => errno(one) === 'ECONNRESET')
  const certificate = all.find((one) => CERTIFICATE_CODES.test(errno(one) ?? '') || (!isBroken && /TLS|wrong version number/.test(one.message)))
  if (certificate)
    return denied('streams.kafka_tls', `No TLS connection to Kafka comes about: ${certificate.message}`, { hint: SETTINGS_TLS, cause: certificate })
  if (codes.some((code) => CREDENTIAL_CODES.includes(code)) || isRefusedLogin(all))
    return denied('streams.kafka_credentials', 'Kafka does not accept the credentials', { hint: SETTINGS_SASL, cause: named(codes) })
  const forbidden = codes.find((code) => code.endsWith('AUTHORIZATION_FAILED'))
  if (forbidden !== undefined)
    return denied('streams.kafka_forbidden', `${doing} failed: Kafka forbids it (${forbidden})`, {
      hint: 'Grant this user what docs/kafka.md lists under "Permissions".',
      cause: named(codes),
    })
  return null
}

/** Logging in failed, and not because the connection broke. */
function isRefusedLogin(all: readonly Error[]): boolean {
  const login = all.findIndex((one) => errno(one) === 'PLT_KFK_AUTHENTICATION')
  return login >= 0 && !all.slice(login + 1).some(isNetworkError)
}

/** Errors of the library can carry what it sent; only the brokers' own words go on. */
function named(codes: readonly string[]): Error | undefined {
  return codes.length > 0 ? new BrokerError(codes.join(', ')) : undefined
}

/** Any failure as a LagoaError; `doing` is what could not be done ("Reading orders/0"). */
export function kafkaFault(error: unknown, doing: string): LagoaError {
  if (error instanceof LagoaError) return error
  const refused = refusal(error, doing)
  if (refused) return refused
  const codes = brokerCodes(error)
  if (codes.includes('POLICY_VIOLATION') || codes.includes('INVALID_CONFIG') || codes.includes('INVALID_REPLICATION_FACTOR'))
    return invalid('streams.kafka_policy', `${doing} failed: Kafka refuses the topic's settings (${codes.join(', ')})`, {
      hint: 'Choose kafka.replication and retention that the cluster allows, or create the topic there by hand: it is used as it is.',
    })
  const reason = codes.length > 0 ? codes.join(', ') : messageOf(error)
  return unavailable('streams.kafka_away', `${doing} failed: ${reason}`, {
    hint: `Check that Kafka runs and that kafka.brokers (LAGOA_KAFKA__BROKERS) names it${MAYBE_SECURED.test(reason) ? ', and that kafka.tls and kafka.username are set as it has them' : ''}; Lagoa goes on by itself when it answers.`,
    cause: named(codes),
  })
}

function messageOf(error: unknown): string {
  // The innermost says most: `connect ECONNREFUSED 127.0.0.1:9092`.
  const all = [...within(error)]
  return all.findLast((one) => errno(one)?.startsWith('E'))?.message ?? all.at(-1)?.message ?? String(error)
}

export function noTopic(topic: string, partition: number): LagoaError {
  return missing('streams.no_topic', `There is no partition ${partition} of topic ${topic}`, { hint: `Declare it with stream('${topic}', ...) in streams/.` })
}

/** Nothing of its append was stored. */
export function tooLarge(topic: string, bytes: number, limit?: number): LagoaError {
  return overLimit(
    'streams.record_too_large',
    `A record of ${bytes} bytes is larger than topic ${topic} takes${limit === undefined ? '' : `: ${limit} bytes`}`,
    {
      hint: `Send smaller records, or raise max.message.bytes of ${topic} in Kafka.`,
    },
  )
}

/** The limit could not be known beforehand. */
export function partlyStored(topic: string, bytes: number, stored: number): LagoaError {
  return overLimit('streams.partly_stored', `A record of ${bytes} bytes is larger than topic ${topic} takes; the ${stored} before it are stored`, {
    hint: `Send smaller records, or raise max.message.bytes of ${topic}; with the permission DescribeConfigs on it, nothing of such an append is stored.`,
  })
}

export function logClosed(): LagoaError {
  return unavailable('streams.log_closed', 'The event log is closed', { hint: 'Lagoa is stopping; start it again.' })
}
