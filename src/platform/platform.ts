/**
 * Lagoa as one thing to open and close: engines, the loaded project, what happens in it. Faces talk to this and to nothing below it
 * that holds state.
 */
import { join } from 'node:path'
import { openAlerts, type AlertCommit, type Alerts } from '../alerts/index.ts'
import { LagoaError, toLagoaError, type Log } from '../base/index.ts'
import { openFlows, type Flows, type Tools } from '../flows/index.ts'
import { openProcessing, type Processing } from '../processing/index.ts'
import { openQuery, type Query } from '../query/index.ts'
import type { DecodedBatch } from '../streams/index.ts'
import { openWorkloads, type Workloads } from '../workloads/index.ts'
import { bytesOf, type Config } from './config.ts'
import { openEngines, type Engines, type Patience } from './engines.ts'
import { loadProject, type Project } from './loader.ts'
import { memoryOf } from './memory.ts'
import { openPlaced } from './places.ts'
import { buildPipeline, type Feed, type Pipeline } from './pipeline.ts'
import { probesOf } from './probes.ts'
import { createRates, type Rates } from './rates.ts'
import { secretOf } from './secrets.ts'
import { openWalls } from './walls.ts'
import { watchServices, type Service } from './services.ts'
import { toolsOf } from './tools.ts'
import { usesOf } from './uses.ts'

export interface Platform {
  readonly config: Config
  readonly engines: Engines
  readonly alerts: Alerts
  readonly query: Query
  readonly flows: Flows
  /** What tasks may use. */
  readonly tools: Tools
  readonly workloads: Workloads
  readonly processing: Processing
  readonly rates: Rates
  readonly startedAt: number
  /** The project as last loaded well; null while none was. */
  readonly pipeline: Pipeline | null
  /** Why the project on disk is not the one that runs. */
  readonly problem: LagoaError | null
  /** Loads the project again; on a fault the old one goes on and the fault is kept in `problem`. */
  reload(): Promise<void>
  subscribe(listener: PlatformListener): () => void
  services(): Promise<readonly Service[]>
  memoryBytes(): Promise<number>
  close(): Promise<void>
}

export interface PlatformListener {
  onRows?(stream: string, batch: DecodedBatch): void
  onAlerts?(commit: AlertCommit): void
  onTable?(table: string): void
  onReload?(): void
  onRuns?(ids: readonly string[]): void
}

export interface OpenPlatformOptions {
  readonly config: Config
  readonly logger: Log
  /** Runs the project; null only opens what is needed to read (for commands beside a running server). */
  readonly feed: Feed | null
  /** Where this server answers, for others that want the same home. */
  readonly url?: string | undefined
  /** Starts although the project is faulty, and waits for it to be mended. */
  readonly tolerant?: boolean
  /** Waits for a database server that is away, until the signal aborts, and tells each time that it was not there. */
  readonly patience?: Patience | undefined
  /** For tests: a clock that flows go by in place of the database's. They are run also where the feed is read once. */
  readonly now?: (() => number) | undefined
}

/** How long a node that stops waits for the tasks that it runs; what is left goes to another, or to the next start. */
const DRAIN_MS = 5_000
/** What a job of users' Python may print. */
const JOB_LOG_BYTES = 1_000_000
/** Old batches of the log, keys whose time is over and old alerts are dropped this often. */
const RETENTION_MS = 60_000
/** Alerts that are over are kept this long. */
const ALERT_HISTORY_MS = 90 * 86_400_000

export async function openPlatform({ config, logger, feed, url, tolerant = false, patience, now }: OpenPlatformOptions): Promise<Platform> {
  const startedAt = Date.now()
  // Before any engine: a folder that holds no project gets no database.
  const firstLoad = await loadProject(config.project).catch((error: unknown) => {
    if (!tolerant) throw error
    return toLagoaError(error)
  })
  const engines = await openEngines({ config, logger, patience, claim: feed ? { url: url ?? `http://${config.http.host}:${config.http.port}` } : null })
  const closers: (() => Promise<void>)[] = [() => engines.close()]
  const listeners = new Set<PlatformListener>()
  const taps = new Map<string, () => void>()
  let pipeline: Pipeline | null = null
  let problem: LagoaError | null = null
  let turn: Promise<unknown> = Promise.resolve()

  const tell = (call: (listener: PlatformListener) => void): void => {
    for (const listener of listeners) call(listener)
  }
  /** Streams are decoded for live screens only while somebody looks. */
  const retap = (): void => {
    for (const untap of taps.values()) untap()
    taps.clear()
    if (![...listeners].some(({ onRows }) => onRows)) return
    for (const [name, runtime] of pipeline?.streams ?? [])
      taps.set(
        name,
        runtime.tap((_, batch) => tell((listener) => listener.onRows?.(name, batch))),
      )
  }

  try {
    const alerts = openAlerts({ records: engines.records, queue: engines.queue, log: logger })
    closers.push(() => alerts.close())
    alerts.onAlert((commit) => tell((listener) => listener.onAlerts?.(commit)))
    const query = await openQuery({
      lake: () => {
        if (pipeline) return pipeline.lake
        throw problem ?? toLagoaError(new Error('The project is not loaded'))
      },
      hold: () => engines.objects.hold(),
      place: (place, allowed) => openPlaced({ ...engines, lake: pipeline?.lake ?? null }, place, allowed),
      allowedFolder: engines.objectsFolder,
      memoryLimit: config.query.memory,
      threads: config.query.threads ?? 2,
      tempFolder: join(engines.temporaryFolder, 'query'),
    })
    closers.push(() => query.close())
    const tools = toolsOf(engines, query, alerts, () => pipeline)
    const flows = openFlows({
      records: engines.records,
      objects: engines.objects,
      log: logger,
      tools,
      secret: (name) => secretOf(config, name),
      folder: config.project,
      concurrency: config.flows.concurrency,
      pools: config.flows.pools,
      shared: engines.embedded === null,
      now,
      onRun: (ids) => tell((listener) => listener.onRuns?.(ids)),
    })
    closers.push(() => flows.stop(DRAIN_MS))
    const processing = openProcessing({
      objects: engines.objects,
      most: {
        wallMs: config.sandbox.timeout * 1000,
        cpuMs: config.sandbox.timeout * 1000,
        memoryBytes: bytesOf(config.sandbox.memory),
        outputBytes: bytesOf(config.sandbox.output),
        logBytes: JOB_LOG_BYTES,
      },
      open: () => openWalls(config, engines.temporaryFolder, logger),
    })
    closers.push(() => processing.close())
    const workloads = openWorkloads({
      records: engines.records,
      eventLog: engines.eventLog,
      objects: engines.objects,
      query,
      log: logger,
      flows: () => flows,
      lake: () => {
        if (pipeline) return pipeline.lake
        throw problem ?? toLagoaError(new Error('The project is not loaded'))
      },
    })

    const build = (project: Project): Promise<Pipeline> =>
      buildPipeline({
        project,
        engines,
        alerts,
        feed: feed ?? { simulation: {}, once: true },
        logger,
        onTable: (table) => tell((listener) => listener.onTable?.(table)),
      })

    // Requests are answered from the old pipeline until the new one has started: taking records needs no running lanes.
    const start = async (next: Pipeline): Promise<void> => {
      if (feed) await next.start().catch((error: unknown) => next.stop().then(() => Promise.reject(error)))
      pipeline = next
    }

    /** Puts a project in the place of the one that runs; when it is faulty or cannot start, that one goes on. */
    const load = async (project: Project): Promise<void> => {
      const before = pipeline
      const next = await build(project)
      await flows.load(project.flows, { lookOnly: feed === null, system: workloads.flows })
      if (feed) await before?.stop()
      try {
        await start(next)
        problem = null
      } catch (error) {
        if (before) {
          await flows.load(before.project.flows, { system: workloads.flows })
          await start(await build(before.project))
        }
        throw error
      } finally {
        retap()
      }
    }

    const rates = createRates(() => pipeline, engines.eventLog)
    const services = watchServices({ probes: probesOf(config, engines, query), uses: () => usesOf(engines, pipeline, alerts) })
    if (feed) {
      rates.start()
      services.start()
      const trim = async (): Promise<void> => {
        await engines.eventLog.trim()
        await engines.sweepKeys()
        await alerts.trim(Date.now() - ALERT_HISTORY_MS)
      }
      const trimming = setInterval(
        () => void trim().catch((error: unknown) => logger.warn('platform.trim_failed', { error: toLagoaError(error) })),
        RETENTION_MS,
      )
      closers.push(async () => {
        clearInterval(trimming)
        rates.stop()
        services.stop()
      })
    }
    closers.push(async () => {
      await turn
      if (feed) await pipeline?.stop()
    })
    try {
      if (firstLoad instanceof LagoaError) throw firstLoad
      await load(firstLoad)
    } catch (error) {
      if (!tolerant) throw error
      problem = toLagoaError(error)
    }
    if (feed && (!feed.once || now)) {
      await flows.start()
      const working = engines.duties.offer('workloads', (signal) => workloads.work(signal))
      closers.push(() => working.withdraw())
    }

    return {
      config,
      engines,
      alerts,
      query,
      flows,
      tools,
      workloads,
      processing,
      rates,
      startedAt,
      get pipeline() {
        return pipeline
      },
      get problem() {
        return problem
      },
      reload() {
        const run = turn.then(async () => {
          const began = performance.now()
          try {
            await load(await loadProject(config.project))
            logger.info('project.reloaded', { ms: Math.round(performance.now() - began) })
          } catch (error) {
            problem = toLagoaError(error)
            logger.error('project.reload_failed', { error: problem })
          }
          tell((listener) => listener.onReload?.())
        })
        turn = run
        return run
      },
      subscribe(listener) {
        listeners.add(listener)
        retap()
        return () => {
          listeners.delete(listener)
          retap()
        }
      },
      services: () => services.read(),
      memoryBytes: () => memoryOf([process.pid, ...(engines.embedded ? [engines.embedded.pid] : [])]),
      close: () => closeAll(closers, logger),
    }
  } catch (error) {
    await closeAll(closers, logger)
    throw error
  }
}

async function closeAll(closers: (() => Promise<void>)[], logger: Log): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close().catch((error: unknown) => logger.warn('platform.close_failed', { error: toLagoaError(error) }))
}
