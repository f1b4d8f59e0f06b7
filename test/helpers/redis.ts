/** A real Redis on a free loopback port, in a temporary folder, with a password of its own unless none is wanted. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll } from './over.ts'
import type { Certificates } from './certificates.ts'
import { tempFolder } from './folder.ts'
import { answersOn, end, freePort, programAt, startProgram } from './servers.ts'

const PROGRAM = programAt('/usr/bin/redis-server', '/usr/bin/valkey-server', '/usr/local/bin/redis-server', '/opt/homebrew/bin/redis-server')

/** Why tests that need the server cannot run; null when they can. */
export const noRedis: string | null = PROGRAM === null ? 'there is no redis-server: apt-get install redis-server' : null

export interface RedisServer {
  /** With user and password. */
  readonly url: string
  readonly port: number
  readonly password: string
  readonly pid: number
  /** Ends it at once and starts it anew on the same port with what it had saved. */
  restart(): Promise<void>
  /** As a power cut would. */
  kill(): Promise<void>
  /** Starts it again after `kill`. */
  start(): Promise<void>
  stop(): Promise<void>
}

export interface RedisServerOptions {
  readonly tls?: Certificates
  readonly password?: string
  /** More lines of redis.conf. */
  readonly settings?: readonly string[]
  /** A port that was free a while ago. */
  readonly port?: number
}

const servers = new Set<RedisServer>()

afterAll(async () => {
  for (const server of servers) await server.stop()
})

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  if (PROGRAM === null) throw new Error(noRedis ?? '')
  const program = PROGRAM
  const { tls } = options
  const folder = tempFolder()
  const password = options.password ?? randomBytes(12).toString('hex')
  const begin = async (port: number): Promise<ReturnType<typeof startProgram> | null> => {
    const lines = [
      'bind 127.0.0.1',
      `dir ${folder}`,
      'appendonly yes',
      'appendfsync always',
      'save ""',
      ...(password === '' ? [] : [`requirepass ${password}`]),
      ...(tls
        ? ['port 0', `tls-port ${port}`, `tls-cert-file ${tls.cert}`, `tls-key-file ${tls.key}`, `tls-ca-cert-file ${tls.ca}`, 'tls-auth-clients no']
        : [`port ${port}`]),
      ...(options.settings ?? []),
    ]
    writeFileSync(join(folder, 'redis.conf'), `${lines.join('\n')}\n`)
    const child = startProgram({ command: program, args: [join(folder, 'redis.conf')], log: join(folder, 'redis.log') })
    if (await answersOn(port, child)) return child
    await end(child)
    return null
  }
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort())
    let child = await begin(port)
    if (child === null && attempt < 5) continue
    if (child === null) throw new Error(`redis-server does not answer on port ${port}`)
    const server: RedisServer = {
      url: `${tls ? 'rediss' : 'redis'}://${password === '' ? '' : `:${password}@`}127.0.0.1:${port}`,
      port,
      password,
      get pid() {
        return child?.pid ?? 0
      },
      kill: async () => {
        if (child) await end(child)
      },
      start: async () => {
        child = await begin(port)
        if (child === null) throw new Error(`redis-server does not answer on port ${port} again`)
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
    return server
  }
}
