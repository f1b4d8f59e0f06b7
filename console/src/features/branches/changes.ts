/** The rows that a branch changed, cell by cell: what is shown, and what of it differs. */
import type { BranchDiff } from '../../api/types.ts'

type Change = BranchDiff['sample'][number]['change']
export type Cell = { readonly column: string; readonly before: unknown; readonly after: unknown; readonly differs: boolean }
export type ChangedRow = { readonly change: Change; readonly cells: readonly Cell[] }

/** Keys come first, then columns in which a row of the sample differs, then the others in their order. */
export function shownColumns({ columns, keys, sample }: BranchDiff): string[] {
  const differing = new Set(
    sample.flatMap(({ before, after }) => (before === null || after === null ? [] : columns.filter((name) => !same(before[name], after[name])))),
  )
  const weight = (name: string): number => (keys.includes(name) ? 0 : differing.has(name) ? 1 : 2)
  return columns.toSorted((a, b) => weight(a) - weight(b))
}

export function changedRows({ sample }: BranchDiff, columns: readonly string[]): ChangedRow[] {
  return sample.map(({ change, before, after }) => ({
    change,
    cells: columns.map((column) => {
      const [was, is] = [before?.[column], after?.[column]]
      return { column, before: was, after: is, differs: change === 'changed' && !same(was, is) }
    }),
  }))
}

/** Nothing and null are the same: a column that only one side has is null on the other. */
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)

/** Whether the branch left the table as it was, in its rows and in its columns. */
export function isUntouched({ added, removed, changed, columnsAdded, columnsRemoved, columnsChanged }: BranchDiff): boolean {
  return added + removed + changed + columnsAdded.length + columnsRemoved.length + columnsChanged.length === 0
}

/** Why a name cannot be a branch's, or null: the server's rule, said while it is typed. */
export function isBranchName(name: string): boolean {
  return /^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)
}
