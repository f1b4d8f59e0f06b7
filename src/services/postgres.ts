/** A PostgreSQL server of this machine (15 or newer), reached over TCP with a password. As root it runs as an ordinary user, as it wants. */
import { execFile } from 'node:child_process'
import { chown, lstat, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { missing, silentLog, unavailable } from '../base/index.ts'
import { disownLocks, findLauncher, isAlive, isServerOf, openRecords, ownerOf, readPostmaster, type Launcher } from '../storage/index.ts'
import { isProgram, namesIn, said, type Machine } from './machine.ts'
import { SERVER, type Service, type Site } from './service.ts'
import { secret } from './settings.ts'
import { makeWhole } from './whole.ts'

const OLDEST = 15
const DEBIAN = '/usr/lib/postgresql'
const HINT = 'Install one: apt-get install postgresql'

export const postgres: Service = {
  name: 'postgres',
  group: 'core',
  title: 'PostgreSQL',
  ports: ['server'],
  fresh: () => ({ user: 'lagoa', password: secret() }),
  // After a crash it replays its log first.
  startLimitMs: 120_000,
  // SIGTERM would wait for clients to leave; this ends their sessions. The next one gives up without a checkpoint, the last without anything.
  ending: ['SIGINT', 'SIGQUIT', 'SIGKILL'],

  async find(machine) {
    const installed = await findServers(machine)
    return async (site) => {
      const data = join(site.folder, 'data')
      const made = Number(await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => ''))
      const server = made === 0 ? installed[0] : installed.find(({ major }) => major === made)
      if (server === undefined)
        throw missing('services.no_program', `The database in ${data} was made by PostgreSQL ${made}, which is not on this machine any more`, {
          hint: `Install it: apt-get install postgresql-${made}; or start anew without the data: rm -r ${site.folder}`,
        })
      const launcher = await findLauncher(await ownerOf(data))
      await handOver(site.folder, launcher)
      const env = { PATH: machine.path, LC_ALL: 'C', TZ: 'UTC' }
      if (made === 0) await makeWhole(data, (fresh) => create(server.bin, launcher, env, site, fresh))
      await disownStrangers(site.folder, data)
      const { uid, gid } = launcher
      const port = site.settings.port('server')
      return [
        {
          name: SERVER,
          command: [
            ...launcher.command,
            join(server.bin, 'postgres'),
            '-D',
            data,
            ...options({ listen_addresses: '127.0.0.1', port, unix_socket_directories: '' }),
          ],
          env,
          ports: [port],
          // What a killed server left ends by itself within seconds.
          tryAgain: /is still in use|lock file .* already exists/,
          ...(uid === undefined ? {} : { user: { uid, gid: gid ?? uid } }),
        },
      ]
    }
  },
  address: (settings) => `postgresql://127.0.0.1:${settings.port('server')}/postgres`,
  variables: (settings) => ({
    DATABASE_URL: `postgresql://${settings.text('user')}:${settings.text('password')}@127.0.0.1:${settings.port('server')}/postgres`,
  }),

  async ask(settings) {
    const connection = {
      host: '127.0.0.1',
      port: settings.port('server'),
      user: settings.text('user'),
      password: settings.text('password'),
      database: 'postgres',
    }
    const records = await openRecords({ connection, max: 1, log: silentLog })
    await records.close()
  },
}

interface Server {
  readonly bin: string
  readonly major: number
}

/** The newest first. */
async function findServers(machine: Machine): Promise<readonly Server[]> {
  const versions = (await namesIn(DEBIAN)).filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(b) - Number(a))
  const folders = machine.places(
    ...versions.map((version) => join(DEBIAN, version, 'bin')),
    ...['/opt/homebrew/opt', '/usr/local/opt'].flatMap((root) => [18, 17, 16, 15].map((version) => `${root}/postgresql@${version}/bin`)),
  )
  const found = new Map<number, Server>()
  for (const bin of [...folders, ...machine.folders]) {
    if (!(await isProgram(join(bin, 'initdb'))) || !(await isProgram(join(bin, 'postgres')))) continue
    const major = Number(/\(PostgreSQL\) (\d+)/.exec(await said(join(bin, 'postgres'), ['--version']))?.[1] ?? 0)
    if (!found.has(major)) found.set(major, { bin, major })
  }
  const fit = [...found.values()].filter(({ major }) => major >= OLDEST).sort((a, b) => b.major - a.major)
  if (fit.length > 0) return fit
  const old = [...found.keys()].sort((a, b) => b - a)[0]
  throw missing(
    'services.no_program',
    old === undefined ? 'There is no PostgreSQL server on this machine' : `PostgreSQL ${old} is too old; ${OLDEST} or newer is needed`,
    {
      hint: HINT,
    },
  )
}

const options = (settings: Readonly<Record<string, string | number>>): string[] =>
  Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])

async function create(bin: string, launcher: Launcher, env: Readonly<Record<string, string>>, site: Site, data: string): Promise<void> {
  const password = join(site.folder, 'password')
  await writeFile(password, site.settings.text('password'), { mode: 0o600 })
  await handOver(password, launcher)
  const [command, ...args] = [
    ...launcher.command,
    join(bin, 'initdb'),
    '--pgdata',
    data,
    `--username=${site.settings.text('user')}`,
    `--pwfile=${password}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
  ]
  try {
    await new Promise<void>((done, failed) => {
      const { uid, gid } = launcher
      const user = uid === undefined ? {} : { uid, gid: gid ?? uid }
      execFile(command, args, { cwd: site.folder, env, signal: site.signal, timeout: 120_000, ...user }, (error, stdout, stderr) => {
        if (!error) done()
        else if (site.signal.aborted) failed(site.signal.reason)
        else
          failed(
            unavailable('services.failed', `initdb cannot make a database in ${site.folder}: ${(stderr || stdout || error.message).trim()}`, {
              hint: 'Set LAGOA_HOME to another folder.',
              cause: error,
            }),
          )
      })
    })
  } finally {
    await rm(password, { force: true })
  }
}

/** Gives a file, or a folder with all in it, to the user that the database runs as, where that is another one. */
async function handOver(path: string, launcher: Launcher): Promise<void> {
  const { uid, gid } = launcher
  if (uid === undefined || (await ownerOf(path)) === uid) return
  if ((await lstat(path)).isDirectory()) for (const name of await readdir(path)) await handOver(join(path, name), launcher)
  await chown(path, uid, gid ?? uid)
}

/** A lock of a server that is gone, whose number another program has by now, would keep PostgreSQL from starting. */
async function disownStrangers(folder: string, data: string): Promise<void> {
  const stale = await readPostmaster(data)
  if (stale && isAlive(stale.pid) && !(await isServerOf(stale.pid, data))) await disownLocks(data, folder, stale)
}
