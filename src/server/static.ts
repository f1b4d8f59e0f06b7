/** Files for browsers: the built console and the API documentation. */
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { extname, join, normalize } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { HttpBindings } from '@hono/node-server'
import type { Hono } from 'hono'
import type { HttpContext } from './route.ts'

type App = Hono<{ Bindings: HttpBindings; Variables: { requestId: string } }>

const CONSOLE = fileURLToPath(new URL('../../console/dist/', import.meta.url))

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
  '.map': 'application/json',
}

const NOT_BUILT = `<!doctype html><meta charset="utf-8"><title>Lagoa</title><body style="font:15px system-ui;margin:4rem auto;max-width:40rem"><h1>The console is not built</h1><p>Run <code>npm run build:console</code>, then load this page again. The API is at <a href="/docs">/docs</a>.`

const POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"

/** The console's page; its own scripts choose the screen from the address. */
export async function consolePage(context: HttpContext): Promise<Response> {
  const page = await readFile(join(CONSOLE, 'index.html'), 'utf8').catch(() => null)
  context.header('cache-control', 'no-cache')
  context.header('content-security-policy', POLICY)
  return context.html(page ?? NOT_BUILT, page === null ? 503 : 200)
}

/** Built files carry a hash of their content in their names, so they may be kept for ever. */
export function serveConsole(app: App): void {
  app.get('/assets/*', (context) => sendFile(context, CONSOLE, context.req.path, 'public, max-age=31536000, immutable'))
  for (const name of ['/favicon.svg', '/theme.js']) app.get(name, (context) => sendFile(context, CONSOLE, name, 'no-cache'))
}

export function docsPages(app: App): void {
  const folder = fileURLToPath(new URL('.', import.meta.resolve('swagger-ui-dist/package.json')))
  app.get('/docs', (context) => {
    context.header('content-security-policy', POLICY)
    return context.html(DOCS)
  })
  for (const name of ['swagger-ui.css', 'swagger-ui-bundle.js'])
    app.get(`/docs/${name}`, (context) => sendFile(context, folder, `/${name}`, 'public, max-age=86400'))
  app.get('/docs/start.js', (context) => {
    context.header('content-type', 'text/javascript; charset=utf-8')
    return context.body("SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true })")
  })
}

const DOCS =
  '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Lagoa API</title><link rel="stylesheet" href="/docs/swagger-ui.css"><body><div id="docs"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>'

async function sendFile(context: HttpContext, folder: string, path: string, caching: string): Promise<Response> {
  const file = join(folder, normalize(decoded(path)))
  const info = file.startsWith(folder) ? await stat(file).catch(() => null) : null
  if (!info?.isFile()) return context.notFound()
  context.header('content-type', TYPES[extname(file)] ?? 'application/octet-stream')
  context.header('cache-control', caching)
  return context.body(Readable.toWeb(createReadStream(file)) as ReadableStream)
}

/** The path without percent encoding; as it is when that is malformed, which names no file. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
