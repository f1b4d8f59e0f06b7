/** Keys and health in a real browser: two nodes on a PostgreSQL server, with Redis and RabbitMQ that are killed, stopped and started again. */
import { Redis } from 'ioredis'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fitsItsWidth, launch, type Look, LOOKS, openPage, type Opened, violations } from '../helpers/browser.ts'
import { EXAMPLE, eventually, newHome, serve, type Served } from '../helpers/cli.ts'
import { noPostgresServer, startPostgresServer, type PostgresServer } from '../helpers/postgres-server.ts'
import { noRabbit, startRabbit, type RabbitServer } from '../helpers/rabbitmq.ts'
import { noRedis, startRedis, type RedisServer } from '../helpers/redis.ts'

interface Service {
  readonly name: string
  readonly adapter: string
  readonly address: string | null
  readonly state: 'up' | 'degraded' | 'down'
  readonly latencyMs: number | null
  readonly history: readonly (number | null)[]
  readonly detail?: string
  readonly hint?: string
  readonly lastError: { readonly message: string } | null
  readonly usedBy: readonly {
    readonly kind: string
    readonly name: string
    readonly state: string
    readonly pending: number
    readonly retryAt: number | null
  }[]
}

const missing = [noPostgresServer, noRedis, noRabbit].filter((reason) => reason !== null).join('; ')

describe.skipIf(missing !== '')(`keys and health${missing === '' ? '' : ` (skipped: ${missing})`}`, () => {
  let redis: RedisServer
  let rabbit: RabbitServer
  let postgres: PostgresServer
  let nodes: Served[] = []
  let stranger: Redis
  let browser: Browser

  beforeAll(async () => {
    ;[redis, rabbit, postgres] = await Promise.all([startRedis(), startRabbit(), startPostgresServer()])
    const env = { LAGOA_DATABASE__URL: await postgres.database(), LAGOA_REDIS__URL: redis.url, LAGOA_RABBITMQ__URL: rabbit.url }
    nodes = [await serve('start', ['--project', EXAMPLE, '--rate', '20'], { env, home: newHome() })]
    nodes.push(await serve('start', ['--project', EXAMPLE, '--rate', '20'], { env, home: newHome() }))
    stranger = new Redis({ port: redis.port, password: redis.password, maxRetriesPerRequest: null })
    stranger.on('error', () => undefined)
    const pipeline = stranger.pipeline()
    for (let i = 0; i < 1500; i++) pipeline.hset(`many:${i % 3}:${String(i).padStart(4, '0')}`, { n: String(i) })
    pipeline.set('note:json', '{"b":[1,2],"a":"é"}').set('note:number', '42', 'EX', 3_500).set('note:text', 'just words')
    pipeline.set(`note:large`, 'x'.repeat(200_000))
    await pipeline.exec()
    await eventually('a station is live', async () => (await found(node(), '?prefix=sensor_raw:')).length > 0, 60_000)
    browser = await launch()
  }, 240_000)

  afterAll(async () => {
    stranger?.disconnect()
    await browser?.close()
    await Promise.all(nodes.map((one) => one.kill('SIGTERM')))
  })

  const node = (index: number = 0): Served => {
    const one = nodes[index]
    if (one === undefined) throw new Error('the nodes are not there yet')
    return one
  }
  const found = async (at: Served, query: string): Promise<string[]> =>
    (await at.get<{ items: { key: string }[] }>(`/api/v1/keys${query}`)).items.map(({ key }) => key)
  const services = async (): Promise<ReadonlyMap<string, Service>> =>
    new Map((await node().get<{ items: Service[] }>('/api/v1/services')).items.map((service) => [service.name, service]))
  const states = async (): Promise<Record<string, string>> => Object.fromEntries([...(await services())].map(([name, { state }]) => [name, state]))
  const records = async (): Promise<number> => (await node().get<{ records: number }>('/api/v1/streams/sensor_raw')).records
  const open = (path: string, look: Look = {}): Promise<Opened> => openPage(browser, node().url + path, look)

  describe.each(LOOKS)('with dark=$dark narrow=$narrow language=$language', (look) => {
    test.each(['/keys', '/keys?prefix=note%3A&key=note%3Ajson', '/keys?q=nothing-has-this', '/keys?key=note%3Alarge&view=raw', '/health'])(
      '%s shows itself without a fault, and axe finds nothing',
      async (path) => {
        const { page, faults, close } = await open(path, look)
        try {
          await page.waitForTimeout(900)
          expect(await violations(page)).toEqual([])
          expect(faults).toEqual([])
          expect(await fitsItsWidth(page)).toBe(true)
        } finally {
          await close()
        }
      },
    )
  })

  test('keys are found by prefix, by pattern and by type, page by page', async () => {
    expect(await node().get('/api/v1/key-prefixes?prefix=many:')).toEqual({
      items: [0, 1, 2].map((i) => ({ prefix: `many:${i}:`, keys: 500 })),
      complete: true,
    })
    expect((await found(node(), '?pattern=many:?:000*')).toSorted()).toHaveLength(10)
    expect(await found(node(), '?prefix=many:&pattern=note:*')).toEqual([])
    expect((await found(node(), '?pattern=*:json')).length).toBeLessThanOrEqual(1)
    expect(await found(node(), '?prefix=note:&type=number')).toEqual(['note:number'])
    const all = new Set<string>()
    let cursor: string | undefined
    do {
      const page = await node().get<{ items: { key: string }[]; cursor?: string }>(
        `/api/v1/keys?pattern=many:*0*&limit=100${cursor === undefined ? '' : `&cursor=${cursor}`}`,
      )
      for (const { key } of page.items) all.add(key)
      cursor = page.cursor
    } while (cursor !== undefined)
    expect(all.size).toBe([...Array(1500).keys()].filter((i) => `${i % 3}:${String(i).padStart(4, '0')}`.includes('0')).length)
  })

  test('a reader goes down by prefix, filters, and draws only the rows in view', async () => {
    const { page, faults, close } = await open('/keys')
    try {
      await page
        .getByRole('navigation', { name: 'Further prefixes' })
        .getByRole('link', { name: /^many:/ })
        .click()
      await page.getByRole('link', { name: /^1:/ }).click()
      expect(new URL(page.url()).searchParams.get('prefix')).toBe('many:1:')
      await page.getByRole('heading', { level: 1, name: /^\d+ keys/ }).waitFor()
      await page
        .getByRole('link', { name: /^many:1:\d+$/ })
        .first()
        .waitFor()
      const list = page.getByRole('region', { name: 'Keys' })
      expect(await list.getByRole('row').count()).toBeLessThan(80)
      for (let turn = 0; turn < 40 && !(await page.getByRole('heading', { name: '500 keys.' }).isVisible()); turn++) {
        await list.evaluate((region) => region.scrollTo(0, region.scrollHeight))
        await page.waitForTimeout(150)
      }
      await page.getByRole('heading', { name: '500 keys.' }).waitFor()
      expect(await list.getByRole('row').count()).toBeLessThan(80)
      await page.getByRole('searchbox').fill('149?')
      await page.getByRole('heading', { level: 1, name: '3 keys.' }).waitFor()
      await page.getByRole('navigation', { name: 'Prefix' }).getByRole('link', { name: 'All keys' }).click()
      await page.getByRole('searchbox').fill('note')
      await page.getByRole('radio', { name: 'Number' }).check({ force: true })
      await page.getByRole('link', { name: 'note:number', exact: true }).click()
      await page.getByRole('region', { name: 'Content' }).filter({ hasText: '42' }).waitFor()
      expect(faults).toEqual([])
    } finally {
      await close()
    }
  })

  test('a key is read as it is and pretty, its time counts down, and what is not known is not shown', async () => {
    const { page, close } = await open('/keys?prefix=note%3A&key=note%3Ajson')
    try {
      const panel = page.locator('.key-detail')
      await panel.getByText('"b": [').waitFor()
      expect(await panel.getByText('stays').count()).toBe(1)
      expect(await panel.getByText('Updated').count()).toBe(0)
      await panel.getByRole('radio', { name: 'Raw' }).check({ force: true })
      await panel.getByText('{"b":[1,2],"a":"é"}').waitFor()
      expect(new URL(page.url()).searchParams.get('view')).toBe('raw')
      await page.getByRole('link', { name: 'note:number', exact: true }).press('Enter')
      const left = async (): Promise<string> => (await panel.locator('dd').nth(1).textContent()) ?? ''
      await panel.getByText(/^\d+\smin(\s\d+\ss)?$/).waitFor()
      const before = await left()
      await eventually('it counts down', async () => (await left()) !== before, 5_000)
    } finally {
      await close()
    }
  })

  test('a key is deleted once that is said twice', async () => {
    const { page, close } = await open('/keys?prefix=note%3A&key=note%3Atext')
    try {
      await page.getByText('just words').waitFor()
      await page.getByRole('button', { name: 'Delete' }).click()
      const dialog = page.getByRole('dialog', { name: 'Delete this key?' })
      expect(await violations(page)).toEqual([])
      await dialog.getByRole('button', { name: 'Cancel' }).click()
      expect(await stranger.exists('note:text')).toBe(1)
      await page.getByRole('button', { name: 'Delete' }).click()
      await dialog.getByRole('button', { name: 'Delete key' }).click()
      await page.getByText('The key is deleted').waitFor()
      expect(await stranger.exists('note:text')).toBe(0)
      await page.getByRole('link', { name: 'note:text', exact: true }).waitFor({ state: 'detached' })
      await page.goto(`${node().url}/keys?key=note%3Atext`)
      await page.getByRole('heading', { name: 'This key is not there any more' }).waitFor()
    } finally {
      await close()
    }
  })

  test('nodes on one database share the duties and see each other', async () => {
    type Nodes = { items: { url: string; pid: number; self: boolean; duties: string[] }[] }
    const lists = await eventually(
      'both carry something',
      async () => {
        const seen = await Promise.all(nodes.map((one) => one.get<Nodes>('/api/v1/nodes')))
        return seen.every(({ items }) => items.length === 2 && items.every(({ duties }) => duties.length > 0)) && seen
      },
      30_000,
    )
    for (const [i, { items }] of lists.entries()) {
      expect(items.map(({ self }) => self)).toEqual([true, false])
      expect(items.map(({ url }) => url)).toEqual([nodes[i]?.url, nodes[1 - i]?.url])
      expect(items.flatMap(({ duties }) => duties).toSorted()).toEqual([
        'files',
        'process',
        'runs',
        'source/sensor_raw',
        'stream/sensor_raw/0',
        'tables',
        'workloads',
      ])
    }
    const { page, close } = await open('/health')
    try {
      for (const one of nodes) await page.getByText(one.url).waitFor()
      await page.getByText('this one').waitFor()
    } finally {
      await close()
    }
  })

  test('the address of an engine is told, and never its password', async () => {
    const text = JSON.stringify(await node().get('/api/v1/services'))
    for (const secret of [redis.password, rabbit.password, postgres.password]) expect(text).not.toContain(secret)
    const all = await services()
    expect(all.get('keys')).toMatchObject({ adapter: 'redis', address: `127.0.0.1:${redis.port}`, state: 'up' })
    expect(all.get('queue')).toMatchObject({ adapter: 'rabbitmq', address: `127.0.0.1:${rabbit.port}`, state: 'up' })
    expect(all.get('records')?.address).toMatch(/^127\.0\.0\.1:\d+\/\w+$/)
    expect(all.get('query')?.address).toBeNull()
    await eventually('there is a past', async () => ((await services()).get('keys')?.history.length ?? 0) > 1, 15_000)
  })

  test('engines that are killed are told within seconds, stop nothing else, and come back by themselves', async () => {
    const { page, close } = await open('/health')
    try {
      await page.getByRole('heading', { level: 1, name: 'All 6 engines answer.' }).waitFor()
      await Promise.all([redis.kill(), rabbit.kill()])
      await page.getByRole('heading', { level: 1, name: '2 engines are down.' }).waitFor({ timeout: 10_000 })
      const card = page.getByRole('listitem', { name: 'Live cache' })
      await card.getByText(/^down for/).waitFor()
      expect(await violations(page)).toEqual([])
      expect(await states()).toEqual({ records: 'up', objects: 'up', keys: 'down', eventLog: 'up', queue: 'down', query: 'up' })
      const ready = await fetch(`${node().url}/health/ready`)
      expect(ready.status).toBe(503)
      expect(await ready.json()).toMatchObject({ problems: [expect.stringMatching(/^keys \(redis\): /), expect.stringMatching(/^queue \(rabbitmq\): /)] })
      const { attention } = await node().get<{ attention: { kind: string; subject: string; link: string }[] }>('/api/v1/overview')
      expect(attention.filter(({ kind }) => kind === 'service')).toMatchObject([
        { subject: 'keys', link: '/health' },
        { subject: 'queue', link: '/health' },
      ])
      const sent = await records()
      await node().post('/api/v1/streams/sensor_raw/records', [{ sensor: 'Rooftop', at: new Date().toISOString(), co: 12.5, no2: 300 }])
      const waits = await eventually(
        'the cache and the queue are waited for',
        async () => {
          const all = await services()
          const lane = all.get('keys')?.usedBy.find(({ name, state }) => name === 'sensor_raw: live' && state === 'waiting')
          const queue = all.get('queue')?.usedBy.find(({ name, state }) => name === 'sensor_alert' && state === 'waiting')
          return lane && queue && { lane, queue, keys: all.get('keys') }
        },
        30_000,
      )
      expect(waits.queue.pending).toBeGreaterThan(0)
      expect(waits.keys?.hint).toBeTruthy()
      expect(waits.keys?.lastError?.message).toBeTruthy()
      await eventually('the log goes on', async () => (await records()) > sent + 20, 30_000)
      // Each node has a folder of objects of its own here; the rows are with the one that carries the stream.
      const bronze = async (): Promise<number> =>
        Math.max(...(await Promise.all(nodes.map(async (one) => (await one.get<{ rows: number | null }>('/api/v1/tables/bronze.sensor')).rows ?? 0))))
      const rows = await bronze()
      await eventually('the lake goes on', async () => (await bronze()) > rows, 30_000)
      await page.getByRole('list', { name: 'What waits for it' }).first().waitFor()

      await Promise.all([redis.start(), rabbit.start()])
      await eventually('all is up again', async () => Object.values(await states()).every((state) => state === 'up'), 90_000, 200)
      await page.getByRole('heading', { level: 1, name: 'All 6 engines answer.' }).waitFor({ timeout: 15_000 })
      await card.getByText(/^Last away/).waitFor()
      await eventually('the reading is live', async () => (await found(node(), '?prefix=sensor_raw:Rooftop')).length === 1, 60_000)
      await eventually(
        'the alert has left',
        async () => ((await services()).get('queue')?.usedBy ?? []).every(({ state, pending }) => state === 'running' && pending === 0),
        60_000,
        200,
      )
      expect((await fetch(`${node().url}/health/ready`)).status).toBe(200)
    } finally {
      await close()
    }
  }, 240_000)

  test('an engine that hangs is told as well, however many look, and holds up no answer', async () => {
    process.kill(redis.pid, 'SIGSTOP')
    try {
      await eventually('it is told', async () => (await states()).keys === 'down', 20_000)
      const began = performance.now()
      const answers = await Promise.all(Array.from({ length: 30 }, () => fetch(`${node().url}/api/v1/services`)))
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 200))
      expect(performance.now() - began).toBeLessThan(6_000)
    } finally {
      process.kill(redis.pid, 'SIGCONT')
    }
    await eventually('it is back', async () => (await states()).keys === 'up', 60_000, 200)
  }, 120_000)
})
