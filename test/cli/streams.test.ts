/** `lagoa streams`, `lagoa keys` and `lagoa alerts`, beside a running server and without one. */
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE, eventually, failure, good, lagoa, newHome, serve, start, type Finished, type Served } from '../helpers/cli.ts'

const home = newHome()
const run = (...args: string[]): Promise<Finished> => lagoa([...args, '--project', EXAMPLE], { home })
const at = (second: number): string => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()

let server: Served
beforeAll(async () => {
  server = await serve('start', ['--project', EXAMPLE, '--count', '1', '--stations', '1'], { home })
  // The one simulated reading comes first.
  await eventually('it is there', async () => (await server.get<{ records: number }>('/api/v1/streams/sensor_raw')).records === 1)
  await server.post(
    '/api/v1/streams/sensor_raw/records',
    Array.from({ length: 30 }, (_, i) => ({ sensor: i % 3 === 0 ? 'Lapa' : 'Mooca', at: at(i), co: i, no2: 1 })),
  )
  await eventually(
    'all is live',
    async () => (await server.get<{ items: { fields: { co: string } }[] }>('/api/v1/keys?prefix=sensor_raw:Mooca')).items[0]?.fields.co === '29',
  )
}, 60_000)
afterAll(async () => {
  await server.kill()
})

interface Line {
  readonly offset: number
  readonly value: { readonly sensor: string; readonly co: number }
}
const lines = ({ code, stdout, stderr }: Finished): Line[] => {
  expect([code, stderr]).toEqual([0, ''])
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

describe('lagoa streams', () => {
  test('lists the streams with what is behind', async () => {
    const listed: { name: string; records: number; sinks: { name: string }[] }[] = good(await run('streams', '--json'))
    expect(listed.map(({ name, records }) => [name, records])).toEqual([['sensor_raw', 31]])
    expect(listed[0]?.sinks.map(({ name }) => name)).toContain('live:sensor:{date}:{time}')
    expect((await run('streams', 'list')).stdout).toMatch(/^sensor_raw +1 +31 /m)
  })
  test('tails the newest, or from a place on, all or those that meet a condition', async () => {
    expect(lines(await run('streams', 'tail', 'sensor_raw', '--json', '--limit', '2')).map(({ value }) => value.co)).toEqual([28, 29])
    expect(lines(await run('streams', 'tail', 'sensor_raw', '--json', '--filter', 'sensor=Lapa', '--limit', '2')).map(({ value }) => value.co)).toEqual([
      24, 27,
    ])
    expect(lines(await run('streams', 'tail', 'sensor_raw', '--json', '--from', 'start', '--filter', 'co > 27.0')).map(({ value }) => value.co)).toEqual([
      28, 29,
    ])
    expect(lines(await run('streams', 'tail', 'sensor_raw', '--json', '--from', '5', '--limit', '1')).map(({ offset }) => offset)).toEqual([5])
    expect(lines(await run('streams', 'tail', 'sensor_raw', '--json', '--from', '2001-01-01', '--limit', '1')).map(({ offset }) => offset)).toEqual([0])
    expect(lines(await run('streams', 'tail', 'sensor_raw', '--json', '--from', '10m')).length).toBe(20)
    expect((await run('streams', 'tail', 'sensor_raw', '--limit', '1')).stdout).toMatch(/^\S+Z {2}0\/30 {2}Mooca {2}\{"sensor":"Mooca"/)
  })
  test('follows what comes until it is interrupted', async () => {
    const following = start(['streams', 'tail', 'sensor_raw', '--follow', '--json', '--filter', 'co > 99.0', '--project', EXAMPLE], { home })
    const first = following.line('offset')
    let co = 100
    const sending = setInterval(() => void server.post('/api/v1/streams/sensor_raw/records', [{ sensor: 'Osasco', at: at(1000 + co), co: co++, no2: 1 }]), 200)
    try {
      expect(await first).toMatchObject({ key: 'Osasco' })
    } finally {
      clearInterval(sending)
    }
    expect((await following.kill('SIGINT')).code).toBe(0)
  })
  test.each([
    [['streams', 'tail'], 'cli.no_stream'],
    [['streams', 'tail', 'sensor_ra'], 'streams.no_stream'],
    [['streams', 'follow', 'sensor_raw'], 'cli.no_word'],
    [['streams', 'tail', 'sensor_raw', '--from', 'yesterday'], 'cli.from'],
    [['streams', 'tail', 'sensor_raw', '--partition', '7'], 'streams.no_partition'],
    [['streams', 'tail', 'sensor_raw', '--filter', 'co >'], 'alerts.cel_syntax'],
    [['streams', 'resend', 'sensor_raw'], 'cli.resend'],
    [['streams', 'resend', 'sensor_raw', 'x'], 'cli.resend'],
    [['streams', 'resend', 'sensor_raw', '1', '--all'], 'cli.resend'],
    [['streams', 'resend', 'sensor_raw', '1'], 'streams.no_letter'],
    [['keys', 'get'], 'cli.no_key'],
    [['keys', 'get', 'nothing'], 'keys.no_key'],
    [['alerts', 'silence', 'air_critica', '--for', '1h', '--reason', 'r'], 'alerts.no_rule'],
    [['alerts', 'silence', 'air_critical', '--reason', 'r'], 'cli.for'],
    [['alerts', 'silence', 'air_critical', '--for', '1h'], 'alerts.silence_reason'],
    [['alerts', '--state', 'loud'], 'cli.state'],
  ])('%j is refused with %s', async (args, code) => {
    expect(failure(await run(...args, '--json')).code).toBe(code)
  })
})

describe('lagoa keys', () => {
  test('lists by prefix, reads one and deletes', async () => {
    const listed: { key: string }[] = good(await run('keys', 'list', 'sensor_raw:', '--json'))
    expect(listed.map(({ key }) => key)).toEqual(expect.arrayContaining(['sensor_raw:Lapa', 'sensor_raw:Mooca']))
    expect((await run('keys', 'list', 'sensor_raw:', '--limit', '1')).stderr).toContain('There are more')
    expect(good(await run('keys', 'get', 'sensor_raw:Lapa', '--json'))).toMatchObject({ fields: { co: '27' } })
    expect((await run('keys', 'get', 'sensor_raw:Lapa')).stdout).toMatch(/^co +27$/m)
    expect(good(await run('keys', 'delete', 'sensor_raw:Lapa', 'nothing', '--json'))).toEqual({ deleted: 1 })
  })
})

describe('lagoa alerts', () => {
  test('lists alerts and rules, and silences one beside a running server', async () => {
    const fired: { rule: string }[] = good(await run('alerts', '--rule', 'air_critical', '--limit', '5', '--json'))
    expect(fired.map(({ rule }) => rule)).toEqual(Array.from({ length: 5 }, () => 'air_critical'))
    expect((await run('alerts', 'list', '--state', 'firing')).stdout).toMatch(/air_episode +\S+ +firing/)
    expect(good(await run('alerts', 'silence', 'air_critical', '--for', '1h', '--reason', 'a test', '--json'))).toMatchObject({ active: true })
    expect((await run('alerts', 'rules')).stdout).toMatch(/^air_critical .+ \d{4}-\S+Z$/m)
    const { items } = await server.get<{ items: { name: string; silence?: { reason: string } }[] }>('/api/v1/rules')
    expect(items.find(({ name }) => name === 'air_critical')?.silence?.reason).toBe('a test')
    expect((await run('alerts', 'silences')).stdout).toMatch(/^air_critical .* a test +\S+ +silent /m)
    expect((await run('alerts', 'unsilence', 'air_critical')).stdout).toBe('air_critical speaks again\n')
    expect((await run('alerts', 'unsilence', 'air_critical')).stdout).toContain('was not silent')
  })
})

test('without a server all of it reads and writes, too, and dead letters go back', async () => {
  const own = newHome()
  const data = `${own}-data.csv`
  const alone = (...args: string[]): Promise<Finished> => lagoa([...args, '--project', EXAMPLE], { home: own })
  const { writeFileSync, rmSync } = await import('node:fs')
  writeFileSync(data, 'Date;Time;CO(GT);NO2(GT);T;RH;AH\r\n10/03/2004;18.00.00;2,6;166;13,6;48,9;0,7\r\nno date;19.00.00;1,0;1;1;1;1\r\n')
  try {
    good(await alone('start', '--once', '--json', '--data', data))
    expect((await alone('streams')).stderr).toContain('lagoa streams dead-letters sensor_raw')
    expect((await alone('streams', 'dead-letters', 'sensor_raw')).stdout).toContain('no date')
    expect(good(await alone('streams', 'resend', 'sensor_raw', '--all', '--json'))).toMatchObject({ resent: 1, left: 0 })
    expect(good(await alone('streams', 'resend', 'sensor_raw', '0', '--json'))).toMatchObject({ resent: 0, already: 1 })
    expect((await alone('streams', 'resend', 'sensor_raw', '--all')).stdout).toBe('0 sent again, 0 were before, 0 cannot be\n')
    expect((await alone('keys', 'list', 'sensor:')).stdout).toContain('sensor:10/03/2004:18.00.00')
    expect(existsSync(`${own}/objects/air-quality/processed/10/03/2004_18.00.00.json`)).toBe(true)
  } finally {
    rmSync(data, { force: true })
  }
}, 60_000)
