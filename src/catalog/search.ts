/** Finding assets by words: names before columns, columns before tags and owners, descriptions last; one slip of the finger is forgiven. */
import type { Asset, AssetKind } from './asset.ts'
import { compare, type Graph } from './graph.ts'

export interface AssetFilter {
  readonly search?: string
  readonly kind?: AssetKind
  readonly tag?: string
  readonly owner?: string
}

export interface Found {
  readonly asset: Asset
  /** Columns that the words are in, the best first. */
  readonly columns: readonly string[]
}

/** Every word of the text must be somewhere in the asset. Best first; without words by kind and name. */
export function searchAssets({ assets }: Graph, { search = '', kind, tag, owner }: AssetFilter = {}): Found[] {
  const words = wordsOf(search)
  const scored = assets.flatMap((asset, order) => {
    if (kind !== undefined && asset.kind !== kind) return []
    if (tag !== undefined && !tagsOf(asset).some((one) => equal(one, tag))) return []
    if (owner !== undefined && !(asset.owner !== undefined && equal(asset.owner, owner))) return []
    const hits = words.map((word) => hit(asset, word))
    if (hits.some(({ score }) => score === 0)) return []
    return [{ asset, order, score: hits.reduce((sum, { score }) => sum + score, 0), columns: [...new Set(hits.flatMap(({ columns }) => columns))] }]
  })
  return scored.sort((a, b) => b.score - a.score || a.order - b.order).map(({ asset, columns }) => ({ asset, columns }))
}

const equal = (a: string, b: string): boolean => plain(a) === plain(b)
const tagsOf = ({ tags, columns }: Asset): string[] => [...tags, ...columns.flatMap((column) => column.tags ?? [])]

/** Case and accents do not matter. */
const plain = (text: string): string => text.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase()

/** Most words of a search; what comes behind is not looked for. */
const MOST_WORDS = 8
const wordsOf = (text: string): string[] => plain(text).split(/\s+/).filter(Boolean).slice(0, MOST_WORDS)

const WEIGHTS = { name: 100, column: 40, tag: 30, owner: 30, unit: 10, text: 10 } as const

function hit(asset: Asset, word: string): { readonly score: number; readonly columns: readonly string[] } {
  const columns = asset.columns
    .map(({ name, description = '', unit = '' }) => ({
      name,
      score: Math.max(WEIGHTS.column * match(name, word), WEIGHTS.text * within(description, word), WEIGHTS.unit * within(unit, word)),
    }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || compare(a.name, b.name))
  const score = Math.max(
    WEIGHTS.name * Math.max(match(asset.name, word), match(asset.id, word)),
    columns[0]?.score ?? 0,
    ...tagsOf(asset).map((tag) => WEIGHTS.tag * match(tag, word)),
    WEIGHTS.owner * match(asset.owner ?? '', word),
    WEIGHTS.text * within(asset.description ?? '', word),
  )
  return { score, columns: columns.slice(0, 20).map(({ name }) => name) }
}

/** 1 for the whole name or one of its parts, less for a beginning, a piece, a slip; 0 for none. */
function match(name: string, word: string): number {
  const text = plain(name)
  if (text === word) return 1
  const parts = text.split(/[^\p{L}\p{N}]+/u).filter(Boolean)
  if (parts.includes(word)) return 0.9
  if (text.startsWith(word) || parts.some((part) => part.startsWith(word))) return 0.8
  if (text.includes(word)) return 0.6
  return word.length >= 4 && parts.some((part) => slips(part, word)) ? 0.3 : 0
}

function within(description: string, word: string): number {
  const text = plain(description)
  if (!text.includes(word)) return 0
  return text.split(/[^\p{L}\p{N}]+/u).includes(word) ? 1 : 0.5
}

/** One letter too many, too few, another, or two in the wrong order; also in a word that is still being typed. */
function slips(part: string, word: string): boolean {
  return [part, part.slice(0, word.length), part.slice(0, word.length + 1)].some((text) => nearly(text, word))
}

function nearly(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false
  let i = 0
  while (i < a.length && i < b.length && a[i] === b[i]) i++
  const [restA, restB] = [a.slice(i), b.slice(i)]
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    (restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2))
  )
}
