/**
 * A PostgreSQL server of the system on a free loopback port, in a temporary folder, with a password (scram-sha-256) and TLS if wanted: the
 * server that a project names in its configuration, as opposed to the embedded one. As root it runs as another user, since it refuses to be root.
 */
import { spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll } from 'vitest'
import { newId, silentLog } from '../../src/base/index.ts'
import { openRecords } from '../../src/storage/index.ts'
import type { Certificates } from './certificates.ts'
import { tempFolder } from './folder.ts'
import { answersOn, end, freePort, hasEnded, startProgram } from './servers.ts'

const ROOT = '/usr/lib/postgresql'
const PROGRAMS = (existsSync(ROOT) ? readdirSync(ROOT) : [])
  .filter((version) => Number(version) >= 15)
  .sort((a, b) => Number(a) - Number(b))
  .map((version) => join(ROOT, version, 'bin'))
  .find((folder) => existsSync(join(folder, 'initdb')))
const NOBODY = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : undefined

/** Why tests that need the server cannot run; null when they can. */
export const noPostgresServer: string | null = PROGRAMS === undefined ? 'there is no PostgreSQL server of 15 or newer: apt-get install postgresql' : null

export interface PostgresServer {
  readonly port: number
  readonly user: string
  readonly password: string
  /** Of a database on it, with user and password. */
  url(database?: string): string
  /** The address of a new empty database. */
  database(): Promise<string>
  /** Ends it as `pg_ctl stop -m immediate` does, and starts it anew on the same port. */
  restart(): Promise<void>
  kill(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

export interface PostgresServerOptions {
  readonly tls?: Certificates
  /** Lines of pg_hba.conf; by default everybody from this machine with a password. */
  readonly access?: readonly string[]
}

const servers = new Set<PostgresServer>()

afterAll(async () => {
  for (const server of servers) await server.stop()
})

export async function startPostgresServer({ tls, access }: PostgresServerOptions = {}): Promise<PostgresServer> {
  if (PROGRAMS === undefined) throw new Error(noPostgresServer ?? '')
  const programs = PROGRAMS
  const folder = tempFolder()
  const data = join(folder, 'data')
  const password = `p/@${randomBytes(9).toString('hex')}`
  writeFileSync(join(folder, 'password'), password)
  mkdirSync(join(folder, 'tls'))
  if (tls) for (const name of ['ca', 'cert', 'key'] as const) copyFileSync(tls[name], join(folder, 'tls', `${name}.pem`))
  if (NOBODY) give(folder, NOBODY)
  const words = ['--username=owner', '--auth=scram-sha-256', `--pwfile=${join(folder, 'password')}`, '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync']
  const made = spawnSync(join(programs, 'initdb'), ['-D', data, ...words], { ...NOBODY, cwd: folder, encoding: 'utf8', env: { PATH: process.env.PATH } })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stdout}${made.stderr}`)
  if (access) writeFileSync(join(data, 'pg_hba.conf'), `${access.join('\n')}\n`)
  const port = await freePort()
  const settings = [
    "listen_addresses = '127.0.0.1'",
    `port = ${port}`,
    `unix_socket_directories = '${folder}'`,
    'max_connections = 100',
    ...(tls
      ? ['ssl = on', `ssl_cert_file = '${folder}/tls/cert.pem'`, `ssl_key_file = '${folder}/tls/key.pem'`, `ssl_ca_file = '${folder}/tls/ca.pem'`]
      : ['ssl = off']),
  ]
  writeFileSync(join(data, 'postgresql.auto.conf'), `${settings.join('\n')}\n`)
  let child: ChildProcess | null = null
  const server: PostgresServer = {
    port,
    user: 'owner',
    password,
    url: (database = 'postgres') => `postgresql://owner:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`,
    async database() {
      const name = `t_${newId().replaceAll('-', '')}`
      const admin = await openRecords({ connection: server.url() + (tls ? '?sslmode=require' : ''), max: 1, log: silentLog })
      await admin.query(`create database ${name}`)
      await admin.close()
      return server.url(name)
    },
    kill: async () => {
      if (child) await end(child, 'SIGQUIT')
    },
    start: async () => {
      const log = join(folder, 'postgres.log')
      child = startProgram({ command: join(programs, 'postgres'), args: ['-D', data], log, ...(NOBODY ? { user: NOBODY } : {}) })
      // It listens before it lets anyone in: after a crash it replays its log first.
      if (await answersOn(port, child)) {
        const ready = ['-q', '-h', '127.0.0.1', '-p', String(port)]
        for (let tries = 0; tries < 400 && !hasEnded(child); tries++) {
          if (spawnSync(join(programs, 'pg_isready'), ready).status === 0) return
          await sleep(25)
        }
      }
      await end(child)
      throw new Error(`PostgreSQL does not answer on port ${port}: ${readFileSync(log, 'utf8').slice(-2_000)}`)
    },
    restart: async () => {
      await server.kill()
      await server.start()
    },
    stop: async () => {
      servers.delete(server)
      await server.kill()
    },
  }
  servers.add(server)
  await server.start()
  return server
}

function give(folder: string, { uid, gid }: { readonly uid: number; readonly gid: number }): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    chownSync(path, uid, gid)
    if (entry.isFile()) chmodSync(path, 0o600)
  }
  chownSync(folder, uid, gid)
}

function idOf(kind: '-u' | '-g'): number {
  return Number(spawnSync('id', [kind, 'nobody'], { encoding: 'utf8' }).stdout.trim() || 65_534)
}
