/**
 * One event stream per browser: everything that a screen needs to stay current, gathered and sent at most ten times a second.
 * A browser that reads slowly gets fewer, fuller messages; what is held for it is bounded.
 */
import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { z } from 'zod'
import { jsonValue, overLimit } from '../../base/index.ts'
import type { AlertCommit } from '../../alerts/index.ts'
import type { Platform } from '../../platform/index.ts'
import { livesOf, type DecodedBatch, type Stream } from '../../streams/index.ts'
import { lookAt } from '../look.ts'
import { check, type Route } from '../route.ts'
import type { AlertShape, LiveMessage } from '../wire.ts'
import { alertShape } from './alerts.ts'
import { serviceHealth } from './services.ts'

export interface EventHub {
  attach(response: ServerResponse, streams: readonly string[]): void
  close(): void
}

const FLUSH_MS = 100
const MOST_READINGS = 2000
const MOST_ALERTS = 200
const MOST_RUNS = 500
const MOST_BROWSERS = 100
const SLOW_PARTS_MS = 2000

export function createEventHub(platform: Platform): EventHub {
  const browsers = new Set<{ end: () => void }>()
  return {
    attach(response, streams) {
      if (browsers.size >= MOST_BROWSERS)
        throw overLimit('http.too_many_streams', `${MOST_BROWSERS} event streams are open already`, { hint: 'Close some browser tabs.' })
      const browser = { end: attachBrowser(platform, response, streams, () => browsers.delete(browser)) }
      browsers.add(browser)
    },
    close() {
      for (const browser of browsers) browser.end()
    },
  }
}

function attachBrowser(platform: Platform, response: ServerResponse, wanted: readonly string[], onEnd: () => void): () => void {
  const gathered = new Map<string, Readings>()
  const tables = new Set<string>()
  const runs = new Set<string>()
  let alerts: AlertShape[] = []
  let reloaded = false
  let slowParts: Pick<LiveMessage, 'services' | 'memoryBytes' | 'rates'> | null = null

  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', connection: 'keep-alive' })
  response.write('retry: 1000\n\n')

  const unsubscribe = platform.subscribe({
    ...(wanted.length > 0
      ? {
          onRows(name: string, batch: DecodedBatch) {
            const stream = wanted.includes(name) ? platform.pipeline?.streams.get(name)?.stream : undefined
            if (!stream) return
            const readings = gathered.get(name) ?? createReadings(stream)
            gathered.set(name, readings)
            readings.add(batch)
          },
        }
      : {}),
    onAlerts: ({ fired, resolved }: AlertCommit) => (alerts = [...alerts, ...[...fired, ...resolved].map(alertShape)].slice(-MOST_ALERTS)),
    onTable: (name) => tables.add(name),
    onRuns: (ids) => {
      for (const id of ids) {
        // Those that changed last come last, and the first ones go: a browser that reads slowly holds no more than these.
        runs.delete(id)
        runs.add(id)
      }
      for (const id of runs) {
        if (runs.size <= MOST_RUNS) break
        runs.delete(id)
      }
    },
    onReload: () => (reloaded = true),
  })

  let writing = false
  const flush = async (): Promise<void> => {
    if (writing || response.writableNeedDrain) return
    writing = true
    try {
      const message: LiveMessage = { at: Date.now(), ...slowParts }
      slowParts = null
      if (gathered.size > 0) message.live = Object.fromEntries([...gathered].map(([name, readings]) => [name, readings.take()]))
      gathered.clear()
      if (alerts.length > 0) message.alerts = alerts
      alerts = []
      if (reloaded) message.reloaded = true
      reloaded = false
      if (runs.size > 0) message.runs = [...runs]
      runs.clear()
      if (tables.size > 0) {
        const names = [...tables]
        tables.clear()
        message.tables = (await Promise.all(names.map((name) => tableState(platform, name)))).filter((state) => state !== null)
      }
      if (Object.keys(message).length > 1) response.write(`data: ${JSON.stringify(message)}\n\n`)
    } finally {
      writing = false
    }
  }
  const flushing = setInterval(() => void flush().catch(() => undefined), FLUSH_MS)
  const slow = async (): Promise<void> => {
    const rates = Object.fromEntries([...(platform.pipeline?.streams.keys() ?? [])].map((name) => [name, platform.rates.perSecond(name)]))
    slowParts = { services: (await platform.services()).map(serviceHealth), memoryBytes: await platform.memoryBytes(), rates }
  }
  const slowly = setInterval(() => void slow().catch(() => undefined), SLOW_PARTS_MS)
  void slow().catch(() => undefined)

  const end = (): void => {
    clearInterval(flushing)
    clearInterval(slowly)
    unsubscribe()
    onEnd()
    response.end()
  }
  response.once('close', end)
  return end
}

async function tableState(platform: Platform, name: string): Promise<{ name: string; version: number; rows: number | null } | null> {
  const snapshot = platform.pipeline ? (await lookAt(platform.pipeline.lake, name)).snapshot : null
  return snapshot ? { name, version: snapshot.version, rows: snapshot.rowCount } : null
}

type LiveReadings = NonNullable<LiveMessage['live']>[string]

interface Readings {
  add(batch: DecodedBatch): void
  take(): LiveReadings
}

/** Readings of one stream between two messages, by column. */
function createReadings(stream: Stream): Readings {
  const by = livesOf(stream)[0]?.by ?? stream.options.key
  const time = stream.options.eventTime
  const names = Object.keys(stream.schema).filter((name) => name !== by && name !== time)
  let keys: string[] = []
  let times: number[] = []
  let columns = names.map((): (number | string | boolean | null)[] => [])
  let dropped = 0

  const add = (batch: DecodedBatch): void => {
    const { rows } = batch
    const keyColumn = rows.columns.find(({ name }) => name === by)
    const timeColumn = rows.columns.find(({ name }) => name === time)
    const sources = names.map((name) => rows.columns.find((column) => column.name === name))
    for (let row = 0; row < rows.count; row++) {
      keys.push(keyColumn ? String(jsonValue(keyColumn, row)) : '')
      times.push(timeColumn?.kind === 'number' ? (timeColumn.values[row] ?? 0) : batch.appendedAt)
      sources.forEach((column, index) => columns[index]?.push(column ? jsonValue(column, row) : null))
    }
    if (keys.length > 2 * MOST_READINGS) thin()
  }

  /** Keeps the newest reading of each key. */
  const thin = (): void => {
    const newest = new Map<string, number>()
    keys.forEach((key, index) => newest.set(key, index))
    const kept = [...newest.values()].sort((a, b) => a - b).slice(-MOST_READINGS)
    dropped += keys.length - kept.length
    keys = kept.map((index) => keys[index] ?? '')
    times = kept.map((index) => times[index] ?? 0)
    columns = columns.map((column) => kept.map((index) => column[index] ?? null))
  }

  return {
    add,
    take() {
      if (keys.length > MOST_READINGS) thin()
      return { keys, times, fields: Object.fromEntries(names.map((name, index) => [name, columns[index] ?? []])), dropped }
    },
  }
}

const Wanted = z.object({ streams: z.string().default('') })

export function eventRoutes(hub: EventHub): Route[] {
  return [
    {
      method: 'get',
      path: '/api/v1/events',
      access: { action: 'read', resource: 'events' },
      summary: 'Live changes as server-sent events, at most ten messages a second',
      query: Wanted,
      handle(context) {
        if (context.req.method === 'HEAD') return context.body(null, 200, { 'content-type': 'text/event-stream; charset=utf-8' })
        const streams = (check(Wanted, context.req.query(), 'the query')?.streams ?? '').split(',').filter((name) => name !== '')
        hub.attach(context.env.outgoing as ServerResponse, streams)
        return RESPONSE_ALREADY_SENT
      },
    },
  ]
}
