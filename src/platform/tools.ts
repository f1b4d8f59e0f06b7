/** What tasks of flows may use of the platform: queries, keys, objects, streams. */
import { closest, invalid, missing, parseDuration, unavailable } from '../base/index.ts'
import type { Json, Tools } from '../flows/index.ts'
import { findFiles, openIngestion, openTable, targetOf, type FileOutcome } from '../lake/index.ts'
import type { Query } from '../query/index.ts'
import type { Alerts } from '../alerts/index.ts'
import { createDecoder, produce, type Stream } from '../streams/index.ts'
import type { Engines } from './engines.ts'
import type { Pipeline } from './pipeline.ts'
import { noStream, readRecords, topicOf } from './records.ts'

const PUBLISH_MOST = 10_000

export function toolsOf(
  { keys, objects, eventLog, queue, duck, temporaryFolder }: Engines,
  query: Query,
  alerts: Alerts,
  pipeline: () => Pipeline | null,
): Tools {
  const streams = (): readonly Stream[] => pipeline()?.project.streams ?? []
  return {
    async sql(text, { limit } = {}) {
      const { columns, rows, truncated } = await query.run(text, limit === undefined ? {} : { limit })
      // Cells are JSON by then: query says how.
      return { columns, rows: rows as readonly (readonly Json[])[], truncated }
    },
    async write(name, text, { mode, once, signal }) {
      const current = pipeline()
      if (!current) throw unavailable('project.not_loaded', 'No project is loaded', { hint: 'Mend it first.' })
      const { lake } = current
      const root = name.includes('/') ? name.replace(/\/+$/, '') : lake.rootOf(name)
      const declared = [...lake.plan.tables.keys()].find((one) => lake.rootOf(one) === root)
      if (declared !== undefined)
        throw invalid('flows.declared_table', `${name} is table ${declared} of the project, whose rows its declaration says`, {
          hint: 'Write another table, or change the declaration.',
        })
      const table = name.includes('/') ? openTable({ objects, duck }, root) : lake.open(name)
      const { rows, version } = await query.write(text, table, { mode, once, signal })
      return { table: name, uri: objects.uri(root), rows, version }
    },
    async ingest(paths, name, { signal, ...settings }) {
      const current = pipeline()
      if (!current) throw unavailable('project.not_loaded', 'No project is loaded', { hint: 'Mend it first.' })
      const { lake, project } = current
      const target = targetOf(name, lake.plan.tables.get(name), { changed: 'replace', ...settings })
      const found = await findFiles(paths, { objects, base: project.folder, project: project.folder, anyName: false })
      const place = { duck, temporary: temporaryFolder, open: (table: string) => lake.open(table), hold: () => objects.hold() }
      const ingestion = openIngestion(place, { target, signal })
      const outcomes: FileOutcome[] = []
      while (outcomes.length < found.length) outcomes.push(...(await ingestion.takeNext(found.slice(outcomes.length))))
      const refused = outcomes.find(({ error }) => error)?.error
      if (refused) throw refused
      current.refresher.changed(name)
      const version = (await lake.open(name).snapshot())?.version ?? null
      return { table: name, version, files: outcomes.map(({ file, outcome, rows, bad }) => ({ file, outcome, rows, bad })) }
    },
    keys: {
      async ping() {
        await keys.ping()
      },
      get: async (key) => (await keys.get(key))?.fields ?? null,
      async set(key, fields, { ttl } = {}) {
        const ttlMs = ttl === undefined ? null : parseDuration(ttl)
        if (ttl !== undefined && ttlMs === null)
          throw invalid('flows.ttl', `The ttl of key ${key} is ${JSON.stringify(ttl)}, which is no duration`, { hint: "Write ttl: '1h', for example." })
        await keys.put([{ key, fields, ...(ttlMs === null ? {} : { ttlMs }) }])
      },
    },
    objects: {
      get: (path) => objects.get(path),
      put: (path, bytes) => objects.put(path, typeof bytes === 'string' ? Buffer.from(bytes) : bytes),
      list: (prefix) => objects.list(prefix),
    },
    async publish(name, messages) {
      const stream = streams().find((one) => one.name === name)
      if (!stream) throw noStream(name, streams())
      if (messages.length > PUBLISH_MOST)
        throw invalid('streams.too_many_records', `${messages.length} records are too many at once`, { hint: `Publish at most ${PUBLISH_MOST} at a time.` })
      const results = await produce(
        stream,
        createDecoder(stream.options),
        eventLog,
        messages.map((message) => ({ message })),
      )
      const refused = results.findIndex((result) => 'error' in result)
      const first = results[refused]
      if (first && 'error' in first)
        throw invalid('streams.refused', `Record ${refused} for stream ${name} was refused: ${first.error.message}`, {
          hint: 'Those before it may have been taken.',
        })
      return results.length
    },
    async records(name, { limit, partition = 0 }) {
      const { records } = await readRecords(eventLog, topicOf(streams(), name), { partition, limit: Math.min(limit, PUBLISH_MOST) })
      return records.map(({ value }) => JSON.parse(value.toString()) as Json)
    },
    async caughtUp(name) {
      const runtime = pipeline()?.streams.get(name)
      if (!runtime) throw noStream(name, streams())
      const { sinks, problem } = await runtime.status()
      if (problem) throw problem
      return sinks.every(({ lag }) => lag === 0)
    },
    async position({ kind, name }) {
      if (kind === 'stream') return eventLog.ends(topicOf(streams(), name).name)
      const current = pipeline()
      if (!current) return null
      return (await current.lake.table(name).snapshot())?.version ?? null
    },
    async rule(name) {
      const rules = await alerts.listRules(pipeline()?.rules)
      const found = rules.find((one) => one.name === name)
      if (found) return { matched: found.matched, fired: found.fired, queued: found.queued }
      const near = closest(
        name,
        rules.map((one) => one.name),
      )
      throw missing('alerts.no_rule', `There is no rule ${name}`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'See lagoa alerts rules.' })
    },
    async send(name, messages, { durable = true } = {}) {
      await queue.declare(name, { durable })
      await queue.publish(name, messages)
    },
  }
}
