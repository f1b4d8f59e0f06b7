/** Real processes that carry runs out, on one database: killed, stood still and started again. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll } from 'vitest'
import { newId } from '../../../src/base/index.ts'
import { end, hasEnded } from '../../helpers/servers.ts'

export interface RunNode {
  readonly index: number
  readonly isUp: boolean
  /** Of the process that is there now. */
  readonly worker: string
  /** As a power cut would end it; then starts another one in its place. */
  kill(): Promise<void>
  /** Stops all of it for as long, then lets it go on as if nothing had been. */
  freeze(ms: number): Promise<void>
  close(): Promise<void>
}

export interface RunNodes {
  readonly nodes: readonly RunNode[]
  /** The file of each worker that there ever was. */
  readonly journals: ReadonlyMap<string, string>
  /** When workers were killed, in epoch milliseconds. */
  readonly killed: ReadonlyMap<string, number>
  close(): Promise<void>
}

/** How wrong the clock of each node is. */
const CLOCKS = [{}, { CHAOS_SKEW_MS: '3600000' }, { CHAOS_SKEW_MS: '-3600000', CHAOS_JUMP_MS: '3000' }] as const
const HERE = import.meta.dirname

const running = new Set<ChildProcess>()
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
})

export async function startRunNodes(count: number, address: string, folder: string): Promise<RunNodes> {
  const journals = new Map<string, string>()
  const killed = new Map<string, number>()
  let closing = false

  const openNode = async (index: number): Promise<RunNode> => {
    let child: ChildProcess
    let worker: string
    let isUp = false

    /** Tries until one stays: the database may be away just now. */
    const begin = async (): Promise<void> => {
      while (!closing) {
        const name = `node-${index}-${newId()}`
        const file = join(folder, `${name}.jsonl`)
        const args = ['--import', join(HERE, 'skew.ts'), join(HERE, 'node.ts'), address, file, name, '16']
        const one = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env.PATH, ...CLOCKS[index % CLOCKS.length] } })
        // Before it is ready it may have had tasks already.
        journals.set(name, file)
        running.add(one)
        one.once('exit', () => running.delete(one))
        const isReady = await new Promise<boolean>((done) => {
          one.stdout.once('data', () => done(true))
          one.once('exit', () => done(false))
        })
        if (!isReady) {
          await sleep(50)
          continue
        }
        child = one
        worker = name
        isUp = true
        return
      }
    }
    await begin()
    return {
      index,
      get isUp() {
        return isUp
      },
      get worker() {
        return worker
      },
      async kill() {
        isUp = false
        killed.set(worker, Date.now())
        await end(child, 'SIGKILL')
        await begin()
      },
      async freeze(ms) {
        isUp = false
        child.kill('SIGSTOP')
        await sleep(ms)
        child.kill('SIGCONT')
        isUp = !hasEnded(child)
      },
      close: () => end(child, 'SIGKILL'),
    }
  }
  const nodes = await Promise.all(Array.from({ length: count }, (_, index) => openNode(index)))
  return {
    nodes,
    journals,
    killed,
    async close() {
      closing = true
      await Promise.allSettled(nodes.map((one) => one.close()))
    },
  }
}
