/** Narrowing of parsed JSON: the door through which bytes of a log become typed values. */

export type JsonObject = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

/** A finite number; 64-bit integers that DuckDB hands over as text or bigint count too. */
export function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'string' && /^-?\d+$/.test(value)) return Number(value)
  return null
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function textsOf(value: unknown): string[] {
  return listOf(value).filter((item) => typeof item === 'string')
}

/** Only the entries whose values are text. */
export function textMapOf(value: unknown): Record<string, string> {
  const map: Record<string, string> = {}
  if (isObject(value)) for (const [key, item] of Object.entries(value)) if (typeof item === 'string') map[key] = item
  return map
}
