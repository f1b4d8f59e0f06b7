/** Rows of results: which columns they have, and the same as CSV. */

type Values = Readonly<Record<string, unknown>>

/** In the order in which they are first met. */
export const columnsOf = (rows: readonly Values[]): string[] => [...new Set(rows.flatMap((row) => Object.keys(row)))]

/** The largest count, at least one. */
export const maxCount = (rows: readonly Values[]): number =>
  rows.reduce((most, { count }) => Math.max(most, typeof count === 'number' ? count : Number(count) || 0), 1)

/** As RFC 4180 has it. */
export function csvOf(rows: readonly Values[]): string {
  const columns = columnsOf(rows)
  return [columns.map(cell), ...rows.map((row) => columns.map((name) => cell(row[name])))].map((cells) => `${cells.join(',')}\r\n`).join('')
}

function cell(value: unknown): string {
  const text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** The table that holds the results of a workload, see docs/workloads.md. */
export const tableNameOf = (id: string): string => `workloads.w${id.replaceAll('-', '')}`
