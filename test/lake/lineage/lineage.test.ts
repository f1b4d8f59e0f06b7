/** Column lineage of tables that are made by SQL: as a reader works it out, and as the engine itself judges it. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createGraph, impact, type Described, type Graph } from '../../../src/catalog/index.ts'
import { silentLog, t, type Schema } from '../../../src/base/index.ts'
import { bindTables, describeTables, openDuck, openLake, table, type Lake, type Table } from '../../../src/lake/index.ts'
import { openFolderObjects } from '../../../src/storage/index.ts'
import { tempFolder } from '../../helpers/folder.ts'
import { CASES, type Case } from './cases.ts'

type Duck = Awaited<ReturnType<typeof openDuck>>

let duck: Duck
const folder = tempFolder()
beforeAll(async () => {
  duck = await openDuck({ tempDirectory: join(folder, 'spill') })
})
afterAll(() => duck.close())

const promised = (names: string): Schema => Object.fromEntries(names.split(' ').map((name) => [name, name === 'ts' ? t.timestamp() : t.int()]))
const INPUTS = { t: promised('a b c k ts'), u: promised('a b k ts'), v: promised('c k') }

/** The lab's inputs without the columns that `gone` names, such as `t.a`. */
function inputs(gone?: string): Table[] {
  const kept = (name: string): Schema =>
    Object.fromEntries(Object.entries(INPUTS[name as keyof typeof INPUTS]).filter(([column]) => `${name}.${column}` !== gone))
  const nested = { s: "{'f': {'g': 1}, 'h': 2}", xs: '[1, 2]', j: "'{}'::json", a: '1', k: '2' }
  return [
    ...Object.keys(INPUTS).map((name) => {
      const columns = kept(name)
      return table(`lab.${name}`, {
        columns,
        sql: `select ${Object.keys(columns)
          .map((column) => `null as ${column}`)
          .join(', ')}`,
      })
    }),
    table('lab.n', {
      sql: `select ${Object.entries(nested)
        .filter(([column]) => `n.${column}` !== gone)
        .map(([column, value]) => `${value} as ${column}`)
        .join(', ')}`,
    }),
  ]
}

async function open(tables: readonly Table[]): Promise<Lake> {
  return openLake({ objects: await openFolderObjects(join(folder, 'objects')), duck, tables, logger: silentLog })
}
const described = async (tables: readonly Table[]): Promise<Described> => describeTables((await open(tables)).plan, duck)

const tableOf = (index: number): string => `case.n${index}`
const models = CASES.map(({ sql }, index) => table(tableOf(index), { sql }))

describe('column lineage', () => {
  let graph: Graph
  beforeAll(async () => {
    graph = createGraph([await described([...inputs(), ...models])])
  })

  test.each(CASES.map((one, index) => ({ ...one, index })))('of $name is what a reader works out', ({ index, columns, rows = '', unknown }) => {
    const asset = graph.byId.get(`table:${tableOf(index)}`)
    if (unknown) {
      expect(asset?.unknown).toBeTruthy()
      expect(graph.into.get(`table:${tableOf(index)}`)?.map(({ how }) => how)).toEqual(['unknown'])
      return
    }
    expect(asset?.unknown).toBeUndefined()
    expect(read(graph, index)).toEqual({ columns: sortedColumns(columns), rows })
  })

  test('names as needed exactly the columns without which the engine refuses the SQL, and as passed those that go along', async () => {
    const whole = new Map(graph.assets.map((asset) => [asset.id, asset.columns.map(({ name }) => name)]))
    const all = [
      ...Object.entries(INPUTS).flatMap(([name, schema]) => Object.keys(schema).map((column) => `${name}.${column}`)),
      ...['s', 'xs', 'j', 'a', 'k'].map((c) => `n.${c}`),
    ]
    const wrong: unknown[] = []
    let found = 0
    for (const gone of all) {
      const without = await described([...inputs(gone), ...models])
      const [name = '', column = ''] = gone.split('.')
      const told = impact(graph, { asset: `table:lab.${name}`, column })
      const judged = CASES.flatMap(({ takenOver }, index) => {
        const id = `table:${tableOf(index)}`
        if (takenOver?.split(' ').includes(gone)) return [`${id} breaks`]
        const asset = without.assets.find((one) => one.id === id)
        if (graph.byId.get(id)?.unknown !== undefined) return []
        if (asset?.unknown?.startsWith('the engine refuses') === true) return [`${id} breaks`]
        const left = asset?.columns.map((one) => one.name) ?? []
        return (whole.get(id) ?? []).filter((one) => !left.includes(one)).map((one) => `${id} loses ${one}`)
      })
      const said = told.items.flatMap(({ asset, column: lost, effect }) => {
        if (effect === 'breaks') return [`${asset} breaks`]
        return effect === 'goes' && !told.items.some((one) => one.asset === asset && one.effect === 'breaks') ? [`${asset} loses ${lost}`] : []
      })
      const distinct = [...new Set(said)]
      const differs = [...distinct.filter((one) => !judged.includes(one)), ...judged.filter((one) => !distinct.includes(one))]
      if (differs.length > 0) wrong.push({ gone, differs })
      found += judged.length
    }
    expect(wrong).toEqual([])
    expect(found).toBeGreaterThan(200)
  }, 120_000)

  test('misses nothing: a result that another value in a column changes is told to come from it', async () => {
    const connection = await duck.connect()
    const random = numbers(7)
    const wrong: string[] = []
    const witnessed = new Set<string>()
    try {
      for (let round = 0; round < 10; round++) {
        const data = dataOf(random)
        const before = await results(connection, data, inputs())
        for (const gone of COLUMNS) {
          const after = await results(connection, changed(data, gone, random), inputs(), gone)
          for (const [index, { columns = {}, rows = '', unknown }] of CASES.entries()) {
            const [old, now] = [before[index], after[index]]
            if (unknown || !old || !now) continue
            const byRows = rows.split(', ').some((one) => one.endsWith(` ${gone}`))
            if (byRows && JSON.stringify(old) !== JSON.stringify(now)) witnessed.add(`${index} ${gone}`)
            for (const [name, sources] of Object.entries(columns)) {
              const comes = sources.split(' ').some((one) => one.replace('~', '') === gone)
              if (JSON.stringify(old[name]) === JSON.stringify(now[name])) continue
              if (comes) witnessed.add(`${index} ${gone}`)
              if (!comes && !byRows) wrong.push(`${CASES[index]?.name}: ${name} changes with ${gone}`)
            }
          }
        }
      }
    } finally {
      connection.closeSync()
    }
    expect([...new Set(wrong)]).toEqual([])
    // And every column that is told is seen to matter, where only the values of these rounds could show it.
    const told = CASES.flatMap(({ columns, rows = '' }, index) =>
      [
        ...new Set(
          [...Object.values(columns).flatMap((sources) => sources.split(' ')), ...rows.split(', ').map((one) => one.split(' ')[1] ?? '')].map((one) =>
            one.replace('~', ''),
          ),
        ),
      ]
        .filter((one) => COLUMNS.includes(one))
        .map((one) => `${index} ${one}`),
    )
    const unseen = told.filter((one) => !witnessed.has(one))
    expect(unseen.map((one) => `${CASES[Number(one.split(' ')[0])]?.name}: ${one.split(' ')[1]}`)).toEqual([])
  }, 120_000)
})

type Connection = Awaited<ReturnType<Duck['connect']>>
type Value = number | null
type Data = Readonly<Record<keyof typeof INPUTS, readonly (readonly Value[])[]>>

const COLUMNS = Object.entries(INPUTS).flatMap(([name, schema]) => Object.keys(schema).map((column) => `${name}.${column}`))

/** Numbers that look random and are the same in every run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
}

const valueOf = (random: () => number): Value => (random() < 0.15 ? null : Math.floor(random() * 4))
const dataOf = (random: () => number): Data => {
  const rows = (width: number): Value[][] => Array.from({ length: 6 }, () => Array.from({ length: width }, () => valueOf(random)))
  return { t: rows(5), u: rows(4), v: rows(2) }
}

/** The same rows with other values in one column. */
function changed(data: Data, place: string, random: () => number): Data {
  const [name = '', column = ''] = place.split('.')
  const at = Object.keys(INPUTS[name as keyof typeof INPUTS]).indexOf(column)
  return { ...data, [name]: data[name as keyof Data].map((row) => row.map((value, i) => (i === at ? valueOf(random) : value))) }
}

/** The values of each result column, without regard to the order of rows; null where the engine stumbles over these values, or where the SQL does not read the table of `place`. */
async function results(connection: Connection, data: Data, declared: readonly Table[], place?: string): Promise<(Record<string, string[]> | null)[]> {
  const nested = declared.find(({ name }) => name === 'lab.n')?.options.sql
  const bound = new Map([
    ...Object.entries(data).map(([name, rows]): [string, string] => {
      const columns = Object.keys(INPUTS[name as keyof typeof INPUTS])
      const shown = columns.map((column, i) => (column === 'ts' ? `to_timestamp(col${i} * 1800) as ts` : `col${i}::int as ${column}`))
      return [`lab.${name}`, `select ${shown.join(', ')} from (values ${rows.map((row) => `(${row.map(String).join(', ')})`).join(', ')})`]
    }),
    ['lab.n', String(nested)] as const,
  ])
  const binding = await bindTables(connection, bound)
  try {
    const all: (Record<string, string[]> | null)[] = []
    for (const { sql } of CASES) {
      if (place !== undefined && !new RegExp(`\\blab"?\\."?${place.split('.')[0]}\\b`).test(sql)) {
        all.push(null)
        continue
      }
      try {
        const reader = await connection.runAndReadAll(`select * from (${sql}\n)`)
        const rows = reader.getRowsJson()
        all.push(Object.fromEntries(reader.columnNames().map((name, i) => [name, rows.map((row) => JSON.stringify(row[i])).sort()])))
      } catch {
        all.push(null)
      }
    }
    return all
  } finally {
    await binding.release()
  }
}

const short = (place: { asset: string; column?: string }): string => `${place.asset.replace('table:lab.', '')}.${place.column}`

function read(graph: Graph, index: number): Pick<Case, 'columns' | 'rows'> {
  const id = `table:${tableOf(index)}`
  const edges = graph.into.get(id) ?? []
  const columns = (graph.byId.get(id)?.columns ?? []).map(({ name }) => {
    const made = edges.filter(({ to, how }) => to.column === name && (how === 'copied' || how === 'computed'))
    return [name, made.map(({ from, how }) => (how === 'computed' ? '~' : '') + short(from)).join(' ')] as const
  })
  const rows = edges.filter(({ how }) => ['filtered', 'joined', 'grouped', 'ordered'].includes(how)).map(({ from, how }) => `${how} ${short(from)}`)
  return { columns: sortedColumns(Object.fromEntries(columns)), rows: [...new Set(rows)].sort().join(', ') }
}

const sortedColumns = (columns: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(columns).map(([name, sources]) => [name, sources.split(' ').sort().join(' ')]))
