/** The Python environment: what is found, how it is made, and that there is a whole one or none. */
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findEnvironment, installEnvironment } from '../../src/sandbox/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import { missingPython } from '../helpers/python.ts'
import { python } from '../helpers/sandbox.ts'

const signal = (): AbortSignal => AbortSignal.timeout(120_000)

/** pip finds nothing, as without a network. */
function withoutIndex(): void {
  process.env['PIP_NO_INDEX'] = '1'
  process.env['PIP_FIND_LINKS'] = ''
}
const before = { PIP_NO_INDEX: process.env['PIP_NO_INDEX'], PIP_FIND_LINKS: process.env['PIP_FIND_LINKS'] }
afterEach(() => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
})

function program(folder: string, text: string): string {
  const path = join(folder, 'python3')
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
  return path
}

test('an environment that is not there is told with the command that makes it', async () => {
  expect(await findEnvironment({ folder: join(tempFolder(), 'python') })).toMatchObject({
    ready: false,
    code: 'sandbox.no_environment',
    hint: 'Run: lagoa python install',
  })
})

test('a folder that holds something else is no environment', async () => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'lagoa.json'), '{"lock": ')
  expect(await findEnvironment({ folder })).toMatchObject({ ready: false, code: 'sandbox.no_environment' })
})

test('an environment of another lock, or whose interpreter is gone, is told apart', async () => {
  const folder = tempFolder()
  const record = { lock: 'other', system: '/nowhere/python3', hash: 'h', version: '3.11.2', packages: {} }
  writeFileSync(join(folder, 'lagoa.json'), JSON.stringify(record))
  expect(await findEnvironment({ folder })).toMatchObject({ ready: false, code: 'sandbox.old_environment' })
})

test('a machine without Python, or with too old a one, is told what to install', async () => {
  const folder = tempFolder()
  const place = { folder: join(folder, 'made'), signal: signal() }
  await expect(installEnvironment({ ...place, interpreter: join(folder, 'absent') })).rejects.toMatchObject({
    kind: 'unavailable',
    code: 'sandbox.no_python',
    hint: 'Run: apt-get install -y python3 python3-venv',
  })
  const told = {
    version: '3.9.2',
    implementation: 'CPython',
    machine: 'x86_64',
    executable: '/usr/bin/python3.9',
    venv: true,
    open: true,
    packages: null,
    why: null,
  }
  await expect(installEnvironment({ ...place, interpreter: program(folder, `echo '${JSON.stringify(told)}'`) })).rejects.toMatchObject({
    code: 'sandbox.old_python',
    message: 'Python 3.9.2 is too old; 3.11 is the least',
  })
  expect(readdirSync(folder)).toEqual(['python3'])
})

describe.skipIf(missingPython !== null)('where the locked packages cannot be fetched', () => {
  test('those of the interpreter serve when a job runs on them, and the result says so', { timeout: 180_000 }, async () => {
    withoutIndex()
    const folder = join(tempFolder(), 'python')
    const steps: string[] = []
    const made = await installEnvironment({ folder, interpreter: python, signal: signal(), onProgress: (step) => steps.push(step) })
    expect(made).toMatchObject({
      ready: true,
      folder: null,
      environment: { source: 'system', packages: { pandas: expect.any(String), pyarrow: expect.any(String) } },
    })
    expect(steps.at(-1)).toBe('Trying the packages of the system')
    expect(await findEnvironment({ folder })).toEqual(made)
  })

  test('and there are none, nothing is left behind', { timeout: 180_000 }, async () => {
    withoutIndex()
    const folder = tempFolder()
    // The system's own interpreter, which has no packages on a machine as it comes; where it has them there is nothing to see.
    const outcome = await installEnvironment({ folder: join(folder, 'python'), interpreter: '/usr/bin/python3', signal: signal() }).catch(
      (error: unknown) => error,
    )
    if (!(outcome instanceof Error)) return expect(outcome).toMatchObject({ environment: { source: 'system' } })
    expect(outcome).toMatchObject({ kind: 'unavailable', code: 'sandbox.no_packages', message: expect.stringMatching(/could not be installed: .*numpy/) })
    return expect(readdirSync(folder)).toEqual([])
  })
})

test('an environment that is given up half way leaves nothing behind', { timeout: 120_000 }, async () => {
  const folder = tempFolder()
  const stop = new AbortController()
  const making = installEnvironment({
    folder: join(folder, 'python'),
    signal: stop.signal,
    onProgress: (step) => (step.startsWith('Making') ? setTimeout(() => stop.abort(new Error('enough')), 300) : undefined),
  })
  await expect(making).rejects.toThrow('enough')
  expect(readdirSync(folder)).toEqual([])
})

test('the lock names every package with the hashes of its wheels for both machines', () => {
  const lock = readFileSync(join(import.meta.dirname, '..', '..', 'python', 'requirements.lock'), 'utf8')
  const wanted = readFileSync(join(import.meta.dirname, '..', '..', 'python', 'requirements.in'), 'utf8').match(/^[a-z0-9-]+==\S+/gm) ?? []
  expect(wanted.length).toBeGreaterThan(3)
  for (const pin of wanted) expect(lock).toContain(`${pin} \\\n`)
  // Four versions of Python on two machines each; what is pure Python has one wheel for all.
  for (const name of ['numpy', 'pandas', 'pyarrow', 'pycatch22'])
    expect(
      lock
        .split(/\n(?=\S)/)
        .find((part) => part.startsWith(`${name}==`))
        ?.match(/--hash=sha256:[0-9a-f]{64}/g),
    ).toHaveLength(8)
  expect(existsSync(join(import.meta.dirname, '..', '..', 'python', 'environment.py'))).toBe(true)
})
