/** What commands print: plain text for people, JSON for programs, errors the same way everywhere. */
import { ERROR_KINDS, errorBody, LagoaError, toLagoaError } from '../base/index.ts'

export const print = (text: string): void => void process.stdout.write(`${text}\n`)
export const note = (text: string): void => void process.stderr.write(`${text}\n`)

/** Prints the error and answers the exit code of its kind. */
export async function printError(thrown: unknown, json: boolean): Promise<number> {
  const error = await withoutPasswords(toLagoaError(thrown))
  if (json) print(JSON.stringify({ error: errorBody(error) }))
  else {
    note(`${bold(red('Error'))} ${error.message}`)
    if (error.hint) note(`  ${error.hint}`)
    if (error.kind === 'bug') note(error.cause instanceof Error ? (error.cause.stack ?? '') : (error.stack ?? ''))
    else note(dim(`  ${error.code}`))
  }
  return ERROR_KINDS[error.kind].exit
}

async function withoutPasswords(error: LagoaError): Promise<LagoaError> {
  if (!error.message.includes('://')) return error
  // Loaded only now: errors of the command line itself need no engine.
  const { hidePasswords } = await import('../platform/index.ts')
  return new LagoaError(error.kind, error.code, hidePasswords(error.message), { hint: error.hint, ...(error.kind === 'bug' ? { cause: error.cause } : {}) })
}

const paint =
  (code: string) =>
  (text: string): string =>
    process.stderr.isTTY && process.stdout.isTTY && process.stderr.hasColors() ? `\u001b[${code}m${text}\u001b[0m` : text
export const bold = paint('1')
export const dim = paint('2')
export const red = paint('31')
export const green = paint('32')
export const yellow = paint('33')

/** Columns as wide as their widest cell, numbers to the right; cells longer than 60 characters are cut. */
export function textTable(header: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = rows.map((row) => row.map(cellText))
  const widths = header.map((name, i) => Math.max(name.length, ...cells.map((row) => (row[i] ?? '').length)))
  const right = header.map((_, i) => rows.length > 0 && rows.every((row) => row[i] === null || typeof row[i] === 'number'))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (right[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(header), widths.map((width) => '-'.repeat(width)).join('  '), ...cells.map(line)].join('\n')
}

function cellText(value: unknown): string {
  const text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
  const flat = text.replaceAll('\n', ' ')
  return flat.length > 60 ? `${flat.slice(0, 57)}...` : flat
}

export function bytesText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let size = bytes
  let unit = 0
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit++
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`
}
