/**
 * The embedded database: a real PostgreSQL below `<home>/pg` that runs as a process of its own. It outlives a killed Lagoa and is
 * adopted by the next one; it stops with the last Lagoa that uses it.
 *
 *   <home>/pg/data           the database, made in one step by renaming a finished folder
 *   <home>/pg/lagoa.conf     its settings, written at every start
 *   <home>/pg/socket         where it listens; a folder below the temporary folder when this path is too long for a socket
 *   <home>/pg/postgres.log   starts, stops and crashes
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { chown, lstat, mkdir, open, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { backoff, conflict, denied, errno, type Log, LagoaError, toLagoaError, unavailable, unsupported } from '../../../base/index.ts'
import { ensureFolder, syncFolder } from '../../folders.ts'
import { recordsFault, sqlState } from '../faults.ts'
import { APPLICATION_NAME } from '../postgres.ts'
import { type Binaries, CHILD_ENV, findBinaries, findLauncher, type Launcher, ownerOf } from './binaries.ts'
import { disownLocks, hasLeft, isAlive, isServerOf, readPostmaster, removeSocketLock } from './postmaster.ts'
import { HBA, serverConfig } from './settings.ts'

export interface EmbeddedPostgresOptions {
  /** Absolute path of the home folder; it is made when absent. */
  readonly home: string
  readonly log: Log
  /** Gives up the start; what was started is stopped again. */
  readonly signal?: AbortSignal
}

export interface EmbeddedPostgres {
  readonly connection: EmbeddedConnection
  /** The server ran already. */
  readonly adopted: boolean
  /** Changes when the server was killed: it is then started again at the same address, and pools recover by themselves. */
  readonly pid: number
  /**
   * Close the records first. Stops the server, unless another Lagoa is connected: then it is left to that one. Answers whether
   * it stopped. Safe to call twice.
   */
  stop(): Promise<boolean>
}

export interface EmbeddedConnection {
  /** The folder of the socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
}

const PORT = 5432
const USER = 'lagoa'
const DATABASE = 'postgres'
/** The address of a socket holds 104 bytes on macOS and 108 on Linux, the file name included. */
const LONGEST_SOCKET_FOLDER = 80
const WATCH_MS = 500
const LOG_LIMIT = 4 * 1024 * 1024
/** Recovery after a crash replays at most `max_wal_size`, which even a slow disk does in this time. */
const START_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 15_000
/** How long processes of a killed server may take to notice and let go of its memory. */
const LEFTOVER_LIMIT_MS = 10_000

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { home, log, signal } = options
  const started = performance.now()
  const binaries = await findBinaries()
  const root = join(home, 'pg')
  const files = { root, data: join(root, 'data'), log: join(root, 'postgres.log') }
  try {
    const running = await runningServer(files.data, log, signal)
    const server = running ?? (await startServer(binaries, files, log, signal))
    log.info('database.started', { adopted: server.adopted, pid: server.pid, ms: Math.round(performance.now() - started) })
    return supervise(server, binaries, files, log)
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    throw error instanceof LagoaError ? error : toLagoaError(error)
  }
}

interface Files {
  readonly root: string
  readonly data: string
  readonly log: string
}

interface Server {
  readonly connection: EmbeddedConnection
  readonly pid: number
  readonly adopted: boolean
}

/** Looks after the server until `stop`: when somebody kills it, it comes back. */
function supervise(first: Server, binaries: Binaries, files: Files, log: Log): EmbeddedPostgres {
  let server = first
  const stopping = new AbortController()
  let reviving: Promise<void> | null = null

  const revive = async (): Promise<void> => {
    if (stopping.signal.aborted || (await isServerOf(server.pid, files.data))) return
    log.warn('database.exited', { pid: server.pid })
    for (let attempt = 0; !stopping.signal.aborted; attempt++) {
      try {
        server = (await runningServer(files.data, log, stopping.signal)) ?? (await startServer(binaries, files, log, stopping.signal))
        log.info('database.restarted', { pid: server.pid })
        return
      } catch (error) {
        if (!stopping.signal.aborted) log.error('database.restart_failed', { error: toLagoaError(error) })
        await sleep(backoff(attempt, 200, 10_000), undefined, { signal: stopping.signal, ref: false }).catch(() => undefined)
      }
    }
  }
  const timer = setInterval(() => {
    reviving ??= revive().finally(() => {
      reviving = null
    })
  }, WATCH_MS)
  timer.unref()

  return {
    connection: first.connection,
    adopted: first.adopted,
    get pid() {
      return server.pid
    },
    stop: once(async () => {
      clearInterval(timer)
      stopping.abort()
      await reviving
      return stopServer(server, files.data, log)
    }),
  }
}

const at = (socket: string): EmbeddedConnection => ({ host: socket, port: PORT, user: USER, database: DATABASE })

// --- adopting

/** The server that runs on this data folder already, once it answers; null when there is none. */
async function runningServer(data: string, log: Log, signal: AbortSignal | undefined): Promise<Server | null> {
  const found = await readPostmaster(data)
  if (!found || !(await isServerOf(found.pid, data))) return null
  const deadline = Date.now() + START_LIMIT_MS
  let unreachableSince = 0
  while (Date.now() < deadline && (await isServerOf(found.pid, data))) {
    signal?.throwIfAborted()
    const now = await readPostmaster(data)
    if (now?.pid !== found.pid) break
    const answer = now.socket === '' ? 'starting' : await greet(at(now.socket), data)
    if (answer === 'ready') return { connection: at(now.socket), pid: found.pid, adopted: true }
    // A server that believes to be ready but whose socket was removed is of no use to anybody new.
    if (answer === 'unreachable' && now.status === 'ready') unreachableSince ||= Date.now()
    if (unreachableSince > 0 && Date.now() - unreachableSince > 2_000) {
      log.warn('database.socket_lost', { pid: found.pid, socket: now.socket })
      await shutDown(found.pid, data, log)
      return null
    }
    await sleep(10)
  }
  return null
}

type Answer = 'ready' | 'starting' | 'unreachable'

/** One try to connect; the server must say that its data folder is ours. */
async function greet(connection: EmbeddedConnection, data: string): Promise<Answer> {
  const { Client } = await import('pg')
  const client = new Client({ ...connection, application_name: CONTROL_NAME, connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ data: string }>(`select current_setting('data_directory') as data`)
    const theirs = rows[0]?.data ?? ''
    if ((await realpath(theirs).catch(() => theirs)) !== (await realpath(data))) {
      throw conflict('storage.foreign_server', `The socket in ${connection.host} belongs to another database (${theirs})`, {
        hint: 'Stop that server, or choose another LAGOA_HOME.',
      })
    }
    return 'ready'
  } catch (error) {
    const state = sqlState(error)
    if (state === '57P03' || state === '53300') return state === '57P03' ? 'starting' : 'ready'
    const fault = recordsFault(error)
    if (fault.kind === 'unavailable') return 'unreachable'
    throw fault
  } finally {
    await client.end().catch(() => undefined)
  }
}

const CONTROL_NAME = `${APPLICATION_NAME}-control`

// --- starting

async function startServer(binaries: Binaries, files: Files, log: Log, signal: AbortSignal | undefined): Promise<Server> {
  await ensureFolder(dirname(files.root))
  await ensureFolder(files.root, 0o700)
  const launcher = await findLauncher(await ownerOf(files.data))
  if (launcher.uid !== undefined && (await ownerOf(files.root)) !== launcher.uid) await handOverTree(files.root, launcher)
  await removeUnfinished(files.root)
  if (!(await hasDatabase(files.data, binaries))) await createDatabase(binaries, launcher, files, log, signal)
  await refuseForeignOwner(files.data, launcher)

  const socket = await socketFolder(files.root, launcher)
  const configFile = join(files.root, 'lagoa.conf')
  const hba = join(files.root, 'pg_hba.conf')
  await replaceFile(hba, HBA)
  await replaceFile(configFile, serverConfig({ socket, hba, custom: await customSettings(files.root) }))
  for (const made of [socket, hba, configFile]) await handOver(made, launcher)

  const deadline = Date.now() + LEFTOVER_LIMIT_MS
  for (;;) {
    signal?.throwIfAborted()
    await disownStrangers(files.data, socket)
    const logStart = await rotateLog(files.log)
    const child = await spawnServer(binaries, launcher, files, configFile)
    const outcome = await untilReady(child, at(socket), files, signal)
    if (outcome === 'ready') return { connection: at(socket), pid: child.pid ?? 0, adopted: false }
    // Another Lagoa may have been faster; then its server is ours, too.
    const running = await runningServer(files.data, log, signal)
    if (running) return running
    const said = await readFrom(files.log, logStart)
    if (!/is still in use|lock file .* already exists/.test(said) || Date.now() > deadline) throw startFault(files, said)
    await sleep(100)
  }
}

/** Lock files that name a living process which is no server of this folder would keep PostgreSQL from starting. */
async function disownStrangers(data: string, socket: string): Promise<void> {
  const stale = await readPostmaster(data)
  if (stale && isAlive(stale.pid) && !(await isServerOf(stale.pid, data))) await disownLocks(data, socket, stale)
  const lockPid = Number((await readFile(join(socket, `.s.PGSQL.${PORT}.lock`), 'utf8').catch(() => '')).split('\n')[0])
  if (Number.isInteger(lockPid) && lockPid > 0 && isAlive(lockPid) && !(await isServerOf(lockPid, data))) await removeSocketLock(socket)
}

async function spawnServer(binaries: Binaries, launcher: Launcher, files: Files, configFile: string): Promise<ChildProcess> {
  const [program, ...args] = [...launcher.command, binaries.postgres, '-D', files.data, '-c', `config_file=${configFile}`]
  const output = await open(files.log, 'a', 0o600)
  try {
    await handOver(files.log, launcher)
    // A session of its own and a file for its output: neither Ctrl-C nor the end of this process reaches it.
    const child = spawn(program, args, { detached: true, stdio: ['ignore', output.fd, output.fd], env: CHILD_ENV, ...asUser(launcher) })
    child.on('error', () => undefined)
    child.unref()
    return child
  } finally {
    await output.close()
  }
}

async function untilReady(child: ChildProcess, connection: EmbeddedConnection, files: Files, signal: AbortSignal | undefined): Promise<'ready' | 'exited'> {
  const deadline = Date.now() + START_LIMIT_MS
  const gone = (): boolean => child.exitCode !== null || child.signalCode !== null || child.pid === undefined
  try {
    for (;;) {
      signal?.throwIfAborted()
      if (gone()) return 'exited'
      const own = await readPostmaster(files.data)
      if (own?.pid === child.pid && (await greet(connection, files.data)) === 'ready') return 'ready'
      if (Date.now() > deadline)
        throw unavailable('storage.database_slow', `The embedded database did not become ready within ${START_LIMIT_MS / 1000} s`, { hint: `See ${files.log}` })
      await sleep(5)
    }
  } catch (error) {
    if (!gone()) child.kill('SIGINT')
    throw error
  }
}

function startFault(files: Files, said: string): LagoaError {
  const last = said.trim().split('\n').slice(-4).join('\n')
  const disk = diskFault(files.root, said)
  if (disk) return disk
  return unavailable('storage.database_failed', `The embedded database did not start in ${files.data}. Its last words:\n${last || '(none)'}`, {
    hint: `See ${files.log}`,
  })
}

function diskFault(path: string, said: string): LagoaError | null {
  if (/No space left on device|Disk quota exceeded/.test(said))
    return unavailable('storage.disk_full', `The disk is full: ${path}`, { hint: 'Free some space, then start again; nothing acknowledged was lost.' })
  if (/Read-only file system/.test(said))
    return unavailable('storage.read_only', `The disk is read-only: ${path}`, { hint: 'Set LAGOA_HOME to a folder that can be written.' })
  if (/Permission denied/.test(said))
    return unavailable(
      'storage.no_permission',
      `No permission: ${
        said
          .trim()
          .split('\n')
          .find((line) => line.includes('Permission denied')) ?? path
      }`,
      { hint: `Give this user access to ${path} and to the folders above it.` },
    )
  return null
}

// --- the data folder

async function hasDatabase(data: string, binaries: Binaries): Promise<boolean> {
  let version: string
  try {
    version = (await readFile(join(data, 'PG_VERSION'), 'utf8')).trim()
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    const content = await readdir(data).catch(() => [])
    if (content.length === 0) return false
    throw conflict('storage.foreign_folder', `${data} holds something that is no database`, { hint: 'Move it away, or choose another LAGOA_HOME.' })
  }
  if (Number(version) !== binaries.major) {
    throw unsupported('storage.other_major', `The database in ${data} was made by PostgreSQL ${version}; this Lagoa brings ${binaries.major}`, {
      hint: 'Go on with the Lagoa that made it, or start with a new LAGOA_HOME and send the data again.',
    })
  }
  return true
}

/** Made beside its place and renamed when finished, so that a kill on the way leaves nothing half made. */
async function createDatabase(binaries: Binaries, launcher: Launcher, files: Files, log: Log, signal: AbortSignal | undefined): Promise<void> {
  const fresh = join(files.root, `${UNFINISHED}${process.pid}-${Date.now()}`)
  const args = [
    '-D',
    fresh,
    '-U',
    USER,
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--no-instructions',
  ]
  try {
    // initdb makes the folder itself, which a launcher with another uid may do because the folder above is its own.
    await run([...launcher.command, binaries.initdb, ...args], launcher, files, signal)
    await rename(fresh, files.data)
    await syncFolder(files.root)
    log.info('database.created', { folder: files.data })
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    // Another Lagoa finished first; its database is as good.
    if (errno(error) === 'ENOTEMPTY' || errno(error) === 'EEXIST') return
    throw error
  }
}

const UNFINISHED = 'unfinished-'

/** An initdb whose starter was killed may still be writing; what cannot be removed now is removed at the next start. */
async function removeUnfinished(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith(UNFINISHED)) continue
    const pid = Number(name.slice(UNFINISHED.length).split('-')[0])
    if (pid !== process.pid && !isAlive(pid)) await rm(join(root, name), { recursive: true, force: true }).catch(() => undefined)
  }
}

function run(command: readonly string[], launcher: Launcher, files: Files, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0] ?? '', command.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: CHILD_ENV,
      ...(signal ? { signal } : {}),
      ...asUser(launcher),
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-8192)
    })
    child.once('error', (error) => reject(signal?.aborted ? signal.reason : toLagoaError(error)))
    child.once('close', (code) => {
      if (code === 0) resolve()
      else
        reject(
          diskFault(files.root, said) ??
            unavailable('storage.database_failed', `The embedded database could not be created in ${files.data}: ${said.trim()}`, {
              hint: 'Set LAGOA_HOME to another folder, or LAGOA_DATABASE__URL to a PostgreSQL server.',
            }),
        )
    })
  })
}

async function refuseForeignOwner(data: string, launcher: Launcher): Promise<void> {
  const owner = await ownerOf(data)
  const runner = launcher.uid ?? process.getuid?.()
  if (owner === null || runner === undefined || owner === runner) return
  throw denied('storage.foreign_owner', `The database in ${data} belongs to user ${owner}, but this process runs as user ${runner}`, {
    hint: `Start Lagoa as that user, or run: chown -R ${runner} ${data}`,
  })
}

// --- small things around it

async function customSettings(root: string): Promise<string | null> {
  const file = join(root, 'custom.conf')
  return stat(file).then(
    () => file,
    () => null,
  )
}

async function socketFolder(root: string, launcher: Launcher): Promise<string> {
  const near = join(root, 'socket')
  if (Buffer.byteLength(near) <= LONGEST_SOCKET_FOLDER) {
    await ensureFolder(near, 0o700)
    return near
  }
  const digest = createHash('sha256')
    .update(await realpath(root))
    .digest('hex')
    .slice(0, 16)
  const name = `lagoa-${process.getuid?.() ?? 0}-${digest}`
  const folder = join(Buffer.byteLength(join(tmpdir(), name)) <= LONGEST_SOCKET_FOLDER ? tmpdir() : '/tmp', name)
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (errno(error) !== 'EEXIST') throw error
  })
  // Everybody can make folders there: whoever owns this one could read what we send.
  const info = await lstat(folder)
  const mine = info.uid === process.getuid?.() || info.uid === launcher.uid
  if (!info.isDirectory() || !mine || (info.mode & 0o077) !== 0) {
    throw denied('storage.foreign_socket', `${folder} is not a private folder of this user`, { hint: `Remove it: rm -r ${folder}` })
  }
  return folder
}

/** Gives a file to the user that the database runs as, where that is another one. */
async function handOver(path: string, launcher: Launcher): Promise<void> {
  if (launcher.uid !== undefined) await chown(path, launcher.uid, launcher.gid ?? launcher.uid)
}

async function handOverTree(path: string, launcher: Launcher): Promise<void> {
  await handOver(path, launcher)
  if (!(await lstat(path)).isDirectory()) return
  for (const name of await readdir(path)) await handOverTree(join(path, name), launcher)
}

/** Keeps one older file; answers where this run's lines begin. */
async function rotateLog(file: string): Promise<number> {
  const size = await stat(file).then(
    (info) => info.size,
    () => 0,
  )
  if (size <= LOG_LIMIT) return size
  await rename(file, `${file}.1`)
  return 0
}

async function readFrom(file: string, start: number): Promise<string> {
  const content = await readFile(file).catch(() => Buffer.alloc(0))
  return content.subarray(Math.max(start, content.length - 16_384)).toString()
}

function asUser(launcher: Launcher): { uid?: number; gid?: number } {
  return { ...(launcher.uid === undefined ? {} : { uid: launcher.uid }), ...(launcher.gid === undefined ? {} : { gid: launcher.gid }) }
}

// --- stopping

async function stopServer(server: Server, data: string, log: Log): Promise<boolean> {
  if (await isUsedByOthers(server.connection)) {
    log.info('database.left_running', { pid: server.pid, reason: 'another Lagoa is connected' })
    return false
  }
  await shutDown(server.pid, data, log)
  return true
}

async function isUsedByOthers(connection: EmbeddedConnection): Promise<boolean> {
  const { Client } = await import('pg')
  const client = new Client({ ...connection, application_name: CONTROL_NAME, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    // Our own connections were closed a moment ago; the server takes some milliseconds to forget them.
    const deadline = Date.now() + 300
    for (;;) {
      const { rows } = await client.query<{ others: string }>('select count(*) as others from pg_stat_activity where application_name = $1', [APPLICATION_NAME])
      if (Number(rows[0]?.others ?? 0) === 0) return false
      if (Date.now() > deadline) return true
      await sleep(10)
    }
  } catch (error) {
    // So many are connected that there is no room for the question.
    return sqlState(error) === '53300'
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** `fast` first: sessions end, everything is written. When that takes too long `immediate`, which loses nothing but needs recovery. */
async function shutDown(pid: number, data: string, log: Log): Promise<void> {
  for (const [signal, limit] of [
    ['SIGINT', STOP_LIMIT_MS],
    ['SIGQUIT', 5_000],
  ] as const) {
    if (!(await isServerOf(pid, data))) return
    try {
      process.kill(pid, signal)
    } catch (error) {
      // It ended by itself between the look and the signal.
      if (errno(error) === 'ESRCH') return
      throw error
    }
    const deadline = Date.now() + limit
    while (Date.now() < deadline) {
      if (await hasLeft(pid, data)) return
      await sleep(5)
    }
    log.warn('database.slow_stop', { pid, signal })
  }
}

/** All at once: another process that starts the same home at this moment reads the old or the new text, never an empty file. */
async function replaceFile(path: string, text: string): Promise<void> {
  const next = `${path}.${process.pid}.${randomUUID()}`
  await writeFile(next, text)
  await rename(next, path)
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | null = null
  return () => (running ??= work())
}
