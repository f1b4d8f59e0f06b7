/**
 * Messages as they are written in the catalogues, and their compiled form for @lingui/core: no parser is shipped.
 * `{name}` takes a value; `plural('n', one, other)` chooses by the language's rules and writes `#` as the number.
 */
import type { Messages } from '@lingui/core'

export type Plural = { readonly by: string; readonly one: string; readonly other: string }
export type Message = string | Plural
type Token = string | [string]

export const plural = (by: string, one: string, other: string): Plural => ({ by, one, other })

export function compile(catalogue: Readonly<Record<string, Message>>): Messages {
  const compiled: Messages = {}
  for (const [id, message] of Object.entries(catalogue))
    compiled[id] =
      typeof message === 'string' ? tokens(message) : [[message.by, 'plural', { offset: undefined, one: tokens(message.one), other: tokens(message.other) }]]
  return compiled
}

function tokens(text: string): Token[] {
  return text
    .split(/(\{\w+\}|#)/)
    .filter((part) => part !== '')
    .map((part) => (part.startsWith('{') && part.endsWith('}') ? [part.slice(1, -1)] : part))
}
