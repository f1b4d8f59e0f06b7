/** What a task answers must be JSON as it stands: what would be lost or changed on the way is refused, with the place in the value. */
import { invalid } from '../base/index.ts'
import type { Json } from './engine/words.ts'

const DEEPEST = 100

export function asJson(value: unknown, what: string): Json {
  return look(value, '', 0)

  function look(part: unknown, path: string, depth: number): Json {
    if (part === null || part === undefined) return null
    if (typeof part === 'boolean') return part
    if (typeof part === 'string') {
      // Where it is kept no text holds these.
      if (part.includes('\u0000') || !part.isWellFormed())
        throw refusal(path, 'a text with a NUL or half a character', "Answer text.toWellFormed().replaceAll('\\0', '').")
      return part
    }
    if (typeof part === 'number') {
      if (Number.isFinite(part)) return part
      throw refusal(path, String(part), 'Answer null in its place.')
    }
    if (typeof part === 'bigint') throw refusal(path, 'a bigint', 'Answer String(value), or Number(value) when it is small.')
    if (typeof part !== 'object') throw refusal(path, `a ${typeof part}`, 'Answer plain data.')
    if (depth > DEEPEST) throw refusal(path.slice(0, 60), 'nested too deep, or goes in a circle', 'Answer plain data, or a reference to a table or an object.')
    if (Array.isArray(part)) return part.map((item: unknown, i) => look(item, `${path}[${i}]`, depth + 1))
    if (part instanceof Date) throw refusal(path, 'a Date', 'Answer date.toISOString().')
    const prototype: unknown = Object.getPrototypeOf(part)
    if (prototype !== Object.prototype && prototype !== null) {
      const name = part.constructor.name
      throw refusal(
        path,
        `a ${name === '' ? 'class instance' : name}`,
        name === 'Map' ? 'Answer Object.fromEntries(map).' : name === 'Set' ? 'Answer [...set].' : 'Answer plain data.',
      )
    }
    const found: Record<string, Json> = {}
    for (const [key, item] of Object.entries(part)) if (item !== undefined) found[key] = look(item, `${path}.${key}`, depth + 1)
    return found
  }

  function refusal(path: string, is: string, hint: string): Error {
    return invalid('flows.not_json', `${what} answers ${path === '' ? '' : `something whose ${path.replace(/^\./, '')} is `}${is}, which JSON cannot hold`, {
      hint,
    })
  }
}
