/** Listens, guards and answers: every request passes the same door, every failure leaves in the same shape. */
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { compress } from 'hono/compress'
import { denied, ERROR_KINDS, errorBody, LagoaError, missing, newId, overLimit, toLagoaError, type Log } from '../base/index.ts'
import { hidePasswords, type Platform } from '../platform/index.ts'
import type { Door } from './door.ts'
import { version } from './version.ts'
import { openApi } from './openapi.ts'
import { routerPath, type HttpContext, type Route } from './route.ts'
import { alertRoutes } from './routes/alerts.ts'
import { assetRoutes } from './routes/assets.ts'
import { branchRoutes } from './routes/branches.ts'
import { createEventHub, eventRoutes } from './routes/events.ts'
import { flowRoutes } from './routes/flows.ts'
import { healthRoutes } from './routes/health.ts'
import { integrationRoutes } from './routes/integration.ts'
import { keyRoutes } from './routes/keys.ts'
import { createOverview, overviewRoutes } from './routes/overview.ts'
import { processRoutes } from './routes/process.ts'
import { queryRoutes } from './routes/query.ts'
import { serviceRoutes } from './routes/services.ts'
import { streamRoutes } from './routes/streams.ts'
import { systemRoutes } from './routes/system.ts'
import { workloadRoutes } from './routes/workloads.ts'
import { tableRoutes } from './routes/tables.ts'
import { consolePage, docsPages, serveConsole } from './static.ts'

export interface Server {
  /** Stops taking connections, ends event streams, waits for answers under way. */
  close(): Promise<void>
}

const LARGEST_BODY = 16 * 1024 * 1024

export interface ServerOptions {
  readonly platform: Platform
  readonly door: Door
  readonly logger: Log
}

export function startServer({ platform, door, logger }: ServerOptions): Server {
  const hub = createEventHub(platform)
  const overview = createOverview(platform)
  const routes: readonly Route[] = [
    ...systemRoutes(platform),
    ...serviceRoutes(platform),
    ...overviewRoutes(overview),
    ...streamRoutes(platform),
    ...tableRoutes(platform),
    ...branchRoutes(platform),
    ...queryRoutes(platform),
    ...alertRoutes(platform),
    ...flowRoutes(platform),
    ...workloadRoutes(platform),
    ...processRoutes(platform),
    ...assetRoutes(platform),
    ...keyRoutes(platform),
    ...integrationRoutes(platform),
    ...eventRoutes(hub),
    ...healthRoutes(platform),
  ]
  const app = new Hono<{ Bindings: HttpBindings; Variables: { requestId: string } }>()

  app.use(async (context, next) => {
    context.set('requestId', newId())
    context.header('x-request-id', context.get('requestId'))
    context.header('x-content-type-options', 'nosniff')
    guard(context)
    await next()
  })
  // What has a length is judged by it in the guard; what comes in chunks is counted as it comes.
  const countChunks = bodyLimit({ maxSize: LARGEST_BODY, onError: () => refuseBody() })
  app.use((context, next) => (context.req.header('transfer-encoding') === undefined ? next() : countChunks(context, next)))
  // Event streams flush each message by themselves; compressing them would hold messages back.
  const zip = compress()
  app.use((context, next) => (context.req.path.endsWith('/events') ? next() : zip(context, next)))
  // Clients of the workload document have their routes where the console has a screen; a browser that opens the address wants the screen.
  for (const path of ['/workloads', '/workloads/:id'])
    app.get(path, (context, next): Promise<Response | void> => {
      context.header('vary', 'accept', { append: true })
      return wantsPage(context) ? consolePage(context) : next()
    })
  for (const route of routes) app.on(route.method.toUpperCase(), routerPath(route), (context) => route.handle(context))
  const document = openApi(routes, version)
  app.get('/openapi.json', (context) => context.json(document))
  docsPages(app)
  app.get('/', async (context): Promise<Response> => (wantsPage(context) ? consolePage(context) : context.json({ message: 'Running..' })))
  serveConsole(app)
  app.notFound((context): Promise<Response> => {
    if (context.req.method === 'GET' && wantsPage(context) && !context.req.path.startsWith('/api/')) return consolePage(context)
    throw missing('http.no_route', `There is no ${context.req.method} ${context.req.path}`, { hint: 'The routes are listed at /docs.' })
  })
  app.onError((thrown, context) => {
    const error = toLagoaError(thrown)
    const requestId = context.get('requestId')
    if (error.kind === 'bug') logger.error('http.failed', { requestId, method: context.req.method, path: context.req.path, error })
    const { message, hint } = errorBody(error)
    const body = errorBody(new LagoaError(error.kind, error.code, hidePasswords(message), { hint }), requestId)
    const { status } = ERROR_KINDS[error.kind]
    return Response.json(
      { error: body },
      {
        status: error.code === 'lake.expectation_failed' ? 422 : status,
        headers: { 'x-request-id': requestId, ...(status === 503 ? { 'retry-after': '1' } : {}) },
      },
    )
  })

  overview.start()
  door.open(getRequestListener(app.fetch))
  return {
    async close() {
      hub.close()
      overview.stop()
      await door.close()
    },
  }
}

/**
 * There is no authentication yet, so only programs of this machine may call: a page from elsewhere must neither reach the API through
 * the visitor's browser (Origin) nor by giving its own name this address (Host).
 */
function guard(context: HttpContext): void {
  const host = context.req.header('host') ?? ''
  if (!isLoopbackName(hostName(host))) throw denied('http.host', `The Host ${host} is not this machine`, { hint: 'Use http://127.0.0.1 or http://localhost.' })
  const origin = context.req.header('origin')
  if (origin !== undefined && origin !== `http://${host}`)
    throw denied('http.origin', `Pages of ${origin} may not call this API`, { hint: 'Call it from a program, or from the console itself.' })
  if (Number(context.req.header('content-length') ?? 0) > LARGEST_BODY) refuseBody()
}

function refuseBody(): never {
  throw overLimit('http.body_too_large', `The body is larger than ${LARGEST_BODY / 1024 / 1024} MB`, { hint: 'Send it in parts.' })
}

function hostName(host: string): string {
  return host.startsWith('[') ? host.slice(1, host.indexOf(']')) : (host.split(':')[0] ?? '')
}

const isLoopbackName = (name: string): boolean => name === 'localhost' || name === '::1' || /^127\.\d+\.\d+\.\d+$/.test(name)

const wantsPage = (context: HttpContext): boolean => (context.req.header('accept') ?? '').includes('text/html')
