/** One life of the supervisor's process: started, spoken to, and told about when it ends. It ends when this process does, however that ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../base/index.ts'
import { type SupervisorMessage, supervisorMessage, type SupervisorRequest } from './messages.ts'

const PROGRAM = join(import.meta.dirname, '..', '..', 'python', 'supervisor.py')
/** Nothing of this process's environment is the supervisor's business: it may hold secrets, and variables such as PYTHONPATH would change its mind. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', TZ: 'UTC' }
/** How long it may take to end everything below it before it is ended itself, which ends them as well. */
const CLOSING_MS = 5_000

export interface SupervisorLife {
  /** Resolves when the process is gone, with the last words it said to nobody. Never rejects. */
  readonly ended: Promise<string>
  send(request: SupervisorRequest): void
  close(): Promise<void>
}

export function startSupervisor(python: string, log: Log, onMessage: (message: SupervisorMessage) => void): SupervisorLife {
  const child = spawn(python, ['-I', '-B', PROGRAM], { stdio: ['pipe', 'pipe', 'pipe'], env: ENVIRONMENT })
  const lastWords: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    lastWords.push(line)
    if (lastWords.length > 20) lastWords.shift()
  })
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = parse(line)
    if (message !== null) return onMessage(message)
    // Whoever waits for this answer would wait for ever; a new supervisor tells them.
    log.error('sandbox.unknown_message', { bytes: line.length })
    child.kill('SIGKILL')
  })
  // A write to a process that just ended fails; that it ended is told below.
  child.stdin.on('error', () => undefined)
  const ended = endOf(child).then((how) => [how, ...lastWords].join('\n'))
  return {
    ended,
    send: (request) => void child.stdin.write(`${JSON.stringify(request)}\n`),
    close: async () => {
      child.stdin.end()
      await Promise.race([ended, sleep(CLOSING_MS, undefined, { ref: false })])
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function endOf(child: ChildProcess): Promise<string> {
  try {
    const [code, signal]: unknown[] = await once(child, 'close')
    return `It ended with ${signal === null ? `code ${String(code)}` : String(signal)}`
  } catch (error) {
    return `It could not be started: ${error instanceof Error ? error.message : String(error)}`
  }
}

function parse(line: string): SupervisorMessage | null {
  try {
    return supervisorMessage.parse(JSON.parse(line))
  } catch {
    return null
  }
}
