/**
 * The address, taken before anything else is started: a port in use is told in milliseconds and leaves nothing behind, and others know
 * where this server will answer. Until the platform is up every request gets a 503 that says what is being waited for.
 */
import { createServer, type RequestListener, type Server as HttpServer } from 'node:http'
import { conflict, denied, errno, type LagoaError } from '../base/index.ts'

export interface Door {
  readonly url: string
  /** What is told until then, in place of "Lagoa is starting". */
  waitFor(fault: LagoaError): void
  /** From now on requests are answered by this. */
  open(listener: RequestListener): void
  /** Takes no more connections, waits a little for answers under way, then ends what is left. Safe to call twice. */
  close(): Promise<void>
}

const GRACE_MS = 1000
const PROBE_MS = 500

const STARTING = { code: 'http.starting', kind: 'unavailable', message: 'Lagoa is starting', hint: 'Try again in a moment.' }

export async function openDoor({ host, port }: { readonly host: string; readonly port: number }): Promise<Door> {
  let told: { readonly code: string; readonly kind: string; readonly message: string; readonly hint?: string | undefined } = STARTING
  let listener: RequestListener = (request, response) => {
    request.resume()
    const isPage = request.headers.accept?.includes('text/html') === true
    response
      .writeHead(503, { 'content-type': isPage ? 'text/html; charset=utf-8' : 'application/json', 'retry-after': '1', 'cache-control': 'no-store' })
      .end(isPage ? waitingPage(told.message, told.hint) : JSON.stringify({ error: told }))
  }
  const http = createServer({ keepAliveTimeout: 65_000, requestTimeout: 120_000 }, (request, response) => listener(request, response))
  await listen(http, host, port)
  const address = http.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  return {
    url: urlOf(host, bound),
    waitFor({ code, kind, message, hint }) {
      told = { code, kind, message: `Lagoa is waiting: ${message}`, hint }
    },
    open(next) {
      listener = next
    },
    close: () =>
      new Promise((done) => {
        http.close(() => done())
        http.closeIdleConnections()
        setTimeout(() => http.closeAllConnections(), GRACE_MS).unref()
      }),
  }
}

/** It looks again by itself. */
function waitingPage(message: string, hint: string = ''): string {
  const plain = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><meta name="viewport" content="width=device-width"><title>Lagoa</title><style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:20vh auto;padding:0 1.5rem}h1{font-size:1.25rem}</style></head><body><main><h1>${plain(message)}</h1><p>${plain(hint)}</p></main></body></html>`
}

const urlOf = (host: string, port: number): string => `http://${host.includes(':') ? `[${host}]` : host}:${port}`

async function listen(http: HttpServer, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject)
      http.listen(port, host, () => resolve())
    })
  } catch (cause) {
    if (errno(cause) === 'EADDRINUSE') throw await portTaken(host, port, cause)
    if (errno(cause) === 'EACCES')
      throw denied('http.port_denied', `This user may not listen on port ${port}`, { hint: 'Choose a port from 1024 up, such as --port 8080.', cause })
    if (errno(cause) === 'EADDRNOTAVAIL') throw denied('http.no_address', `This machine has no address ${host}`, { hint: 'Use --host 127.0.0.1.', cause })
    throw cause
  }
}

async function portTaken(host: string, port: number, cause: unknown): Promise<LagoaError> {
  const project = await lagoaAt(urlOf(host, port))
  const other = `Choose another: --port ${port < 65_535 ? port + 1 : 8080}, or --port 0 for any free one.`
  if (project !== null)
    return conflict('http.lagoa_runs', `Port ${port} on ${host} is in use by another Lagoa, which runs ${project}`, {
      hint: `It is at ${urlOf(host, port)}. ${other}`,
      cause,
    })
  return conflict('http.port_taken', `Port ${port} on ${host} is in use by another program`, { hint: other, cause })
}

/** What the Lagoa that answers there calls its project; null when it is something else. */
async function lagoaAt(url: string): Promise<string | null> {
  try {
    const answer = await fetch(`${url}/api/v1/system`, { signal: AbortSignal.timeout(PROBE_MS) })
    const system: unknown = await answer.json()
    return typeof system === 'object' && system !== null && 'title' in system && 'startedAt' in system ? String(system.title) : null
  } catch {
    return null
  }
}

/** Whether a server could listen there now; the error that `openDoor` would give otherwise. */
export async function probeDoor(at: { readonly host: string; readonly port: number }): Promise<void> {
  await (await openDoor(at)).close()
}
