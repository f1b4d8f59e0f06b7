/** `lagoa doctor`: what this machine and this project need, looked at one by one, each with its fix. */
import { stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ERROR_KINDS, toLagoaError, unavailable, unsupported, type ErrorKind } from '../base/index.ts'
import { loadProject, shownConfig, wallsText, type Config, type Project } from '../platform/index.ts'
import { probeDoor } from '../server/index.ts'
import type { Arguments } from './args.ts'
import { bold, bytesText, dim, green, print, red, yellow } from './output.ts'
import { embeddedPostgres, enginesAnswer, folderAccepts, namespaces, python, sandbox } from './probes.ts'
import { configFor, loggerFor } from './setup.ts'

interface Finding {
  readonly name: string
  /** `note`: works, but the reader may want to know. */
  readonly state: 'ok' | 'note' | 'failed'
  readonly detail: string
  readonly fix?: string
  readonly kind?: ErrorKind
}

type Verdict = Omit<Finding, 'name'>

const ok = (detail: string): Verdict => ({ state: 'ok', detail })
const noted = (detail: string, fix: string): Verdict => ({ state: 'note', detail, fix })

const LEAST_NODE = 24
/** A new database takes 40 MB, its log up to 512 MB. */
const LITTLE_SPACE = 1_000_000_000
const NO_SPACE = 100_000_000

export async function doctor(args: Arguments): Promise<number> {
  const json = args.values.json ?? false
  const findings: Finding[] = []
  const look = async <T>(name: string, check: () => Promise<Verdict & { readonly value?: T }>): Promise<T | undefined> => {
    const { value, ...verdict } = await check().catch((error: unknown) => ({ value: undefined, ...failure(error) }))
    const finding = { name, ...verdict }
    findings.push(finding)
    if (!json) print(lineOf(finding))
    return value
  }

  await look('Node', async () => nodeVersion())
  await look('Database programs', async () => ok(await embeddedPostgres()))
  await look('Namespaces', async () => {
    const { isolated, rootStart } = await namespaces()
    if (isolated && rootStart) return ok('unprivileged user namespaces can be made')
    const fix =
      'Allow them: sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0; in a container add --security-opt seccomp=unconfined.'
    return noted(
      rootStart
        ? 'this machine refuses the namespaces that the sandbox for Python needs'
        : 'this machine refuses user namespaces; started as root, the database runs as another user',
      fix,
    )
  })
  await look('Python', async () => {
    const version = await python()
    return version === null ? noted('there is no python3; tables and jobs in Python will need it', 'Install it: apt-get install python3') : ok(version)
  })
  const config = await look<Config>('Configuration', async () => {
    const read = await configFor(args, true)
    const { url } = shownConfig(read).database
    const objects = read.objects.store === 's3' ? `, ${objectsText(read)}` : ''
    return { ...ok(`${url === undefined ? 'embedded database' : `database ${url}`}${objects}, state in ${read.home}`), value: read }
  })
  if (config) {
    const project = await look<Project>('Project', async () => {
      const loaded = await loadProject(config.project)
      return {
        ...ok(
          `${loaded.name}: ${counted(loaded.streams.length, 'stream')}, ${counted(loaded.tables.length, 'table')}, ${counted(loaded.alerts.length, 'alert')}`,
        ),
        value: loaded,
      }
    })
    await look('Sandbox', async () => {
      const state = await sandbox(config, loggerFor(config, args, 'warn'))
      if (state.ready) return ok(wallsText(state))
      return noted(`users' Python is refused: ${state.message}`, state.hint)
    })
    const writable = await look<boolean>('Home', async () => ({ ...(await homeVerdict(config.home)), value: true }))
    await look('Port', () => portVerdict(config))
    if (writable && project) await look('Engines', async () => ok(await enginesAnswer(config, loggerFor(config, args, 'warn'))))
  }

  const failed = findings.filter(({ state }) => state === 'failed')
  if (json) print(JSON.stringify({ ok: failed.length === 0, checks: findings }))
  else
    print(
      failed.length === 0
        ? `\n${bold('All is well.')}`
        : `\n${bold(failed.length === 1 ? 'One thing needs mending.' : `${failed.length} things need mending.`)}`,
    )
  return Math.max(0, ...failed.map(({ kind }) => ERROR_KINDS[kind ?? 'bug'].exit))
}

function nodeVersion(): Verdict {
  const major = Number(process.versions.node.split('.')[0])
  if (major >= LEAST_NODE) return ok(`${process.versions.node} on ${process.platform}-${process.arch}`)
  throw unsupported('doctor.node', `Node ${process.versions.node} is too old`, { hint: `Install Node ${LEAST_NODE} or newer.` })
}

function objectsText({ objects: { endpoint, bucket, prefix } }: Config): string {
  const where = bucket === undefined ? 'a bucket a layer' : `s3://${bucket}${prefix === undefined ? '' : `/${prefix}`}`
  return `objects on S3 at ${endpoint ?? 'AWS'} (${where})`
}

async function homeVerdict(home: string): Promise<Verdict> {
  const existing = await nearestFolder(home)
  await folderAccepts(existing)
  const { bavail, bsize } = await statfs(existing)
  const free = bavail * bsize
  const fix = 'Free some space, or set LAGOA_HOME to a folder on a larger disk.'
  if (free < NO_SPACE) throw unavailable('doctor.space', `${home}: only ${bytesText(free)} are free`, { hint: fix })
  const text = `${home}${existing === home ? '' : ' will be made'}, ${bytesText(free)} free`
  return free < LITTLE_SPACE ? noted(text, fix) : ok(text)
}

/** The folder itself, or the nearest one above it that exists. */
async function nearestFolder(path: string): Promise<string> {
  const info = await stat(path).catch(() => null)
  return info || dirname(path) === path ? path : nearestFolder(dirname(path))
}

async function portVerdict({ http }: Config): Promise<Verdict> {
  try {
    await probeDoor(http)
    return ok(http.port === 0 ? 'any free one' : `${http.port} on ${http.host} is free`)
  } catch (error) {
    const fault = toLagoaError(error)
    if (fault.code === 'http.lagoa_runs') return noted(fault.message, fault.hint ?? '')
    throw fault
  }
}

function failure(thrown: unknown): Verdict {
  const { message, hint, kind } = toLagoaError(thrown)
  return { state: 'failed', detail: message, ...(hint === undefined ? {} : { fix: hint }), kind }
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

function lineOf({ name, state, detail, fix }: Finding): string {
  const mark = state === 'ok' ? green('✓') : state === 'note' ? yellow('!') : red('✗')
  return `${mark} ${bold(name.padEnd(17))} ${detail}${fix === undefined ? '' : `\n  ${''.padEnd(17)} ${dim(fix)}`}`
}
