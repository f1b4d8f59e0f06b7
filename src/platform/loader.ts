/**
 * Loads a project folder: its configuration and every declaration that a file under `streams/`, `tables/`,
 * `alerts/` or `flows/` exports.
 * Files are plain modules, their imports are the graph. Types are stripped, not checked, when they are loaded, so everything is
 * validated here and a fault names the file.
 */
import { readdir, stat } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { basename, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Alert } from '../alerts/index.ts'
import { errno, invalid, LagoaError, missing } from '../base/index.ts'
import type { Flow } from '../flows/index.ts'
import type { Table } from '../lake/index.ts'
import type { Stream } from '../streams/index.ts'
import type { ConfigDeclaration } from './define.ts'
import { checkDeclaration } from './validate.ts'

export interface Project {
  readonly folder: string
  readonly name: string
  readonly streams: readonly Stream[]
  readonly tables: readonly Table[]
  readonly alerts: readonly Alert[]
  readonly flows: readonly Flow[]
  /** The file that declares each asset, relative to the folder. */
  readonly files: ReadonlyMap<string, string>
}

const FOLDERS = ['streams', 'tables', 'alerts', 'flows'] as const
const MODULE = /\.(ts|mts|js|mjs)$/

let generation = 0
const roots = new Set<string>()

/** This package's own files, which are never loaded twice, also when the project folder lies around them. */
const OWN = new URL('../', import.meta.url).href
/** What a project imports from `lagoa`, in the source and in the build alike. */
const ENTRY = new URL(import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js', import.meta.url).href

/** Project files get a new identity each time they are loaded, and `lagoa` is always this very package. */
function hookProject(folder: string): void {
  const root = pathToFileURL(folder + sep).href
  if (roots.size === 0) {
    registerHooks({
      resolve(specifier, context, next) {
        if (specifier === 'lagoa') return { url: ENTRY, shortCircuit: true }
        const found = next(specifier, context)
        const isProject = [...roots].some((known) => found.url.startsWith(known)) && !found.url.startsWith(OWN) && !found.url.includes('/node_modules/')
        return isProject ? { ...found, url: `${found.url.split('?')[0]}?load=${generation}` } : found
      },
    })
  }
  roots.add(root)
}

export async function loadConfigFile(folder: string, file: string | undefined): Promise<ConfigDeclaration | null> {
  await refuseNoFolder(folder)
  hookProject(folder)
  generation++
  const path = resolve(folder, file ?? 'lagoa.config.ts')
  if (!(await exists(path))) {
    if (file !== undefined)
      throw missing('project.no_config', `There is no configuration ${path}`, {
        hint: 'Check the name given with --config; it is relative to the project folder.',
      })
    return null
  }
  const module = await importFile(folder, path)
  const declared = module.default
  if (!isKind(declared, 'config'))
    throw invalid('project.config_export', `${relative(folder, path)} does not export a configuration`, { hint: 'Write: export default defineConfig({ ... })' })
  return declared as ConfigDeclaration
}

export async function loadProject(folder: string): Promise<Project> {
  await refuseNoFolder(folder)
  hookProject(folder)
  generation++
  const files = new Map<string, string>()
  const found = { stream: new Map<string, Stream>(), table: new Map<string, Table>(), alert: new Map<string, Alert>(), flow: new Map<string, Flow>() }
  const seen = new Set<unknown>()
  for (const sub of FOLDERS) {
    for (const path of await modulesIn(join(folder, sub))) {
      const file = relative(folder, path)
      const module = await importFile(folder, path)
      for (const value of Object.values(module)) {
        const kind = kindOf(value)
        if (kind === null || seen.has(value)) continue
        seen.add(value)
        const declaration = checkDeclaration(value, kind, file)
        const known = files.get(`${kind} ${declaration.name}`)
        if (known !== undefined)
          throw invalid('project.twice', `${file}: ${kind} ${declaration.name} is declared in ${known} too`, { hint: 'Rename one of them.' })
        files.set(`${kind} ${declaration.name}`, file)
        if (declaration.kind === 'stream') found.stream.set(declaration.name, declaration)
        else if (declaration.kind === 'table') found.table.set(declaration.name, declaration)
        else if (declaration.kind === 'alert') found.alert.set(declaration.name, declaration)
        else found.flow.set(declaration.name, declaration)
      }
    }
  }
  if (files.size === 0) {
    throw missing('project.empty', `${folder} declares nothing`, {
      hint: `A project has files under ${FOLDERS.map((name) => `${name}/`).join(', ')} that export stream(...), table(...), alert(...) or flow(...).`,
    })
  }
  return {
    folder,
    name: basename(folder),
    streams: [...found.stream.values()],
    tables: [...found.table.values()],
    alerts: [...found.alert.values()],
    flows: [...found.flow.values()],
    files,
  }
}

async function importFile(folder: string, path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>
  } catch (cause) {
    const file = relative(folder, path)
    if (cause instanceof LagoaError) throw new LagoaError(cause.kind, cause.code, `${file}: ${cause.message}`, { hint: cause.hint, cause })
    const error = cause instanceof Error ? cause : new Error(String(cause))
    throw invalid('project.load', `${file} cannot be loaded: ${error.message}${placeOf(error, folder)}`, { hint: hintFor(error), cause })
  }
}

/** Where in the project the error arose, as `file:line:column`. */
function placeOf(error: Error, folder: string): string {
  for (const line of error.stack?.split('\n') ?? []) {
    const match = /(file:\/\/[^\s)]+?)(?:\?load=\d+)?:(\d+)(?::(\d+))?\)?$/.exec(line.trim())
    if (!match?.[1]) continue
    const path = fileURLToPath(match[1])
    if (path.startsWith(folder + sep)) return ` (${relative(folder, path)}:${match[2]}${match[3] ? `:${match[3]}` : ''})`
  }
  return ''
}

function hintFor(error: Error): string {
  if (error.message.includes('does not provide an export')) return 'The imported name was renamed or is not exported.'
  if (error.message.includes('Cannot find module')) return 'Check the path of the import; relative imports end in .ts.'
  if (error instanceof SyntaxError) return 'Mend the syntax; TypeScript that must be compiled (enum, namespace) cannot be used.'
  return 'Mend the file and save it; Lagoa loads it again.'
}

async function modulesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile() && MODULE.test(entry.name) && !entry.name.endsWith('.d.ts') && !entry.name.includes('.test.'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}

async function refuseNoFolder(folder: string): Promise<void> {
  const info = await stat(folder).catch(() => null)
  if (!info) throw missing('project.no_folder', `There is no folder ${folder}`, { hint: 'Name an existing project with --project DIR.' })
  if (!info.isDirectory()) throw invalid('project.no_folder', `${folder} is no folder`, { hint: 'Name the folder of a project with --project DIR.' })
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null
}

function kindOf(value: unknown): 'stream' | 'table' | 'alert' | 'flow' | null {
  for (const kind of ['stream', 'table', 'alert', 'flow'] as const) if (isKind(value, kind)) return kind
  return null
}

function isKind(value: unknown, kind: string): boolean {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind
}
