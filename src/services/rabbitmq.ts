/**
 * RabbitMQ on ports, a node name and a cookie of its own. Erlang's name server (epmd) runs beside it on a port of its own, so that a broker
 * of the machine is not met and nothing is left behind.
 */
import { chmod, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { missing, unavailable, unsupported } from '../base/index.ts'
import { ensureFolder } from '../storage/index.ts'
import { ask } from './ask.ts'
import { SERVER, type Service, type Site } from './service.ts'
import { secret } from './settings.ts'

/** Not Debian's wrapper in /usr/sbin, which would change the user and with it the folders. */
const PLACES = ['/usr/lib/rabbitmq/bin', '/opt/homebrew/opt/rabbitmq/sbin', '/usr/local/opt/rabbitmq/sbin']

export const rabbitmq: Service = {
  name: 'rabbitmq',
  group: 'stream',
  title: 'RabbitMQ',
  ports: ['server', 'names', 'distribution'],
  fresh: () => ({ user: 'lagoa', password: secret(), cookie: secret(), node: `lagoa_${secret().slice(0, 8)}@localhost` }),
  startLimitMs: 180_000,
  ending: ['SIGTERM', 'SIGKILL'],

  async find(machine) {
    const program = await machine.program(['rabbitmq-server'], { first: PLACES })
    const names = await machine.program(['epmd'], { last: ['/usr/lib/erlang/bin', '/opt/homebrew/opt/erlang/bin'] })
    if (program === null || names === null)
      throw missing('services.no_program', `There is no ${program === null ? 'rabbitmq-server' : 'epmd, which Erlang brings,'} on this machine`, {
        hint: 'Install it: apt-get install rabbitmq-server',
      })
    return async (site) => {
      const { settings, folder } = site
      if (/['"]/.test(folder))
        throw unsupported('services.quotes', `RabbitMQ cannot work below a folder with quotes in its name: ${folder}`, {
          hint: 'Set LAGOA_HOME to another folder.',
        })
      await writeFiles(site)
      const env = environment(site, `${machine.path}:${dirname(names)}`)
      return [
        { name: 'names', command: [names, '-port', String(settings.port('names')), '-address', '127.0.0.1'], env, ports: [settings.port('names')] },
        { name: SERVER, command: [program], env, ports: [settings.port('server'), settings.port('distribution')] },
      ]
    }
  },
  address: (settings) => `amqp://127.0.0.1:${settings.port('server')}`,
  variables: (settings) => ({ RABBITMQ_URL: `amqp://${settings.text('user')}:${settings.text('password')}@127.0.0.1:${settings.port('server')}` }),

  /** AMQP 0-9-1: the header and the login at once; the answer is Connection.Start and then, for who may come in, Connection.Tune. */
  async ask(settings, signal) {
    const header = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
    const question = Buffer.concat([header, startOk(settings.text('user'), settings.text('password'))])
    const answer = await ask(settings.port('server'), question, (bytes) => methodsIn(bytes).length > 1, signal)
    if (methodsIn(answer).join() !== `${START},${TUNE}`)
      throw unavailable('services.not_ready', 'RabbitMQ does not let its user in', { hint: 'It may need a moment.' })
  },
}

const START = '10.10'
const TUNE = '10.30'

/** Connection.StartOk (10, 11): no properties, the mechanism, what it wants, a locale; in a method frame (1) of channel 0. */
function startOk(user: string, password: string): Buffer {
  const short = (text: string): Buffer => Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)])
  const long = (text: string): Buffer => Buffer.concat([uint32(Buffer.byteLength(text)), Buffer.from(text)])
  const payload = Buffer.concat([Buffer.from([0, 10, 0, 11]), uint32(0), short('PLAIN'), long(`\0${user}\0${password}`), short('en_US')])
  return Buffer.concat([Buffer.from([1, 0, 0]), uint32(payload.length), payload, Buffer.from([0xce])])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** The class and method of each whole frame. */
function methodsIn(bytes: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at + 8 <= bytes.length;) {
    const end = at + 7 + bytes.readUInt32BE(at + 3)
    if (end >= bytes.length) break
    found.push(`${bytes.readUInt16BE(at + 7)}.${bytes.readUInt16BE(at + 9)}`)
    at = end + 1
  }
  return found
}

async function writeFiles({ folder, settings }: Site): Promise<void> {
  const at = (name: string): string => join(folder, name)
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${settings.port('server')}`,
    `default_user = ${settings.text('user')}`,
    `default_pass = ${settings.text('password')}`,
    'log.file = false',
    'log.console = true',
    'log.console.level = warning',
    'log.console.use_colors = off',
    // Who only asks whether it answers hangs up without ceremony.
    'log.connection.level = error',
  ]
  await ensureFolder(at('data'), 0o700)
  await writeFile(at('rabbitmq.conf'), `${lines.join('\n')}\n`, { mode: 0o600 })
  await writeFile(at('plugins'), '[].\n')
  await writeFile(at('environment'), '')
  // Erlang refuses a cookie that others may read, and we could not write over one that nobody may write.
  await writeFile(at('.erlang.cookie'), settings.text('cookie'), { mode: 0o600 })
  await chmod(at('.erlang.cookie'), 0o600)
}

function environment({ folder, settings }: Site, path: string): Readonly<Record<string, string>> {
  return {
    PATH: path,
    HOME: folder,
    LC_ALL: 'C.UTF-8',
    ERL_EPMD_PORT: String(settings.port('names')),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // The script then becomes the node instead of being its parent.
    RUNNING_UNDER_SYSTEMD: 'true',
    RABBITMQ_NODENAME: settings.text('node'),
    RABBITMQ_DIST_PORT: String(settings.port('distribution')),
    RABBITMQ_BASE: folder,
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: folder,
    RABBITMQ_CONF_ENV_FILE: join(folder, 'environment'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'none.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_PID_FILE: join(folder, 'node'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}',
  }
}
