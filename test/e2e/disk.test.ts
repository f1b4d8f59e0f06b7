/** A home that cannot be written, or that fills up: one clear message, and after making room the next start loses nothing. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { expected, readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, failure, lagoa, newHome, once, stopPostgres, temporaryFolder, type Finished } from '../helpers/cli.ts'

const folder = temporaryFolder('disk')
const path = join(folder, 'small.csv')
const rows = readings(2000)
writeReadings(path, rows)
const { rows: count, matched, episodes } = expected(rows)

const mounts: string[] = []
const canMount = process.getuid?.() === 0 && mounted('probe', '1m') !== null
const why = canMount ? '' : ' (skipped: mounting a small disk needs root)'

function mounted(name: string, size: string): string | null {
  const at = join(folder, name)
  try {
    mkdirSync(at, { recursive: true })
    execFileSync('/usr/bin/mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'lagoa-test', at], { stdio: 'ignore' })
    mounts.push(at)
    return at
  } catch {
    return null
  }
}

const remount = (at: string, options: string): unknown => execFileSync('/usr/bin/mount', ['-o', `remount,${options}`, at], { stdio: 'ignore' })

/** Leaves this many bytes free. */
function fill(at: string, free: number): string {
  const { bavail, bsize } = statfsSync(at)
  const ballast = join(at, 'ballast')
  writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - free)))
  return ballast
}

afterAll(async () => {
  for (const at of mounts) {
    await stopPostgres(join(at, 'home'))
    execFileSync('/usr/bin/umount', ['-l', at], { stdio: 'ignore' })
  }
})

const pass = (home: string): Promise<Finished> =>
  lagoa(['start', '--project', EXAMPLE, '--data', path, '--once', '--rate', 'max', '--json'], { home, timeoutMs: 90_000 })

function told(finished: Finished, code: string): void {
  const error = failure(finished)
  expect({ exit: finished.code, code: error.code }, `${error.message}\n${finished.stderr}`).toEqual({ exit: 7, code })
  expect(error.hint).toBeTruthy()
  expect(finished.stdout).not.toContain('    at ')
}

async function whole(home: string): Promise<void> {
  const summary = await once(['--data', path], { home })
  expect(summary.streams).toEqual({ sensor_raw: { read: count, dead_letter: 0 } })
  expect(['bronze.sensor', 'silver.readings', 'gold.air_hourly'].map((name) => summary.tables[name]?.rows)).toEqual([count, count, count])
  expect(summary.alerts).toEqual({ air_critical: { matched, fired: matched, queued: matched }, air_episode: { matched, fired: episodes, queued: episodes } })
}

describe.skipIf(!canMount)(`a disk${why}`, () => {
  test('too small for a database is told, and once it is larger the start goes on', async () => {
    const at = mounted('small', '30m') ?? ''
    const home = newHome(join(at, 'home'))
    told(await pass(home), 'storage.disk_full')
    remount(at, 'size=600m')
    await whole(home)
  })
  for (const free of [300_000, 1_500_000, 5_000_000]) {
    test(`with ${free / 1e6} MB left ends the pass with its reason or well, and with room the next one has the right figures`, async () => {
      const at = mounted(`full-${free}`, '400m') ?? ''
      const home = newHome(join(at, 'home'))
      expect((await lagoa(['tables', '--project', EXAMPLE], { home })).code).toBe(0)
      const ballast = fill(at, free)
      const finished = await pass(home)
      if (finished.code !== 0) told(finished, failure(finished).code)
      if (finished.code !== 0) expect(`${finished.stdout}${finished.stderr}`).toMatch(/disk is full|no space left|No space left/i)
      await stopPostgres(home)
      rmSync(ballast)
      await whole(home)
    })
  }
  test('that is read-only is told, and nothing hangs', async () => {
    const at = mounted('readonly', '400m') ?? ''
    const home = newHome(join(at, 'home'))
    await whole(home)
    remount(at, 'ro')
    told(await pass(home), 'storage.read_only')
    remount(at, 'rw')
    await whole(home)
  })
})

describe('a home', () => {
  test('below a file is told', async () => {
    const finished = await pass(join(path, 'home'))
    expect(finished.code).toBeGreaterThan(1)
    expect(failure(finished).message).toContain(path)
    expect(failure(finished).hint).toContain('LAGOA_HOME')
  })
  test.skipIf(process.getuid?.() !== 0 || !existsSync('/usr/bin/setpriv'))('that this user may not write is told', async () => {
    const locked = join(folder, 'locked')
    mkdirSync(locked)
    chmodSync(folder, 0o755)
    chmodSync(locked, 0o755)
    const finished = await lagoa(['tables', '--project', EXAMPLE, '--json'], { home: join(locked, 'home'), uid: 2, env: { HOME: '/tmp' } })
    told(finished, 'storage.no_permission')
    expect(failure(finished).message).toContain(join(locked, 'home'))
  })
})
