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
import { makeCertificates } from './certificates.ts'
import { afterAll } from './over.ts'
import { tempFolder } from './folder.ts'

const HOME = resolve(import.meta.dirname, '../../node_modules/.lagoa/kafka')
const LIBS = join(HOME, 'libs', '*')
const HASHES = ['SHA-256', 'SHA-512']
const HEAP = ['-Xmx400m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']

/** Why tests that need a broker cannot run; null when they can. */
export const noKafka: string | null = existsSync(join(HOME, 'stamp'))
  ? null
  : 'there is no Kafka: with Java 17 and Maven installed, node scripts/setup.mjs test fetches it'

export interface KafkaBroker {
  /** Where clients connect: in plain text, or as the options say. */
  readonly broker: string
  /** Starts the same data on the same ports again, after `kill` or as a clean restart. */
  restart(): Promise<void>
  /** As a crash would: SIGKILL. */
  kill(): Promise<void>
}

export interface KafkaServer extends KafkaBroker {
  readonly username: string
  readonly password: string
  /** The certificate of the authority that signed the server's, with `tls`. */
  readonly ca: string
  stop(): Promise<void>
  /** Another broker of the same cluster, which is no controller. */
  addBroker(): Promise<KafkaBroker>
  /** Runs one of Kafka's own tools and answers what it printed; it connects without encryption and as nobody. */
  tool(className: string, args: readonly string[], input?: string): Promise<string>
  /** What such a tool connects to. */
  readonly internal: string
}

export interface KafkaServerOptions {
  readonly tls?: boolean
  /** Clients must name themselves; every mechanism is on. */
  readonly sasl?: boolean
  /** Names of more users, with the same password. */
  readonly users?: readonly string[]
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

export async function startKafka({
  tls = false,
  sasl = false,
  users = [],
  acls = false,
  advertised,
  properties = {},
}: KafkaServerOptions = {}): Promise<KafkaServer> {
  if (noKafka !== null) throw new Error(noKafka)
  const folder = tempFolder()
  const username = `user${randomBytes(4).toString('hex')}`
  const password = randomBytes(16).toString('hex')
  const names = [username, ...users]
  const ca = tls ? certificate(folder) : ''
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
      // A broker that was killed is let in again when its old session is over.
      'broker.session.timeout.ms': 3000,
      'broker.heartbeat.interval.ms': 500,
      ...(tls ? { 'ssl.keystore.type': 'PEM', 'ssl.keystore.location': join(folder, 'server.pem') } : {}),
      ...(sasl
        ? {
            'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
            'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${names.map((name) => `user_${name}="${password}"`).join(' ')};`,
            'listener.name.client.scram-sha-256.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
            'listener.name.client.scram-sha-512.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
          }
        : {}),
      ...(acls ? { 'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'super.users': 'User:ANONYMOUS' } : {}),
      ...properties,
    }
    writeSettings(config, settings)
    const scram = sasl ? names.flatMap((name) => HASHES.flatMap((hash) => ['--add-scram', `SCRAM-${hash}=[name=${name},password=${password}]`])) : []
    // One that begins with a dash is an id as well.
    const clusterId = `-${randomBytes(16).toString('base64url').slice(1)}`
    await java(['kafka.tools.StorageTool', 'format', '--standalone', `--cluster-id=${clusterId}`, '-c', config, ...scram])
    const node = await startNode(config, client)
    // Between finding the ports and taking them another process may have.
    if (!node && attempt < 3) continue
    if (!node) throw new Error(`Kafka does not answer on 127.0.0.1:${client}`)
    const nodes = [node]
    const server: KafkaServer = {
      ...node,
      internal: `127.0.0.1:${internal}`,
      username,
      password,
      ca,
      async addBroker() {
        const [number, ownClient, ownInternal] = [nodes.length + 1, await freePort(), await freePort()]
        const file = join(folder, `server-${number}.properties`)
        writeSettings(file, {
          ...settings,
          'process.roles': 'broker',
          'node.id': number,
          listeners: `CLIENT://127.0.0.1:${ownClient},INTERNAL://127.0.0.1:${ownInternal}`,
          'advertised.listeners': `CLIENT://127.0.0.1:${ownClient},INTERNAL://127.0.0.1:${ownInternal}`,
          'log.dirs': join(folder, `data-of-${number}`),
        })
        await java(['kafka.tools.StorageTool', 'format', `--cluster-id=${clusterId}`, '-c', file])
        const added = await startNode(file, ownClient)
        if (!added) throw new Error(`Another broker of Kafka does not answer on 127.0.0.1:${ownClient}`)
        nodes.push(added)
        return added
      },
      async stop() {
        servers.delete(server)
        // Nothing in the folder is wanted any more: no time is spent on an orderly end.
        await Promise.all(nodes.map((one) => one.kill()))
      },
      tool: (className, args, input) => java([className, ...args], input),
    }
    servers.add(server)
    return server
  }
}

function writeSettings(file: string, settings: Readonly<Record<string, string | number | boolean>>): void {
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(file, lines.join(''))
}

/** Null when it ends before it answers. */
async function startNode(config: string, port: number): Promise<KafkaBroker | null> {
  let child = await run(config, port)
  if (!child) return null
  return {
    broker: `127.0.0.1:${port}`,
    async restart() {
      if (child) await end(child, 'SIGTERM')
      child = await run(config, port)
      if (!child) throw new Error(`Kafka does not come back on 127.0.0.1:${port}`)
    },
    async kill() {
      if (child) await end(child, 'SIGKILL')
    },
  }
}

async function java(args: readonly string[], input?: string): Promise<string> {
  const running = promisify(execFile)('java', [...HEAP, '-cp', LIBS, ...args], { maxBuffer: 64 * 1024 * 1024 })
  // One that fails does not read to the end; its own error says why.
  running.child.stdin?.on('error', () => undefined).end(input ?? '')
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

/** A certificate for 127.0.0.1, its key and it in one file as Kafka wants them; answers its authority's. */
function certificate(folder: string): string {
  const { ca, cert, key } = makeCertificates()
  writeFileSync(join(folder, 'server.pem'), readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'))
  return readFileSync(ca, 'utf8')
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
