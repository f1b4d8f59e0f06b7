/** Programs that tests start as servers: where they listen, when they answer, and who ends them. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Free now; between finding it and taking it another process may. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Whether something accepts connections there before the child ends or the time is over. */
export async function answersOn(port: number, child: ChildProcess, withinMs: number = 10_000): Promise<boolean> {
  const until = Date.now() + withinMs
  while (Date.now() < until && !hasEnded(child)) {
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1', () => done(true)).once('error', () => done(false))
      socket.once('connect', () => socket.destroy())
    })
    // Whoever took the port first keeps it, and ours ends.
    if (open) {
      await sleep(30)
      return !hasEnded(child)
    }
    await sleep(20)
  }
  return false
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (hasEnded(child)) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

export interface ServerProgram {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Gets what the program prints. */
  readonly log: string
  /** Whom to be when this process is root. */
  readonly user?: { readonly uid: number; readonly gid: number }
}

const WATCH = 'while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 0.5; done; kill -9 "$2" 2>/dev/null'

/** Starts a program that a watchman ends when this process is gone, however it ended. */
export function startProgram({ command, args, env, log, user }: ServerProgram): ChildProcess {
  const output = openSync(log, 'a')
  const child = spawn(command, args, { stdio: ['ignore', output, output], env: { PATH: process.env.PATH, ...env }, ...user })
  closeSync(output)
  child.on('error', () => undefined)
  if (child.pid !== undefined) spawn('/bin/sh', ['-c', WATCH, 'watchman', String(process.pid), String(child.pid)], { detached: true, stdio: 'ignore' }).unref()
  return child
}

/** The first of the paths where a program is. */
export function programAt(...paths: readonly string[]): string | null {
  return paths.find((path) => existsSync(path)) ?? null
}
