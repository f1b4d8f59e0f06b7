/**
 * The integration routes: the live cache, the objects and the alerts of a sensor pipeline under three plain paths, for clients that know
 * `/api/cache`, `/api/history` and `/api/alerts` of other servers. They answer as those clients expect: the fields of a hash, the stored
 * JSON, one message; and `{"error": "a sentence"}` otherwise. `/api/v1` has all of it with paging, types and without taking anything away.
 */
import { z } from 'zod'
import { denied, ERROR_KINDS, invalid, missing, overLimit, toLagoaError } from '../../base/index.ts'
import { hidePasswords, type Platform } from '../../platform/index.ts'
import { planObjects } from '../../streams/index.ts'
import { check, type HttpContext, type Route } from '../route.ts'
import { AlertMessage, CacheFields, StoredObject } from '../wire.ts'

const Key = z.object({ key: z.string() })
const Filename = z.object({ filename: z.string() })

/** An object that is larger is no reading. */
const LARGEST_OBJECT = 16 * 1024 * 1024

export function integrationRoutes(platform: Platform): Route[] {
  const { engines } = platform
  return [
    {
      method: 'get',
      path: '/api/cache/{key}',
      slashes: true,
      access: { action: 'read', resource: 'keys' },
      summary: 'The fields of one hash of the live cache. The key may hold slashes, as they are or as %2F',
      params: Key,
      answer: CacheFields,
      handle: (context) =>
        plainly(context, async () => {
          const { key } = pathParam(Key, context)
          // No engine can hold a NUL in a key.
          const entry = key.includes('\0') ? null : await engines.keys.get(key)
          return entry ? context.json(entry.fields) : context.json({ error: 'Key not found' }, 404)
        }),
    },
    {
      method: 'get',
      path: '/api/history/{filename}',
      slashes: true,
      access: { action: 'read', resource: 'objects' },
      summary: 'One stored object, `<folder>/<filename>.json`, as it lies in the store. The name may hold slashes, as they are or as %2F',
      params: Filename,
      answer: StoredObject,
      handle: (context) =>
        plainly(context, async () => {
          const path = `${historyFolder(platform)}/${pathParam(Filename, context).filename}.json`
          const size = (await engines.objects.head(path))?.size ?? null
          if (size !== null && size > LARGEST_OBJECT)
            throw overLimit('http.object_too_large', `${path} has ${size} bytes, more than is answered at once`, { hint: 'Read it from the store itself.' })
          const bytes = size === null ? null : await engines.objects.get(path)
          if (bytes === null) throw missing('http.no_object', `There is no object ${path}`)
          const text = Buffer.from(bytes).toString('utf8')
          if (!isJson(text)) throw missing('http.no_json', `The object ${path} is not JSON`)
          return context.body(text, 200, { 'content-type': 'application/json' })
        }),
    },
    {
      method: 'get',
      path: '/api/alerts',
      access: { action: 'write', resource: 'queues' },
      summary: 'Takes the oldest message out of the queue of alerts. The alert stays in the history, which /api/v1/alerts shows without taking',
      answer: AlertMessage,
      handle: (context) =>
        plainly(context, async () => {
          refuseOtherSites(context)
          const queue = alertQueue(platform)
          // Asking for the head alone must not take what it does not get.
          const message = context.req.method === 'HEAD' ? null : await engines.queue.take(queue)
          return context.json({ alert: message?.body ?? 'No alerts in queue' })
        }),
    },
  ]
}

/** Errors in the words of these routes: one sentence. */
async function plainly(context: HttpContext, answer: () => Promise<Response>): Promise<Response> {
  try {
    return await answer()
  } catch (thrown) {
    const { kind, code, message, hint } = toLagoaError(thrown)
    if (kind === 'bug') throw thrown
    // What cannot be a path is not there.
    const status = code === 'storage.bad_path' ? 404 : ERROR_KINDS[kind].status
    return Response.json(
      { error: hidePasswords(hint === undefined ? message : `${message}. ${hint}`) },
      { status, headers: { 'x-request-id': context.get('requestId') } },
    )
  }
}

function pathParam<S extends z.ZodObject>(schema: S, context: HttpContext): z.output<S> {
  return check(schema, context.req.param(), 'the path') as z.output<S>
}

/** A page elsewhere can make a browser send a GET without an Origin, as for a picture; here that would take a message. */
function refuseOtherSites(context: HttpContext): void {
  const site = context.req.header('sec-fetch-site')
  if (site === undefined || site === 'same-origin' || site === 'none') return
  throw denied('http.origin', 'Pages of another site may not take alerts', { hint: 'Call it from a program, or from a page of this server' })
}

/** `api.alerts`, or the only queue of the project's rules. */
function alertQueue({ config, pipeline }: Platform): string {
  if (config.api.alerts !== undefined) return config.api.alerts
  const queues = [...new Set((pipeline?.rules ?? []).flatMap(({ routes }) => routes.map(({ name }) => name)))]
  const [only] = queues
  if (only !== undefined && queues.length === 1) return only
  throw invalid(
    'http.no_alert_queue',
    queues.length === 0 ? 'No rule of this project sends its alerts to a queue' : `The rules of this project have the queues ${queues.join(', ')}`,
    {
      hint: `Say which one is meant: api: { alerts: '${only ?? 'sensor_alert'}' } in lagoa.config.ts, or LAGOA_API__ALERTS`,
    },
  )
}

/** `api.history`, or where the only stream that keeps objects puts them. */
function historyFolder({ config, pipeline }: Platform): string {
  if (config.api.history !== undefined) return config.api.history
  const places = [...new Set([...(pipeline?.streams.values() ?? [])].flatMap(({ stream }) => planObjects(stream)?.place ?? []))]
  const [only] = places
  if (only !== undefined && places.length === 1) return only
  throw missing(
    'http.no_history',
    places.length === 0 ? 'No stream of this project keeps objects' : `Streams of this project keep objects in ${places.join(', ')}`,
    {
      hint: `Say where they lie: api: { history: '${only ?? 'air-quality/processed'}' } in lagoa.config.ts, or LAGOA_API__HISTORY`,
    },
  )
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
