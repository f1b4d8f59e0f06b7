/**
 * What a failed statement means to the caller: SQLSTATE (PostgreSQL documentation, appendix A) and socket errors to LagoaErrors.
 * The server's `detail` holds row values, so it is never copied into a message.
 */
import { conflict, denied, errno, invalid, bug, LagoaError, missing, unavailable, unsupported } from '../../base/index.ts'
import { isUntrusted } from '../tls.ts'

/** The five-character SQLSTATE of a database error, also when it was already translated. */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof LagoaError) return sqlState(error.cause)
  const code = errno(error)
  // EPIPE and its like have five letters, too; no SQLSTATE starts with E.
  return code !== undefined && /^(?!E)[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/** The constraint that refused a row, when the error names one. */
export function constraintOf(error: unknown): string | undefined {
  const source = error instanceof LagoaError ? error.cause : error
  return source instanceof Error && 'constraint' in source && typeof source.constraint === 'string' ? source.constraint : undefined
}

export function recordsFault(thrown: unknown): LagoaError {
  if (thrown instanceof LagoaError) return thrown
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown))
  const state = sqlState(cause)
  if (state === undefined && isUntrusted(cause)) return untrusted(cause)
  const refusal = state === undefined ? REFUSALS.find(([pattern]) => pattern.test(cause.message))?.[1] : undefined
  if (refusal) return refusal(cause)
  if (state === undefined)
    return isConnectionLoss(cause) ? databaseAway(cause) : bug('storage.driver', `The database driver failed: ${cause.message}`, { cause })
  const exact = EXACT[state]
  if (exact) return exact(cause)
  const byClass = CLASSES[state.slice(0, 2)]
  if (byClass) return byClass(cause)
  return bug('storage.statement', `The database refused a statement: ${cause.message} (SQLSTATE ${state})`, { cause })
}

function databaseAway(cause: Error): LagoaError {
  return unavailable('storage.database_away', `The database cannot be reached: ${cause.message || errno(cause) || 'no answer'}`, {
    hint: 'Check that it runs: lagoa doctor. The embedded one keeps its log in pg/postgres.log below the home folder.',
    cause,
  })
}

const SOCKET_ERRORS: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOTSOCK',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
])

function isConnectionLoss(cause: Error): boolean {
  return (
    SOCKET_ERRORS.has(errno(cause) ?? '') ||
    /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout expired)/.test(cause.message)
  )
}

type Translation = (cause: Error) => LagoaError

const untrusted: Translation = (cause) =>
  denied('storage.database_tls', `The database server's certificate is not trusted: ${cause.message}`, {
    hint: 'Name the authority that signed it: sslrootcert=FILE in LAGOA_DATABASE__URL (a PEM file), and with sslmode=verify-full the host as the certificate does.',
    cause,
  })

const loginRefused: Translation = (cause) =>
  /no encryption|SSL off/.test(cause.message)
    ? denied('storage.database_tls', `The database server lets nobody in without TLS: ${cause.message}`, {
        hint: 'Add sslmode=verify-full (or require) to LAGOA_DATABASE__URL.',
        cause,
      })
    : denied('storage.login_refused', `The database refused the login: ${cause.message}`, { hint: 'Check user and password in LAGOA_DATABASE__URL.', cause })

/** What the driver itself finds wrong with a server, by its words. */
const REFUSALS: readonly (readonly [RegExp, Translation])[] = [
  [
    /does not support SSL connections/,
    (cause) =>
      denied('storage.database_tls', 'The database server does not speak TLS', {
        hint: 'Turn ssl on in its postgresql.conf; or, where nobody else can listen, write sslmode=disable in LAGOA_DATABASE__URL.',
        cause,
      }),
  ],
  [/^SASL|password must be a/, loginRefused],
]

const full: Translation = (cause) =>
  unavailable('storage.disk_full', `The database has no space left: ${cause.message}`, {
    hint: 'Free some space on its disk; nothing acknowledged was lost.',
    cause,
  })

const EXACT: Readonly<Record<string, Translation>> = {
  '23505': (cause) => conflict('storage.duplicate', `There is a row with the same key already (${constraintOf(cause) ?? 'unique constraint'})`, { cause }),
  '40001': (cause) => conflict('storage.serialization', 'The transaction met another one that changed the same rows', { hint: 'Try again.', cause }),
  '40P01': (cause) => conflict('storage.deadlock', 'The transaction was ended to resolve a deadlock', { hint: 'Try again.', cause }),
  '0A000': (cause) =>
    /cached plan/.test(cause.message)
      ? conflict('storage.table_changed', 'A table changed its shape while a prepared statement used it', { hint: 'Try again.', cause })
      : unsupported('storage.not_supported', `The database cannot do this: ${cause.message}`, { cause }),
  '55P03': (cause) => conflict('storage.locked', 'The rows are locked by another transaction', { hint: 'Try again.', cause }),
  '53100': full,
  '25006': (cause) =>
    unavailable('storage.read_only', `The database accepts no writes: ${cause.message}`, { hint: 'Connect to the primary server, not to a standby.', cause }),
  '57014': (cause) => unavailable('storage.cancelled', `The statement was cancelled: ${cause.message}`, { cause }),
  '3D000': (cause) => missing('storage.no_database', `The server has no such database: ${cause.message}`, { hint: 'Create it with: createdb NAME', cause }),
  '42501': (cause) =>
    denied('storage.denied', `The database user may not do this: ${cause.message}`, { hint: 'Grant the right to the user in LAGOA_DATABASE__URL.', cause }),
  '58030': (cause) =>
    /no space left/i.test(cause.message) ? full(cause) : unavailable('storage.io', `The database could not use its disk: ${cause.message}`, { cause }),
}

const CLASSES: Readonly<Record<string, Translation>> = {
  '08': databaseAway,
  '22': (cause) => invalid('storage.bad_value', `The database refused a value: ${cause.message}`, { cause }),
  '23': (cause) => invalid('storage.constraint', `A row breaks the constraint ${constraintOf(cause) ?? '(unnamed)'}: ${cause.message}`, { cause }),
  '28': loginRefused,
  '53': (cause) => unavailable('storage.database_busy', `The database is out of resources: ${cause.message}`, { cause }),
  '57': databaseAway,
}
