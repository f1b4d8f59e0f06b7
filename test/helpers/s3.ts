/**
 * A real S3 server (Versity S3 Gateway, built by `npm test` with Go) on a free loopback port, over a temporary folder, with credentials
 * of its own. A watchman stops it when this process is gone, however it ended.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll } from 'vitest'
import { openS3Objects, type Objects, type S3Options } from '../../src/storage/index.ts'
import { tempFolder } from './folder.ts'

const PROGRAM = resolve(import.meta.dirname, '../../node_modules/.lagoa/s3-server/versitygw')

/** Why tests that need the server cannot run; null when they can. */
export const noS3Server: string | null = existsSync(PROGRAM) ? null : 'there is no S3 server: with Go installed, node scripts/setup.mjs test builds one'

export interface S3Server {
  readonly endpoint: string
  readonly port: number
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region: string
  /** Buckets are its folders, objects its files. */
  readonly folder: string
  readonly pid: number
  stop(): Promise<void>
}

export interface S3ServerOptions {
  /** Files of a certificate and its key: then it speaks TLS. */
  readonly tls?: { readonly cert: string; readonly key: string }
}

const servers = new Set<S3Server>()
const opened = new Set<Objects>()

afterAll(async () => {
  for (const objects of opened) await objects.close()
  for (const server of servers) await server.stop()
})

export async function startS3({ tls }: S3ServerOptions = {}): Promise<S3Server> {
  if (noS3Server !== null) throw new Error(noS3Server)
  const folder = tempFolder()
  const data = join(folder, 'buckets')
  mkdirSync(data)
  mkdirSync(join(folder, 'metadata'))
  const credentials = { accessKeyId: `key${randomBytes(6).toString('hex')}`, secretAccessKey: randomBytes(20).toString('hex') }
  const region = 'us-east-1'
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const child = spawn(
      PROGRAM,
      [
        '--port',
        `127.0.0.1:${port}`,
        '--region',
        region,
        '--keep-alive',
        '--quiet',
        ...(tls ? ['--cert', tls.cert, '--key', tls.key] : []),
        'posix',
        // Not every folder takes extended attributes.
        '--sidecar',
        join(folder, 'metadata'),
        data,
      ],
      { stdio: 'ignore', env: { PATH: process.env.PATH, ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey } },
    )
    const endpoint = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`
    // Between finding the port and taking it another process may have.
    if (!(await answers(child, port))) {
      child.kill('SIGKILL')
      if (attempt < 5) continue
      throw new Error(`the S3 server does not answer on ${endpoint}`)
    }
    watch(child)
    const server: S3Server = {
      endpoint,
      port,
      ...credentials,
      region,
      folder: data,
      pid: child.pid ?? 0,
      async stop() {
        servers.delete(server)
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = new Promise((done) => child.once('exit', done))
        child.kill('SIGKILL')
        await ended
      },
    }
    servers.add(server)
    return server
  }
}

/** Objects on a server with a cache of their own unless one is given; closed after the test file. */
export async function openObjects(server: S3Server, options: Partial<S3Options> = {}): Promise<Objects> {
  const objects = await openS3Objects({ ...optionsFor(server), ...options })
  opened.add(objects)
  return objects
}

export function optionsFor({ endpoint, region, accessKeyId, secretAccessKey }: S3Server): S3Options {
  return { endpoint, region, credentials: { accessKeyId, secretAccessKey }, cache: { folder: join(tempFolder(), 'cache'), limitBytes: 1e9 } }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function answers(child: ChildProcess, port: number): Promise<boolean> {
  const { connect } = await import('node:net')
  for (let waited = 0; waited < 10_000 && child.exitCode === null; waited += 20) {
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1', () => done(true)).once('error', () => done(false))
      socket.once('connect', () => socket.destroy())
    })
    // Whoever took the port first keeps it, and ours ends.
    if (open) {
      await sleep(30)
      return child.exitCode === null
    }
    await sleep(20)
  }
  return false
}

const WATCH = 'while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 0.5; done; kill -9 "$2" 2>/dev/null'

function watch(child: ChildProcess): void {
  spawn('/bin/sh', ['-c', WATCH, 'watchman', String(process.pid), String(child.pid)], { detached: true, stdio: 'ignore' }).unref()
}
