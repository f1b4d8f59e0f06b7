/**
 * One node of the chaos of runs: an engine that carries tasks out as the params of their runs say. Each begin and end of a try is written into
 * a file at once, with the time of the machine's steady clock: what is in the file survives a kill and no skew reaches it.
 *
 * `node node.ts ADDRESS FILE WORKER CONCURRENCY`; says `ready` when it takes tasks, and ends with 1 when it cannot begin.
 */
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog, idFrom } from '../../../src/base/index.ts'
import { openRunEngine, type HeldTask, type Outcome } from '../../../src/flows/index.ts'
import { openRecords } from '../../../src/storage/index.ts'
import { insist } from '../insist.ts'
import type { Entry } from './journal.ts'
import { CHILD, paramsOf, plain, Work } from './work.ts'

const [, , address = '', file = '', worker = '', concurrency = '16'] = process.argv
const journal = openSync(file, 'a')
const write = (entry: Entry): void => void writeSync(journal, `${JSON.stringify(entry)}\n`)
const log = createLog({ level: 'warn', write: (line) => writeSync(journal, `${line}\n`) })
const failure = { code: 'chaos.failed', kind: 'unavailable', message: 'It failed, as it was told to' }

const records = await openRecords({ connection: address, max: 4, log })
const engine = openRunEngine({ records, log, worker, concurrency: Number(concurrency), shared: true, execute })
await engine.start()
process.stdout.write('ready\n')

async function execute(task: HeldTask, signal: AbortSignal): Promise<Outcome> {
  const { run, n, fence } = task
  write({ what: 'begin', run, n, fence, at: process.hrtime.bigint().toString() })
  const outcome = await carryOut(task, signal)
  write({ what: 'end', run, n, fence, outcome: outcome.outcome, at: process.hrtime.bigint().toString() })
  return outcome
}

async function carryOut(task: HeldTask, signal: AbortSignal): Promise<Outcome> {
  const { steps, child } = Work.parse(task.params)
  const step = steps[task.node]
  if (!step) throw new Error(`run ${task.run} says nothing of task ${task.node}`)
  const isItself = task.itemIndex !== null || (step.elements === null && step.defers !== 'run')
  try {
    await sleep((isItself ? step.ms : null) ?? aMoment(), undefined, { signal })
  } catch {
    return { outcome: 'cancelled' }
  }
  if (task.itemIndex !== null)
    return task.itemIndex === step.failingElement ? { outcome: 'failed', error: failure } : { outcome: 'succeeded', output: task.fence }
  if (step.defers === 'moment' && !task.resumed) return { outcome: 'deferred', readyMs: step.laterMs }
  if (step.defers === 'run' && !task.resumed) {
    const id = idFrom(task.run, task.n, task.attempt)
    const parent = { run: task.run, task: task.n }
    const params = paramsOf([{ ...plain, ms: step.ms }, plain], '')
    const run = { id, kind: 'flow', flow: CHILD.flow, graph: child, params, trigger: { by: 'flow' }, parent }
    await insist(() => engine.enqueue([run]))
    return { outcome: 'deferred', child: id }
  }
  if (task.attempt <= step.failures) return { outcome: 'retry', error: failure, retryMs: step.laterMs }
  if (step.elements !== null) return { outcome: 'expanded', items: Array.from({ length: step.elements }, (_, i) => i) }
  if (step.end === 'failed') return { outcome: 'failed', error: failure }
  return { outcome: 'succeeded', output: task.fence, chosen: step.chosen ?? undefined }
}

const aMoment = (): number => (Math.random() < 0.05 ? 100 + Math.random() * 400 : Math.random() * 40)
