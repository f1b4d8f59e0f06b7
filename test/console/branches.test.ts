import { describe, expect, it } from 'vitest'
import { crumbs } from '../../console/src/app/crumbs.ts'
import { changedRows, isBranchName, isUntouched, shownColumns } from '../../console/src/features/branches/changes.ts'

type Diff = Parameters<typeof shownColumns>[0]

const diff = (change: Partial<Diff> = {}): Diff => ({
  table: 'silver.readings',
  base: 1,
  newest: 1,
  columnsAdded: [],
  columnsRemoved: [],
  columnsChanged: [],
  keys: ['id'],
  added: 0,
  removed: 0,
  changed: 0,
  columns: ['a', 'b', 'id', 'c'],
  sample: [],
  ...change,
})

describe('the rows that a branch changed', () => {
  const given = diff({
    added: 1,
    removed: 1,
    changed: 1,
    sample: [
      { change: 'changed', before: { id: 1, a: 1, b: { x: [1] }, c: null }, after: { id: 1, a: 1, b: { x: [2] } } },
      { change: 'added', before: null, after: { id: 2, a: 5, b: null, c: 'new' } },
      { change: 'removed', before: { id: 3, a: 6, b: null, c: 'old' }, after: null },
    ],
  })

  it('show the keys first and then what differs', () => {
    expect(shownColumns(given)).toEqual(['id', 'b', 'a', 'c'])
    expect(shownColumns(diff({ keys: [] }))).toEqual(['a', 'b', 'id', 'c'])
  })

  it('mark the cells whose value is another, and take an absent value for null', () => {
    const rows = changedRows(given, shownColumns(given))
    expect(rows[0]?.cells.filter(({ differs }) => differs)).toEqual([{ column: 'b', before: { x: [1] }, after: { x: [2] }, differs: true }])
    expect(
      rows
        .slice(1)
        .flatMap(({ cells }) => cells)
        .some(({ differs }) => differs),
    ).toBe(false)
    expect(rows[2]?.cells.map(({ before }) => before)).toEqual([3, null, 6, 'old'])
  })

  it('are none where only the columns are others, which is a change all the same', () => {
    expect(isUntouched(diff())).toBe(true)
    expect(isUntouched(diff({ columnsAdded: ['d'] }))).toBe(false)
    expect(isUntouched(diff({ columnsChanged: [{ column: 'a', before: 'int', after: 'double' }] }))).toBe(false)
    expect(isUntouched(given)).toBe(false)
  })
})

describe('a branch', () => {
  it('has a name that can stand in a path', () => {
    expect(['dev', '2026-fix_air', 'a'.repeat(63)].every(isBranchName)).toBe(true)
    expect(['', 'Dev', '-dev', 'a/b', 'não', 'a'.repeat(64)].some(isBranchName)).toBe(false)
  })

  it('is found below the lake', () => {
    expect(crumbs('/lake/branches').map(({ to }) => to)).toEqual(['/lake', '/lake/branches'])
    expect(crumbs('/lake/branches/fix-air').at(-1)).toEqual({ label: 'fix-air' })
    expect(crumbs('/lake/silver.readings').at(-1)).toEqual({ label: 'readings' })
  })
})
