/** One door to the HTTP API: JSON in, JSON out, and every failure as an `ApiError` that says what to do next. */

export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly kind: string
  readonly hint: string | undefined
  readonly requestId: string | undefined

  constructor(status: number, facts: { code: string; kind: string; message: string; hint?: string | undefined; requestId?: string | undefined }) {
    super(facts.message)
    this.name = 'ApiError'
    this.status = status
    this.code = facts.code
    this.kind = facts.kind
    this.hint = facts.hint
    this.requestId = facts.requestId
  }
}

type Param = string | number | undefined

function apiPath(path: string, params: Record<string, Param> = {}): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== '') query.set(name, String(value))
  const tail = query.toString()
  return `/api/v1/${path}${tail === '' ? '' : `?${tail}`}`
}

export function get<T>(path: string, params?: Record<string, Param>, signal?: AbortSignal): Promise<T> {
  return call<T>(apiPath(path, params), signal === undefined ? {} : { signal })
}

export function post<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return call<T>(apiPath(path), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body ?? {}),
    ...(signal === undefined ? {} : { signal }),
  })
}

/** Answered when it has begun, not when it is over. */
export function postAsync<T>(path: string, body: unknown): Promise<T> {
  return call<T>(apiPath(path), {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'respond-async' },
    body: JSON.stringify(body),
  })
}

/** The same request again, with the same key, is done once. */
export function postOnce<T>(path: string, body: unknown, key: string): Promise<T> {
  return call<T>(apiPath(path), {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
  })
}

/** With a version only that one is changed; a newer one is a conflict. */
export function patch<T>(path: string, body: unknown, version?: number): Promise<T> {
  return call<T>(apiPath(path), { method: 'PATCH', headers: { 'content-type': 'application/json', ...matching(version) }, body: JSON.stringify(body) })
}

export function remove<T>(path: string, version?: number): Promise<T> {
  return call<T>(apiPath(path), { method: 'DELETE', headers: matching(version) })
}

const matching = (version: number | undefined): Record<string, string> => (version === undefined ? {} : { 'if-match': `"${version}"` })

async function call<T>(url: string, init: RequestInit): Promise<T> {
  let answer: Response
  try {
    answer = await fetch(url, { ...init, headers: { accept: 'application/json', ...init.headers } })
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw new ApiError(0, { code: 'console.unreachable', kind: 'unavailable', message: '' })
  }
  const text = await answer.text()
  const value = readJson(text)
  if (!answer.ok || value === undefined) throw errorFrom(answer, value)
  // The shape is the server's promise: its routes answer from the same schemas these types are inferred from.
  return value as T
}

function readJson(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function errorFrom(answer: Response, value: unknown): ApiError {
  if (typeof value === 'object' && value !== null && 'error' in value && typeof value.error === 'object' && value.error !== null) {
    const facts: Record<string, unknown> = { ...value.error }
    const text = (name: string): string | undefined => (typeof facts[name] === 'string' ? facts[name] : undefined)
    return new ApiError(answer.status, {
      code: text('code') ?? 'console.unknown',
      kind: text('kind') ?? 'bug',
      message: text('message') ?? `${answer.status} ${answer.statusText}`,
      hint: text('hint'),
      requestId: text('requestId'),
    })
  }
  return new ApiError(answer.status, { code: 'console.not_json', kind: 'bug', message: `${answer.status} ${answer.statusText}`.trim() })
}
