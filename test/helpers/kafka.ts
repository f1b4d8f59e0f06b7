/**
 * A real Apache Kafka (fetched by `npm test` with Maven): one node in KRaft mode on free loopback ports, over a temporary folder, with
 * credentials of its own. Starting takes seconds, so a test file starts one. A watchman stops it when this process is gone, however it
 * ended.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll } from './over.ts'
import { tempFolder } from './folder.ts'

const HOME = resolve(import.meta.dirname, '../../node_modules/.lagoa/kafka')
const LIBS = join(HOME, 'libs', '*')
const HEAP = ['-Xmx400m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']

/** Why tests that need a broker cannot run; null when they can. */
export const noKafka: string | null = existsSync(join(HOME, 'stamp'))
  ? null
  : 'there is no Kafka: with Java 17 and Maven installed, node scripts/setup.mjs test fetches it'

export interface KafkaServer {
  /** Where clients connect: in plain text, or as the options say. */
  readonly broker: string
  readonly username: string
  readonly password: string
  /** The certificate that signed the server's, with `tls`. */
  readonly ca: string
  /** Starts the same data on the same ports again, after `kill` or as a clean restart. */
  restart(): Promise<void>
  /** As a crash would: SIGKILL. */
  kill(): Promise<void>
  stop(): Promise<void>
  /** Runs one of Kafka's own tools and answers what it printed; it connects without encryption and as nobody. */
  tool(className: string, args: readonly string[], input?: string): Promise<string>
  /** What such a tool connects to. */
  readonly internal: string
}

export interface KafkaServerOptions {
  readonly tls?: boolean
  /** Clients must name themselves; every mechanism is on. */
  readonly sasl?: boolean
  /** Clients may do only what was granted to them. */
  readonly acls?: boolean
  /** The port at which clients find it, when something stands between: they are told this one. */
  readonly advertised?: number
  /** More lines of the server's properties. */
  readonly properties?: Readonly<Record<string, string | number>>
}

const servers = new Set<KafkaServer>()

afterAll(async () => {
  for (const server of servers) await server.stop()
})

export async function startKafka({ tls = false, sasl = false, acls = false, advertised, properties = {} }: KafkaServerOptions = {}): Promise<KafkaServer> {
  if (noKafka !== null) throw new Error(noKafka)
  const folder = tempFolder()
  const username = `user${randomBytes(4).toString('hex')}`
  const password = randomBytes(16).toString('hex')
  const ca = tls ? await certificate(folder) : ''
  const config = join(folder, 'server.properties')
  for (let attempt = 1; ; attempt++) {
    const [client, internal, controller] = [await freePort(), await freePort(), await freePort()]
    const data = join(folder, `data-${attempt}`)
    mkdirSync(data)
    const settings = {
      'process.roles': 'broker,controller',
      'node.id': 1,
      'controller.quorum.bootstrap.servers': `127.0.0.1:${controller}`,
      listeners: `CLIENT://127.0.0.1:${client},INTERNAL://127.0.0.1:${internal},CONTROLLER://127.0.0.1:${controller}`,
      'advertised.listeners': `CLIENT://127.0.0.1:${advertised ?? client},INTERNAL://127.0.0.1:${internal}`,
      'listener.security.protocol.map': `CLIENT:${sasl ? 'SASL_' : ''}${tls ? 'SSL' : 'PLAINTEXT'},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'INTERNAL',
      'log.dirs': data,
      'offsets.topic.replication.factor': 1,
      'offsets.topic.num.partitions': 1,
      'transaction.state.log.replication.factor': 1,
      'transaction.state.log.min.isr': 1,
      'transaction.state.log.num.partitions': 1,
      'auto.create.topics.enable': false,
      ...(tls ? { 'ssl.keystore.type': 'PEM', 'ssl.keystore.location': join(folder, 'server.pem') } : {}),
      ...(sasl
        ? {
            'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
            'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`,
            'listener.name.client.scram-sha-256.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
            'listener.name.client.scram-sha-512.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
          }
        : {}),
      ...(acls ? { 'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'super.users': 'User:ANONYMOUS' } : {}),
      ...properties,
    }
    writeFileSync(
      config,
      Object.entries(settings)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    const scram = sasl ? ['SHA-256', 'SHA-512'].flatMap((hash) => ['--add-scram', `SCRAM-${hash}=[name=${username},password=${password}]`]) : []
    const clusterId = randomBytes(16).toString('base64url')
    await java(['kafka.tools.StorageTool', 'format', '--standalone', '-t', clusterId, '-c', config, ...scram])
    let child = await run(config, client)
    // Between finding the ports and taking them another process may have.
    if (!child && attempt < 3) continue
    if (!child) throw new Error(`Kafka does not answer on 127.0.0.1:${client}`)
    const server: KafkaServer = {
      broker: `127.0.0.1:${client}`,
      internal: `127.0.0.1:${internal}`,
      username,
      password,
      ca,
      async restart() {
        if (child) await end(child, 'SIGTERM')
        child = await run(config, client)
        if (!child) throw new Error(`Kafka does not come back on 127.0.0.1:${client}`)
      },
      async kill() {
        if (child) await end(child, 'SIGKILL')
      },
      async stop() {
        servers.delete(server)
        // Nothing in the folder is wanted any more: no time is spent on an orderly end.
        if (child) await end(child, 'SIGKILL')
      },
      tool: (className, args, input) => java([className, ...args], input),
    }
    servers.add(server)
    return server
  }
}

async function java(args: readonly string[], input?: string): Promise<string> {
  const running = promisify(execFile)('java', [...HEAP, '-cp', LIBS, ...args], { maxBuffer: 64 * 1024 * 1024 })
  running.child.stdin?.end(input ?? '')
  return (await running).stdout
}

async function run(config: string, port: number): Promise<ChildProcess | null> {
  const child = spawn('java', [...HEAP, '-cp', LIBS, 'kafka.Kafka', config], { stdio: 'ignore' })
  watch(child)
  if (await answers(child, port)) return child
  child.kill('SIGKILL')
  return null
}

async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((done) => child.once('exit', done))
  child.kill(signal)
  await ended
}

/** A certificate for 127.0.0.1, its key and it in one file as Kafka wants them; answers the certificate. */
async function certificate(folder: string): Promise<string> {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const wanted = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  await promisify(execFile)('openssl', ['req', ...wanted, '-keyout', key, '-out', cert])
  writeFileSync(join(folder, 'server.pem'), readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'))
  return readFileSync(cert, 'utf8')
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function answers(child: ChildProcess, port: number): Promise<boolean> {
  for (let waited = 0; waited < 120_000 && child.exitCode === null; waited += 50) {
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1', () => done(true)).once('error', () => done(false))
      socket.once('connect', () => socket.destroy())
    })
    // Whoever took the port first keeps it, and ours ends.
    if (open) {
      await sleep(100)
      return child.exitCode === null
    }
    await sleep(50)
  }
  return false
}

const WATCH = 'while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 0.5; done; kill -9 "$2" 2>/dev/null'

function watch(child: ChildProcess): void {
  spawn('/bin/sh', ['-c', WATCH, 'watchman', String(process.pid), String(child.pid)], { detached: true, stdio: 'ignore' }).unref()
}
