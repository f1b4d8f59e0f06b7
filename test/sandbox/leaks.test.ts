/**
 * Hostile jobs one after the other leave nothing: no process, no descriptor, no mount, no file. Two hundred here; all two thousand with
 * LAGOA_TEST_HOSTILE_JOBS=2000.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { descendants, LIMITS, missingSandbox, openTestSandbox, supervisors } from '../helpers/sandbox.ts'
import type { Attack } from './attacks/attack.ts'
import { escaping } from './attacks/escaping.ts'
import { inside } from './attacks/inside.ts'

const JOBS = Number(process.env['LAGOA_TEST_HOSTILE_JOBS'] ?? 200)
/** A process that writes results ends when it had nothing to do for 5 s. */
const WRITERS_REST_MS = 5_500
const HONEST = 'def process(df):\n    return df\n'
const LIMITED = { ...LIMITS, wallMs: 1_000, cpuMs: 300, memoryBytes: 128 << 20, outputBytes: 4 << 20, logBytes: 4 << 10 }

describe.skipIf(missingSandbox !== null)(`hostile jobs ${missingSandbox ?? ''}`, () => {
  test(`${JOBS} of them leave no process, descriptor or mount`, { timeout: 60_000 + JOBS * 2_000 }, async () => {
    const before = supervisors()
    const { sandbox, run } = await openTestSandbox({ validator: 'off', capacity: 2 })
    const [supervisor = 0] = supervisors().filter((pid) => !before.includes(pid))
    for (const tenant of ['test', 'other']) await run(HONEST, { tenant })
    const rested = await atRest(supervisor)
    const attacks: readonly Attack[] = [...escaping, ...inside]
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < JOBS) {
        const attack = attacks[(next++ * 7) % attacks.length]
        if (attack !== undefined) await run(attack.code.replaceAll(/<<\w+>>/g, '1'), { limits: LIMITED })
      }
    }
    // Meanwhile somebody else's jobs are answered as ever.
    const others: string[] = []
    const other = async (): Promise<void> => {
      while (next < JOBS) others.push((await run(HONEST, { tenant: 'other' })).status)
    }
    await Promise.all([worker(), worker(), other()])
    expect(others.length).toBeGreaterThan(0)
    expect(new Set(others)).toEqual(new Set(['success']))
    expect(supervisors()).toContain(supervisor)
    expect(await atRest(supervisor)).toEqual(rested)
    await sandbox.close()
  })
})

interface Held {
  readonly processes: number
  readonly descriptors: number
  readonly mounts: number
}

/** What the supervisor and all below it hold when nothing runs: looked at until it does not change any more. */
async function atRest(supervisor: number): Promise<Held> {
  await sleep(WRITERS_REST_MS)
  let last = held(supervisor)
  for (let same = 0, looks = 0; same < 5 && looks < 100; looks++) {
    await sleep(100)
    const now = held(supervisor)
    same = JSON.stringify(now) === JSON.stringify(last) ? same + 1 : 0
    last = now
  }
  return last
}

function held(supervisor: number): Held {
  const all = [supervisor, ...descendants(supervisor).map(({ pid }) => pid)]
  return {
    processes: all.length,
    descriptors: all.reduce((sum, pid) => sum + count(() => readdirSync(`/proc/${pid}/fd`)), 0),
    mounts: count(() => readFileSync('/proc/self/mountinfo', 'utf8').split('\n')),
  }
}

function count(read: () => readonly string[]): number {
  try {
    return read().length
  } catch {
    return 0
  }
}
