/** Column lineage of tables that are made by SQL: as a reader works it out, and as the engine itself judges it. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createGraph, impact, type Described, type Graph } from '../../../src/catalog/index.ts'
import { silentLog, t, type Schema } from '../../../src/base/index.ts'
import { describeTables, openDuck, openLake, table, type Lake, type Table } from '../../../src/lake/index.ts'
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
})

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
