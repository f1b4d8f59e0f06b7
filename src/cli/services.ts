/** `lagoa services`: real engines on this machine, in the background. Works without the project's configuration, which may ask for their addresses. */
import { ERROR_KINDS, errorBody, invalid, toLagoaError } from '../base/index.ts'
import { processEnvironment } from '../platform/index.ts'
import {
  servicesNow,
  startServices,
  stopServices,
  thisMachine,
  variablesFor,
  type Progress,
  type ServicesOptions,
  type ServiceView,
} from '../services/index.ts'
import type { Arguments } from './args.ts'
import { dim, green, note, print, printError, red, textTable, yellow } from './output.ts'
import { INTERRUPTED, onStopSignal } from './signals.ts'
import { homeFor } from './setup.ts'

export async function services(args: Arguments): Promise<number> {
  const { values, positionals } = args
  const [word = 'status', ...names] = positionals
  if (word !== 'up' && word !== 'down' && word !== 'status')
    throw invalid('cli.no_word', `lagoa services ${word} is no command`, {
      hint: 'Write lagoa services up, down or status, with names of services or groups after it.',
    })
  if (values.export && (values.json || word === 'down'))
    throw invalid('cli.export', `--export does not go with ${values.json ? '--json' : 'down'}`, { hint: 'Write: eval "$(lagoa services up --export)"' })
  const signal = onStopSignal()
  const options: ServicesOptions = {
    home: await homeFor(args),
    machine: thisMachine(processEnvironment(), values.programs),
    names,
    signal,
  }
  try {
    if (word === 'down') return await down(options, values.json ?? false)
    const views = word === 'up' ? await startServices(options, values.json ? () => undefined : tell) : await servicesNow(options)
    return await show(word, options, views, args)
  } catch (error) {
    if (!signal.aborted) throw error
    await printError(signal.reason, values.json ?? false)
    return INTERRUPTED
  }
}

async function show(word: 'up' | 'status', { home, names }: ServicesOptions, views: readonly ServiceView[], { values }: Arguments): Promise<number> {
  const wrong = views.flatMap(({ problem }) => (problem ? [problem] : []))
  // What is missing or died is what `status` was asked for, not a failure of it.
  const code = word === 'up' ? Math.max(0, ...wrong.map(({ kind }) => ERROR_KINDS[kind].exit)) : 0
  if (values.json) {
    print(JSON.stringify(views.map(jsonOf)))
    return code
  }
  const running = views.filter(({ state }) => state === 'running').map(({ name }) => name)
  if (values.export) for (const [name, value] of Object.entries(await variablesFor(home, running))) print(`export ${name}=${quoted(value)}`)
  else print(textTable(['service', 'state', 'address', 'pid', 'since'], views.map(rowOf)))
  for (const { name, problem } of views) if (problem) note(`${red('✗')} ${name}: ${problem.message}\n  ${dim(problem.hint ?? '')}`)
  if (!values.export && running.length > 0) {
    const rest = names.length > 0 ? ` ${names.join(' ')}` : ''
    note(dim(`\nAddresses and passwords for this shell: eval "$(lagoa services status${rest} --export)"`))
  }
  return code
}

async function down(options: ServicesOptions, json: boolean): Promise<number> {
  const ended = await stopServices(options, json ? () => undefined : tell)
  if (json) print(JSON.stringify(ended))
  else {
    const stopped = ended.filter((one) => one.stopped).map(({ name }) => name)
    print(stopped.length > 0 ? `stopped: ${stopped.join(', ')}; the data stay` : 'nothing ran')
  }
  return 0
}

const tell: Progress = (name, step, ms) => {
  if (!process.stderr.isTTY) return
  if (step === 'starts' || step === 'stops') note(dim(`  ${name} ${step} ...`))
  else note(`  ${step === 'failed' ? yellow('●') : green('●')} ${name} ${dim(`${OUTCOMES[step]} after ${(ms / 1000).toFixed(1)} s`)}`)
}

const OUTCOMES = { ready: 'answers', failed: 'gave up', gone: 'stopped' } as const

const rowOf = ({ name, state, address, pid, since }: ServiceView): readonly unknown[] => [name, state, address, pid, since === null ? '' : timeText(since)]

const timeText = (ms: number): string => new Date(ms).toISOString()

function jsonOf({ name, group, state, address, pid, since, log, problem }: ServiceView): object {
  return {
    name,
    group,
    state,
    address,
    pid,
    since: since === null ? null : timeText(since),
    log,
    ...(problem ? { error: errorBody(toLagoaError(problem)) } : {}),
  }
}

/** One word of a POSIX shell, whatever is in it. */
const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)
