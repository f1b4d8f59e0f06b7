/** Apache Kafka: one node that is broker and controller (KRaft), without passwords, for programs of this machine. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { missing, unavailable, unsupported } from '../base/index.ts'
import { ask } from './ask.ts'
import { fetched, namesIn, said, type Machine } from './machine.ts'
import { SERVER, type Service, type Site } from './service.ts'
import { makeWhole } from './whole.ts'

const OLDEST_JAVA = 17
const HEAP = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']

export const kafka: Service = {
  name: 'kafka',
  group: 'stream',
  title: 'Apache Kafka',
  ports: ['server', 'controller'],
  fresh: () => ({}),
  startLimitMs: 120_000,
  ending: ['SIGTERM', 'SIGKILL'],

  async find(machine) {
    const libs = await findLibs(machine)
    const java = await findJava(machine)
    return async (site) => {
      const config = join(site.folder, 'server.properties')
      const data = join(site.folder, 'data')
      if (!(await stat(data).catch(() => null))) await makeWhole(data, (fresh) => format(java, libs, site, fresh))
      await writeFile(config, properties(site, data), { mode: 0o600 })
      return [
        {
          name: SERVER,
          command: [java, ...HEAP, '-cp', join(libs, '*'), 'kafka.Kafka', config],
          env: { PATH: machine.path },
          ports: [site.settings.port('server'), site.settings.port('controller')],
        },
      ]
    }
  },
  address: (settings) => `127.0.0.1:${settings.port('server')}`,
  variables: (settings) => ({ KAFKA_BROKERS: kafka.address(settings) }),

  /** An ApiVersions request (key 18, version 0) numbered 1 by a client without a name; the answer repeats the number and begins with an error code. */
  async ask(settings, signal) {
    const request = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])
    const answer = await ask(settings.port('server'), request, (bytes) => bytes.length >= 10, signal)
    if (answer.readInt32BE(4) !== 1 || answer.readInt16BE(8) !== 0)
      throw unavailable('services.not_ready', 'Apache Kafka does not answer as a broker', { hint: 'It may need a moment.' })
  },
}

async function findLibs({ environment, places }: Machine): Promise<string> {
  const home = environment.KAFKA_HOME
  const folders = [...(home === undefined || home === '' ? [] : [join(home, 'libs')]), ...places(fetched('kafka/libs'))]
  for (const folder of folders) if ((await namesIn(folder)).some((name) => /^kafka_[\d.]+-[\d.]+\.jar$/.test(name))) return folder
  throw missing('services.no_program', home === undefined || home === '' ? 'There is no Apache Kafka on this machine' : `There is no Apache Kafka in ${home}`, {
    hint: `Install Java (apt-get install openjdk-${OLDEST_JAVA}-jre-headless), unpack Kafka (https://kafka.apache.org/downloads, 3.9 or newer) and name its folder: export KAFKA_HOME=/opt/kafka_2.13-4.3.1`,
  })
}

async function findJava(machine: Machine): Promise<string> {
  const home = machine.environment.JAVA_HOME
  const hint = `Install one: apt-get install openjdk-${OLDEST_JAVA}-jre-headless`
  const java = await machine.program(['java'], home === undefined || home === '' ? {} : { first: [join(home, 'bin')] })
  if (java === null) throw missing('services.no_program', `Apache Kafka needs Java ${OLDEST_JAVA} or newer, and there is none on this machine`, { hint })
  const version = Number(/version "(\d+)/.exec(await said(java, ['-version']))?.[1] ?? 0)
  if (version < OLDEST_JAVA)
    throw unsupported('services.old_java', `Apache Kafka needs Java ${OLDEST_JAVA} or newer; ${java} is ${version || 'none that runs'}`, { hint })
  return java
}

function properties({ settings }: Site, data: string): string {
  const [server, controller] = [settings.port('server'), settings.port('controller')]
  const lines = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.bootstrap.servers': `127.0.0.1:${controller}`,
    listeners: `CLIENT://127.0.0.1:${server},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `CLIENT://127.0.0.1:${server}`,
    'listener.security.protocol.map': 'CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'CLIENT',
    // As Java reads properties, a backslash escapes.
    'log.dirs': data.replaceAll('\\', '\\\\'),
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': false,
  }
  return Object.entries(lines)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

async function format(java: string, libs: string, site: Site, data: string): Promise<void> {
  const config = join(site.folder, 'format.properties')
  await mkdir(data, { mode: 0o700 })
  await writeFile(config, properties(site, data))
  const cluster = randomBytes(16).toString('base64url')
  const args = [...HEAP, '-cp', join(libs, '*'), 'kafka.tools.StorageTool', 'format', '--standalone', `--cluster-id=${cluster}`, '--config', config]
  await new Promise<void>((done, failed) => {
    execFile(java, args, { signal: site.signal, timeout: 60_000 }, (error, stdout, stderr) => {
      if (!error) done()
      else if (site.signal.aborted) failed(site.signal.reason)
      else
        failed(
          unavailable('services.failed', `Apache Kafka cannot prepare ${data}: ${`${stdout}${stderr}`.trim().split('\n').at(-1) ?? ''}`, {
            hint: 'It must be 3.9 or newer.',
            cause: error,
          }),
        )
    })
  })
  await rm(config)
}
