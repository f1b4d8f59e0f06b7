/** `lagoa python`: the Python that users' code runs on, made and shown. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { errno, ERROR_KINDS, invalid, missing, unavailable } from '../base/index.ts'
import { findEnvironment, installEnvironment, jobManifests, namespaceManifests, type EnvironmentState } from '../sandbox/index.ts'
import type { Arguments } from './args.ts'
import { dim, note, print, printError } from './output.ts'
import { INTERRUPTED, onStopSignal } from './signals.ts'

export async function python(args: Arguments): Promise<number> {
  const [command = 'status'] = args.positionals
  if (command === 'install') return install(args)
  if (command === 'status') return status(args)
  if (command === 'manifest') return manifest(args)
  throw invalid('cli.unknown_python', `There is no command python ${command}`, { hint: 'Write lagoa python install, status or manifest.' })
}

const NAMESPACE = 'lagoa-python'

/** Prints what Kubernetes needs to run a code behind gVisor: `lagoa python manifest IMAGE score.py | kubectl apply -f -`. */
async function manifest({ positionals: [, image, file], values }: Arguments): Promise<number> {
  if (image === undefined || file === undefined)
    throw invalid('cli.python_manifest', 'A manifest needs an image and a file with the code', { hint: 'Write: lagoa python manifest IMAGE score.py' })
  const code = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw errno(cause) === 'ENOENT' ? missing('cli.no_file', `There is no file ${file}`, { hint: 'Name a file with the code.', cause }) : cause
  })
  const name = `lagoa-${createHash('sha256').update(code).digest('hex').slice(0, 16)}`
  const items = [
    ...namespaceManifests(NAMESPACE),
    ...jobManifests({
      image,
      namespace: NAMESPACE,
      name,
      code,
      format: formatNamed(values.format ?? 'csv'),
      input: { claim: 'lagoa-input', path: 'data' },
      output: { claim: 'lagoa-output', path: name },
      timeoutSeconds: 600,
      memoryBytes: 2 ** 30,
      outputBytes: 2 ** 28,
    }),
  ]
  print(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 2))
  return 0
}

function formatNamed(text: string): 'csv' | 'json' | 'parquet' {
  if (text === 'csv' || text === 'json' || text === 'parquet') return text
  throw invalid('cli.python_format', `There is no format ${text}`, { hint: 'Write --format csv, json or parquet.' })
}

async function install({ values }: Arguments): Promise<number> {
  const stopped = onStopSignal()
  const json = values.json ?? false
  const began = performance.now()
  try {
    const state = await installEnvironment({ signal: stopped, again: values.force, onProgress: (step) => (json ? undefined : note(dim(`${step} ...`))) })
    const seconds = Math.round(performance.now() - began) / 1000
    if (json) print(JSON.stringify({ ...shown(state), seconds }))
    else print(`${text(state)}\nReady in ${seconds.toFixed(1)} s`)
    return 0
  } catch (error) {
    if (!stopped.aborted) throw error
    await printError(stopped.reason, json)
    return INTERRUPTED
  }
}

async function status({ values }: Arguments): Promise<number> {
  const state = await findEnvironment({}, onStopSignal())
  if (state.ready) {
    print(values.json ? JSON.stringify(shown(state)) : text(state))
    return 0
  }
  if (!values.json) throw unavailable(state.code, state.message, { hint: state.hint })
  print(JSON.stringify(state))
  return ERROR_KINDS.unavailable.exit
}

type Ready = EnvironmentState & { readonly ready: true }

const shown = ({ python: interpreter, folder, environment }: Ready): object => ({ ready: true, interpreter, folder, ...environment })

function text({ python: interpreter, environment }: Ready): string {
  const packages = Object.entries(environment.packages)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, version]) => `  ${name} ${version}`)
  const source = environment.source === 'locked' ? 'exactly the locked packages' : 'packages of the system, because the locked ones could not be fetched'
  return [`Python ${environment.python} at ${interpreter}`, ...packages, dim(`${source}; ${environment.hash.slice(0, 12)}`)].join('\n')
}
