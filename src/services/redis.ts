/** Redis, or Valkey, with a password and an append-only file that is synced every second. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureFolder } from '../storage/index.ts'
import { missing, unavailable } from '../base/index.ts'
import { ask } from './ask.ts'
import { SERVER, type Service } from './service.ts'
import { secret } from './settings.ts'

export const redis: Service = {
  name: 'redis',
  group: 'core',
  title: 'Redis',
  ports: ['server'],
  fresh: () => ({ password: secret() }),
  startLimitMs: 60_000,
  ending: ['SIGTERM', 'SIGKILL'],

  async find(machine) {
    const program = await machine.program(['redis-server', 'valkey-server'])
    if (program === null)
      throw missing('services.no_program', 'There is no redis-server and no valkey-server on this machine', {
        hint: 'Install one: apt-get install redis-server',
      })
    return async ({ folder, settings }) => {
      const data = join(folder, 'data')
      const config = join(folder, 'redis.conf')
      await ensureFolder(data, 0o700)
      const lines = [
        'bind 127.0.0.1',
        `port ${settings.port('server')}`,
        `requirepass ${settings.text('password')}`,
        `dir ${JSON.stringify(data)}`,
        'appendonly yes',
        'appendfsync everysec',
        'save ""',
      ]
      await writeFile(config, `${lines.join('\n')}\n`, { mode: 0o600 })
      return [{ name: SERVER, command: [program, config], env: { PATH: machine.path }, ports: [settings.port('server')] }]
    }
  },
  address: (settings) => `redis://127.0.0.1:${settings.port('server')}`,
  variables: (settings) => ({ REDIS_URL: `redis://:${settings.text('password')}@127.0.0.1:${settings.port('server')}` }),

  async ask(settings, signal) {
    const question = `AUTH ${settings.text('password')}\r\nPING\r\n`
    const answer = await ask(settings.port('server'), question, (bytes) => bytes.toString().split('\r\n').length > 2, signal)
    if (answer.toString() !== '+OK\r\n+PONG\r\n')
      throw unavailable('services.not_ready', `Redis answers ${answer.toString().trim().replaceAll('\r\n', ', ')}`, {
        hint: 'It may still be reading its file.',
      })
  },
}
