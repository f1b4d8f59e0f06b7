import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backOff } from '../../console/src/api/back-off.ts'
import { crumbs } from '../../console/src/app/crumbs.ts'
import { rank } from '../../console/src/app/rank.ts'
import { alertsSearch, lakeSearch, liveSearch, readNames, streamSearch, streamsSearch, tableSearch, writeNames } from '../../console/src/app/search.ts'
import { freshness, shownTables } from '../../console/src/features/lake/order.ts'
import { layoutBands, shares } from '../../console/src/features/overview/bands.ts'
import { situation } from '../../console/src/features/overview/situation.ts'
import { cellKind, cellText, columnWidth, instant } from '../../console/src/ui/cells.ts'
import { fieldLabel, formats, unitLabel } from '../../console/src/ui/format.ts'

type Tables = Parameters<typeof shownTables>[0]
type OverviewData = Parameters<typeof situation>[0]

const table = (name: string, change: Partial<Tables[number]> = {}): Tables[number] => ({
  name,
  tier: name.startsWith('gold') ? 'gold' : name.startsWith('silver') ? 'silver' : 'bronze',
  rows: 1,
  bytes: 1,
  files: 1,
  version: 0,
  updatedAt: 1_000_000,
  from: [],
  refresh: { state: 'idle', lastMs: 1 },
  checks: { passed: 0, failed: 0 },
  quarantined: 0,
  ...change,
})

describe('the freshness of a table', () => {
  it('is its own target before that of its inputs', () => {
    const late = { state: 'stale', since: 1, newest: 0, withinMs: 1 } as const
    expect(freshness(table('gold.a', { freshness: late }), new Map())).toBe('stale')
    expect(freshness(table('gold.a', { freshness: { ...late, state: 'fresh', since: null } }), new Map())).toBe('fresh')
    expect(freshness(table('gold.a', { freshness: late, refresh: { state: 'failed', lastMs: 1 } }), new Map())).toBe('failed')
  })
})

describe('the movement bands', () => {
  const amounts = fc.record({
    sources: fc.array(fc.nat(1e9), { maxLength: 6 }),
    tiers: fc.record({ bronze: fc.nat(1e12), silver: fc.nat(1e12), gold: fc.nat(1e12) }),
    consumers: fc.nat(6),
  })

  it('keep every box inside the drawing and every band a number', () => {
    fc.assert(
      fc.property(amounts, fc.integer({ min: 700, max: 2_400 }), (given, width) => {
        const plan = layoutBands(given, width)
        for (const box of [...plan.sources, ...plan.consumers, ...Object.values(plan.tiers)]) {
          expect(box.x).toBeGreaterThanOrEqual(0)
          expect(box.x + box.width).toBeLessThanOrEqual(width)
          expect(box.y).toBeGreaterThanOrEqual(0)
          expect(box.y + box.height).toBeLessThanOrEqual(plan.height)
        }
        for (const band of plan.bands) expect(band.path).not.toMatch(/NaN|Infinity/)
      }),
    )
  })

  it('are as tall as their tier together, and taller with more rows', () => {
    expect(shares([10, 0, 1e9]).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1)
    const { tiers } = layoutBands({ sources: [1], tiers: { bronze: 1e9, silver: 1e8, gold: 1e5 }, consumers: 1 }, 1_100)
    expect(tiers.bronze.height).toBeGreaterThan(tiers.silver.height)
    expect(tiers.silver.height).toBeGreaterThan(tiers.gold.height)
  })

  it('draw nothing between tiers that hold nothing', () => {
    const { bands } = layoutBands({ sources: [], tiers: { bronze: 5, silver: 0, gold: 0 }, consumers: 0 }, 900)
    expect(bands).toEqual([])
  })
})

describe('the title of the overview', () => {
  const overview = (change: Partial<OverviewData> = {}): OverviewData => ({
    eventsPerSecond: 1,
    eventsHistory: [],
    freshnessMs: 1,
    freshnessHistory: [],
    checks: { passed: 1, failed: 0 },
    alerts: { firing: 0, today: 0 },
    lakeBytes: 1,
    lakeRows: 1,
    movement: { sources: [], tiers: [], keptShare: null, consumers: [] },
    attention: [],
    ...change,
  })
  const up = { services: [] }
  const item = (kind: OverviewData['attention'][number]['kind']): OverviewData['attention'][number] => ({
    id: kind,
    severity: 'error',
    kind,
    title: '',
    detail: '',
    subject: '',
    count: null,
    since: null,
    link: '/',
  })

  it('says that all is well', () => {
    expect(situation(overview(), up)).toEqual([{ id: 'situation.fresh' }, { id: 'situation.allWell' }])
  })

  it('names the alerts beside fresh data', () => {
    expect(situation(overview({ alerts: { firing: 2, today: 9 } }), up)).toEqual([{ id: 'situation.fresh' }, { id: 'situation.firing', n: 2 }])
  })

  it('puts a service that is down before everything else', () => {
    const down = { services: [{ name: 'query', adapter: 'duckdb', state: 'down', latencyMs: null }] } satisfies Parameters<typeof situation>[1]
    expect(situation(overview({ attention: [item('table'), item('stale')] }), down)[0]).toEqual({ id: 'situation.services', n: 1 })
  })

  it('does not call an empty lake fresh', () => {
    expect(situation(overview({ lakeRows: 0 }), up)).toEqual([{ id: 'situation.empty' }])
  })
})

describe('the list of tables', () => {
  const compare = formats('en').compare

  it('goes from bronze to gold, and by name within a tier', () => {
    const list = shownTables([table('gold.b'), table('silver.a'), table('gold.a'), table('bronze.z')], {}, compare)
    expect(list.map((each) => each.name)).toEqual(['bronze.z', 'silver.a', 'gold.a', 'gold.b'])
  })

  it('filters and sorts, tables never written last', () => {
    const list = shownTables(
      [table('gold.a', { rows: 5 }), table('gold.none', { rows: null }), table('silver.a', { rows: 9 }), table('gold.c', { rows: 7 })],
      { tier: 'gold', sort: 'rows', desc: true },
      compare,
    )
    expect(list.map((each) => each.name)).toEqual(['gold.c', 'gold.a', 'gold.none'])
    expect(shownTables([table('gold.air'), table('gold.b')], { q: 'AIR' }, compare)).toHaveLength(1)
  })

  it('calls a table behind when its input is newer by more than a minute', () => {
    const input = table('bronze.a', { updatedAt: 2_000_000 })
    const names = new Map([[input.name, input]])
    expect(freshness(table('silver.a', { from: ['bronze.a'], updatedAt: 1_950_000 }), names)).toBe('fresh')
    expect(freshness(table('silver.a', { from: ['bronze.a'], updatedAt: 1_900_000 }), names)).toBe('behind')
    expect(freshness(table('silver.a', { version: null, updatedAt: null }), names)).toBe('never')
    expect(freshness(table('silver.a', { refresh: { state: 'failed', lastMs: 1, error: 'x' } }), names)).toBe('failed')
  })
})

describe('addresses', () => {
  it('drop what they do not know', () => {
    expect(liveSearch({ range: '9y', stream: 'a', stations: 7 })).toEqual({ range: undefined, stream: 'a', stations: '7' })
    expect(lakeSearch({ tier: 'lead', desc: 'yes' })).toEqual({ tier: undefined, q: undefined, sort: undefined, desc: undefined })
    expect(tableSearch({ tab: 'history', version: '12' })).toEqual({ tab: 'history', version: 12 })
    expect(tableSearch({ version: -1 })).toEqual({ tab: undefined, version: undefined })
    expect(alertsSearch({ state: 'firing', severity: 'loud', span: '9y' })).toEqual({ tab: 'history', state: 'firing' })
    expect(alertsSearch({ tab: 'rules', rule: 'air' })).toEqual({ tab: 'rules', rule: 'air' })
    expect(alertsSearch({ tab: 'none' })).toEqual({})
    expect(streamsSearch({ sort: 'size', desc: true, q: 3 })).toEqual({ q: '3', desc: true })
    expect(streamSearch({ tab: 'records', partition: '2', offset: 5, time: 9, open: '1-x' })).toEqual({ tab: 'records', partition: 2, offset: 5 })
    expect(streamSearch({ time: 9, offset: -1, letter: 4, open: '1-20' })).toEqual({ time: 9, letter: 4, open: '1-20' })
  })

  it('carry station names with commas and percent signs', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), (names) => {
        expect(readNames(writeNames(names))).toEqual(names)
      }),
    )
  })

  it('become breadcrumbs', () => {
    expect(crumbs('/').map((crumb) => crumb.page)).toEqual(['page.overview'])
    expect(crumbs('/lake/silver.readings').map((crumb) => crumb.label)).toEqual(['lake', 'silver', 'readings'])
    expect(crumbs('/streams/gold.air').map((crumb) => crumb.label)).toEqual(['streams', 'gold.air'])
    expect(crumbs('/lake/%E0%A4%A').map((crumb) => crumb.label)).toEqual(['lake', '%E0%A4%A'])
  })
})

describe('the palette', () => {
  it('finds a word in a name before scattered letters, without accents', () => {
    const things = ['bronze.sensor', 'silver.readings', 'gold.air_hourly', 'Visão geral'].map((label) => ({ label }))
    expect(rank(things, 'read')[0]?.label).toBe('silver.readings')
    expect(rank(things, 'hourly').map((each) => each.label)).toEqual(['gold.air_hourly'])
    expect(rank(things, 'visao')[0]?.label).toBe('Visão geral')
    expect(rank(things, 'zzz')).toEqual([])
    expect(rank(things, '')).toHaveLength(4)
  })
})

describe('the wait before a new connection', () => {
  it('grows to thirty seconds and never below half of it', () => {
    expect(backOff(0, 0)).toBe(500)
    expect(backOff(0, 1)).toBe(1_000)
    expect(backOff(50, 1)).toBe(30_000)
    for (let attempt = 0; attempt < 20; attempt++) expect(backOff(attempt, 0)).toBeGreaterThanOrEqual(500)
  })
})

describe('numbers and names', () => {
  it('follow the language', () => {
    expect(formats('en').bytes(46_100_000)).toBe('46.1 MB')
    expect(formats('pt-BR').bytes(46_100_000)).toBe('46,1 MB')
    expect(formats('pt-BR').number(1_844)).toBe('1.844')
    expect(formats('en').bytes(0)).toBe('0 B')
  })

  it('tell a length of time by its two largest units', () => {
    const { duration, span } = formats('en')
    expect(duration(6 * 86_400_000 + 4 * 3_600_000)).toBe('6 d 4 h')
    expect(duration(11 * 60_000)).toBe('11 min')
    expect(duration(999)).toBe('0 s')
    expect(span(38)).toBe('38 ms')
    expect(span(3_800)).toBe('3.8 s')
  })

  it('print units and gases as people do', () => {
    expect(unitLabel('mg/m3')).toBe('mg/m³')
    expect(unitLabel('ug/m3')).toBe('µg/m³')
    expect(fieldLabel('no2')).toBe('NO₂')
    expect(fieldLabel('pressure')).toBe('pressure')
  })
})

describe('cells', () => {
  const format = formats('en')

  it('are written by their type', () => {
    expect(cellKind('DOUBLE')).toBe('number')
    expect(cellKind('decimal(10,2)')).toBe('number')
    expect(cellKind('interval')).toBe('text')
    expect(cellKind('timestamp with time zone')).toBe('time')
    expect(cellKind('struct(a int)')).toBe('mono')
    expect(cellText(0.1 + 0.2, 'number', format)).toBe('0.3')
    expect(cellText(2.41, 'number', format)).toBe('2.41')
    expect(cellText(null, 'text', format)).toBe('null')
    expect(cellText({ a: 1 }, 'mono', format)).toBe('{"a":1}')
  })

  it('read times as milliseconds or text, and text without a zone as UTC', () => {
    expect(instant(5)).toBe(5)
    expect(instant('1970-01-01 00:00:01')).toBe(1_000)
    expect(instant('1970-01-01T00:00:01Z')).toBe(1_000)
    expect(instant('1970-01-01 02:00:01.5+02')).toBe(1_500)
    expect(instant('1970-01-01T02:00:01+02:00')).toBe(1_000)
    expect(instant('1970-01-02')).toBe(86_400_000)
    expect(instant('soon')).toBeUndefined()
  })

  it('have columns of a bounded width', () => {
    expect(columnWidth('a', 'text', ['x'.repeat(5_000)], 96)).toBe(340)
    expect(columnWidth('a', 'text', [], 96)).toBe(96)
  })
})
