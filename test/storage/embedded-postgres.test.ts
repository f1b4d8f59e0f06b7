import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chownSync, chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { claimHome, type EmbeddedPostgres, openRecords, type Records, startEmbeddedPostgres } from '../../src/storage/index.ts'
import { tempFolder } from '../helpers/folder.ts'

const log = silentLog
const root = process.getuid?.() === 0
const unlessRoot = root ? '' : ' (skipped: only root can start a process as another user)'
const door = new URL('../../src/storage/index.ts', import.meta.url).href
const base = new URL('../../src/base/index.ts', import.meta.url).href

// A server stays while somebody is connected, so servers come last.
const closers: (() => Promise<unknown>)[] = []
const servers: EmbeddedPostgres[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  for (const server of servers.splice(0).reverse()) await server.stop()
})

async function start(home: string): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ home, log })
  servers.push(server)
  return server
}

async function open(server: EmbeddedPostgres): Promise<Records> {
  const records = await openRecords({ connection: server.connection, max: 4, log })
  closers.push(() => records.close())
  return records
}

describe('the embedded database', { timeout: 30_000 }, () => {
  test('starts in a new home, durable and reachable by a private socket only', async () => {
    const home = join(tempFolder(), 'home')
    const server = await start(home)
    expect(server.adopted).toBe(false)
    const records = await open(server)
    const rows = await records.query<{ name: string; setting: string }>(
      `select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'listen_addresses', 'server_encoding')`,
    )
    expect(Object.fromEntries(rows.map((row) => [row.name, row.setting]))).toEqual({
      fsync: 'on',
      full_page_writes: 'on',
      synchronous_commit: 'on',
      data_checksums: 'on',
      listen_addresses: '',
      server_encoding: 'UTF8',
    })
    expect(statSync(server.connection.host).mode & 0o777).toBe(0o700)
    expect(readdirSync(join(home, 'pg')).filter((name) => name.startsWith('unfinished'))).toEqual([])
  })

  test('what was written is there after a stop and a start', async () => {
    const home = tempFolder()
    const first = await start(home)
    const records = await open(first)
    await records.script('create table kept (x int); insert into kept values (7)')
    await records.close()
    expect(await first.stop()).toBe(true)
    expect(await first.stop()).toBe(true)
    expect(isAlive(first.pid)).toBe(false)
    const again = await open(await start(home))
    expect(await again.query('select x from kept')).toEqual([{ x: 7 }])
  })

  test('after kill -9 of the server, with writers at work, it comes back by itself with every acknowledged row', async () => {
    const home = tempFolder()
    const first = await start(home)
    const records = await open(first)
    await records.script('create table acknowledged (n int primary key, filler bytea)')
    let acknowledged = 0
    const failed = (async () => {
      for (let n = 1; ; n++) {
        await records.query('insert into acknowledged values ($1, $2)', [n, new Uint8Array(20_000)])
        acknowledged = n
      }
    })().catch((error: unknown) => error)
    await sleep(300)
    const killed = first.pid
    process.kill(killed, 'SIGKILL')
    expect(await failed).toMatchObject({ kind: 'unavailable' })
    expect(acknowledged).toBeGreaterThan(0)
    const back = Date.now() + 10_000
    while (Date.now() < back && first.pid === killed) await sleep(20)
    // A pooled connection may be found dead once.
    while (Date.now() < back && (await records.query('select 1').catch(() => null)) === null) await sleep(20)
    const [row] = await records.query<{ n: number }>('select count(*) as n from acknowledged')
    expect([acknowledged, acknowledged + 1]).toContain(row?.n)
    expect(first.pid).not.toBe(killed)
  })

  test('after kill -9 of the server and of its owner, the next start recovers', async () => {
    const home = tempFolder()
    const child = runner(home, `await records.script('create table kept (x int); insert into kept values (3)')`)
    const pid = Number(await child.line)
    child.process.kill('SIGKILL')
    process.kill(pid, 'SIGKILL')
    await child.exited
    const server = await start(home)
    expect(server.adopted).toBe(false)
    expect(await (await open(server)).query('select x from kept')).toEqual([{ x: 3 }])
  })

  test('outlives kill -9 of the process that started it, and is adopted with its data', async () => {
    const home = tempFolder()
    const child = runner(home, `await records.script('create table orphan (x int); insert into orphan values (5)')`)
    const pid = Number(await child.line)
    child.process.kill('SIGKILL')
    await child.exited
    expect(isAlive(pid)).toBe(true)
    const server = await start(home)
    expect(server).toMatchObject({ adopted: true, pid })
    const records = await open(server)
    expect(await records.query('select x from orphan')).toEqual([{ x: 5 }])
    await records.close()
    expect(await server.stop()).toBe(true)
    expect(existsSync(join(home, 'pg/data/postmaster.pid'))).toBe(false)
  })

  test('a kill on the way through the first start leaves a home that starts', async () => {
    const home = tempFolder()
    const child = runner(home, '')
    await sleep(350)
    child.process.kill('SIGKILL')
    await child.exited
    const records = await open(await start(home))
    expect(await records.query('select 1 as x')).toEqual([{ x: 1 }])
  })

  test('is left running for another Lagoa that is connected, and stopped by the last one', async () => {
    const home = tempFolder()
    const first = await start(home)
    const second = await start(home)
    expect(second).toMatchObject({ adopted: true, pid: first.pid })
    const records = await open(second)
    expect(await first.stop()).toBe(false)
    expect(await records.query('select 1 as x')).toEqual([{ x: 1 }])
    await records.close()
    expect(await second.stop()).toBe(true)
    expect(isAlive(first.pid)).toBe(false)
  })

  test('several starts of one new home at once share one server', async () => {
    const home = tempFolder()
    const started = await Promise.all([start(home), start(home), start(home)])
    expect(new Set(started.map((server) => server.pid)).size).toBe(1)
    expect(started.filter((server) => !server.adopted)).toHaveLength(1)
  })

  test('two homes have two servers', async () => {
    const [a, b] = await Promise.all([start(tempFolder()), start(tempFolder())])
    expect(a.pid).not.toBe(b.pid)
    const [recordsA, recordsB] = [await open(a), await open(b)]
    await recordsA.script('create table only_a (x int)')
    expect(await recordsB.query(`select to_regclass('only_a')::text as t`)).toEqual([{ t: null }])
  })

  test('a pid file of a dead server does not matter', async () => {
    const home = tempFolder()
    await (await start(home)).stop()
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    writePidFile(home, dead)
    expect((await start(home)).adopted).toBe(false)
  })

  test('a pid file whose number belongs to another program by now does not matter, nor does a lock beside the socket', async () => {
    const home = tempFolder()
    await (await start(home)).stop()
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' })
    closers.push(async () => stranger.kill())
    writePidFile(home, stranger.pid ?? 0)
    writeFileSync(join(home, 'pg/socket/.s.PGSQL.5432.lock'), `${stranger.pid}\n${join(home, 'pg/data')}\n0\n5432\n${join(home, 'pg/socket')}\n`)
    writeFileSync(join(home, 'pg/socket/.s.PGSQL.5432'), '')
    const server = await start(home)
    expect(server.adopted).toBe(false)
    expect(stranger.exitCode).toBeNull()
    expect(await (await open(server)).query('select 1 as x')).toEqual([{ x: 1 }])
  })

  test('a server whose socket was removed is replaced', async () => {
    const home = tempFolder()
    const first = await start(home)
    const records = await open(first)
    await records.script('create table kept (x int)')
    await records.close()
    rmSync(first.connection.host, { recursive: true })
    const second = await start(home)
    expect(second.pid).not.toBe(first.pid)
    expect(await (await open(second)).query(`select to_regclass('kept')::text as t`)).toEqual([{ t: 'kept' }])
  })

  test('a home with a very long path gets its socket elsewhere, in a private folder', async () => {
    const home = join(tempFolder(), ...Array.from({ length: 5 }, (_, i) => `${i}-a-rather-long-name-of-a-folder-with-ação`))
    mkdirSync(home, { recursive: true })
    const server = await start(home)
    closers.push(async () => rmSync(server.connection.host, { recursive: true, force: true }))
    expect(server.connection.host.startsWith(home)).toBe(false)
    expect(statSync(server.connection.host).mode & 0o777).toBe(0o700)
    expect(await (await open(server)).query('select 1 as x')).toEqual([{ x: 1 }])
    expect(await start(home)).toMatchObject({ adopted: true })
  })

  test('a home with spaces, commas, quotes and a backslash in its name is a home', async () => {
    const home = join(tempFolder(), `a b, c's "d"\\n`)
    const server = await start(home)
    expect(await (await open(server)).query('select 1 as x')).toEqual([{ x: 1 }])
    expect(await start(home)).toMatchObject({ adopted: true, pid: server.pid })
  })

  test('data of another major version is refused with what to do', async () => {
    const home = tempFolder()
    mkdirSync(join(home, 'pg/data'), { recursive: true })
    writeFileSync(join(home, 'pg/data/PG_VERSION'), '15\n')
    await expect(startEmbeddedPostgres({ home, log })).rejects.toMatchObject({
      kind: 'unsupported',
      code: 'storage.other_major',
      message: expect.stringContaining('15'),
      hint: expect.stringContaining('Go on with the Lagoa that made it, or start with a new LAGOA_HOME'),
    })
  })

  test('a data folder that holds something else is refused and left alone', async () => {
    const home = tempFolder()
    mkdirSync(join(home, 'pg/data'), { recursive: true })
    writeFileSync(join(home, 'pg/data/thesis.txt'), 'mine')
    await expect(startEmbeddedPostgres({ home, log })).rejects.toMatchObject({ kind: 'conflict', code: 'storage.foreign_folder' })
    expect(readdirSync(join(home, 'pg/data'))).toEqual(['thesis.txt'])
  })

  test('a server that cannot start is told with its last words', async () => {
    const home = tempFolder()
    await (await start(home)).stop()
    writeFileSync(join(home, 'pg/custom.conf'), 'shared_buffers = nonsense\n')
    await expect(startEmbeddedPostgres({ home, log })).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'storage.database_failed',
      message: expect.stringContaining('shared_buffers'),
      hint: expect.stringContaining('postgres.log'),
    })
  })

  test('the log is rotated by size', async () => {
    const home = tempFolder()
    await (await start(home)).stop()
    writeFileSync(join(home, 'pg/postgres.log'), 'x'.repeat(5_000_000))
    await (await start(home)).stop()
    expect(statSync(join(home, 'pg/postgres.log.1')).size).toBe(5_000_000)
    expect(readFileSync(join(home, 'pg/postgres.log'), 'utf8')).toContain('ready to accept connections')
  })

  test('an aborted start leaves no server', async () => {
    const home = tempFolder()
    await (await start(home)).stop()
    const controller = new AbortController()
    const reason = new Error('enough')
    const starting = startEmbeddedPostgres({ home, log, signal: controller.signal })
    setTimeout(() => controller.abort(reason), 8)
    await expect(starting).rejects.toBe(reason)
    for (let i = 0; i < 200 && existsSync(join(home, 'pg/data/postmaster.pid')); i++) await sleep(10)
    expect(existsSync(join(home, 'pg/data/postmaster.pid'))).toBe(false)
  })

  test.skipIf(!root)(`runs for an ordinary user, too${unlessRoot}`, async () => {
    const home = tempFolder()
    chmodSync(home, 0o755)
    chownSync(home, 65_534, 65_534)
    const child = runner(home, '', { uid: 65_534, gid: 65_534 })
    const pid = Number(await child.line)
    expect(statSync(join(home, 'pg/data')).uid).toBe(65_534)
    // Root adopts it, since it is the same home.
    const server = await start(home)
    expect(server).toMatchObject({ adopted: true, pid })
    child.process.kill('SIGKILL')
    await child.exited
    expect(await server.stop()).toBe(true)
    // Root starts it as its owner.
    const again = await start(home)
    expect(statSync(`/proc/${again.pid}`).uid).toBe(65_534)
  })

  const canHide = root && spawnSync('unshare', ['--mount', 'true']).status === 0
  test.skipIf(!canHide)('runs for root as another user where namespaces are refused', async () => {
    const home = tempFolder()
    chmodSync(home, 0o755)
    const child = runner(home, '', {}, ['unshare', '--mount', 'sh', '-c', 'mount --bind /bin/false "$(command -v unshare)" && exec "$@"', 'sh'])
    const pid = Number(await child.line)
    expect(statSync(`/proc/${pid}`).uid).toBeGreaterThan(0)
    expect(statSync(join(home, 'pg/data')).uid).toBe(statSync(`/proc/${pid}`).uid)
    expect(await (await open(await start(home))).query('select 1 as x')).toEqual([{ x: 1 }])
  })

  test.skipIf(!root)(`data of another user is refused for one who may not become that user${unlessRoot}`, async () => {
    const home = tempFolder()
    await (await start(home)).stop()
    chmodSync(home, 0o755)
    const child = runner(home, '', { uid: 65_534, gid: 65_534 })
    expect(await child.line).toMatch(/^(storage\.foreign_owner|storage\.no_permission)$/)
    await child.exited
  })

  const canMount = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true']).status === 0
  test.skipIf(!canMount).each([
    ['full', 'size=8m', 'storage.disk_full'],
    ['read-only', 'size=8m,ro', 'storage.read_only'],
  ])('a %s disk is told as such', async (_, options, code) => {
    const home = tempFolder()
    const child = runner(home, '', {}, [
      'unshare',
      '--user',
      '--map-root-user',
      '--mount',
      'sh',
      '-c',
      `mount -t tmpfs -o ${options} tmpfs "$0" && exec "$@"`,
      home,
    ])
    expect(await child.line).toBe(code)
    await child.exited
  })
})

describe('the claim on a home', { timeout: 30_000 }, () => {
  test('a second server is refused at once and told who runs there, and let in after the release', async () => {
    const server = await start(tempFolder())
    const [first, second] = [await open(server), await open(server)]
    const claim = await claimHome(first, { pid: process.pid, url: 'http://127.0.0.1:4100' })
    const before = performance.now()
    await expect(claimHome(second, { pid: process.pid, url: 'http://127.0.0.1:4200' })).rejects.toMatchObject({
      kind: 'conflict',
      code: 'storage.home_taken',
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:4100.*pid ${process.pid}`)),
    })
    expect(performance.now() - before).toBeLessThan(5_000)
    await claim.release()
    await claim.release()
    await (await claimHome(second, { pid: process.pid, url: 'http://127.0.0.1:4200' })).release()
  })

  test('the claim of a killed server is free soon', async () => {
    const home = tempFolder()
    const child = runner(
      home,
      `const { claimHome } = await import(${JSON.stringify(door)}); await claimHome(records, { pid: process.pid, url: 'http://killed' })`,
    )
    await child.line
    const records = await open(await start(home))
    child.process.kill('SIGKILL')
    await child.exited
    const claim = await claimHome(records, { pid: process.pid, url: 'http://next' })
    await claim.release()
  })

  test('the claim is taken again after the database restarted, and lost when another was faster', async () => {
    const home = tempFolder()
    const server = await start(home)
    const [first, second] = [await open(server), await open(server)]
    const claim = await claimHome(first, { pid: process.pid, url: 'http://first' })
    closers.push(() => claim.release())
    const drop = `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted`
    await second.query(drop)
    for (let i = 0; i < 100; i++) {
      await sleep(20)
      if ((await second.query(`select 1 from pg_locks where locktype = 'advisory' and granted`)).length > 0) break
    }
    await expect(claimHome(second, { pid: 1, url: 'http://second' })).rejects.toMatchObject({ code: 'storage.home_taken' })
    expect(claim.lost.aborted).toBe(false)

    const thief = await second.session()
    closers.push(() => thief.close())
    const waiting = thief.query(`select pg_advisory_lock(${0x68_6f_6d_65})`)
    await sleep(20)
    await second.query(drop)
    await waiting
    for (let i = 0; i < 200 && !claim.lost.aborted; i++) await sleep(20)
    expect(claim.lost.reason).toMatchObject({ code: 'storage.home_taken' })
  })
})

interface Runner {
  readonly process: ChildProcess
  /** The pid of its database once it is up, or the code of the error. */
  readonly line: Promise<string>
  readonly exited: Promise<void>
}

/** A process of its own that starts the home's database, runs `body` with `records`, prints one line and stays. */
function runner(home: string, body: string, as: { uid?: number; gid?: number } = {}, launcher: readonly string[] = []): Runner {
  const script = `
    const { startEmbeddedPostgres, openRecords } = await import(${JSON.stringify(door)})
    const { silentLog: log } = await import(${JSON.stringify(base)})
    try {
      const server = await startEmbeddedPostgres({ home: ${JSON.stringify(home)}, log })
      const records = await openRecords({ connection: server.connection, log })
      ${body}
      console.log(server.pid)
      setInterval(() => {}, 1000)
    } catch (error) {
      console.log(error.code ?? error)
    }`
  const [program, ...args] = [...launcher, process.execPath, '--input-type=module', '-e', script]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], ...as })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const line = new Promise<string>((resolve) => {
    let said = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('\n')) resolve(said.trim())
    })
    child.once('exit', () => resolve(said.trim()))
  })
  closers.push(async () => {
    child.kill('SIGKILL')
    await exited
    // What it started outlives it; whoever did not adopt it ends it here.
    const pid = Number(readPidFile(home))
    if (pid > 0 && isPostgres(pid)) process.kill(pid, 'SIGQUIT')
  })
  return { process: child, line, exited }
}

function readPidFile(home: string): string {
  try {
    return readFileSync(join(home, 'pg/data/postmaster.pid'), 'utf8').split('\n')[0] ?? ''
  } catch {
    return ''
  }
}

function isPostgres(pid: number): boolean {
  try {
    return execFileSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' }).includes('postgres')
  } catch {
    return false
  }
}

/** A zombie, which nobody may have collected here, is not alive. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function writePidFile(home: string, pid: number): void {
  writeFileSync(
    join(home, 'pg/data/postmaster.pid'),
    [pid, join(home, 'pg/data'), 1_700_000_000, 5432, join(home, 'pg/socket'), '', '  1234567         0', 'ready   ', ''].join('\n'),
    { mode: 0o600 },
  )
}
