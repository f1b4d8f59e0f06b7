/**
 * A real RabbitMQ on free loopback ports, in a temporary folder, with a user of its own. Erlang's name server (epmd) is a child as well, on
 * a port of its own, so nothing is left behind and a broker of the machine is not met.
 */
import { spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll } from './over.ts'
import type { Certificates } from './certificates.ts'
import { tempFolder } from './folder.ts'
import { answersOn, end, freePort, programAt, startProgram } from './servers.ts'

// Not Debian's wrapper in /usr/sbin, which would change the user and with it the folders.
const PROGRAM = programAt('/usr/lib/rabbitmq/bin/rabbitmq-server', '/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server')
const NAMES = programAt('/usr/bin/epmd', '/usr/local/bin/epmd', '/opt/homebrew/bin/epmd')

/** Why tests that need the server cannot run; null when they can. */
export const noRabbit: string | null = PROGRAM === null || NAMES === null ? 'there is no rabbitmq-server: apt-get install rabbitmq-server' : null

export interface RabbitServer {
  /** With user and password. */
  readonly url: string
  readonly port: number
  /** Where it speaks TLS, when it has a certificate. */
  readonly tlsUrl: string
  readonly user: string
  readonly password: string
  readonly pid: number
  /** Ends it at once and starts it anew on the same port with what it had stored. */
  restart(): Promise<void>
  /** As a power cut would. */
  kill(): Promise<void>
  /** Starts it again after `kill`. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Runs `rabbitmqctl` with these words. */
  control(...words: readonly string[]): void
}

export interface RabbitServerOptions {
  readonly tls?: Certificates
}

/** Erlang starts in four seconds on a machine that has nothing else to do. */
const STARTS_WITHIN_MS = 120_000
const servers = new Set<RabbitServer>()

afterAll(async () => {
  for (const server of servers) await server.stop()
})

export async function startRabbit(options: RabbitServerOptions = {}): Promise<RabbitServer> {
  if (PROGRAM === null || NAMES === null) throw new Error(noRabbit ?? '')
  const program = PROGRAM
  const { tls } = options
  const folder = tempFolder()
  const at = (name: string): string => join(folder, name)
  const user = `user${randomBytes(3).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  const port = await freePort()
  const tlsPort = await freePort()
  const namesPort = await freePort()
  mkdirSync(at('data'))
  writeFileSync(at('plugins'), '[].\n')
  writeFileSync(at('no-settings'), '')
  writeFileSync(at('.erlang.cookie'), randomBytes(16).toString('hex'), { mode: 0o400 })
  const settings = [
    `listeners.tcp.1 = 127.0.0.1:${port}`,
    `default_user = ${user}`,
    `default_pass = ${password}`,
    'log.file.level = warning',
    ...(tls ? [`listeners.ssl.1 = 127.0.0.1:${tlsPort}`, `ssl_options.certfile = ${tls.cert}`, `ssl_options.keyfile = ${tls.key}`] : []),
  ]
  writeFileSync(at('rabbitmq.conf'), `${settings.join('\n')}\n`)
  const env = {
    HOME: folder,
    ERL_EPMD_PORT: String(namesPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // The script then becomes the node instead of being its parent.
    RUNNING_UNDER_SYSTEMD: 'true',
    RABBITMQ_NODENAME: `lagoa_${port}@localhost`,
    RABBITMQ_DIST_PORT: String(await freePort()),
    RABBITMQ_BASE: folder,
    RABBITMQ_MNESIA_BASE: at('data'),
    RABBITMQ_LOG_BASE: folder,
    RABBITMQ_CONF_ENV_FILE: at('no-settings'),
    RABBITMQ_CONFIG_FILE: at('rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: at('none.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: at('plugins'),
    RABBITMQ_PID_FILE: at('pid'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}',
  }
  const names = startProgram({ command: NAMES, args: ['-port', String(namesPort), '-address', '127.0.0.1'], env, log: at('epmd.log') })
  if (!(await answersOn(namesPort, names))) throw new Error(`epmd does not answer on port ${namesPort}`)
  let child: ChildProcess | null = null
  const server: RabbitServer = {
    url: `amqp://${user}:${password}@127.0.0.1:${port}`,
    tlsUrl: `amqps://${user}:${password}@127.0.0.1:${tlsPort}`,
    port,
    user,
    password,
    get pid() {
      return child?.pid ?? 0
    },
    kill: async () => {
      if (child) await end(child)
    },
    start: async () => {
      child = startProgram({ command: program, args: [], env, log: at('rabbitmq.log') })
      if (await answersOn(port, child, STARTS_WITHIN_MS)) return
      await end(child)
      throw new Error(`rabbitmq-server does not answer on port ${port}: ${readFileSync(at('rabbitmq.log'), 'utf8').slice(-2_000)}`)
    },
    restart: async () => {
      await server.kill()
      await server.start()
    },
    stop: async () => {
      servers.delete(server)
      await server.kill()
      await end(names)
    },
    control: (...words) => {
      const { status, stdout, stderr } = spawnSync(join(dirname(program), 'rabbitmqctl'), [...words], {
        env: { PATH: process.env.PATH, ...env },
        encoding: 'utf8',
      })
      if (status !== 0) throw new Error(`rabbitmqctl ${words.join(' ')}: ${stdout}${stderr}`)
    },
  }
  servers.add(server)
  await server.start()
  return server
}
