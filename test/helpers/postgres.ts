/**
 * A database for a test file: one embedded PostgreSQL for the whole vitest run, started by the first file that asks, and one
 * database of its own for each call. A watchman stops the server when the run is over, however it ended.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { afterAll } from 'vitest'
import { errno, newId, silentLog } from '../../src/base/index.ts'
import { type EmbeddedConnection, openRecords, type Records, startEmbeddedPostgres } from '../../src/storage/index.ts'

export interface TestRecords {
  readonly records: Records
  /** For another pool on the same database, also in another process. */
  readonly connection: EmbeddedConnection
}

/** Records on a new empty database, closed and dropped after the test file. Call it in `beforeAll`, in a test, or at the top with `await`. */
export async function testRecords(): Promise<TestRecords> {
  server ??= sharedServer()
  const main = await server
  const name = `t_${newId().replaceAll('-', '')}`
  // Copying files is the quicker way for a database this small.
  await onServer(main, `create database ${name} strategy file_copy`)
  const connection = { ...main, database: name }
  const records = await openRecords({ connection, max: 8, log: silentLog })
  opened.push(async () => {
    await records.close()
    await onServer(main, `drop database if exists ${name} with (force)`)
  })
  return { records, connection }
}

let server: Promise<EmbeddedConnection> | null = null
const opened: (() => Promise<void>)[] = []

afterAll(async () => {
  for (const close of opened.splice(0)) await close()
})

async function onServer(connection: EmbeddedConnection, statement: string): Promise<void> {
  const admin = await openRecords({ connection, max: 1, log: silentLog })
  try {
    await admin.query(statement)
  } finally {
    await admin.close()
  }
}

/** Every test file has a process of its own; they find the server by the process that runs them all. */
async function sharedServer(): Promise<EmbeddedConnection> {
  const runner = isMainThread ? process.ppid : process.pid
  const home = join(tmpdir(), `lagoa-test-pg-${runner}-${startTime(runner)}`)
  if (madeFolder(home)) {
    mkdirSync(join(home, 'pg'), { mode: 0o700 })
    // Tests kill processes, never the machine, so the disk need not be waited for; and every worker brings a pool.
    writeFileSync(join(home, 'pg', 'custom.conf'), 'fsync = off\nmax_connections = 200\n')
    startWatchman(runner, home)
  }
  return (await startEmbeddedPostgres({ home, log: silentLog })).connection
}

function madeFolder(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 })
    return true
  } catch (error) {
    if (errno(error) === 'EEXIST') return false
    throw error
  }
}

/** Tells a process from an earlier one with the same pid. */
function startTime(pid: number): string {
  try {
    return (
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')[19] ?? '0'
    )
  } catch {
    return '0'
  }
}

const WATCH = `
while kill -0 "$1" 2>/dev/null; do sleep 0.2; done
pidfile="$2/pg/data/postmaster.pid"
server=$(head -n 1 "$pidfile" 2>/dev/null)
if [ -n "$server" ]; then
  kill -QUIT "$server" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10; do [ -e "$pidfile" ] && sleep 0.1; done
fi
rm -rf "$2"
`

function startWatchman(runner: number, home: string): void {
  spawn('/bin/sh', ['-c', WATCH, 'watchman', String(runner), home], { detached: true, stdio: 'ignore' }).unref()
}
