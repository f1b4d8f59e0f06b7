/** What there is to say of an entry of the live cache beside its fields, and which keys a pattern means. */

export type EntryType = 'hash' | 'json' | 'number' | 'text'

/** A hash has fields of its own; an entry with the one field `value` is what that holds. */
export function entryType(fields: Readonly<Record<string, string>>): EntryType {
  const { value, ...others } = fields
  if (value === undefined || Object.keys(others).length > 0) return 'hash'
  if (/^\s*[[{]/.test(value)) {
    try {
      JSON.parse(value)
      return 'json'
    } catch {
      return 'text'
    }
  }
  return value.trim() !== '' && Number.isFinite(Number(value)) ? 'number' : 'text'
}

/** Bytes of the names and the texts; what the engine needs around them is not counted. */
export function entryBytes(fields: Readonly<Record<string, string>>): number {
  return Object.entries(fields).reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0)
}

/** What every key that fits the pattern begins with. */
export function prefixOf(pattern: string): string {
  const wild = pattern.search(/[*?]/)
  return wild < 0 ? pattern : pattern.slice(0, wild)
}

/** `*` is any text, `?` any character; the time is bounded by the two lengths multiplied, whatever the pattern. */
export function matches(pattern: string, key: string): boolean {
  const wanted = Array.from(pattern)
  const found = Array.from(key)
  let [p, k] = [0, 0]
  let star = -1
  let resumed = 0
  while (k < found.length) {
    if (wanted[p] === '*') {
      star = p++
      resumed = k
    } else if (p < wanted.length && (wanted[p] === '?' || wanted[p] === found[k])) {
      p++
      k++
    } else if (star >= 0) {
      p = star + 1
      k = ++resumed
    } else return false
  }
  while (wanted[p] === '*') p++
  return p === wanted.length
}
