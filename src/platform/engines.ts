/** Opens the places and engines that the configuration names. The only file that knows which adapter stands behind a port. */
import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { alertMigrations, openPostgresQueue, openRabbitQueue, type Queue } from '../alerts/index.ts'
import { backoff, LagoaError, systemClock, toLagoaError, unavailable, type Log } from '../base/index.ts'
import { runMigrations } from '../flows/index.ts'
import { openDuck, type Duck } from '../lake/index.ts'
import {
  claimHome,
  dutyMigrations,
  keysMigrations,
  migrate,
  openFolderObjects,
  openLeasedDuties,
  openPostgresKeys,
  openRecords,
  openRedisKeys,
  openS3Objects,
  soleDuties,
  startEmbeddedPostgres,
  type Duties,
  type Keys,
  type Objects,
  type Records,
} from '../storage/index.ts'
import { eventLogMigrations, offsetMigrations, openKafkaLog, openPostgresLog, type EventLog } from '../streams/index.ts'
import { processMigrations } from '../processing/index.ts'
import { workloadMigrations } from '../workloads/index.ts'
import { bytesOf, type Config } from './config.ts'
import { openScratch } from './scratch.ts'

export interface Engines {
  readonly records: Records
  readonly objects: Objects
  readonly keys: Keys
  readonly eventLog: EventLog
  readonly queue: Queue
  /** Removes keys whose time to live is over, where the engine does not do so itself. */
  sweepKeys(): Promise<void>
  /** What the nodes of a project share out among them; one node alone does all. */
  readonly duties: Duties
  readonly duck: Duck
  /** Folder below which all lake files lie that engines read: the objects themselves, or copies of remote ones. */
  readonly objectsFolder: string
  readonly temporaryFolder: string
  /** The embedded database's server; its pid changes when it was killed and came back. */
  readonly embedded: { readonly pid: number; readonly adopted: boolean } | null
  /** Aborts, with the error to show, when another server has taken the home: this process must stop. */
  readonly lost: AbortSignal
  /** Closes everything that was opened, in reverse order. */
  close(): Promise<void>
}

export interface OpenEnginesOptions {
  readonly config: Config
  readonly logger: Log
  /** Where the server that claims the home answers; null for a process that only looks. */
  readonly claim: { readonly url: string } | null
  readonly patience?: Patience | undefined
}

export interface Patience {
  readonly signal: AbortSignal
  readonly onAway: (fault: LagoaError) => void
}

export async function openEngines({ config, logger, claim, patience }: OpenEnginesOptions): Promise<Engines> {
  const opened: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).reverse()) await one().catch((error: unknown) => logger.warn('platform.close_failed', { error: toLagoaError(error) }))
  }
  try {
    const objectsFolder = join(config.home, config.objects.store === 's3' ? 'cache/objects' : 'objects')
    const scratch = await mkdir(objectsFolder, { recursive: true })
      .then(() => openScratch(config.home))
      .catch((error: unknown) => {
        throw homeFault(config.home, error)
      })
    opened.push(() => scratch.remove())

    // The database and the lake's engine start side by side: together they are most of the start-up time.
    const opening = [
      keep(openDatabase(config, logger, patience), ({ stop }) => stop()),
      keep(
        openDuck({
          memoryLimit: config.lake.memory,
          tempDirectory: join(scratch.folder, 'lake'),
          ...(config.lake.threads === undefined ? {} : { threads: config.lake.threads }),
        }),
        (one) => one.close(),
      ),
      keep(openObjects(config, objectsFolder), (one) => one.close()),
    ] as const
    // A failure is told when all have come to their end, so that nothing is left running.
    await Promise.allSettled(opening)
    const [database, duck, objects] = await Promise.all(opening)
    const { records, embedded } = database
    await migrate(records, [
      ...dutyMigrations,
      ...eventLogMigrations,
      ...offsetMigrations,
      ...keysMigrations,
      ...alertMigrations,
      ...runMigrations,
      ...workloadMigrations,
      ...processMigrations,
    ])
    const claimed = claim ? await claimHome(records, { pid: process.pid, url: claim.url }, { shared: embedded === null }) : null
    if (claimed) opened.push(() => claimed.release())
    const eventLog = await openEventLog(config, records, logger)
    opened.push(() => eventLog.close())
    const { keys, sweepKeys } = await openKeys(config, records, logger)
    opened.push(() => keys.close())
    const { rabbitmq } = config
    const queue = rabbitmq.url === undefined ? openPostgresQueue(records) : await openRabbitQueue({ url: rabbitmq.url, log: logger, ...caOf(config, rabbitmq) })
    opened.push(() => queue.close())
    const node = { log: logger, url: claim?.url ?? 'the command line' }
    const duties = claim && embedded === null ? await openLeasedDuties(records, node) : soleDuties(node)
    opened.push(() => duties.close())
    return {
      records,
      objects,
      keys,
      sweepKeys,
      eventLog,
      queue,
      duties,
      duck,
      objectsFolder,
      temporaryFolder: scratch.folder,
      embedded,
      lost: claimed?.lost ?? new AbortController().signal,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }

  /** What opened is closed later, also when its neighbours failed. */
  async function keep<T>(opening: Promise<T>, end: (one: T) => Promise<unknown>): Promise<T> {
    const one = await opening
    opened.push(async () => void (await end(one)))
    return one
  }
}

const caOf = ({ project }: Config, { ca }: { readonly ca?: string | undefined }): { readonly ca?: string } =>
  ca === undefined ? {} : { ca: resolve(project, ca) }

/** Keys that one step of a sweep looks at, and how many steps it takes at most while it finds something. */
const SWEPT_KEYS = 50_000
const SWEEP_STEPS = 20

async function openKeys({ redis, project }: Config, records: Records, log: Log): Promise<Pick<Engines, 'keys' | 'sweepKeys'>> {
  if (redis.url !== undefined) {
    const keys = await openRedisKeys({ url: redis.url, log, ...(redis.ca === undefined ? {} : { ca: resolve(project, redis.ca) }) })
    return { keys, sweepKeys: () => Promise.resolve() }
  }
  const keys = openPostgresKeys(records)
  return {
    keys,
    async sweepKeys() {
      for (let step = 0; step < SWEEP_STEPS; step++) if ((await keys.sweep(SWEPT_KEYS)) === 0) return
    },
  }
}

async function openEventLog({ kafka, project }: Config, records: Records, log: Log): Promise<EventLog> {
  const { brokers, tls, ca, mechanism, username, password, replication } = kafka
  if (brokers === undefined) return openPostgresLog(records)
  return openKafkaLog({
    brokers,
    log,
    replication,
    tls: (tls ?? ca !== undefined) ? { ca: ca === undefined ? undefined : await readFile(resolve(project, ca), 'utf8') } : undefined,
    sasl: username === undefined || password === undefined ? undefined : { mechanism, username, password },
  })
}

function openObjects({ objects, project }: Config, folder: string): Promise<Objects> {
  const { store, cache, ca, accessKeyId, secretAccessKey, sessionToken, endpoint, region, bucket, prefix, pathStyle } = objects
  if (store === 'folder') return openFolderObjects(folder)
  return openS3Objects({
    cache: { folder, limitBytes: bytesOf(cache) },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(bucket === undefined ? {} : { bucket }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(pathStyle === undefined ? {} : { pathStyle }),
    ...(ca === undefined ? {} : { ca: resolve(project, ca) }),
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }),
  })
}

async function openDatabase(
  config: Config,
  logger: Log,
  patience: Patience | undefined,
): Promise<{ records: Records; embedded: Engines['embedded']; stop: () => Promise<void> }> {
  const { url } = config.database
  if (url !== undefined) {
    const records = await patiently(() => openRecords({ connection: url, log: logger }), logger, patience)
    return { records, embedded: null, stop: () => records.close() }
  }
  const server = await startEmbeddedPostgres({ home: config.home, log: logger })
  try {
    const records = await openRecords({ connection: server.connection, log: logger })
    return {
      records,
      embedded: server,
      stop: async () => {
        await records.close()
        await server.stop()
      },
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** Everything else needs the database, so a start waits for it. */
async function patiently<T>(work: () => Promise<T>, logger: Log, patience: Patience | undefined): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const fault = toLagoaError(error)
      if (!patience || fault.kind !== 'unavailable' || patience.signal.aborted) throw error
      patience.onAway(fault)
      logger.warn('platform.waits_for_database', { attempt, error: fault })
      await systemClock.sleep(backoff(attempt, 250, 5_000), patience.signal)
    }
  }
}

function homeFault(home: string, error: unknown): LagoaError {
  const fault = toLagoaError(error)
  return fault.kind === 'unavailable'
    ? new LagoaError(fault.kind, fault.code, `${home} cannot hold Lagoa's state: ${fault.message}`, { hint: fault.hint, cause: error })
    : unavailable('storage.home', `${home} cannot hold Lagoa's state: ${fault.message}`, {
        hint: 'Set LAGOA_HOME to a folder that can be written.',
        cause: error,
      })
}
