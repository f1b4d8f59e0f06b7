/** A loaded project at work: its lake, its streams with their sinks, its rules. Built anew whenever the project is loaded again. */
import { compileRules, type Alerts, type CompiledRule } from '../alerts/index.ts'
import { invalid, type Log } from '../base/index.ts'
import type { Flow } from '../flows/index.ts'
import type { Graph } from '../catalog/index.ts'
import { createRefresher, isMade, openLake, watchFiles, type FileWatcher, type Lake, type Refresher, type Table } from '../lake/index.ts'
import {
  createStreamRuntime,
  liveSink,
  objectsSink,
  planLives,
  planObjects,
  type ObjectsPlan,
  type SimulationSettings,
  type Sink,
  type Stream,
  type StreamRuntime,
  type StreamSource,
} from '../streams/index.ts'
import type { Offer } from '../storage/index.ts'
import { readScript } from './scripts.ts'
import { tableSink } from './bronze.ts'
import { composeCatalog } from './catalog.ts'
import type { Engines } from './engines.ts'
import type { Project } from './loader.ts'

export interface Pipeline {
  readonly project: Project
  readonly lake: Lake
  readonly refresher: Refresher
  /** Fills the tables that are declared with `files(...)`. */
  readonly files: FileWatcher
  readonly rules: readonly CompiledRule[]
  readonly streams: ReadonlyMap<string, StreamRuntime>
  /** Everything that the project declares, as one graph; read when it is first asked for. */
  catalog(): Promise<Graph>
  start(): Promise<void>
  stop(): Promise<void>
}

/** What feeds the streams in this start. */
export interface Feed {
  /** A file to replay instead of the project's sources; `stream=path` names the stream when several can take one. */
  readonly data?: string | undefined
  /** Records per second for sources; their natural rate when absent. */
  readonly rate?: number | undefined
  readonly simulation: SimulationSettings
  /** Run until there is nothing left to do. */
  readonly once: boolean
  /** Nothing is fed; what comes otherwise is processed. */
  readonly idle?: boolean
}

export interface PipelineOptions {
  readonly project: Project
  readonly engines: Engines
  readonly alerts: Alerts
  readonly feed: Feed
  readonly logger: Log
  readonly onTable: (table: string) => void
}

/** How fast a file is replayed when nothing is said. */
const REPLAY_RATE = 100

/** Checks everything that can be checked before anything is started. */
export async function buildPipeline({ project, engines, alerts, feed, logger, onTable }: PipelineOptions): Promise<Pipeline> {
  const { records, eventLog, keys, objects, duck, temporaryFolder } = engines
  const rules = compileRules(project.alerts)
  const stranger = rules.find(({ stream }) => !project.streams.some(({ name }) => name === stream.name))
  if (stranger)
    throw invalid('project.unknown_stream', `Rule ${stranger.name} is on stream ${stranger.stream.name}, which no file under streams/ exports`, {
      hint: 'Export it there.',
    })
  for (const table of project.tables) refuseStranger(table, project)
  for (const flow of project.flows) refuseFollower(flow, project)
  const lake = await openLake({ objects, duck, tables: project.tables, logger, temporaryFolder, readScript: (file) => readScript(project.folder, file) })
  const sources = chooseSources(project.streams, feed)
  // A file that was named by hand and is not there is told at once, not when its stream gets to it.
  if (feed.data !== undefined) for (const { source } of sources.values()) await source.identity()

  const refresher = createRefresher({ lake, logger, onRefreshed: ({ table }) => onTable(table), onReplayed: ({ table }) => onTable(table) })
  const committed = (table: string): void => {
    refresher.changed(table)
    onTable(table)
  }
  let catalog: Promise<Graph> | null = null
  const files = watchFiles({
    place: { duck, temporary: engines.temporaryFolder, open: (name) => lake.open(name), hold: () => objects.hold() },
    objects,
    tables: project.tables,
    folder: project.folder,
    logger,
    onIngested: committed,
  })
  let streams = new Map<string, StreamRuntime>()
  const chores: Offer[] = []
  const plans = project.streams.map((stream) => ({
    stream,
    lives: planLives(stream),
    kept: planObjects(stream),
    tables: project.tables.filter((table) => isFedBy(table, stream)),
  }))
  for (const { stream, kept } of plans) if (kept) refuseBucket(stream, kept, project.tables)

  return {
    project,
    lake,
    refresher,
    files,
    rules,
    get streams() {
      return streams
    },
    catalog() {
      catalog ??= composeCatalog(project, lake.plan, duck).catch((error: unknown) => {
        catalog = null
        throw error
      })
      return catalog
    },
    async start() {
      await alerts.load(rules)
      const alertSinks = alerts.sinks()
      streams = new Map(
        plans.map(({ stream, lives, kept, tables }) => {
          const alertSink = alertSinks.get(stream.name)
          const sinks: Sink[] = [
            ...(alertSink ? [alertSink] : []),
            ...lives.map((live) => liveSink(stream, live, keys)),
            ...(kept ? [objectsSink(stream, kept, objects, logger)] : []),
            ...tables.map((table) => tableSink(table.name, lake.appender(table), committed)),
          ]
          return [stream.name, createStreamRuntime({ stream, log: eventLog, records, duties: engines.duties, sinks, logger, source: sources.get(stream.name) })]
        }),
      )
      for (const runtime of streams.values()) await runtime.start()
      if (feed.once) return
      chores.push(
        engines.duties.offer('files', (signal) => files.run(signal)),
        engines.duties.offer('tables', (signal) => refresher.run(signal)),
      )
    },
    async stop() {
      await Promise.all([...streams.values()].map((runtime) => runtime.stop()))
      await Promise.all(chores.splice(0).map((chore) => chore.withdraw()))
      await files.stop()
      await refresher.stop()
    },
  }
}

/** A flow follows what the project has. */
function refuseFollower({ name: flow, options: { on } }: Flow, { streams, tables }: Project): void {
  for (const { kind, name } of on === undefined ? [] : 'kind' in on ? [on] : on) {
    if ((kind === 'stream' ? streams : tables).some((one) => one.name === name)) continue
    throw invalid(`project.unknown_${kind}`, `Flow ${flow} follows ${kind} ${name}, which no file under ${kind}s/ exports`, { hint: 'Export it there.' })
  }
}

/** A table that names a stream which nobody exports would wait for its rows for ever. */
function refuseStranger({ name, options: { from } }: Table, { streams, tables }: Project): void {
  if (!from || from.kind === 'files') return
  const known = from.kind === 'stream' ? streams : tables
  if (known.some((one) => one.name === from.name)) return
  throw invalid(`project.unknown_${from.kind}`, `Table ${name} is from ${from.kind} ${from.name}, which no file under ${from.kind}s/ exports`, {
    hint: 'Export it there.',
  })
}

/** A sender chooses the names of objects: none of them may come among the files of a table. */
function refuseBucket({ name }: Stream, { bucket }: ObjectsPlan, tables: readonly Table[]): void {
  const table = tables.find((one) => (one.options.location ?? one.name.replace('.', '/')).split('/')[0] === bucket)
  if (!table) return
  throw invalid('project.objects_bucket', `Stream ${name} keeps objects in the bucket ${bucket}, in which the table ${table.name} lies`, {
    hint: `Give them a bucket of their own, such as objects: { bucket: '${name}', ... }.`,
  })
}

const isFedBy = ({ options }: Table, stream: Stream): boolean => !isMade(options) && options.from?.kind === 'stream' && options.from.name === stream.name

function chooseSources(streams: readonly Stream[], { data, rate, simulation, once, idle = false }: Feed): Map<string, StreamSource> {
  const chosen = new Map<string, StreamSource>()
  if (idle) return chosen
  if (data === undefined) {
    for (const stream of streams) {
      const { source } = stream.options
      if (!source) continue
      const made = typeof source === 'function' ? source(simulation) : source
      // A source without an end would keep `--once` from ever ending; the backlog is all there is then.
      if (once && !made.ends) continue
      chosen.set(stream.name, { source: made, rate: rate ?? (once ? Number.POSITIVE_INFINITY : (made.rate ?? REPLAY_RATE)) })
    }
    return chosen
  }
  const able = streams.filter(({ options }) => options.replay !== undefined)
  const named = able.find(({ name }) => data.startsWith(`${name}=`))
  const stream = named ?? (able.length === 1 ? able[0] : undefined)
  if (!stream?.options.replay) {
    throw invalid('project.no_replay', able.length === 0 ? 'No stream of this project can take a file' : 'Several streams of this project can take a file', {
      hint: able.length === 0 ? 'Give one replay: (path) => csv({ path, ... }).' : `Name one: --data ${able[0]?.name}=PATH`,
    })
  }
  const source = stream.options.replay(named ? data.slice(named.name.length + 1) : data)
  chosen.set(stream.name, { source, rate: rate ?? (once ? Number.POSITIVE_INFINITY : REPLAY_RATE), named: data })
  return chosen
}
