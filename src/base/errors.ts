/**
 * Every failure that a user can meet is a LagoaError: a stable code, a kind that decides how faces answer,
 * a message that says what happened to what, and a hint that says what to type next.
 */

export type ErrorKind = 'invalid' | 'denied' | 'missing' | 'conflict' | 'limit' | 'unavailable' | 'unsupported' | 'bug'

/** How each kind appears outside: the HTTP status, the process exit code, and whether trying again can help. */
export const ERROR_KINDS: Readonly<Record<ErrorKind, { readonly status: number; readonly exit: number; readonly retry: boolean }>> = {
  invalid: { status: 400, exit: 2, retry: false },
  denied: { status: 403, exit: 3, retry: false },
  missing: { status: 404, exit: 4, retry: false },
  conflict: { status: 409, exit: 5, retry: true },
  limit: { status: 413, exit: 6, retry: false },
  unavailable: { status: 503, exit: 7, retry: true },
  unsupported: { status: 501, exit: 8, retry: false },
  bug: { status: 500, exit: 1, retry: false },
}

export interface ErrorOptions {
  /** What the reader can type or change next. */
  readonly hint?: string | undefined
  readonly cause?: unknown
}

export class LagoaError extends Error {
  override readonly name = 'LagoaError'
  readonly code: string
  readonly kind: ErrorKind
  readonly hint: string | undefined

  constructor(kind: ErrorKind, code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = kind
    this.code = code
    this.hint = options.hint
  }
}

type Thrower = (code: string, message: string, options?: ErrorOptions) => LagoaError
const of =
  (kind: ErrorKind): Thrower =>
  (code, message, options) =>
    new LagoaError(kind, code, message, options)

export const invalid: Thrower = of('invalid')
export const denied: Thrower = of('denied')
export const missing: Thrower = of('missing')
export const conflict: Thrower = of('conflict')
export const overLimit: Thrower = of('limit')
export const unavailable: Thrower = of('unavailable')
export const unsupported: Thrower = of('unsupported')
export const bug: Thrower = of('bug')

/** Gives any thrown value the shape of a LagoaError; what nobody foresaw becomes kind `bug`, or `unavailable` for a full or read-only disk. */
export function toLagoaError(thrown: unknown): LagoaError {
  if (thrown instanceof LagoaError) return thrown
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown))
  const system = SYSTEM_ERRORS[errno(cause) ?? '']
  if (system) return unavailable(system.code, `${system.message}: ${cause.message}`, { hint: system.hint, cause })
  return bug('base.unexpected', cause.message, { cause })
}

/** The `errno` name of a Node system error (`ENOSPC`), or undefined. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

const SYSTEM_ERRORS: Readonly<Record<string, { code: string; message: string; hint: string }>> = {
  ENOSPC: { code: 'storage.disk_full', message: 'The disk is full', hint: 'Free some space, then start again; nothing acknowledged was lost.' },
  EDQUOT: { code: 'storage.disk_full', message: 'The disk quota is used up', hint: 'Free some space, then start again; nothing acknowledged was lost.' },
  EROFS: { code: 'storage.read_only', message: 'The disk is read-only', hint: 'Set LAGOA_HOME to a folder that can be written.' },
  EACCES: { code: 'storage.no_permission', message: 'No permission', hint: 'Give this user write access to the folder, or set LAGOA_HOME to one it owns.' },
  EMFILE: { code: 'storage.too_many_files', message: 'Too many open files', hint: 'Raise the limit with: ulimit -n 8192' },
}

/** The plain form for JSON bodies and `--json` output. */
export interface ErrorBody {
  readonly code: string
  readonly kind: ErrorKind
  readonly message: string
  readonly hint?: string
  readonly requestId?: string
}

export function errorBody(error: LagoaError, requestId?: string): ErrorBody {
  return {
    code: error.code,
    kind: error.kind,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(requestId === undefined ? {} : { requestId }),
  }
}

/** The names nearest to `wanted`, for "did you mean"; empty when nothing is close. */
export function closest(wanted: string, known: Iterable<string>, most: number = 3): string[] {
  const scored: [number, string][] = []
  for (const name of known) {
    const distance = editDistance(wanted.toLowerCase(), name.toLowerCase())
    if (distance <= Math.max(2, Math.floor(wanted.length / 3))) scored.push([distance, name])
  }
  return scored
    .sort((a, b) => a[0] - b[0] || a[1].localeCompare(b[1]))
    .slice(0, most)
    .map(([, name]) => name)
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, substitution))
    }
    previous = row
  }
  return previous[b.length] ?? 0
}
