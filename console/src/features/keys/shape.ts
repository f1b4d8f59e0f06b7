/** What is asked for from what was typed, and how the answers are listed. */
import type { KeyShape } from '../../api/index.ts'

/** Plain text is looked for anywhere below the prefix; with `*` or `?` it is the rest of the key. */
export function patternOf(prefix: string, typed: string): string | undefined {
  if (typed === '') return undefined
  return prefix + (/[*?]/.test(typed) ? typed : `*${typed}*`)
}

/** The way down to a prefix: `a:`, `a:b:` for `a:b:`. */
export function stepsTo(prefix: string): { readonly label: string; readonly prefix: string }[] {
  const parts = prefix.split(/(?<=:)/).filter((part) => part !== '')
  return parts.map((label, i) => ({ label, prefix: parts.slice(0, i + 1).join('') }))
}

/** Each key once, as its last page has it: an engine without an order may give one twice. */
export function listed(pages: readonly { readonly items: readonly KeyShape[] }[]): KeyShape[] {
  return [...new Map(pages.flatMap(({ items }) => items).map((entry) => [entry.key, entry])).values()]
}

/** Indented where the text is JSON of an object or a list, null where it is not. */
export function prettyJson(text: string): string | null {
  if (!/^\s*[[{]/.test(text)) return null
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return null
  }
}

/** An entry as text: what the one field holds, or the fields as JSON. */
export function rawText({ type, fields }: Pick<KeyShape, 'type' | 'fields'>): string {
  return type === 'hash' ? JSON.stringify(fields, null, 2) : (fields['value'] ?? '')
}

/** The most of a value that is drawn; copying takes all of it. */
const mostShown = 50_000

export function shownPart(text: string): { readonly text: string; readonly cut: boolean } {
  return text.length <= mostShown ? { text, cut: false } : { text: text.slice(0, mostShown), cut: true }
}
