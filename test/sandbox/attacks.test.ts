/**
 * Every attack against all walls, without the validator, and without the validator and the filter of system calls: what tells them apart is
 * only how an attack fails. Success is an effect outside: see attacks/attack.ts.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DuckDBInstance } from '@duckdb/node-api'
import type { JobResult } from '../../src/sandbox/index.ts'
import { descendants, isAlive, LIMITS, missingSandbox, type OpenedSandbox, openTestSandbox, python, supervisors } from '../helpers/sandbox.ts'
import { tempFolder } from '../helpers/folder.ts'
import type { Attack } from './attacks/attack.ts'
import { escaping } from './attacks/escaping.ts'
import { inside, planting } from './attacks/inside.ts'
import { reading } from './attacks/reading.ts'

const SETTINGS = [
  { name: 'all walls', validator: 'on', unsafe: false },
  { name: 'the validator off', validator: 'off', unsafe: false },
  { name: 'the validator and the filter of system calls off', validator: 'off', unsafe: true },
] as const

const LIMITED = { ...LIMITS, wallMs: 3_000, cpuMs: 1_500, memoryBytes: 256 << 20, outputBytes: 16 << 20, logBytes: 16 << 10 }
const SECRET = 'the secret of the host: 4f1d3c'
const MARKS = [SECRET, 'root:x:0', 'ESCAPED', 'STAYS', 'PLANTED']
const CONCURRENT = 4

describe.skipIf(missingSandbox !== null).each(SETTINGS)(`attacks with $name ${missingSandbox ?? ''}`, ({ validator, unsafe }) => {
  let host: Host
  let opened: OpenedSandbox
  let supervisor: number

  beforeAll(async () => {
    const before = supervisors()
    opened = await openTestSandbox({ validator, unsafe, capacity: CONCURRENT })
    expect(opened.sandbox.state).toMatchObject({ ready: true, layers: { seccomp: !unsafe, validator: validator === 'on' } })
    supervisor = supervisors().find((pid) => !before.includes(pid)) ?? 0
    host = await openHost(opened.folder, supervisor)
  }, 120_000)

  afterAll(() => host.close())

  const families = { 'reads the host': reading, 'gets out, writes, connects or stays': escaping, 'deceives or exhausts': inside }
  test.each(Object.entries(families))('none %s', { timeout: 600_000 }, async (_, attacks) => {
    const successes: string[] = []
    await eachOf(attacks, async (attack) => {
      const output = join(opened.folder, `attack-${encodeURIComponent(attack.name)}.parquet`)
      const result = await opened.run(host.fill(attack.code), { output, limits: LIMITED })
      const success = marked(result) ?? (await lied(result, output)) ?? host.touched()
      if (success !== null) successes.push(`${attack.name}: ${success}`)
    })
    expect(successes).toEqual([])
    expect(supervisors()).toContain(supervisor)
    expect(opened.sandbox.state.ready).toBe(true)
  })

  test('none leaves anything for the next job of its tenant', { timeout: 300_000 }, async () => {
    const found: string[] = []
    for (const [name, plant, look] of planting) {
      const planted = await opened.run(looting(plant), { limits: LIMITED })
      const looked = await opened.run(looting(look), { limits: LIMITED })
      if (JSON.stringify(looked.preview).includes('PLANTED')) found.push(name)
      if (planted.log.includes('DRAW') && planted.log === looked.log) found.push(name)
    }
    expect(found).toEqual([])
  })

  test('no process of any attack is left', { timeout: 60_000 }, async () => {
    // Bubblewrap, the zygote and the children that wait for a job: nothing else, and nothing that another program became.
    const strangers = (): string[] =>
      descendants(supervisor).flatMap(({ command }) => (command === '' || command.includes('/lagoa/zygote.py') ? [] : [command]))
    for (let patience = 50; strangers().length > 0 && patience > 0; patience--) await sleep(100)
    expect(strangers()).toEqual([])
    const all = descendants(supervisor)
    expect(all.length).toBeLessThan(40)
    await opened.sandbox.close()
    expect(all.filter(({ pid }) => isAlive(pid))).toEqual([])
  })
})

test.skipIf(missingSandbox !== null)('the same attempts do work outside of the walls', { timeout: 120_000 }, async () => {
  const folder = tempFolder()
  const host = await openHost(folder, process.pid)
  const program = join(folder, 'outside.py')
  writeFileSync(program, OUTSIDE)
  const harmless = [...reading, ...inside].filter(({ name }) => /^(read|pandas|introspection|import|codec)/.test(name))
  const { stdout } = spawnSync(python, ['-I', program], {
    input: JSON.stringify(harmless.map(({ code }) => host.fill(code))),
    encoding: 'utf8',
    timeout: 110_000,
  })
  host.close()
  const loot: unknown = JSON.parse(stdout)
  const worked = harmless.filter((_, place) => Array.isArray(loot) && MARKS.some((mark) => String(loot[place]).includes(mark)))
  // The rest needs a format that the file does not have, or rights that a test does not have.
  expect(worked.length).toBeGreaterThan(harmless.length / 2)
})

/** Runs each code in a process of its own, with no wall at all, and tells what it got. */
const OUTSIDE = `
import json, os, sys, pandas
def attempt(code):
    read, write = os.pipe()
    if os.fork() == 0:
        os.dup2(os.open("/dev/null", os.O_RDWR), 1)
        import signal
        signal.alarm(10)
        try:
            names = {}
            exec(code, names)
            os.write(write, names["process"](pandas.DataFrame({"a": [1]})).to_string(max_colwidth=None).encode()[:60_000])
        except BaseException as error:
            os.write(write, repr(error).encode()[:1000])
        finally:
            os._exit(0)
    os.close(write)
    os.wait()
    return os.read(read, 65_536).decode("utf-8", "replace")
print(json.dumps([attempt(code) for code in json.load(sys.stdin)]))
`

function looting(body: string): string {
  const indented = body.split('\n').map((line) => `    ${line}`)
  return `import pandas as pd\nimport numpy as np\ndef process(df):\n    loot = ""\n${indented.join('\n')}\n    return pd.DataFrame({"loot": [str(loot)]})\n`
}

/** The words by which an attack tells that it worked, in what comes back to its writer. Its code, which tracebacks show, has all but the secret. */
function marked(result: JobResult): string | null {
  const said = JSON.stringify([result.preview, result.log])
  const all = JSON.stringify(result)
  return MARKS.find((mark) => said.includes(mark)) ?? (all.includes(SECRET) ? 'the secret' : null)
}

/** A success that is no true Parquet file of the told shape. */
async function lied(result: JobResult, output: string): Promise<string | null> {
  if (result.status !== 'success') return existsSync(output) ? 'a file without success' : null
  if (JSON.stringify(result.columns).includes('LIE')) return 'columns of its own'
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const [row] = (await connection.runAndReadAll(`select count(*)::int from read_parquet('${output.replaceAll("'", "''")}')`)).getRows()
    return row?.[0] === result.rows ? null : `told ${result.rows} rows, wrote ${String(row?.[0])}`
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

async function eachOf(attacks: readonly Attack[], attempt: (attack: Attack) => Promise<void>): Promise<void> {
  const left = [...attacks]
  const worker = async (): Promise<void> => {
    for (let attack = left.shift(); attack !== undefined; attack = left.shift()) await attempt(attack)
  }
  await Promise.all(Array.from({ length: CONCURRENT }, worker))
}

interface Host {
  fill(code: string): string
  /** What of the host was reached or changed since it was opened, or null. */
  touched(): string | null
  close(): void
}

/** What attacks are after: a secret file and a module that anybody may read, a folder that anybody may write, and sockets that count their visitors. */
async function openHost(folder: string, supervisor: number): Promise<Host> {
  const secret = join(folder, 'secret.txt')
  const open = join(folder, 'open')
  const unix = join(folder, 'host.sock')
  const abstract = `lagoa-${process.pid}-${supervisor}`
  writeFileSync(secret, `${SECRET}\n`, { mode: 0o644 })
  mkdirSync(open)
  writeFileSync(join(open, 'pwned_module.py'), `SECRET = ${JSON.stringify(SECRET)}\n`)
  const dataSet = join(folder, 'input.csv')
  const input = existsSync(dataSet) ? readFileSync(dataSet, 'utf8') : null
  let visitors = 0
  const listening = await Promise.all([listen({ host: '127.0.0.1', port: 0 }), listen({ path: unix }), listen({ path: `\0${abstract}` })])
  for (const server of listening) server.on('connection', (socket) => void (visitors++, socket.destroy()))
  const address = listening[0].address()
  const words: Readonly<Record<string, string>> = {
    secret,
    folder: open,
    unix,
    abstract,
    port: String(address !== null && typeof address === 'object' ? address.port : 0),
    supervisor: String(supervisor),
  }
  return {
    fill: (code) => code.replaceAll(/<<(\w+)>>/g, (_, name: string) => words[name] ?? ''),
    touched: () => {
      if (visitors > 0) return 'connected to the host'
      if (existsSync(join(open, 'pwned')) || existsSync('/tmp/lagoa-pwned')) return 'wrote to the host'
      if (readFileSync(secret, 'utf8') !== `${SECRET}\n`) return 'changed the secret'
      return input === null || readFileSync(dataSet, 'utf8') === input ? null : 'changed the data set'
    },
    close: () => {
      for (const server of listening) server.close()
    },
  }
}

function listen(where: { readonly host: string; readonly port: number } | { readonly path: string }): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(where, () => resolve(server))
  })
}
