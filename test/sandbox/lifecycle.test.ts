/** Starting, falling, starting again and ending: whatever dies, nothing of the sandbox outlives it and no job is left without an answer. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { openSandbox, type SandboxState } from '../../src/sandbox/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import { descendants, isAlive, isFiltered, killIfThere, LIMITS, missingSandbox, openTestSandbox, python, supervisors } from '../helpers/sandbox.ts'

const FOREVER = 'def process(df):\n    print("here")\n    while True:\n        pass\n'
const HONEST = 'def process(df):\n    return df\n'

describe.skipIf(missingSandbox !== null)(`the sandbox ${missingSandbox ?? ''}`, { timeout: 120_000 }, () => {
  test('starts again when its supervisor is killed, and its jobs end as killed', async () => {
    const before = supervisors()
    const { sandbox, run } = await openTestSandbox()
    const [supervisor = 0] = supervisors().filter((pid) => !before.includes(pid))
    const below = descendants(supervisor)
    expect(below.length).toBeGreaterThan(2)
    const killed = await run(FOREVER, {}, { onLog: () => process.kill(supervisor, 'SIGKILL') })
    expect(killed).toMatchObject({ status: 'killed', message: 'The sandbox fell while the job ran; run it again' })
    await goneWithin(2_000, below)
    expect(await run(HONEST)).toMatchObject({ status: 'success' })
    expect(sandbox.state.ready).toBe(true)
    await sandbox.close()
  })

  test('goes on when a zygote is killed', async () => {
    const before = supervisors()
    const { sandbox, run } = await openTestSandbox()
    const [supervisor = 0] = supervisors().filter((pid) => !before.includes(pid))
    await run(HONEST)
    const zygotes = descendants(supervisor)
    for (const { pid } of zygotes) killIfThere(pid)
    await goneWithin(2_000, zygotes)
    expect(await run(HONEST)).toMatchObject({ status: 'success' })
    await sandbox.close()
  })

  test.skipIf(process.platform !== 'linux')('keeps a writer from result to result, until one is not in order', async () => {
    const before = supervisors()
    const { sandbox, run } = await openTestSandbox({ validator: 'off' })
    const [supervisor = 0] = supervisors().filter((pid) => !before.includes(pid))
    // Of all that wait, only a writer has the filter of system calls already.
    const writers = (): number[] => descendants(supervisor).flatMap(({ pid }) => (isFiltered(pid) && isAlive(pid) ? [pid] : []))
    await run(HONEST)
    // The process that ran the code is on its way out.
    await expect.poll(writers).toHaveLength(1)
    const [writer = 0] = writers()
    await run(HONEST)
    await expect.poll(writers).toEqual([writer])
    const forged =
      'import os, frames\ndef forge(result, fd, *rest):\n    os.pwrite(fd, b"forged" * 100, 0)\n    return {"rows": 1, "columns": ["a"]}\nframes.store = forge\n'
    expect(await run(`${forged}${HONEST}`)).toMatchObject({ status: 'error', message: expect.stringContaining('cannot be written as Parquet') as string })
    await goneWithin(2_000, [{ pid: writer }])
    expect(await run(HONEST)).toMatchObject({ status: 'success' })
    await sandbox.close()
  })

  test('ends with the process that opened it, however that ends', async () => {
    const program = join(tempFolder(), 'host.ts')
    const root = join(import.meta.dirname, '..', '..')
    writeFileSync(
      program,
      `import { openSandbox, type SandboxState } from '${root}/src/sandbox/index.ts'
       import { silentLog } from '${root}/src/base/index.ts'
       const sandbox = await openSandbox({ python: process.argv[2], environment: { hash: '', python: '', packages: {}, source: 'system' },
         folder: process.argv[3], capacity: 2, maxQueued: 10, validator: 'off', log: silentLog })
       process.stdout.write(String(sandbox.state.ready))`,
    )
    const host = spawn(process.execPath, [program, python, tempFolder()], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said]: unknown[] = await once(host.stdout, 'data')
    expect(String(said)).toBe('true')
    const below = descendants(host.pid ?? 0)
    expect(below.length).toBeGreaterThan(3)
    host.kill('SIGKILL')
    await goneWithin(2_000, below)
  })

  test('ends every job when it closes, and leaves no process and no file', async () => {
    const before = supervisors()
    const { sandbox, folder, run } = await openTestSandbox({ capacity: 2 })
    const [supervisor = 0] = supervisors().filter((pid) => !before.includes(pid))
    const running = Promise.withResolvers<void>()
    const jobs = [run(FOREVER, {}, { onLog: () => running.resolve() }), run(FOREVER), run(FOREVER)]
    const settled = Promise.allSettled(jobs)
    await running.promise
    const below = [...descendants(supervisor), { pid: supervisor, command: '' }]
    await sandbox.close()
    expect(below.filter(({ pid }) => isAlive(pid))).toEqual([])
    const [first, second, third] = await settled
    expect(first).toMatchObject({ status: 'fulfilled', value: { status: 'killed' } })
    expect(second).toMatchObject({ status: 'fulfilled', value: { status: 'killed' } })
    expect(third).toMatchObject({ status: 'rejected', reason: { code: 'sandbox.closed' } })
    expect(readdirSync(folder)).toEqual(['input.csv'])
    await expect(run(HONEST)).rejects.toMatchObject({ code: 'sandbox.closed' })
  })

  test('holds back more jobs than may run, and refuses more than may wait', async () => {
    const { sandbox, run } = await openTestSandbox({ capacity: 1, maxQueued: 1 })
    const controller = new AbortController()
    const started = Promise.withResolvers<void>()
    const first = run(FOREVER, {}, { signal: controller.signal, onLog: () => started.resolve() })
    first.catch(() => undefined)
    const second = run(HONEST)
    await expect(run(HONEST)).rejects.toMatchObject({ kind: 'unavailable', code: 'sandbox.busy' })
    await started.promise
    controller.abort(new Error('enough'))
    await expect(first).rejects.toThrow('enough')
    const result = await second
    expect(result).toMatchObject({ status: 'success' })
    expect(result.timings.queued).toBeGreaterThan(0)
    await sandbox.close()
  })

  test('keeps tenants in processes of their own', async () => {
    const before = supervisors()
    const { sandbox, run } = await openTestSandbox()
    const [supervisor = 0] = supervisors().filter((pid) => !before.includes(pid))
    await Promise.all(['one', 'two', 'three'].map((tenant) => run(HONEST, { tenant })))
    expect(descendants(supervisor).filter(({ command }) => command.startsWith('/usr/bin/bwrap')).length).toBeGreaterThanOrEqual(3)
    await sandbox.close()
  })

  test('says what is missing when it cannot stand, and does not reject', async () => {
    const options = {
      environment: { hash: '', python: '', packages: {}, source: 'system' as const },
      folder: tempFolder(),
      capacity: 1,
      maxQueued: 1,
      validator: 'on' as const,
      log: silentLog,
    }
    const sandbox = await openSandbox({ ...options, python: '/nowhere/python' })
    expect(sandbox.state).toMatchObject({ ready: false, code: 'sandbox.no_python' })
    const job = { tenant: 'x', code: HONEST, input: { path: '/x', format: 'csv' as const, key: null }, output: '/y', limits: LIMITS }
    await expect(sandbox.run(job, { signal: new AbortController().signal })).rejects.toMatchObject({ kind: 'unavailable', code: 'sandbox.no_python' })
    await sandbox.close()
  })
})

describe.skipIf(missingSandbox !== null)(`a machine that lacks something ${missingSandbox ?? ''}`, { timeout: 120_000 }, () => {
  const faultOf = async (script: string): Promise<SandboxState> => {
    const folder = tempFolder()
    const program = join(folder, 'python')
    writeFileSync(program, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    const sandbox = await openSandbox({
      python: program,
      environment: { hash: '', python: '', packages: {}, source: 'system' },
      folder,
      capacity: 1,
      maxQueued: 1,
      validator: 'on',
      log: silentLog,
    })
    const state = sandbox.state
    await sandbox.close()
    return state
  }

  test('is told that its kernel gives no namespaces to ordinary users', async () => {
    const confined = `unshare -Ur sh -c 'echo 1 > /proc/sys/user/max_user_namespaces; exec unshare -U --map-user=1000 ${python} "$@"' sh`
    const state = await faultOf(`case "$*" in *supervisor.py*) exec ${confined} "$@" ;; *) exec ${python} "$@" ;; esac`)
    expect(state).toMatchObject({ ready: false, code: 'sandbox.no_namespaces' })
  })

  test('is told that its Python has no pandas', async () => {
    // The supervisor itself needs no package; only what it asks of the environment does.
    const state = await faultOf(`case "$*" in *supervisor.py*) exec ${python} "$@" ;; *) exec ${python} -S "$@" ;; esac`)
    expect(state).toMatchObject({ ready: false, code: 'sandbox.no_packages' })
  })
})

async function goneWithin(ms: number, processes: readonly { readonly pid: number }[]): Promise<void> {
  const alive = (): number[] => processes.map(({ pid }) => pid).filter(isAlive)
  const deadline = Date.now() + ms
  while (alive().length > 0 && Date.now() < deadline) await sleep(20)
  expect(alive()).toEqual([])
}
