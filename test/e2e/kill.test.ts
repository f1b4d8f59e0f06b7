/** Runs that are killed at any moment and continued give the figures of a run that was left alone. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { expected, readings, writeReadings } from '../examples/readings.ts'
import { isAlive, lagoa, newHome, postgresOf, ROOT, sql, start, stopPostgres, temporaryFolder, EXAMPLE, good, type Summary } from '../helpers/cli.ts'

const ROUNDS = Number(process.env.LAGOA_TEST_ROUNDS ?? 8)
const SEED = Number(process.env.LAGOA_TEST_SEED ?? 20_040_310)
const KILLS = 4
const WHOLE = join(ROOT, '../shared/data/AirQualityUCI.csv')

const folder = temporaryFolder('kill')
const small = join(folder, 'small.csv')
const made = readings(3000)
writeReadings(small, made)
const source = existsSync(WHOLE)
  ? { path: WHOLE, expected: { rows: 9357, coMissing: 1683, no2Missing: 1642, matched: 388, episodes: 115 } }
  : { path: small, expected: expected(made) }

/** Mulberry32: the same rounds for the same seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

async function exact(home: string, data: string, wanted: typeof source.expected): Promise<void> {
  const summary: Summary = good(await lagoa(['start', '--project', EXAMPLE, '--data', data, '--once', '--rate', 'max', '--json'], { home }))
  const { rows, coMissing, no2Missing, matched, episodes } = wanted
  expect(summary.streams).toEqual({ sensor_raw: { read: rows, dead_letter: 0 } })
  expect(Object.fromEntries(['bronze.sensor', 'silver.readings', 'gold.air_hourly'].map((name) => [name, summary.tables[name]?.rows]))).toEqual({
    'bronze.sensor': rows,
    'silver.readings': rows,
    'gold.air_hourly': rows,
  })
  expect(summary.alerts).toEqual({ air_critical: { matched, fired: matched, queued: matched }, air_episode: { matched, fired: episodes, queued: episodes } })
  expect(await sql('select count(*), count(*) filter (where co is null), count(*) filter (where no2 is null) from silver.readings', { home })).toEqual([
    [rows, coMissing, no2Missing],
  ])
  expect(await sql('select count(*), count(distinct _offset), max(_offset) from bronze.sensor', { home })).toEqual([[rows, rows, rows - 1]])
  expect(await sql('select sum(readings) from gold.air_hourly', { home })).toEqual([[String(rows)].map(Number)])
  expect(postgresOf(home)).toBeNull()
}

describe('a run that is killed', () => {
  for (let round = 0; round < ROUNDS; round++) {
    test(`with SIGKILL at random moments ends with the exact figures (round ${round + 1}, seed ${SEED + round})`, async () => {
      const home = newHome()
      const next = random(SEED + round)
      // Fast rounds meet start-up and refresh, slow ones reading; the whole file takes 0.3 s to 5 s.
      const rate = ['max', '20000', '4000', '2000'][round % 4] ?? 'max'
      let killed = 0
      let ended = 0
      for (let kill = 0; kill < KILLS && ended < 2; kill++) {
        const run = start(['start', '--project', EXAMPLE, '--data', source.path, '--once', '--rate', rate, '--json'], { home })
        // The first start makes a database and cannot end before 1.1 s; later ones may be over when their moment comes.
        const delay = 200 + next() * (kill === 0 ? 900 : 1800)
        await Promise.race([sleep(delay), run.finished])
        const { signal } = await run.kill('SIGKILL')
        if (signal === 'SIGKILL') killed++
        else ended++
        // Sometimes the database dies as well, sometimes it is adopted.
        if (next() < 0.25) await stopPostgres(home)
      }
      expect(killed).toBeGreaterThan(0)
      await exact(home, source.path, source.expected)
    })
  }

  test('loses nothing when the database is killed under it', async () => {
    const home = newHome()
    const run = start(['start', '--project', EXAMPLE, '--data', source.path, '--once', '--rate', '4000', '--json'], { home })
    const deadline = Date.now() + 10_000
    let kills = 0
    while (kills < 3 && Date.now() < deadline && run.child.exitCode === null) {
      await sleep(600)
      const pid = postgresOf(home)
      if (pid === null || run.child.exitCode !== null) continue
      process.kill(pid, 'SIGKILL')
      kills++
      while (isAlive(pid)) await sleep(5)
    }
    expect(kills).toBeGreaterThan(0)
    const { code, stderr } = await run.finished
    // A pass whose start met the kill may end as unavailable; what it must not do is break, or lose or double anything.
    expect([0, 7], stderr).toContain(code)
    await exact(home, source.path, source.expected)
  })

  test('as a server is followed at once by the next start', async () => {
    const home = newHome()
    const first = start(['start', '--project', EXAMPLE, '--data', source.path, '--rate', '3000', '--port', '0', '--json'], { home })
    await first.line('url')
    await sleep(700)
    await first.kill('SIGKILL')
    expect(postgresOf(home)).not.toBeNull()
    await exact(home, source.path, source.expected)
  })
})
