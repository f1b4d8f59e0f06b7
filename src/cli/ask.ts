/** Requests of a command to the server that runs on the same home. */
import { z } from 'zod'
import { ERROR_KINDS, LagoaError, unavailable, type ErrorKind } from '../base/index.ts'

const Failure = z.object({ error: z.object({ code: z.string(), kind: z.string(), message: z.string(), hint: z.string().optional() }) })

/** What the server answers; its errors are thrown as they are. With a body it is a POST, unless it is said to be something else. */
export async function askServer(
  url: string,
  path: string,
  body?: unknown,
  method: 'GET' | 'POST' | 'DELETE' = body === undefined ? 'GET' : 'POST',
): Promise<unknown> {
  let answered: unknown
  try {
    const answer = await fetch(url + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    })
    answered = await answer.json()
  } catch (cause) {
    throw unavailable('cli.server_silent', `The Lagoa server at ${url} runs on this home and does not answer`, { hint: 'Wait for it, or stop it.', cause })
  }
  const failed = Failure.safeParse(answered)
  if (!failed.success) return answered
  const { kind, code, message, hint } = failed.data.error
  throw new LagoaError(isKind(kind) ? kind : 'bug', code, message, { hint })
}

const isKind = (kind: string): kind is ErrorKind => Object.hasOwn(ERROR_KINDS, kind)
